package main

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/pkg/v3/codegen/python"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

const (
	// Resources belong to the kubernetes provider, so the package carries that provider's name in every type token …
	provider = "kubernetes"
	// … and its version: with any other the engine would start a second provider beside pulumi_kubernetes's.
	// It is the version of pulumi-kubernetes in requirements.in.
	providerVersion = "4.34.2"

	apiVersion = "v1"
	groupRoot  = ".istio.io"
	metaModule = "meta/v1"
)

// packageSpec describes all v1 kinds as a Pulumi package, and returns the Python module of each of its API groups.
func packageSpec(crds []crd) (schema.PackageSpec, map[string]string, error) {
	b := builder{types: map[string]schema.ComplexTypeSpec{}}
	modules := map[string]string{metaModule: metaModule}
	resources := map[string]schema.ResourceSpec{}
	for _, c := range crds {
		root, ok := c.served(apiVersion)
		if !ok {
			continue // an API that Istio still calls alpha or beta: not worth a promise of types
		}
		short, ok := strings.CutSuffix(c.Spec.Group, groupRoot)
		if !ok {
			b.problem("%s: group %q does not end in %q, so it has no Python module", c.Spec.Names.Kind, c.Spec.Group, groupRoot)
			continue
		}
		api := c.Spec.Group + "/" + apiVersion
		modules[api] = short + "/" + apiVersion
		resources[token(api, c.Spec.Names.Kind)] = b.resource(api, c.Spec.Names.Kind, root)
	}
	b.types[token(metaModule, "ObjectMeta")] = objectMeta()
	spec := schema.PackageSpec{
		Name:      provider,
		Version:   providerVersion,
		Meta:      &schema.MetadataSpec{ModuleFormat: "(.*)"}, // the whole of "networking.istio.io/v1" is the module
		Types:     b.types,
		Resources: resources,
		// Registering a second Provider class of this name and version is an error as soon as pulumi_kubernetes is
		// imported too; an overlay is not generated.
		Provider: schema.ResourceSpec{ObjectTypeSpec: schema.ObjectTypeSpec{IsOverlay: true}},
	}
	return spec, modules, errors.Join(b.problems...)
}

// objectMeta stands for pulumi_kubernetes's own class, which python.go re-exports: an overlay is not generated.
func objectMeta() schema.ComplexTypeSpec {
	return schema.ComplexTypeSpec{ObjectTypeSpec: schema.ObjectTypeSpec{Type: "object", IsOverlay: true}}
}

// builder collects the object types of a package, and what is wrong with the CRDs it is fed.
type builder struct {
	types    map[string]schema.ComplexTypeSpec
	problems []error
}

func (b *builder) problem(format string, args ...any) {
	b.problems = append(b.problems, fmt.Errorf(format, args...))
}

// resource describes one kind. Its status is left out: controllers own it, and a program neither sets nor diffs it.
func (b *builder) resource(api, kind string, root shape) schema.ResourceSpec {
	properties := map[string]schema.PropertySpec{
		"apiVersion": {TypeSpec: schema.TypeSpec{Type: "string"}, Const: api},
		"kind":       {TypeSpec: schema.TypeSpec{Type: "string"}, Const: kind},
		"metadata":   {TypeSpec: reference(token(metaModule, "ObjectMeta"))},
		"spec":       {TypeSpec: b.typeOf(api, kind+"Spec", root.Properties["spec"])},
	}
	required := []string{"apiVersion", "kind", "metadata"}
	var requiredInputs []string
	if slices.Contains(root.Required, "spec") {
		required = append(required, "spec")
		requiredInputs = []string{"spec"}
	}
	return schema.ResourceSpec{
		ObjectTypeSpec:  schema.ObjectTypeSpec{Type: "object", Properties: properties, Required: required},
		InputProperties: properties,
		RequiredInputs:  requiredInputs,
	}
}

// typeOf describes a shape; an object with fields becomes a type of its own, called name.
func (b *builder) typeOf(api, name string, s shape) schema.TypeSpec {
	if s.IntOrString {
		return schema.TypeSpec{OneOf: []schema.TypeSpec{{Type: "integer"}, {Type: "string"}}}
	}
	switch s.Type {
	case "string", "boolean", "integer", "number":
		return schema.TypeSpec{Type: s.Type}
	case "array":
		if s.Items == nil {
			b.problem("%s %s: an array without items has no type", api, name)
			return anything()
		}
		items := b.typeOf(api, name, *s.Items)
		return schema.TypeSpec{Type: "array", Items: &items}
	case "object":
		return b.objectOf(api, name, s)
	case "":
		if s.PreserveUnknown {
			return anything()
		}
	}
	b.problem("%s %s: type %q is not one that a structural schema has", api, name, s.Type)
	return anything()
}

func (b *builder) objectOf(api, name string, s shape) schema.TypeSpec {
	if len(s.Properties) == 0 {
		values := anything()
		if s.AdditionalProperties != nil {
			values = b.typeOf(api, name, *s.AdditionalProperties)
		}
		return schema.TypeSpec{Type: "object", AdditionalProperties: &values}
	}
	fields := withoutAliases(s.Properties)
	b.checkNames(api, name, fields, s.Required)
	properties := map[string]schema.PropertySpec{}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		properties[field] = schema.PropertySpec{TypeSpec: b.typeOf(api, name+capitalised(field), fields[field])}
	}
	tok := token(api, name)
	if _, taken := b.types[tok]; taken {
		b.problem("%s %s: two objects get this name", api, name)
	}
	b.types[tok] = schema.ComplexTypeSpec{
		ObjectTypeSpec: schema.ObjectTypeSpec{Type: "object", Properties: properties, Required: s.Required},
	}
	return reference(tok)
}

// checkNames refuses what would be generated as broken Python: two parameters of one name, a required one that is not there.
func (b *builder) checkNames(api, name string, fields map[string]shape, required []string) {
	parameters := map[string]string{}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		parameter := python.PyName(field)
		if other, taken := parameters[parameter]; taken {
			b.problem("%s %s: fields %s and %s both become the parameter %s", api, name, other, field, parameter)
		}
		parameters[parameter] = field
	}
	for _, field := range required {
		if _, known := fields[field]; !known {
			b.problem("%s %s: field %s is required, but is not there or is an alias", api, name, field)
		}
	}
}

// withoutAliases drops a snake_case field that stands beside its camelCase self. Istio keeps such deprecated spellings
// (mirror_percent, jwks_uri), and both would be one Python parameter.
func withoutAliases(fields map[string]shape) map[string]shape {
	kept := map[string]shape{}
	for name, s := range fields {
		camel := camelCase(name)
		if _, twin := fields[camel]; twin && camel != name {
			continue
		}
		kept[name] = s
	}
	return kept
}

// camelCase turns mirror_percent into mirrorPercent, and leaves a name without underscores as it is.
func camelCase(name string) string {
	words := strings.Split(name, "_")
	for i, word := range words[1:] {
		words[i+1] = capitalised(word)
	}
	return strings.Join(words, "")
}

func capitalised(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// token names a resource or a type: kubernetes:networking.istio.io/v1:VirtualService.
func token(module, name string) string {
	return provider + ":" + module + ":" + name
}

// reference points at a type of this package. It is a URL, so the slash inside the module is escaped.
func reference(token string) schema.TypeSpec {
	return schema.TypeSpec{Ref: "#/types/" + url.PathEscape(token)}
}

func anything() schema.TypeSpec {
	return schema.TypeSpec{Ref: "pulumi.json#/Any"}
}
