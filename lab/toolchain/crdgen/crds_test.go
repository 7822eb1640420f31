package main

import (
	"strings"
	"testing"
)

func TestEmptyDocumentsAreSkipped(t *testing.T) {
	crds, err := readCRDs(strings.NewReader("# a comment\n---\nkind: CustomResourceDefinition\n---\n---\nkind: CustomResourceDefinition\n---\n"))
	if err != nil || len(crds) != 2 {
		t.Errorf("got %d CRDs and error %v, want 2", len(crds), err)
	}
}

func TestADocumentThatIsNoCRDIsRefused(t *testing.T) {
	_, err := readCRDs(strings.NewReader("kind: CustomResourceDefinition\n---\nkind: ConfigMap\n"))
	wantError(t, err, "document 2 is a ConfigMap")
}

func wantError(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("got error %v, want one with %q", err, part)
	}
}
