package main

import (
	"errors"
	"fmt"

	"weir/security/schema"
)

// maxSchemaBytes is also what schema.Compile takes at most.
const maxSchemaBytes = 1 << 20

// loadSchemas compiles the file of each namespace that names one, each file once.
func (s *setup) loadSchemas(namespaces []namespaceOptions) error {
	compiled := map[path]*schema.Schema{}
	var errs []error
	for i, ns := range namespaces {
		if ns.Schema == "" {
			continue
		}
		if compiled[ns.Schema] == nil {
			var err error
			if compiled[ns.Schema], err = compileSchema(string(ns.Schema)); err != nil {
				errs = append(errs, fmt.Errorf("the namespace %q: schema: %w", ns.Name, err))
				continue
			}
		}
		s.config.Namespaces[i].Schema = compiled[ns.Schema]
	}
	return errors.Join(errs...)
}

func compileSchema(file string) (*schema.Schema, error) {
	b, err := readBounded(file, maxSchemaBytes)
	if err != nil {
		return nil, err
	}
	s, err := schema.Compile(b)
	var m *schema.Mistake
	if errors.As(err, &m) {
		return nil, fmt.Errorf("%s, at %q: %s", file, m.Pointer, m.Mend)
	}
	return s, err
}
