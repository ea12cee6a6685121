package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

// TestConfigurationPage holds docs/configuration.md to the declared options.
// go test ./cmd/weir -run ConfigurationPage -update rewrites it.
func TestConfigurationPage(t *testing.T) {
	page := filepath.Join("..", "..", "docs", "configuration.md")
	want := configurationPage(t)
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/configuration.md is not what the options say; rewrite it with: go test ./cmd/weir -run ConfigurationPage -update")
	}
}

const pageHead = `# Configuration

This page is written from the options in cmd/weir (go test ./cmd/weir -run ConfigurationPage -update).

Every option is a flag, an environment variable and a key of the YAML file that --config names. For
--ip-connections these are:

    weir serve --ip-connections 500
    WEIR_IP_CONNECTIONS=500 weir serve
    ip_connections: 500

A flag wins over the environment, the environment over the file, the file over the default. Unknown flags and
keys are errors, and so are variables that are nearly an option's name. An empty variable counts as not set.

- A size is bytes or has a unit: 65536, 64KiB, 1MiB. A rate is per second, minute or hour: 50/s, 300/m.
- A time has a unit: 500ms, 10s, 24h. A list is separated by commas, or a list in YAML; a flag given twice adds to it.
- File names in the YAML file are relative to it.
- The secrets also come from files (--api-key-file, --token-hmac-secret-file, --proxy-secret-file, --hook-header-file,
  --token-file), so that they stand in no process list.
- weir check tells whether serve would take a configuration, serving nothing, and adds up the memory it can take.
- A key of the file that only other commands know (token, origin, …) is an error for weir serve and weir check.
- SIGTERM and SIGINT drain the server; a second one ends it at once.
- The exit status of every command is 0 if all went well, 1 if something failed while it ran, or a second signal came, and 2
  if an option, a file or an argument has to be changed: the message says which, one line for each mistake.
- SIGHUP reads everything again: certificate (also read when its files change), keys, origins, namespaces with their schemas, limits. A
  mistake anywhere leaves all as it was, and the log says which. Subscriptions that are no longer permitted end. Options
  marked "restart" keep their value until then; the log names those that changed.

"Later" marks options that are known but not available yet: setting one to anything but its default is an error.
`

func configurationPage(t *testing.T) []byte {
	parser, err := newParser(&process{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}, &cli{}, &settings{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	b.WriteString(pageHead)
	for _, command := range parser.Model.Children {
		switch command.Name {
		case "check": // serve's options
			continue
		case "audit":
			for _, part := range command.Children {
				fmt.Fprintf(&b, "\n## weir %s\n\n%s\n", strings.TrimPrefix(part.Summary(), "weir "), part.Help)
				writeOptions(&b, part)
			}
			continue
		case "serve":
			b.WriteString("\n## weir serve, weir check\n")
		default:
			fmt.Fprintf(&b, "\n## weir %s\n\n%s\n", strings.TrimPrefix(command.Summary(), "weir "), command.Help)
		}
		writeOptions(&b, command)
	}
	writeNamespaceOptions(&b)
	return b.Bytes()
}

func writeOptions(b *bytes.Buffer, command *kong.Node) {
	group := "none"
	for _, f := range command.Flags {
		if f.Name == "help" {
			continue
		}
		title := ""
		if f.Group != nil && command.Name == "serve" {
			title = f.Group.Title
		}
		if title != group {
			group = title
			if title != "" {
				fmt.Fprintf(b, "\n### %s\n", title)
			}
			b.WriteString("\n| option | |\n|---|---|\n")
		}
		fmt.Fprintf(b, "| `--%s` | %s |\n", f.Name, later(f.Tag.Get("later"))+restart(f.Tag)+f.Help)
	}
}

func restart(tag *kong.Tag) string {
	if tag.Has("restart") {
		return "*Restart.* "
	}
	return ""
}

func later(subject string) string {
	if subject == "" {
		return ""
	}
	return "*Later (" + subject + ").* "
}

func writeNamespaceOptions(b *bytes.Buffer) {
	b.WriteString(`
## Namespaces

Only in the YAML file. The namespace of a channel is what stands before its first colon; a channel of a namespace
that is not configured does not exist. The namespace named "" is for channels without a colon and always exists.

    namespaces:
      - name: feeds
        allow_publish_for_subscriber: true

| key | |
|---|---|
`)
	fields := reflect.TypeFor[namespaceOptions]()
	for i := range fields.NumField() {
		tag := fields.Field(i).Tag
		fmt.Fprintf(b, "| `%s` | %s |\n", tag.Get("key"), later(tag.Get("later"))+tag.Get("help"))
	}
}
