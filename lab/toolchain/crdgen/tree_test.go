package main

import (
	"os"
	"path/filepath"
	"testing"
)

var onePackage = map[string][]byte{"pyproject.toml": []byte("name = " + pythonPackage), "sub/module.py": []byte("new")}

func write(t *testing.T, name, contents string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(contents), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestStaleFilesOfAnEarlierPackageAreRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	write(t, filepath.Join(dir, "pyproject.toml"), "name = "+pythonPackage)
	write(t, filepath.Join(dir, "build", "lib", "gone.py"), "old")
	if err := writeTree(dir, onePackage); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "build")); !os.IsNotExist(err) {
		t.Errorf("build/ is still there: %v", err)
	}
}

func TestFilesAreWrittenIntoTheirFolders(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	if err := writeTree(dir, onePackage); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "sub", "module.py")); err != nil || string(got) != "new" {
		t.Errorf("got %q and error %v", got, err)
	}
}

func TestNothingIsLeftBesideThePackage(t *testing.T) {
	parent := t.TempDir()
	if err := writeTree(filepath.Join(parent, "out"), onePackage); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(parent); err != nil || len(entries) != 1 {
		t.Errorf("got %v and error %v, want the package alone", entries, err)
	}
}

func TestADirectoryOfSomethingElseIsRefused(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pyproject.toml"), "name = another")
	wantError(t, writeTree(dir, onePackage), "everything in it would be deleted")
}
