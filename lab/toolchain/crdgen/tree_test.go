package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFilesOfAnEarlierPackageAreRemoved(t *testing.T) {
	dir := t.TempDir()
	for _, stale := range []string{"build", pythonPackage} {
		if err := writeTree(dir, map[string][]byte{stale + "/gone.py": []byte("old")}); err != nil {
			t.Fatal(err)
		}
	}
	name := pythonPackage + "/sub/module.py"
	if err := writeTree(dir, map[string][]byte{name: []byte("new")}); err != nil {
		t.Fatal(err)
	}
	for _, stale := range []string{"build", pythonPackage} {
		if _, err := os.Stat(filepath.Join(dir, stale, "gone.py")); !os.IsNotExist(err) {
			t.Errorf("%s/gone.py is still there: %v", stale, err)
		}
	}
	if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != "new" {
		t.Errorf("got %q and error %v", got, err)
	}
}
