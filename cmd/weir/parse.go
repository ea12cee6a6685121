package main

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// configError is a mistake of the operator: exit status 2.
type configError struct{ err error }

func (e *configError) Error() string { return e.err.Error() }
func (e *configError) Unwrap() error { return e.err }

// mistake makes a configError.
func mistake(format string, args ...any) error {
	return &configError{fmt.Errorf(format, args...)}
}

// exited is thrown out of the parser when it has printed help.
type exited struct{ status int }

// asMistake makes a configError of an error, if there is one.
func asMistake(err error) error {
	if err == nil {
		return nil
	}
	return &configError{err}
}

// command is a parsed command line.
type command struct {
	cli
	name       string // of the command: "serve"
	namespaces []namespaceOptions
}

// parse reads the command line, the environment and the YAML file. Help goes
// to p.stdout; then the status is 0 and the command nil.
func parse(p *process) (cmd *command, err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(exited); !ok {
				panic(r)
			}
			cmd, err = nil, nil
		}
	}()
	cmd = &command{}
	values := &settings{}
	parser, err := newParser(p, &cmd.cli, values)
	if err != nil {
		return nil, err
	}
	loaded, err := newSettings(p.env, optionNames(parser.Model.Node))
	if err != nil {
		return nil, &configError{err}
	}
	*values = *loaded
	args := p.args
	if len(args) == 0 {
		args = []string{"--help"}
	}
	ctx, err := parser.Parse(args)
	var file *configError
	if errors.As(err, &file) {
		return nil, file // the parser blames the option that it looked for first
	}
	if err != nil && strings.HasPrefix(err.Error(), "unexpected argument ") && !strings.Contains(err.Error(), "did you mean") {
		err = fmt.Errorf("%w; --help says what there is", err)
	}
	if err != nil {
		return nil, &configError{err}
	}
	cmd.name = ctx.Selected().Name
	if parent := ctx.Selected().Parent; parent != nil && parent.Name == "audit" {
		cmd.name = parent.Name + " " + cmd.name
	}
	cmd.namespaces = values.namespaces
	cmd.Serve.explicit = explicit(ctx)
	cmd.Check.explicit = cmd.Serve.explicit
	if err := values.refuseForeign(ctx); err != nil {
		return nil, err
	}
	return cmd, refuseLater(ctx)
}

// explicit names the options that were set, wherever.
func explicit(ctx *kong.Context) map[string]bool {
	names := map[string]bool{}
	for _, p := range ctx.Path {
		if p.Flag != nil {
			names[p.Flag.Name] = true
		}
	}
	return names
}

// newParser builds the parser over the declared options.
func newParser(p *process, target *cli, values *settings) (*kong.Kong, error) {
	options := []kong.Option{
		kong.Name("weir"),
		kong.Description("A push server for live feeds over WebSocket and TLS."),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(status int) { panic(exited{status}) }),
		kong.Resolvers(values),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 120}),
	}
	for _, t := range []reflect.Type{
		reflect.TypeFor[text](), reflect.TypeFor[path](), reflect.TypeFor[count](), reflect.TypeFor[size](),
		reflect.TypeFor[rate](), reflect.TypeFor[byteRate](), reflect.TypeFor[span](), reflect.TypeFor[share](),
		reflect.TypeFor[list](), reflect.TypeFor[networks](), reflect.TypeFor[address](), reflect.TypeFor[moment](),
	} {
		options = append(options, kong.TypeMapper(t, valueMapper{values}))
	}
	options = append(options, kong.TypeMapper(reflect.TypeFor[bool](), switchMapper{valueMapper{values}}))
	return kong.New(target, options...)
}

// optionNames are the names of all options of all commands.
func optionNames(n *kong.Node) map[string]bool {
	names := map[string]bool{}
	for _, f := range n.Flags {
		if f.Name != "help" {
			names[f.Name] = true
		}
	}
	for _, child := range n.Children {
		for name := range optionNames(child) {
			names[name] = true
		}
	}
	return names
}

// valueMapper reads an option's value and says in an error where it was found.
type valueMapper struct{ from *settings }

func (m valueMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("option")
	if err != nil {
		return fmt.Errorf("needs a value; write --%s=%s", ctx.Value.Name, ctx.Value.Tag.PlaceHolder)
	}
	return m.read(ctx, target, fmt.Sprint(token.Value))
}

func (m valueMapper) read(ctx *kong.DecodeContext, target reflect.Value, value string) error {
	err := decodeText(target, value)
	if err == nil {
		return nil
	}
	if source := m.from.source(ctx.Value.Name); source != "" && m.from.keys != nil {
		return fmt.Errorf("%w (in %s)", err, source)
	}
	return err
}

// switchMapper reads an option that is on or off and needs no value.
type switchMapper struct{ valueMapper }

func (m switchMapper) IsBool() bool { return true }

func (m switchMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		target.SetBool(true)
		return nil
	}
	return m.read(ctx, target, fmt.Sprint(ctx.Scan.Pop().Value))
}

// decodeText reads text into an option's value.
func decodeText(target reflect.Value, s string) error {
	if target.Kind() == reflect.Bool {
		switch strings.ToLower(s) {
		case "true", "yes", "on", "1":
			target.SetBool(true)
		case "false", "no", "off", "0":
			target.SetBool(false)
		default:
			return fmt.Errorf("%q is neither true nor false", s)
		}
		return nil
	}
	u, ok := target.Addr().Interface().(encoding.TextUnmarshaler)
	if !ok {
		panic("option type without a text form: " + target.Type().String())
	}
	return u.UnmarshalText([]byte(s))
}

// refuseLater refuses options that are declared but whose subject does not
// exist yet, unless they say what happens anyway.
func refuseLater(ctx *kong.Context) error {
	var errs []error
	for _, flag := range ctx.Selected().Flags {
		if !flag.Tag.Has("later") || !flag.Set {
			continue
		}
		harmless := reflect.New(flag.Target.Type()).Elem()
		if flag.HasDefault {
			if err := decodeText(harmless, flag.Default); err != nil {
				return err
			}
		}
		if !reflect.DeepEqual(harmless.Interface(), flag.Target.Interface()) {
			errs = append(errs, fmt.Errorf("--%s: not available yet (%s); leave it out", flag.Name, flag.Tag.Get("later")))
		}
	}
	if len(errs) > 0 {
		return &configError{errors.Join(errs...)}
	}
	return nil
}
