package main

import (
	"errors"
	"fmt"
	"io"

	"gopkg.in/yaml.v3"
)

// crd is the part of a CustomResourceDefinition that decides what its Python class looks like.
type crd struct {
	Kind string `yaml:"kind"`
	Spec struct {
		Group string `yaml:"group"`
		Names struct {
			Kind string `yaml:"kind"`
		} `yaml:"names"`
		Versions []struct {
			Name   string `yaml:"name"`
			Schema struct {
				OpenAPIV3Schema shape `yaml:"openAPIV3Schema"`
			} `yaml:"schema"`
		} `yaml:"versions"`
	} `yaml:"spec"`
}

// shape is a structural OpenAPI v3 schema without its prose and its validation: the API server validates.
type shape struct {
	Type                 string           `yaml:"type"`
	Properties           map[string]shape `yaml:"properties"`
	Required             []string         `yaml:"required"`
	Items                *shape           `yaml:"items"`
	AdditionalProperties *shape           `yaml:"additionalProperties"`
	IntOrString          bool             `yaml:"x-kubernetes-int-or-string"`
	PreserveUnknown      bool             `yaml:"x-kubernetes-preserve-unknown-fields"`
}

// readCRDs decodes a stream of YAML documents, each a CustomResourceDefinition or empty.
func readCRDs(r io.Reader) ([]crd, error) {
	var crds []crd
	decoder := yaml.NewDecoder(r)
	for {
		var doc crd
		err := decoder.Decode(&doc)
		switch {
		case errors.Is(err, io.EOF):
			return crds, nil
		case err != nil:
			return nil, fmt.Errorf("document %d: %w", len(crds)+1, err)
		case doc.Kind == "":
			continue // a stream may begin or end with an empty document
		case doc.Kind != "CustomResourceDefinition":
			return nil, fmt.Errorf("document %d is a %s, not a CustomResourceDefinition", len(crds)+1, doc.Kind)
		}
		crds = append(crds, doc)
	}
}

// served returns the schema of one API version, or false if the kind does not have that version.
func (c crd) served(version string) (shape, bool) {
	for _, v := range c.Spec.Versions {
		if v.Name == version {
			return v.Schema.OpenAPIV3Schema, true
		}
	}
	return shape{}, false
}
