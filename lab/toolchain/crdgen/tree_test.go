package main

import (
	"os"
	"path/filepath"
	"testing"
)

func pyproject(name string) []byte {
	return []byte("[project]\n  name = \"" + name + "\"\n")
}

func TestBuildOfSomethingElseIsKept(t *testing.T) {
	for of, there := range map[string]map[string][]byte{
		"no package":      {"build/kept.py": nil},
		"another package": {"build/kept.py": nil, "pyproject.toml": pyproject("another")},
	} {
		dir := t.TempDir()
		for range 2 {
			if err := writeTree(dir, there); err != nil {
				t.Fatal(err)
			}
			there = map[string][]byte{pythonPackage + "/module.py": nil}
		}
		if _, err := os.Stat(filepath.Join(dir, "build", "kept.py")); err != nil {
			t.Errorf("of %s: %v", of, err)
		}
	}
}

func TestFilesOfAnEarlierPackageAreRemoved(t *testing.T) {
	dir := t.TempDir()
	earlier := map[string][]byte{"pyproject.toml": pyproject(pythonPackage), "build/gone.py": nil, pythonPackage + "/gone.py": nil}
	if err := writeTree(dir, earlier); err != nil {
		t.Fatal(err)
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
