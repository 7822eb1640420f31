package main

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

const networking = "networking.istio.io/v1"

// parsed makes the package of a Widget of networking.istio.io/v1 whose spec has the given YAML schema.
func parsed(t *testing.T, spec string) (schema.PackageSpec, error) {
	t.Helper()
	return parsedCRD(t, "networking.istio.io", "v1", "{properties: {spec: "+spec+"}}")
}

func parsedCRD(t *testing.T, group, version, root string) (schema.PackageSpec, error) {
	t.Helper()
	crds, err := readCRDs(strings.NewReader(`
kind: CustomResourceDefinition
spec:
  group: ` + group + `
  names: {kind: Widget}
  versions: [{name: ` + version + `, schema: {openAPIV3Schema: ` + root + `}}]
`))
	if err != nil {
		t.Fatal(err)
	}
	pkg, _, err := packageSpec(crds)
	return pkg, err
}

// fields returns the fields of one generated type by name.
func fields(t *testing.T, pkg schema.PackageSpec, name string) map[string]schema.PropertySpec {
	t.Helper()
	found, ok := pkg.Types[token(networking, name)]
	if !ok {
		t.Fatalf("there is no type %s, but %v", name, slices.Sorted(maps.Keys(pkg.Types)))
	}
	return found.Properties
}

func wantFields(t *testing.T, pkg schema.PackageSpec, name string, want ...string) {
	t.Helper()
	if got := slices.Sorted(maps.Keys(fields(t, pkg, name))); !slices.Equal(got, want) {
		t.Errorf("%s has %v, want %v", name, got, want)
	}
}

func must(t *testing.T, pkg schema.PackageSpec, err error) schema.PackageSpec {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pkg
}

func TestASnakeCaseAliasOfACamelCaseFieldIsDropped(t *testing.T) {
	pkg, err := parsed(t, "{type: object, properties: {mirrorPercent: {type: integer}, mirror_percent: {type: integer}}}")
	wantFields(t, must(t, pkg, err), "WidgetSpec", "mirrorPercent")
}

func TestASnakeCaseFieldWithoutATwinIsKept(t *testing.T) {
	pkg, err := parsed(t, "{type: object, properties: {only_here: {type: string}}}")
	wantFields(t, must(t, pkg, err), "WidgetSpec", "only_here")
}

func TestFieldsThatBecomeOneParameterAreRefused(t *testing.T) {
	_, err := parsed(t, "{type: object, properties: {fooBar: {type: string}, FooBar: {type: string}}}")
	wantError(t, err, "fields FooBar and fooBar both become the parameter foo_bar")
}

func TestARequiredAliasIsRefused(t *testing.T) {
	_, err := parsed(t, "{type: object, required: [jwks_uri], properties: {jwksUri: {type: string}, jwks_uri: {type: string}}}")
	wantError(t, err, "field jwks_uri is required, but is not there or is an alias")
}

func TestIntOrStringAcceptsBoth(t *testing.T) {
	pkg, err := parsed(t, "{type: object, properties: {port: {x-kubernetes-int-or-string: true}}}")
	var got []string
	for _, each := range fields(t, must(t, pkg, err), "WidgetSpec")["port"].OneOf {
		got = append(got, each.Type)
	}
	if want := []string{"integer", "string"}; !slices.Equal(got, want) {
		t.Errorf("got one of %v, want %v", got, want)
	}
}

func TestReferencesEscapeTheSlashOfTheirModule(t *testing.T) {
	got := reference("kubernetes:networking.istio.io/v1:VirtualServiceSpec").Ref
	if want := "#/types/kubernetes:networking.istio.io%2Fv1:VirtualServiceSpec"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNestedObjectsAreNamedAfterTheirPath(t *testing.T) {
	pkg, err := parsed(t, "{type: object, properties: {http: {type: array, items: {type: object, properties: {name: {type: string}}}}}}")
	wantFields(t, must(t, pkg, err), "WidgetSpecHttp", "name")
}

func TestValuesOfAMapAreNamedAfterTheMap(t *testing.T) {
	pkg, err := parsed(t, "{type: object, properties: {tags: {type: object, additionalProperties: {type: object, properties: {name: {type: string}}}}}}")
	wantFields(t, must(t, pkg, err), "WidgetSpecTags", "name")
}

func TestTwoObjectsOfOneNameAreRefused(t *testing.T) {
	object := "{type: object, properties: {name: {type: string}}}"
	_, err := parsed(t, "{type: object, properties: {aB: "+object+", a: {type: object, properties: {b: "+object+"}}}}")
	wantError(t, err, "WidgetSpecAB: two objects get this name")
}

func TestAnObjectWithoutFieldsHoldsAnything(t *testing.T) {
	pkg, err := parsed(t, "{type: object, properties: {values: {type: object}}}")
	got := fields(t, must(t, pkg, err), "WidgetSpec")["values"]
	if got.AdditionalProperties == nil || got.AdditionalProperties.Ref != "pulumi.json#/Any" {
		t.Errorf("got %+v, want a map of anything", got.TypeSpec)
	}
}

func TestAnUnknownTypeIsRefused(t *testing.T) {
	_, err := parsed(t, "{type: object, properties: {when: {type: date}}}")
	wantError(t, err, `WidgetSpecWhen: type "date"`)
}

func TestARequiredSpecIsARequiredArgument(t *testing.T) {
	root := "{required: [spec], properties: {spec: {type: object, properties: {name: {type: string}}}}}"
	pkg, err := parsedCRD(t, "networking.istio.io", "v1", root)
	got := must(t, pkg, err).Resources[token(networking, "Widget")].RequiredInputs
	if want := []string{"spec"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAKindWithoutV1IsLeftOut(t *testing.T) {
	pkg, err := parsedCRD(t, "networking.istio.io", "v1alpha3", "{properties: {spec: {type: object}}}")
	if got := must(t, pkg, err).Resources; len(got) != 0 {
		t.Errorf("got %v, want no kind", got)
	}
}

func TestAGroupThatIsNotIstiosIsRefused(t *testing.T) {
	_, err := parsedCRD(t, "example.org", "v1", "{properties: {spec: {type: object}}}")
	wantError(t, err, `Widget: group "example.org"`)
}
