package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/security/grant"
	"weir/security/oplog/logtest"
)

const goodPolicy = `
roles:
  reader:
    - channels: ["feeds:*", news]
      allow: [sub, hst]
    - {channels: news, match: exact, allow: prs}
  editor: &editor
    - channels: [news]
      allow: [pub]
  chief: *editor
  idle:
`

func TestPolicyFile(t *testing.T) {
	policy, err := readPolicy([]byte(goodPolicy))
	if err != nil {
		t.Fatal(err)
	}
	if got := policy.Roles(); !slices.Equal(got, []string{"chief", "editor", "idle", "reader"}) {
		t.Errorf("roles %q", got)
	}
	for _, c := range []struct {
		role, channel string
		want          grant.Verb
	}{
		{"reader", "feeds:a", grant.Sub | grant.Hst}, {"reader", "news", grant.Sub | grant.Hst | grant.Prs}, {"reader", "news2", 0},
		{"editor", "news", grant.Pub}, {"chief", "news", grant.Pub}, {"idle", "news", 0}, {"nobody", "news", 0},
	} {
		for _, v := range []grant.Verb{grant.Sub, grant.Pub, grant.Hst, grant.Prs} {
			if got := policy.Grant(nil, []string{c.role}).Allows(v, c.channel); got != (c.want&v != 0) {
				t.Errorf("%s: verb %d on %s is %v", c.role, v, c.channel, got)
			}
		}
	}
	if policy, err := readPolicy([]byte("roles: {}")); err != nil || len(policy.Roles()) != 0 {
		t.Errorf("no roles: %v", err)
	}
}

// TestPolicyMistakes: each names its line, what is wrong and the mend.
func TestPolicyMistakes(t *testing.T) {
	for text, words := range map[string][]string{
		"":                          {"roles:"},
		"roles:\n":                  {"needs keys"},
		"# roles:\n":                {"there are no roles"},
		"role:\n  a:\n":             {"line 1", `"role"`, "roles?"},
		"- a\n":                     {"keys"},
		"roles: [a]\n":              {"line 1", `"roles"`},
		"roles:\n  a: b\n":          {"line 2", `"a"`, "list of grants"},
		"roles:\n  a: [b]\n":        {"line 2", "keys"},
		"roles:\n  rôle: []\n":      {"line 2", "ASCII"},
		"roles:\n  a:\n  a:\n":      {"line 3", "twice"},
		"roles: {}\nroles: {}":      {"line 2", "twice"},
		"roles: {}\n---\nroles: {}": {"more than one document"},
		"roles:\n  a:\n    - chanels: [x]\n      allow: [sub]\n":                           {"line 3", `"chanels"`, "channels?"},
		"roles:\n  a:\n    - channels: [x]\n":                                              {"line 3", "needs channels and allow"},
		"roles:\n  a:\n    - allow: [sub]\n":                                               {"line 3", "needs channels and allow"},
		"roles:\n  a:\n    - channels: [x]\n      allow: [sub, read]\n":                    {"line 3", "allow[1]", "hst"},
		"roles:\n  a:\n    - channels: [x]\n      allow: {sub: 1}\n":                       {"line 4", `"allow"`, "list of words"},
		"roles:\n  a:\n    - channels: [~]\n      allow: [sub]\n":                          {"line 3", "list of words"},
		"roles:\n  a:\n    - channels: [\"x\\n\"]\n      allow: [sub]\n":                   {"line 3", "channels[0]", "ASCII"},
		"roles:\n  a:\n    - channels: [\"x*\"]\n      match: exact\n      allow: [sub]\n": {"line 3", "wildcard"},
		"roles: *nobody": {"anchor"},
		"roles:\n\t- a":  {"line"},
	} {
		_, err := parsePolicy("policy.yaml", []byte(text))
		if err == nil || slices.ContainsFunc(append(words, "--policy-file: policy.yaml"), func(w string) bool { return !strings.Contains(err.Error(), w) }) {
			t.Errorf("%q: %v, want %q", text, err, words)
		}
	}
	wantRefusal(t, nil, append(good(t, "check"), "--policy-file", writeFile(t, "p.yaml", "roles: 1")), "--policy-file", "p.yaml", "line 1")
	wantRefusal(t, nil, append(good(t, "check"), "--policy-file=/nowhere"), "--policy-file", "no such file")
}

// TestPolicyOfAliases: a small file cannot stand for a large one.
func TestPolicyOfAliases(t *testing.T) {
	bomb := "roles:\n  a:\n    - channels: &c [" + strings.Repeat("x,", 20_000) + "x]\n      allow: [sub]\n" +
		strings.Repeat("    - {channels: *c, allow: [sub]}\n", 20_000)
	loop := "roles:\n  a: &a\n    - channels: *a\n      allow: [sub]\n"
	for _, text := range []string{bomb, loop} {
		if _, err := readPolicy([]byte(text)); err == nil || !strings.Contains(err.Error(), "aliases") {
			t.Errorf("%.40q of %d bytes: %v", text, len(text), err)
		}
	}
	if _, err := readPolicy([]byte("roles:\n  a: &a\n    - channels: &c [x, y]\n      allow: [sub]\n    - {channels: *c, allow: [hst]}\n  b: *a\n")); err != nil {
		t.Errorf("aliases that are short: %v", err)
	}
}

// TestPolicyPrefixes: no beginning of a file grants what the whole does not.
func TestPolicyPrefixes(t *testing.T) {
	whole, err := readPolicy([]byte(goodPolicy))
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(goodPolicy) {
		policy, err := readPolicy([]byte(goodPolicy[:n]))
		if err != nil {
			continue
		}
		for _, role := range policy.Roles() {
			for _, v := range []grant.Verb{grant.Sub, grant.Pub, grant.Hst, grant.Prs} {
				for _, channel := range []string{"feeds:a", "news", "other"} {
					if policy.Grant(nil, []string{role}).Allows(v, channel) && !whole.Grant(nil, []string{role}).Allows(v, channel) {
						t.Errorf("the first %d bytes grant %s verb %d on %s", n, role, v, channel)
					}
				}
			}
		}
	}
}

func FuzzPolicyFile(f *testing.F) {
	f.Add([]byte(goodPolicy))
	f.Add([]byte("roles: {a: [{channels: x, allow: sub}]}"))
	f.Add([]byte("roles: &r {a: *r}"))
	f.Add([]byte("roles: &r\n  a: &a [*a]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		policy, err := readPolicy(b)
		if (err == nil) != (policy != nil) {
			t.Fatalf("%v and %v", policy, err)
		}
		if err != nil {
			return
		}
		for _, role := range policy.Roles() {
			if grant.CheckRole(role) != nil {
				t.Fatalf("the role %q", role)
			}
			if policy.Grant(nil, []string{role}).Allows(grant.Sub, "a\nb") {
				t.Fatalf("the role %q grants what is no channel", role)
			}
		}
	})
}

// TestPolicyWatch: a text is taken once it stands still for two looks, each once,
// and a file that is gone for a while changes nothing.
func TestPolicyWatch(t *testing.T) {
	if 3*policyPoll > time.Second {
		t.Errorf("two looks, the first up to %v late, are more than a second", policyPoll)
	}
	file := filepath.Join(t.TempDir(), "policy.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	ctx, cancel := context.WithCancel(context.Background())
	ticks, changed, done := make(chan time.Time), make(chan []byte, 1), make(chan struct{})
	var log logtest.Log
	go func() {
		defer close(done)
		watchPolicy(ctx, file, &standing{last: []byte("one"), used: []byte("one")}, ticks, changed, slog.New(slog.NewTextHandler(&log, nil)))
	}()
	look := func(want string) {
		t.Helper()
		ticks <- time.Time{}
		ticks <- time.Time{} // the first look is over
		ticks <- time.Time{}
		select {
		case b := <-changed:
			if string(b) != want {
				t.Errorf("%q is taken, want %q", b, want)
			}
		default:
			if want != "" {
				t.Errorf("nothing is taken, want %q", want)
			}
		}
	}
	look("")
	write("two")
	look("two")
	look("")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	look("")
	look("")
	if n := strings.Count(log.String(), "policy not reloaded"); n != 1 {
		t.Errorf("told %d times of a file that is gone: %s", n, log.String())
	}
	write("two")
	look("")
	write("one")
	look("one")
	write("half")
	ticks <- time.Time{}
	ticks <- time.Time{} // the look at half is over, and another has begun
	cancel()
	<-done
}

// TestPolicyStands: what is being written is not taken, nor what is in force.
func TestPolicyStands(t *testing.T) {
	s := standing{last: []byte("a"), used: []byte("a")}
	for i, step := range []struct {
		text string
		want bool
	}{
		{"a", false}, {"b", false}, {"bc", false}, {"bcd", false}, {"bcd", true}, {"bcd", false}, {"", false}, {"bcd", false}, {"bcd", false},
		{"e", false}, {"bcd", false}, {"e", false}, {"e", true}, {"a", false}, {"a", true}, {"a", false},
	} {
		if got := s.another([]byte(step.text)); got != step.want {
			t.Errorf("look %d at %q: %v", i, step.text, got)
		}
	}
}

// TestPolicyTakenBack: what SIGHUP took and the watcher never saw is replaced by what stands in the file again.
func TestPolicyTakenBack(t *testing.T) {
	s := standing{last: []byte("a"), used: []byte("a")}
	s.take([]byte("b")) // written, taken and taken back between two looks
	if !s.another([]byte("a")) || s.another([]byte("a")) {
		t.Error("b stays in force")
	}
	a := "roles: {reader: [{channels: a, allow: sub}]}"
	file := writeFile(t, "policy.yaml", a)
	i := &invocation{args: append(good(t, "serve"), "--policy-file", file), signals: make(chan os.Signal, 1)}
	status := make(chan int, 1)
	go func() { status <- run(i.process()) }()
	i.stderr.Await(t, `"msg":"serving"`)
	for _, text := range []string{"roles: {b: , c: }", a} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if text != a {
			i.signals <- syscall.SIGHUP
			i.stderr.Await(t, `"msg":"reloaded"`)
		}
	}
	i.stderr.Await(t, `"msg":"policy reloaded","roles":1`)
	i.signals <- syscall.SIGTERM
	if got := <-status; got != 0 {
		t.Errorf("status %d: %s", got, i.stderr.String())
	}
}

// TestPolicyReload: a server takes another policy when its file changes and on
// SIGHUP, and keeps the old one over a mistake.
func TestPolicyReload(t *testing.T) {
	file := writeFile(t, "policy.yaml", "roles: {reader: [{channels: a, allow: sub}]}")
	i := &invocation{args: append(good(t, "serve"), "--policy-file", file), signals: make(chan os.Signal, 1)}
	status := make(chan int, 1)
	go func() { status <- run(i.process()) }()
	i.stderr.Await(t, `"msg":"serving"`)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("roles: {reader: [{channels: a, allow: sub}], editor: []}")
	i.stderr.Await(t, `"msg":"policy reloaded","roles":2`)
	write("roles: {reader: [{channels: a, alow: sub}]}")
	i.stderr.Await(t, "policy not reloaded, the old one stays", `allow?`)
	i.signals <- syscall.SIGHUP
	i.stderr.Await(t, `"not reloaded, the old one stays"`)
	write("roles: {a: , b: , c: }")
	i.stderr.Await(t, `"msg":"policy reloaded","roles":3`)
	i.signals <- syscall.SIGHUP
	i.stderr.Await(t, `"msg":"reloaded"`)
	i.signals <- syscall.SIGTERM
	if got := <-status; got != 0 {
		t.Errorf("status %d: %s", got, i.stderr.String())
	}
	if strings.Contains(i.stderr.String(), `"options"`) {
		t.Errorf("options changed: %s", regexp.MustCompile(`.*"options".*`).FindString(i.stderr.String()))
	}
}
