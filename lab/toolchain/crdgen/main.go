// Command crdgen generates the typed Python package of Istio's v1 kinds, from the CRDs in the Go module istio.io/api and by
// Pulumi's own Python generator (the library behind crd2pulumi).
//
//	go run . ../../../sdks/pulumi_kubernetes_istio
//
// The same go.mod gives the same bytes. Run it in this directory: it asks go where the module lies.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	_ "istio.io/api/annotation" // keeps the module in go.mod and downloaded; its CRDs are data, which Go does not see
)

const istioModule = "istio.io/api"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run . OUTDIR")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "crdgen: %v\n", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	files, err := generate()
	if err != nil {
		return err
	}
	if err := writeTree(filepath.Clean(dir), files); err != nil {
		return err
	}
	fmt.Printf("%s: %d files\n", dir, len(files))
	return nil
}

// generate returns the whole package, of the CRDs that go.mod pins.
func generate() (map[string][]byte, error) {
	module, err := findModule(istioModule)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(module.Dir, "kubernetes", "customresourcedefinitions.gen.yaml")
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s %s does not hold its CRDs where it used to: %w", istioModule, module.Version, err)
	}
	defer file.Close()
	crds, err := readCRDs(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	spec, modules, err := packageSpec(crds)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return pythonFiles(spec, modules, module.Version)
}

type module struct {
	Dir     string
	Version string
}

func findModule(name string) (module, error) {
	command := exec.Command("go", "list", "-m", "-json", name)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return module{}, fmt.Errorf("go list -m %s: %w; run it in the generator's own directory", name, err)
	}
	var found module
	if err := json.Unmarshal(out, &found); err != nil {
		return module{}, fmt.Errorf("go list -m %s: %w", name, err)
	}
	if found.Dir == "" {
		return module{}, fmt.Errorf("%s %s is not downloaded; run go mod download", name, found.Version)
	}
	return found, nil
}
