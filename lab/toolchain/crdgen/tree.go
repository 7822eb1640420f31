package main

import (
	"os"
	"path/filepath"
)

// writeTree writes the files below dir, in place of the package that was there and of setuptools' build/, whose stale copies
// pip would install.
func writeTree(dir string, files map[string][]byte) error {
	for _, stale := range []string{pythonPackage, "build"} {
		if err := os.RemoveAll(filepath.Join(dir, stale)); err != nil {
			return err
		}
	}
	for name, contents := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, contents, 0o644); err != nil {
			return err
		}
	}
	return nil
}
