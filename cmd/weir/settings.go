package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

const (
	envPrefix      = "WEIR_"
	maxConfigBytes = 1 << 20 // of the YAML file
)

// settings are the options that come from the environment and the YAML file.
// It is the parser's only source of them: kong's own reading of the process
// environment is not used.
type settings struct {
	env   map[string]string // WEIR_ variables that are not empty
	known map[string]bool   // names of all options of all commands

	file       string // "" if there is none
	keys       map[string]setting
	namespaces []namespaceOptions
}

// setting is one key of the YAML file.
type setting struct {
	value string
	line  int
}

// newSettings takes the environment and the names of all options. A WEIR_
// variable that is nearly an option's is an error; one that is far from any
// belongs to somebody else (a cluster sets WEIR_PORT for a service of that
// name) and is passed over.
func newSettings(env []string, known map[string]bool) (*settings, error) {
	s := &settings{env: map[string]string{}, known: known}
	var errs []error
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || value == "" {
			continue
		}
		option := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, envPrefix), "_", "-"))
		if !known[option] {
			if near := nearest(option, known); near != "" {
				errs = append(errs, fmt.Errorf("%s is not an option; did you mean %s?", name, envName(near)))
			}
			continue
		}
		s.env[name] = value
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return s, errors.Join(errs...)
}

func envName(option string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(option, "-", "_"))
}

func keyName(option string) string { return strings.ReplaceAll(option, "-", "_") }

// placed is a mistake in a line of a YAML file.
type placed struct {
	line int
	err  error
}

func (p *placed) Error() string { return fmt.Sprintf("line %d: %v", p.line, p.err) }
func (p *placed) Unwrap() error { return p.err }

// at says in which line a mistake is, unless it says so itself: the innermost line is where to look.
func at(line int, err error) error {
	var inner *placed
	if errors.As(err, &inner) {
		return inner
	}
	return &placed{line, err}
}

// load reads the YAML file.
func (s *settings) load(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	if len(b) > maxConfigBytes {
		return fmt.Errorf("--config: %s is over %d bytes", file, maxConfigBytes)
	}
	s.file = file
	s.keys = map[string]setting{}
	root, err := yamlRoot(b)
	if err != nil {
		return fmt.Errorf("--config: %s: %w", file, err)
	}
	var errs []error
	for i := 0; root != nil && i+1 < len(root.Content); i += 2 {
		if err := s.take(root.Content[i], root.Content[i+1]); err != nil {
			errs = append(errs, fmt.Errorf("--config: %s, %w", file, at(root.Content[i].Line, err)))
		}
	}
	return errors.Join(errs...)
}

// yamlRoot returns the one mapping of a YAML text; nil if the text is empty.
func yamlRoot(b []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil && bytes.Contains(b, []byte{'\t'}) {
		return nil, fmt.Errorf("%w; YAML is indented with blanks, and there is a tab", err)
	} else if err != nil {
		return nil, err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one document; keep one")
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("the file is not a list of keys; write lines as in listen: :8443")
	}
	return doc.Content[0], nil
}

// take stores one key of the file.
func (s *settings) take(key, value *yaml.Node) error {
	option := strings.ReplaceAll(key.Value, "_", "-")
	if option == "namespaces" {
		namespaces, err := readNamespaces(value)
		for i := range namespaces {
			namespaces[i].Schema = s.beside(namespaces[i].Schema)
		}
		s.namespaces = namespaces
		return err
	}
	if !s.known[option] || option == "config" {
		if near := nearest(option, s.known); near != "" {
			return fmt.Errorf("%s is not an option; did you mean %s?", key.Value, keyName(near))
		}
		return fmt.Errorf("%s is not an option", key.Value)
	}
	if _, twice := s.keys[option]; twice {
		return fmt.Errorf("%s stands there twice", key.Value)
	}
	v, err := scalarText(value)
	if err != nil {
		return fmt.Errorf("%s: %w", key.Value, err)
	}
	if v != "" {
		s.keys[option] = setting{value: v, line: key.Line}
	}
	return nil
}

// scalarText returns a value as it would stand on the command line.
func scalarText(n *yaml.Node) (string, error) {
	switch {
	case n.Kind == yaml.AliasNode:
		return scalarText(n.Alias)
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return "", nil
	case n.Kind == yaml.ScalarNode:
		return n.Value, nil
	case n.Kind == yaml.SequenceNode:
		var items []string
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				return "", errors.New("a list may hold plain values only")
			}
			items = append(items, item.Value)
		}
		return strings.Join(items, ","), nil
	}
	return "", errors.New("needs a plain value or a list of them")
}

// Validate is part of kong.Resolver; the keys are checked when the file is read.
func (s *settings) Validate(*kong.Application) error { return nil }

// Resolve gives an option that does not stand on the command line its value:
// from the environment, else from the file.
func (s *settings) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if flag.Name == "help" {
		return nil, nil
	}
	if err := s.loadOnce(ctx); err != nil {
		return nil, &configError{err}
	}
	if v, ok := s.env[envName(flag.Name)]; ok {
		return v, nil
	}
	v, ok := s.keys[flag.Name]
	if !ok {
		return nil, nil
	}
	if flag.Target.Type() == reflect.TypeFor[path]() && v.value != flag.Default && v.value != "off" {
		return string(s.beside(path(v.value))), nil
	}
	return v.value, nil
}

// beside is a file name of the YAML file, which is relative to that.
func (s *settings) beside(name path) path {
	if name == "" || filepath.IsAbs(string(name)) {
		return name
	}
	return path(filepath.Join(filepath.Dir(s.file), string(name)))
}

// loadOnce reads the file that the command line or the environment names.
func (s *settings) loadOnce(ctx *kong.Context) error {
	if s.keys != nil {
		return nil
	}
	file := s.env[envName("config")]
	for _, p := range ctx.Path {
		if p.Flag != nil && p.Flag.Name == "config" {
			file = fmt.Sprint(ctx.FlagValue(p.Flag))
		}
	}
	if file == "" {
		s.keys = map[string]setting{}
		return nil
	}
	return s.load(file)
}

// refuseForeign refuses keys of the file that only other commands know, where a
// server is to run with it: one who writes origin for allowed_origins must
// hear of it. The tools may share the server's file.
func (s *settings) refuseForeign(ctx *kong.Context) error {
	if name := ctx.Selected().Name; name != "serve" && name != "check" {
		return nil
	}
	own := optionNames(ctx.Selected())
	var errs []error
	for name, at := range s.keys {
		if !own[name] {
			errs = append(errs, fmt.Errorf("--config: %s, line %d: %s is no option of the server, which would ignore it; take it out", s.file, at.line, keyName(name)))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return &configError{errors.Join(errs...)}
}

// source tells where an option's value was found, for messages; "" is the command line.
func (s *settings) source(option string) string {
	if _, ok := s.env[envName(option)]; ok {
		return envName(option)
	}
	if v, ok := s.keys[option]; ok {
		return fmt.Sprintf("%s, line %d", s.file, v.line)
	}
	return ""
}

// nearest returns the known name that is at most two changes away; "" if none is.
func nearest(name string, known map[string]bool) string {
	best, bestDistance := "", 3
	for k := range known {
		if d := editDistance(name, k); d < bestDistance || d == bestDistance && k < best {
			best, bestDistance = k, d
		}
	}
	if bestDistance >= len(name) {
		return ""
	}
	return best
}

// editDistance is the number of letters to insert, drop or change between a and b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(change, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
