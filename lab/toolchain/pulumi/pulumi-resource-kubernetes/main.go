// Command pulumi-resource-kubernetes is Pulumi's own Kubernetes provider. Its module holds the two files that its own main package
// embeds under other names only; `go build -overlay` lays them beside this one.
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
)

//go:embed schema.json
var schema []byte

//go:embed terraform-mapping.json
var mapping []byte

// Set by the linker.
var version string

func main() {
	provider.Serve("kubernetes", version, schema, mapping)
}
