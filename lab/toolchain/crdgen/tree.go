package main

import (
	"bytes"
	"os"
	"path/filepath"
)

// writeTree writes the files below dir, in place of the package that was there. Where dir is the package's, setuptools' build/ goes
// too: pip would install its stale copies.
func writeTree(dir string, files map[string][]byte) error {
	old := []string{pythonPackage}
	project, err := os.ReadFile(filepath.Join(dir, "pyproject.toml"))
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if bytes.Contains(project, []byte(`name = "`+pythonPackage+`"`)) {
		old = append(old, "build")
	}
	for _, stale := range old {
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
