package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// writeTree makes dir hold the files and nothing else. What was there goes: files of kinds that are gone, and setuptools'
// build/, whose stale copies pip would install. A directory that holds something else than this package is refused.
func writeTree(dir string, files map[string][]byte) error {
	if err := checkReplaceable(dir); err != nil {
		return err
	}
	// Written beside it and renamed, so that an interrupted run never leaves half a package.
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	for name, contents := range files {
		file := filepath.Join(fresh, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, contents, 0o644); err != nil {
			return err
		}
	}
	if err := os.Chmod(fresh, 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(fresh, dir)
}

func checkReplaceable(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	project, err := os.ReadFile(filepath.Join(dir, "pyproject.toml"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 && !strings.Contains(string(project), pythonPackage) {
		return fmt.Errorf("%s is not empty and is not %s: everything in it would be deleted; name another directory", dir, pythonPackage)
	}
	return nil
}
