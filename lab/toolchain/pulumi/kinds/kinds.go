// Package v2 takes the place of kinds.go of the Kubernetes SDK's yaml/v2 when the provider is built. For that file alone, 60 packages
// of generated types were compiled, half of the provider's build. The types only wrap what the engine answers, and the provider does
// not read it. So one type stands for all kinds; each is registered under the type token that the generated file gives it.
package v2

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

type object struct{ pulumi.CustomResourceState }

// RegisterResource registers one object of a chart or a manifest.
func RegisterResource(ctx *pulumi.Context, apiVersion, kind, name string, props pulumi.Input,
	opts ...pulumi.ResourceOption) (pulumi.CustomResource, error) {
	if apiVersion == "v1" {
		apiVersion = "core/v1"
	}
	var res object
	if err := ctx.RegisterResource(fmt.Sprintf("kubernetes:%s:%s", apiVersion, kind), name, props, &res, opts...); err != nil {
		return nil, err
	}
	return &res, nil
}
