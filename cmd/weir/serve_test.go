package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"weir/engine"
	"weir/security/certs/certstest"
)

// pair writes a self-signed certificate and its key.
func pair(t *testing.T) (cert, key string) {
	t.Helper()
	s := certstest.NewServer(t)
	return s.CertFile, s.KeyFile
}

// good returns arguments that are enough to serve on any free ports.
func good(t *testing.T, command string) []string {
	t.Helper()
	cert, key := pair(t)
	return []string{
		command, "--listen=127.0.0.1:0", "--api-listen=127.0.0.1:0", "--tls-cert", cert, "--tls-key", key, "--allow-self-signed",
		"--api-key=k", "--token-hmac-secret", testSecret, "--allowed-origins=https://app.example.com",
	}
}

func without(args []string, flags ...string) (left []string) {
	for i := 0; i < len(args); i++ {
		drop := false
		for _, f := range flags {
			if args[i] == f {
				drop = true
				i++ // and its value
			} else if strings.HasPrefix(args[i], f+"=") {
				drop = true
			}
		}
		if !drop {
			left = append(left, args[i])
		}
	}
	return left
}

func TestServeDoesNotStartUnsafely(t *testing.T) {
	wantRefusal(t, nil, []string{"serve"}, "--tls-cert", "--api-key", "--token-hmac-secret", "--allowed-origins")
	for _, flag := range []string{"--tls-cert", "--tls-key", "--api-key", "--token-hmac-secret", "--allowed-origins"} {
		for _, command := range []string{"serve", "check"} {
			wantRefusal(t, nil, without(good(t, command), flag), flag)
		}
	}
}

func TestClashingOptions(t *testing.T) {
	for _, c := range []struct{ args, words []string }{
		{[]string{"--listen=127.0.0.1:9000", "--api-listen=127.0.0.1:9000"}, []string{"--api-listen", "TLS only"}},
		{[]string{"--listen=:9000", "--health-listen=127.0.0.1:9000"}, []string{"--health-listen", "TLS only"}},
		{[]string{"--api-listen=127.0.0.1:9000", "--health-listen=:9000"}, []string{"--health-listen", "--api-listen"}},
		{[]string{"--api-listen=0.0.0.0:0"}, []string{"--api-listen", "not loopback", "--api-client-ca-file"}},
		{[]string{"--api-listen=:0"}, []string{"--api-listen", "not loopback", "--api-client-ca-file"}},
		{[]string{"--api-listen=192.0.2.1:0", "--api-tls-cert=c", "--api-tls-key=k"}, []string{"--api-listen", "not loopback", "--api-client-ca-file"}},
		{[]string{"--api-listen=:0", "--api-client-ca-file=/nowhere"}, []string{"--api-client-ca-file", "no such file"}},
		{[]string{"--api-tls-cert=c"}, []string{"--api-tls-key"}},
		{[]string{"--api-tls-key=k"}, []string{"--api-tls-cert"}},
		{[]string{"--api-tls-cert=/nowhere", "--api-tls-key=/nowhere"}, []string{"--api-tls-cert", "no such file"}},
		{[]string{"--client-ca-file=/nowhere"}, []string{"--client-ca-file", "no such file"}},
		{[]string{"--client-auth=optional"}, []string{"--client-auth", "--client-ca-file"}},
		{[]string{"--client-auth=none"}, []string{"--client-auth", "required"}},
		{[]string{"--listen=off"}, []string{"--listen"}},
		{[]string{"--tls-curves=P-255"}, []string{"--tls-curves", "P-255"}},
		{[]string{"--token-hmac-secret=short"}, []string{"--token-hmac-secret", "32"}},
		{[]string{"--token-key-file=/nowhere"}, []string{"--token-key-file", "no such file"}},
		{[]string{"--jwks-url=http://issuer.example.com/keys?k=hunter2"}, []string{"--jwks-url", "https://"}},
		{[]string{"--jwks-url=https://u:p@issuer.example.com/"}, []string{"--jwks-url", "user name"}},
		{[]string{"--jwks-ca-file=/nowhere"}, []string{"--jwks-ca-file", "--jwks-url"}},
		{[]string{"--jwks-url=https://issuer.example.com", "--jwks-ca-file=/nowhere"}, []string{"--jwks-ca-file", "no such file"}},
		{[]string{"--allowed-origins=example.com"}, []string{"--allowed-origins", "example.com"}},
		{[]string{"--api-key-file=/nowhere"}, []string{"--api-key", "--api-key-file", "both"}},
	} {
		wantRefusal(t, nil, append(good(t, "check"), c.args...), c.words...)
	}
	wantRefusal(t, nil, append(good(t, "check"), "--allow-self-signed=false"), "--tls-cert", "--allow-self-signed")
}

func TestServeDrainsOnSIGTERM(t *testing.T) {
	i := &invocation{args: append(good(t, "serve"), "--drain-period=1s"), signals: make(chan os.Signal, 1)}
	status := make(chan int, 1)
	go func() { status <- run(i.process()) }()
	i.stderr.Await(t, `"msg":"serving"`)
	i.signals <- syscall.SIGTERM
	if got := <-status; got != 0 {
		t.Errorf("status %d: %s", got, i.stderr.String())
	}
	for _, word := range []string{`"msg":"draining"`, `"msg":"stopped"`} {
		if !strings.Contains(i.stderr.String(), word) {
			t.Errorf("the log does not say %s", word)
		}
	}
}

func TestSecondSignalEndsTheDrain(t *testing.T) {
	i := &invocation{signals: make(chan os.Signal, 2)}
	i.signals <- syscall.SIGTERM
	i.signals <- os.Interrupt
	drained := false
	s := &setup{config: engine.Config{Log: slog.New(slog.DiscardHandler)}}
	err := superviseSignals(i.signals, s, make(chan error), func() { drained = true }, nil)
	if !errors.Is(err, errImpatient) || !drained {
		t.Errorf("got %v, drained %v", err, drained)
	}
}

// TestSIGHUPReloads: namespaces and keys of the file count from then on, a
// mistake leaves all as it was, and what needs a restart is named.
func TestSIGHUPReloads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "weir.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("api-key: first\n")
	i := &invocation{args: append(without(good(t, "serve"), "--api-key"), "--config", file), signals: make(chan os.Signal, 1)}
	status := make(chan int, 1)
	go func() { status <- run(i.process()) }()
	i.stderr.Await(t, `"msg":"serving"`)
	address := regexp.MustCompile(`"api":"([^"]+)"`).FindStringSubmatch(i.stderr.String())[1]
	publish := func(key, channel string) string {
		status, stdout, stderr := weir("pub", channel, "1", "--api", "http://"+address, "--api-key", key)
		return fmt.Sprint(status, stdout, stderr)
	}
	if got := publish("first", "later:a"); !strings.Contains(got, "unknown channel") {
		t.Errorf("before: %s", got)
	}
	write("api-key: second\nnamespaces:\n  - name: later\n    history_size: many\n")
	i.signals <- syscall.SIGHUP
	i.stderr.Await(t, "not reloaded, the old one stays", "history_size")
	if got := publish("first", "later:a"); !strings.Contains(got, "unknown channel") {
		t.Errorf("after a mistake: %s", got)
	}
	write("api-key: second\ncompression: true\nrpc-hook: https://app.example.com/hunter2\nnamespaces:\n  - name: later\n")
	i.signals <- syscall.SIGHUP
	i.stderr.Await(t, `"msg":"reloaded"`)
	i.stderr.Await(t, `"options":["--rpc-hook","--compression"]`)
	if got := publish("second", "later:a"); !strings.HasPrefix(got, "0") {
		t.Errorf("after: %s", got)
	}
	if got := publish("first", "later:a"); strings.HasPrefix(got, "0") {
		t.Errorf("the old key: %s", got)
	}
	i.signals <- syscall.SIGTERM
	if got := <-status; got != 0 {
		t.Errorf("status %d: %s", got, i.stderr.String())
	}
}

func TestSIGHUPRereadsTheCertificate(t *testing.T) {
	args := good(t, "serve")
	i := &invocation{args: args, signals: make(chan os.Signal, 1)}
	status := make(chan int, 1)
	go func() { status <- run(i.process()) }()
	i.stderr.Await(t, `"msg":"serving"`)

	i.signals <- syscall.SIGHUP
	i.stderr.Await(t, `"msg":"reloaded"`, "certificate_until")
	if err := os.WriteFile(args[4], []byte("not a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	i.signals <- syscall.SIGHUP
	i.stderr.Await(t, "not reloaded, the old one stays", "--tls-cert")

	i.signals <- syscall.SIGTERM
	if got := <-status; got != 0 {
		t.Errorf("status %d: %s", got, i.stderr.String())
	}
}

func TestAddressInUseNamesTheOption(t *testing.T) {
	i := &invocation{args: good(t, "serve"), signals: make(chan os.Signal, 1)}
	status := make(chan int, 1)
	go func() { status <- run(i.process()) }()
	line := i.stderr.Await(t, `"msg":"serving"`)
	taken := regexp.MustCompile(`"listen":"([^"]+)"`).FindStringSubmatch(line)[1]
	wantRefusal(t, nil, append(good(t, "serve"), "--listen="+taken), "--listen", taken)
	i.signals <- os.Interrupt
	<-status
}

// printed reads what a development server announced.
func printed(t *testing.T, text, name string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + ` +(\S+)`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in: %s", name, text)
	}
	return m[1]
}

// pasted returns the arguments of the printed command that starts with weir and the name.
func pasted(t *testing.T, text, name string) []string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^weir (` + name + ` .*)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no command %s in: %s", name, text)
	}
	args := strings.Fields(m[1]) // no value holds a space
	for i := range args {
		args[i] = strings.Trim(args[i], "'")
	}
	return args
}

// The public listener answers on both loopback addresses, on the same port.
func TestDevListensOnBothLoopbackAddresses(t *testing.T) {
	if !hasIPv6Loopback() {
		t.Skip("skipped: both loopback addresses (no IPv6 here)")
	}
	dev := &invocation{
		args: unhurried("serve", "--dev", "--listen=localhost:0", "--api-listen=127.0.0.1:0"),
		env:  []string{"XDG_CACHE_HOME=" + t.TempDir()}, signals: make(chan os.Signal, 1),
	}
	status := make(chan int, 1)
	go func() { status <- run(dev.process()) }()
	text := dev.stdout.Await(t, "curl ", "\n\n")
	for _, host := range []string{"127.0.0.1", "[::1]", "localhost"} {
		args := append(pasted(t, text, "sub"), "--count=1", "--url", "wss://"+host+":"+port(t, text))
		if code, _, stderr := weir(args...); code != 0 {
			t.Errorf("%s: status %d: %s", host, code, stderr)
		}
	}
	dev.signals <- os.Interrupt
	<-status
}

func TestDevServesAFeedToThePrintedCommands(t *testing.T) {
	cache := t.TempDir()
	env := []string{"XDG_CACHE_HOME=" + cache}
	dev := &invocation{
		args: unhurried("serve", "--dev", "--listen=127.0.0.1:0", "--api-listen=127.0.0.1:0"), env: env, signals: make(chan os.Signal, 1),
	}
	status := make(chan int, 1)
	go func() { status <- run(dev.process()) }()
	text := dev.stdout.Await(t, "curl ", "\n\n")

	var publication struct {
		Channel string
		Data    struct{ Symbol string }
	}
	code, stdout, stderr := weir(append(pasted(t, text, "sub"), "--count=1", "--url", "wss://127.0.0.1:"+port(t, text))...)
	if code != 0 || json.Unmarshal([]byte(stdout), &publication) != nil || publication.Channel != "feeds:prices" || publication.Data.Symbol == "" {
		t.Errorf("sub: status %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	pattern := strings.Split(strings.ReplaceAll(strings.Join(pasted(t, text, "sub"), "\n"), "feeds:prices", "feeds:*"), "\n")
	code, stdout, stderr = weir(append(pattern, "--count=1", "--url", "wss://127.0.0.1:"+port(t, text))...)
	if code != 0 || !regexp.MustCompile(`^{"channel":"feeds:(prices|metals|crops)","data":{`).MatchString(stdout) {
		t.Errorf("sub 'feeds:*': status %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	code, stdout, stderr = weir(pasted(t, text, "pub")...)
	if code != 0 || !strings.Contains(stdout, `"offset":`) {
		t.Errorf("pub: status %d, stdout %q, stderr %q", code, stdout, stderr)
	}

	dir := filepath.Dir(printed(t, text, "certificate"))
	for name, want := range map[string]os.FileMode{".": 0o700, "cert.pem": 0o600, "key.pem": 0o600, "api-key": 0o600, "token-secret": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v (%v)", name, info.Mode().Perm(), want, err)
		}
	}
	if filepath.Dir(dir) != cache {
		t.Errorf("files in %s", dir)
	}

	dev.signals <- os.Interrupt
	if got := <-status; got != 0 {
		t.Errorf("status %d: %s", got, dev.stderr.String())
	}
}

func port(t *testing.T, text string) string {
	t.Helper()
	m := regexp.MustCompile(`https://localhost:(\d+)/`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no URL in: %s", text)
	}
	return m[1]
}

func TestDevKeepsItsCertificateAndKeys(t *testing.T) {
	p := &process{env: []string{"HOME=" + t.TempDir()}}
	o := parsed(t, nil, "serve", "--dev").Serve.serverOptions
	prepare := func() *devSetup {
		again := o
		d, err := prepareDev(p, &again)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	first := prepare()
	cert, err := os.ReadFile(first.certFile)
	if err != nil {
		t.Fatal(err)
	}
	second := prepare()
	if again, _ := os.ReadFile(second.certFile); string(again) != string(cert) || second.apiKey != first.apiKey || first.apiKey == "" {
		t.Error("the second run has another certificate or key")
	}
	if err := os.WriteFile(first.certFile, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(prepare().certFile); len(again) < 100 {
		t.Errorf("a damaged certificate stays: %s", again)
	}
}

func TestDevStaysOnLoopback(t *testing.T) {
	env := []string{"HOME=" + t.TempDir()}
	for _, listen := range []string{"0.0.0.0:8443", "[::]:8443", "192.0.2.1:8443", "example.com:8443"} {
		wantRefusal(t, env, []string{"check", "--dev", "--listen=" + listen}, "--listen", "loopback only")
	}
	wantRefusal(t, env, []string{"check", "--dev", "--health-listen=:1"}, "--health-listen", "loopback only")
	wantRefusal(t, env, []string{"check", "--dev", "--api-listen=:1"}, "--api-listen", "loopback")
	wantRefusal(t, env, []string{"check", "--dev", "--api-listen=off"}, "--api-listen", "leave it out")
	wantRefusal(t, nil, []string{"check", "--dev"}, "--dev", "HOME")

	for listen, want := range map[address]string{
		":8443": "127.0.0.1:8443", "localhost:7": "127.0.0.1:7", "[::1]:7": "[::1]:7", "127.0.0.2:7": "127.0.0.2:7",
	} {
		o := serverOptions{Listen: listen}
		if _, err := devListen(&o); err != nil || strings.TrimSuffix(string(o.Listen), ",[::1]:"+want[strings.LastIndex(want, ":")+1:]) != want {
			t.Errorf("%s: got %s, %v", listen, o.Listen, err)
		}
	}
}

func TestCheckPrintsTheMemorySum(t *testing.T) {
	status, stdout, stderr := weir(append(good(t, "check"), "--connections=10000", "--outbox-budget=1GiB", "--handshakes-max=100", "--pollers=2")...)
	if status != 0 || stderr != "" {
		t.Fatalf("status %d: %s", status, stderr)
	}
	for _, word := range []string{"is good", "10000", "12.2 MiB", "87.2 MiB", "2.0 MiB", "1024.0 MiB", "32.0 MiB", "64.0 MiB", "256.0 MiB", "128.0 MiB", "625.0 MiB", "37.5 MiB", "sum", "2777.8 MiB", "kernel takes 39.1 MiB"} {
		if !strings.Contains(stdout, word) {
			t.Errorf("does not say %q: %s", word, stdout)
		}
	}
}

// The sum has what the configuration asks for besides.
func TestCheckAddsWhatIsAskedFor(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.json": `{"type":"object"}`, "weir.yaml": "namespaces:\n  - {name: a, schema: a.json}\n  - {name: b, schema: a.json}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bounds := engine.FixedBounds()
	for word, flags := range map[string][]string{
		fmt.Sprintf("2 × %s", size(bounds.PerUserBytes)):      {"--user-message-rate=5/s", "--user-byte-rate=1MiB/s"},
		fmt.Sprintf("1000 × %d B\n", bounds.CertificateBytes): {"--connections=1000", "--client-ca-file", certstest.NewAuthority(t).File},
		"1, twice while": {"--config", filepath.Join(dir, "weir.yaml")},
	} {
		if status, stdout, stderr := weir(append(good(t, "check"), flags...)...); status != 0 || !strings.Contains(stdout, word) {
			t.Errorf("%v: status %d, does not say %q: %s%s", flags, status, word, stdout, stderr)
		}
	}
}

// What serve refuses, check refuses.
func TestCheckRefusesWhatTheEngineRefuses(t *testing.T) {
	for flag, words := range map[string][]string{
		"--message-size-limit=2MiB":  {"--max-outbox-bytes", "raise"},
		"--write-timeout=0":          {"--write-timeout", "above 0"},
		"--handshakes-max=0":         {"--handshakes-max"},
		"--tcp-congestion=nope":      {"--tcp-congestion"},
		"--connections=1000000000":   {"--connections", "LimitNOFILE"},
		"--ip-connect-burst=0":       {"--ip-connect-burst", "--ip-connect-rate 0"},
		"--partial-bytes=1KiB":       {"--partial-bytes", "raise"},
		"--api-key= k":               {"--api-key", "blank"},
		"--api-key=k\t":              {"--api-key", "blank"},
		"--api-key=first\nsecond":    {"--api-key", "line break"},
		"--ip-connections=1000,1000": {"--ip-connections"},
	} {
		for _, command := range []string{"check", "serve"} {
			wantRefusal(t, nil, append(good(t, command), flag), words...)
		}
	}
	file := writeFile(t, "api-key", "first \n")
	wantRefusal(t, nil, append(without(good(t, "check"), "--api-key"), "--api-key-file", file), "--api-key-file", file, "blank")
	if status, _, stderr := weir(append(good(t, "check"), "--ip-connect-burst=0", "--ip-connect-rate=0")...); status != 0 {
		t.Errorf("no rate needs no burst: %s", stderr)
	}
}

// The server's own addresses may be in use while its configuration is checked.
func TestCheckBindsNoneOfTheAddresses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	args := append(without(good(t, "check"), "--listen"), "--listen="+taken.Addr().String())
	if status, _, stderr := weir(args...); status != 0 {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// plenty is a machine with memory for every budget.
var plenty = memoryPlan{limit: 8 << 30}

// The defaults of the command line are those of the engine, but for the budget
// that depends on the machine.
func TestLimitsOfTheDefaults(t *testing.T) {
	got := parsed(t, nil, "serve").Serve.limits(plenty)
	want := engine.DefaultLimits()
	got.OutboxBudget, want.OutboxBudget = 0, 0
	if len(got.Exempt) == 0 {
		got.Exempt = nil
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestNoLimitForJSON(t *testing.T) {
	l := parsed(t, nil, "serve", "--max-json-depth=0", "--max-json-members=0").Serve.limits(plenty)
	if l.JSONDepth < 1<<20 || l.JSONMembers < 1<<20 {
		t.Errorf("depth %d, members %d", l.JSONDepth, l.JSONMembers)
	}
}

// Every option that bounds something arrives at the engine: none is forgotten
// or swapped with its neighbour.
func TestEveryLimitArrives(t *testing.T) {
	base := parsed(t, nil, "serve").Serve.limits(plenty)
	for flag, value := range map[string]string{
		"connections": "7", "handshakes-max": "7", "ip-connect-rate": "7/s", "ip-connect-burst": "7", "ip-connections": "7",
		"ip-handshakes": "7", "limit-exempt": "10.0.0.0/8", "message-rate": "7/s", "byte-rate": "7/s", "subscribe-rate": "7/s", "publish-rate": "7/s",
		"user-connections": "7", "user-message-rate": "7/s", "user-byte-rate": "7/s", "user-subscribe-rate": "7/s", "user-connect-rate": "7/s",
		"ping-rate": "7/s", "message-size-limit": "7", "max-fragments": "7", "max-json-depth": "7", "max-json-members": "7",
		"max-outbox-bytes": "7", "outbox-budget": "7", "partial-bytes": "7", "tls-key-cache": "7", "echo-size-limit": "7",
		"handshake-timeout": "7s", "head-timeout": "7s", "stale-close-delay": "7s", "partial-timeout": "7s", "write-timeout": "7s",
		"idle-timeout": "7s", "session-max": "7s", "ping-interval": "7s", "pong-timeout": "7s", "drain-period": "7s", "expired-close-delay": "7s",
	} {
		changed := changedFields(base, parsed(t, nil, "serve", "--"+flag+"="+value).Serve.limits(plenty))
		letters := strings.ReplaceAll(flag, "-", "")
		if len(changed) != 1 {
			t.Errorf("--%s changes %v", flag, changed)
			continue
		}
		field := strings.ToLower(changed[0])
		if !strings.Contains(letters, field) && !strings.Contains(letters, strings.TrimSuffix(field, "s")) && field != "jsondepth" && field != "echosize" {
			t.Errorf("--%s changes %s", flag, changed[0])
		}
	}
}

func changedFields(a, b engine.Limits) (names []string) {
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range va.NumField() {
		if !reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
			names = append(names, va.Type().Field(i).Name)
		}
	}
	return names
}
