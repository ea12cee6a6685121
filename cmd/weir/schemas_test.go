package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestSchemaFiles: relative to the configuration, and a mistake names namespace,
// file, place and mend.
func TestSchemaFiles(t *testing.T) {
	env := []string{"XDG_CACHE_HOME=" + t.TempDir()}
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	price := write("schemas/price.json", `{"type":"object","properties":{"price":{"type":"number"}}}`)
	write("typo.json", `{"properties":{"a/b":{"typo":1}}}`)
	write("text.json", `price: number`)
	write("circle.json", `{"allOf":[{"$ref":"#"}]}`)
	write("large.json", `{"title":"`+strings.Repeat("x", maxSchemaBytes)+`"}`)
	for yaml, words := range map[string][]string{
		"[{name: a, schema: typo.json}]":                               {`the namespace "a"`, "schema: ", filepath.Join(dir, "typo.json"), `at "/properties/a~1b/typo"`, "supported"},
		"[{name: a, schema: text.json}]":                               {`the namespace "a"`, filepath.Join(dir, "text.json"), `at ""`, "JSON"},
		"[{name: a, schema: circle.json}]":                             {filepath.Join(dir, "circle.json"), "$ref", "leads back"},
		"[{name: a, schema: large.json}]":                              {`the namespace "a"`, "over 1048576 bytes"},
		"[{name: '', schema: none.json}]":                              {`the namespace ""`, filepath.Join(dir, "none.json"), "no such file"},
		"[{name: a, schema: schemas}]":                                 {`the namespace "a"`, "directory"},
		"[{name: a, sanitize: htlm}]":                                  {"sanitize", `"htlm"`, "none nor html"},
		"[{name: a, schema: typo.json, sanitize: x}]":                  {"sanitize"},
		"[{name: a, schema: typo.json}, {name: b, schema: text.json}]": {`the namespace "a"`, `the namespace "b"`},
	} {
		wantRefusal(t, env, []string{"check", "--dev", "--config", write("weir.yaml", "namespaces: "+yaml)}, words...)
	}
	good := "namespaces: [{name: a, schema: schemas/price.json, sanitize: html}, {name: b, schema: " + price + ", sanitize: none}, {name: c, schema: ''}]"
	if status, stdout, stderr := weirEnv(env, "check", "--dev", "--config", write("weir.yaml", good)); status != 0 || !strings.Contains(stdout, "a, b, c") {
		t.Errorf("status %d, %s%s", status, stdout, stderr)
	}
}

// TestSchemaReloads: SIGHUP reads the schemas again, also where the configuration
// is the same; a mistake in one leaves the old one.
func TestSchemaReloads(t *testing.T) {
	dir := t.TempDir()
	schema, file := filepath.Join(dir, "price.json"), filepath.Join(dir, "weir.yaml")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(schema, `{"type":"number"}`)
	write(file, "namespaces:\n  - {name: feeds, schema: price.json, sanitize: html}\n")
	i := &invocation{args: append(good(t, "serve"), "--config", file), signals: make(chan os.Signal, 1)}
	status := make(chan int, 1)
	go func() { status <- run(i.process()) }()
	i.stderr.Await(t, `"msg":"serving"`)
	address := regexp.MustCompile(`"api":"([^"]+)"`).FindStringSubmatch(i.stderr.String())[1]
	publish := func(data string) string {
		status, stdout, stderr := weir("pub", "feeds:a", data, "--api", "http://"+address, "--api-key", "k")
		return fmt.Sprint(status, stdout, stderr)
	}
	if got := publish("1"); !strings.HasPrefix(got, "0") {
		t.Errorf("a number: %s", got)
	}
	if got := publish(`"x"`); strings.HasPrefix(got, "0") || !strings.Contains(got, "bad request: type") {
		t.Errorf("a text: %s", got)
	}
	write(schema, `{"type":"text"}`)
	i.signals <- syscall.SIGHUP
	i.stderr.Await(t, "not reloaded, the old one stays", `\"/type\"`, "price.json")
	if got := publish(`"x"`); strings.HasPrefix(got, "0") {
		t.Errorf("a text after a mistake: %s", got)
	}
	write(schema, `{"type":"string"}`)
	i.signals <- syscall.SIGHUP
	i.stderr.Await(t, `"msg":"reloaded"`)
	if got := publish(`"x"`); !strings.HasPrefix(got, "0") {
		t.Errorf("a text after the reload: %s", got)
	}
	if got := publish("1"); strings.HasPrefix(got, "0") {
		t.Errorf("a number after the reload: %s", got)
	}
	i.signals <- syscall.SIGTERM
	if got := <-status; got != 0 {
		t.Errorf("status %d: %s", got, i.stderr.String())
	}
}
