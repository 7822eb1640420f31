package main

import (
	"bytes"
	"maps"
	"strings"
	"testing"
)

func generated(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestGeneratingTwiceGivesTheSameBytes(t *testing.T) {
	if !maps.EqualFunc(generated(t), generated(t), bytes.Equal) {
		t.Error("the two differ")
	}
}

func TestObjectMetaIsPulumiKubernetesOwn(t *testing.T) {
	for name, contents := range generated(t) {
		if strings.Contains(string(contents), "class ObjectMeta") {
			t.Errorf("%s defines an ObjectMeta of its own", name)
		}
	}
}

// Two providers of one name and version in one program are an error of the runtime.
func TestNoSecondProviderIsRegistered(t *testing.T) {
	for name := range generated(t) {
		if strings.HasSuffix(name, "provider.py") {
			t.Errorf("%s is generated", name)
		}
	}
}
