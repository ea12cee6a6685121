package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// parsed parses a command line that must be right.
func parsed(t *testing.T, env []string, args ...string) *command {
	t.Helper()
	cmd, err := parse(&process{args: args, env: env, stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}})
	if err != nil {
		t.Fatalf("weir %s: %v", strings.Join(args, " "), err)
	}
	return cmd
}

func TestFlagWinsOverEnvironmentOverFileOverDefault(t *testing.T) {
	file := writeFile(t, "weir.yaml", "message_size_limit: 3000\nmax-fragments: 3\nip_connections: 3\n")
	env := []string{"WEIR_MESSAGE_SIZE_LIMIT=2000", "WEIR_MAX_FRAGMENTS=2"}
	got := parsed(t, env, "serve", "--config", file, "--message-size-limit=1000").Serve
	if got.MessageSizeLimit != 1000 || got.MaxFragments != 2 || got.IPConnections != 3 || got.IPHandshakes != 64 {
		t.Errorf("got %d, %d, %d, %d; want 1000 (flag), 2 (environment), 3 (file), 64 (default)",
			got.MessageSizeLimit, got.MaxFragments, got.IPConnections, got.IPHandshakes)
	}
}

func TestConfigFileFromTheEnvironment(t *testing.T) {
	file := writeFile(t, "weir.yaml", "drain_period: 7s\n")
	if got := parsed(t, []string{"WEIR_CONFIG=" + file}, "check").Check.DrainPeriod; got != span(7*time.Second) {
		t.Errorf("got %v", time.Duration(got))
	}
}

func TestFileValues(t *testing.T) {
	file := writeFile(t, "weir.yaml", strings.Join([]string{
		"allowed_origins: [https://a.example, https://b.example]",
		"limit_exempt:\n  - 127.0.0.0/8\n  - ::1",
		"tls_cert: certs/cert.pem",
		"tls_key: /abs/key.pem",
		"audit_file: stderr",
		"compression: yes",
		"api_key: ~",
		"tls_min: &v 1.3",
	}, "\n"))
	got := parsed(t, nil, "serve", "--config", file).Serve
	if !reflect.DeepEqual([]string(got.AllowedOrigins), []string{"https://a.example", "https://b.example"}) {
		t.Errorf("origins: %v", got.AllowedOrigins)
	}
	if len(got.LimitExempt) != 2 || !got.Compression || got.APIKey != "" || got.TLSMin != "1.3" {
		t.Errorf("got %v, %v, %q, %q", got.LimitExempt, got.Compression, got.APIKey, got.TLSMin)
	}
	if want := path(filepath.Join(filepath.Dir(file), "certs", "cert.pem")); got.TLSCert != want || got.TLSKey != "/abs/key.pem" {
		t.Errorf("paths: %s and %s, want the first relative to the file (%s)", got.TLSCert, got.TLSKey, want)
	}
}

func TestMistakesNameTheOptionAndTheMend(t *testing.T) {
	yaml := func(lines string) []string {
		return []string{"check", "--config", writeFile(t, "weir.yaml", lines)}
	}
	for _, c := range []struct {
		env, args, words []string
	}{
		{nil, []string{"client"}, []string{"unexpected argument client", "--help"}},
		{nil, []string{"serve", "--ip-connectons=3"}, []string{"--ip-connectons", "did you mean", "--ip-connections"}},
		{nil, []string{"serv"}, []string{"serv", "serve"}},
		{nil, []string{"serve", "extra"}, []string{"extra"}},
		{nil, []string{"serve", "--drain-period=5"}, []string{"--drain-period", `"5"`, "10s"}},
		{nil, []string{"serve", "--listen"}, []string{"--listen", "needs a value", "--listen=HOST:PORT"}},
		{nil, []string{"serve", "--listen", "--dev"}, []string{"--listen", "needs a value"}},
		{nil, []string{"serve", "--tls-min=1.1"}, []string{"--tls-min", "1.2", "1.3"}},
		{nil, []string{"serve", "--log-format=xml"}, []string{"--log-format", "json", "text"}},
		{nil, []string{"serve", "--compression=maybe"}, []string{"--compression", "true", "false"}},
		{[]string{"WEIR_PING_INTERVAL=often"}, []string{"serve"}, []string{"--ping-interval", "often", "WEIR_PING_INTERVAL"}},
		{[]string{"WEIR_API_KEEY=x"}, []string{"serve"}, []string{"WEIR_API_KEEY", "WEIR_API_KEY"}},
		{nil, yaml("listn: :1"), []string{"listn", "did you mean listen", "line 1"}},
		{nil, yaml("\nmax_outbox_byte: 1"), []string{"max_outbox_byte", "max_outbox_bytes", "line 2"}},
		{nil, yaml("something_else_entirely: 1"), []string{"something_else_entirely", "is not an option"}},
		{nil, yaml("config: other.yaml"), []string{"config is not an option"}},
		{nil, yaml("listen: :1\nlisten: :2"), []string{"listen", "twice"}},
		{nil, yaml("api-listen: :1\napi_listen: :2"), []string{"api_listen", "twice"}},
		{nil, yaml("listen: {a: b}"), []string{"listen", "plain value"}},
		{nil, yaml("allowed_origins: [[a]]"), []string{"allowed_origins", "plain values"}},
		{nil, yaml("ip_connections: many"), []string{"--ip-connections", "many", "weir.yaml, line 1"}},
		{nil, yaml("- a"), []string{"not a list of keys"}},
		{nil, yaml("listen: :1\n---\nlisten: :2"), []string{"more than one document"}},
		{nil, yaml("listen: \"\t"), []string{"--config", "weir.yaml"}},
		{nil, yaml(strings.Repeat("#", maxConfigBytes+1)), []string{"--config", "over"}},
		{nil, []string{"check", "--config", "/nowhere/weir.yaml"}, []string{"weir: --config", "no such file"}},
		{nil, yaml("listen: :1\norigin: https://app.example.com\ntoken: x"), []string{"weir.yaml, line 2", "origin is no option of the server", "line 3", "token"}},
	} {
		wantRefusal(t, c.env, c.args, c.words...)
	}
}

func TestEmptyFileAndForeignVariablesAreNoMistake(t *testing.T) {
	file := writeFile(t, "weir.yaml", "# nothing yet\n")
	env := []string{"WEIR_SERVICE_HOST=10.0.0.1", "WEIR_PORT_8443_TCP=tcp://10.0.0.1:8443", "WEIR_IP_CONNECTIONS=", "WEIRD=1"}
	if got := parsed(t, env, "check", "--config", file).Check; got.Listen != ":8443" || got.IPConnections != 1000 {
		t.Errorf("got %q, %d", got.Listen, got.IPConnections)
	}
}

func TestOptionsOfALaterReleaseAreRefusedWhenSet(t *testing.T) {
	for flag, value := range map[string]string{
		"broker": "nats",
	} {
		args := []string{"serve", "--" + flag + "=" + value}
		wantRefusal(t, nil, args, "--"+flag, "not available yet")
		wantRefusal(t, []string{envName(flag) + "=" + value}, []string{"serve"}, "--"+flag, "not available yet")
	}
	parsed(t, nil, "serve", "--broker=memory", "--audit-file=stderr")
}

// The flags and defaults of the protocol page, which others rely on.
func TestPromisedDefaults(t *testing.T) {
	o := parsed(t, nil, "serve").Serve.serverOptions
	second := span(time.Second)
	for name, pair := range map[string][2]any{
		"listen": {o.Listen, address(":8443")}, "api-listen": {o.APIListen, address("127.0.0.1:9000")},
		"health-listen": {o.HealthListen, address("")}, "proxy-listen": {o.ProxyListen, address("")},
		"tls-min": {o.TLSMin, text("1.2")}, "tls-key-cache": {o.TLSKeyCache, size(64 << 20)},
		"allow-self-signed": {o.AllowSelfSigned, false}, "allow-no-origin": {o.AllowNoOrigin, false},
		"allow-anonymous": {o.AllowAnonymous, false}, "allow-token-in-url": {o.AllowTokenInURL, false},
		"connections": {o.Connections, count(0)}, "handshakes-max": {o.HandshakesMax, count(4096)},
		"ip-connect-rate": {o.IPConnectRate, rate(50)}, "ip-connect-burst": {o.IPConnectBurst, count(200)},
		"ip-connections": {o.IPConnections, count(1000)}, "ip-handshakes": {o.IPHandshakes, count(64)},
		"user-connections": {o.UserConnections, count(0)}, "user-message-rate": {o.UserMessageRate, rate(0)}, "user-byte-rate": {o.UserByteRate, byteRate(0)},
		"user-subscribe-rate": {o.UserSubscribeRate, rate(0)}, "user-connect-rate": {o.UserConnectRate, rate(0)}, "message-rate": {o.MessageRate, rate(100)},
		"byte-rate": {o.ByteRate, byteRate(1 << 20)}, "subscribe-rate": {o.SubscribeRate, rate(50)}, "publish-rate": {o.PublishRate, rate(0)}, "ping-rate": {o.PingRate, rate(2)},
		"message-size-limit": {o.MessageSizeLimit, size(65536)}, "max-fragments": {o.MaxFragments, count(64)},
		"max-json-depth": {o.MaxJSONDepth, count(16)}, "max-json-members": {o.MaxJSONMembers, count(1024)},
		"max-outbox-bytes": {o.MaxOutboxBytes, size(1 << 20)}, "outbox-budget": {o.OutboxBudget, share{percent: 25}},
		"partial-bytes": {o.PartialBytes, size(32 << 20)}, "memory-limit": {o.MemoryLimit, share{percent: 80}},
		"handshake-timeout": {o.HandshakeTimeout, 3 * second}, "head-timeout": {o.HeadTimeout, 3 * second},
		"stale-close-delay": {o.StaleCloseDelay, 10 * second}, "partial-timeout": {o.PartialTimeout, 10 * second},
		"write-timeout": {o.WriteTimeout, 30 * second}, "idle-timeout": {o.IdleTimeout, 60 * second},
		"session-max": {o.SessionMax, 24 * 3600 * second}, "ping-interval": {o.PingInterval, 25 * second},
		"pong-timeout": {o.PongTimeout, 8 * second}, "drain-period": {o.DrainPeriod, 30 * second},
		"expired-close-delay": {o.ExpiredCloseDelay, 25 * second}, "compression": {o.Compression, false},
		"enable-echo": {o.EnableEcho, false}, "echo-size-limit": {o.EchoSizeLimit, size(16 << 20)},
		"reuse-port": {o.ReusePort, false}, "pollers": {o.Pollers, count(0)}, "tcp-congestion": {o.Congestion, text("")},
		"broker": {o.Broker, text("memory")}, "log-format": {o.LogFormat, text("json")}, "log-level": {o.LogLevel, text("info")},
		"audit-file": {o.AuditFile, path("stderr")}, "audit-format": {o.AuditFormat, text("auto")},
	} {
		if pair[0] != pair[1] {
			t.Errorf("--%s: default %v, promised %v", name, pair[0], pair[1])
		}
	}
}

func TestNamespaces(t *testing.T) {
	file := writeFile(t, "weir.yaml", `
namespaces:
  - name: feeds
    allow_subscribe_for_client: true
    allowed_delta_types: [fossil]
    delta_publish: true
  - name: ""
    allow_publish_for_subscriber: true
`)
	got := parsed(t, nil, "serve", "--config", file).namespaces
	want := []namespaceOptions{
		{Name: "feeds", AllowSubscribeForClient: true, AllowedDeltaTypes: list{"fossil"}, DeltaPublish: true},
		{AllowPublishForSubscriber: true},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v", got)
	}
}

func TestNamespaceMistakes(t *testing.T) {
	for yaml, words := range map[string][]string{
		"namespaces: feeds":   {"needs a list"},
		"namespaces: [feeds]": {"needs keys"},
		"namespaces:\n  - {allow_publish_for_client: true}":               {"has no name"},
		"namespaces:\n  - {name: a}\n  - {name: a}":                       {`"a"`, "twice"},
		"namespaces:\n  - {name: a, name: b}":                             {"name", "twice"},
		"namespaces:\n  - {name: 'a:b'}":                                  {"a:b", "printable ASCII"},
		"namespaces:\n  - {name: a, allow_publish_for_clients: true}":     {"did you mean allow_publish_for_client?"},
		"namespaces:\n  - {name: a, colour: red}":                         {"colour is not an option of a namespace"},
		"namespaces:\n  - {name: a, allowed_origins: []}":                 {"allowed_origins", "is empty", "leave it out"},
		"namespaces:\n  - {name: a, allowed_origins: }":                   {"allowed_origins", "is empty", "leave it out"},
		"namespaces:\n  - {name: a, history_size: 100}":                   {"history_ttl", "needs both"},
		"namespaces:\n  - {name: a, history_ttl: 5m}":                     {"history_size", "needs both"},
		"namespaces:\n  - {name: a, force_recovery: true}":                {"force_recovery", "set history_size"},
		"namespaces:\n  - {name: a, force_recovery_mode: both}":           {"force_recovery_mode", "stream", "cache"},
		"namespaces:\n  - {name: a, allowed_delta_types: [fossil, x]}":    {"allowed_delta_types", "\"x\"", "fossil"},
		"namespaces:\n  - {name: a, delta_publish: true}":                 {"delta_publish", "allowed_delta_types"},
		"namespaces:\n  - name: a\n    allow_publish_for_client: perhaps": {"weir.yaml, line 3: ", "neither true nor false"},
		"namespaces:\n  - name: a\n    history_size: 1\n":                 {"weir.yaml, line 2: ", "needs both"},
		"namespaces:\n\t- name: a":                                        {"blanks", "tab"},
	} {
		wantRefusal(t, nil, []string{"check", "--config", writeFile(t, "weir.yaml", yaml)}, words...)
	}
}

func TestSlowConsumerMistakes(t *testing.T) {
	for yaml, words := range map[string][]string{
		"namespaces:\n  - {name: a, slow_consumer: drop_oldst}":                     {"slow_consumer", "drop_oldst", "did you mean drop_oldest?"},
		"namespaces:\n  - {name: a, slow_consumer: whatever}":                       {"slow_consumer", "whatever", "disconnect, drop_oldest, drop_newest or conflate"},
		"namespaces:\n  - {name: a, slow_consumer: conflate}":                       {`"a"`, "set conflate_key"},
		"namespaces:\n  - {name: a, conflate_key: /x}":                              {`"a"`, "slow_consumer: conflate", "leave the key out"},
		"namespaces:\n  - {name: a, slow_consumer: drop_oldest, conflate_key: /x}":  {`"a"`, "slow_consumer: conflate", "leave the key out"},
		"namespaces:\n  - {name: a, slow_consumer: conflate, conflate_key: symbol}": {"conflate_key", "begins with /"},
		"namespaces:\n  - {name: a, slow_consumer: conflate, conflate_key: /a~b}":   {"conflate_key", "~0"},
	} {
		wantRefusal(t, nil, []string{"check", "--config", writeFile(t, "weir.yaml", yaml)}, words...)
	}
}

// TestNamespaceBounds: what only the limits tell.
func TestNamespaceBounds(t *testing.T) {
	env := []string{"XDG_CACHE_HOME=" + t.TempDir()}
	for yaml, words := range map[string][]string{
		"namespaces:\n  - {name: a, max_outbox_bytes: 2MiB}":                                             {`"a"`, "max_outbox_bytes 2097152", "--max-outbox-bytes 1048576", "raise the other"},
		"namespaces:\n  - {name: a, max_outbox_bytes: 64KiB}":                                            {`"a"`, "--message-size-limit 65536", "at least 66560"},
		"namespaces:\n  - {name: a, max_outbox_bytes: 64KiB, slow_consumer: conflate, conflate_key: /k}": {`"a"`, "at least 66560"},
	} {
		wantRefusal(t, env, []string{"check", "--dev", "--config", writeFile(t, "weir.yaml", yaml)}, words...)
	}
	for yaml, words := range map[string][]string{
		"namespaces:\n  - {name: a, allowed_origins: app.example.com}":                                  {"allowed_origins of the namespace \"a\"", "has no scheme"},
		"namespaces:\n  - {name: a, allowed_origins: ['https://app.example.com', 'https://b.example']}": {`"a"`, "allowed_origins", "https://b.example", "--allowed-origins too"},
		"namespaces:\n  - {name: a, allowed_origins: 'null'}":                                           {"allowed_origins", "null"},
	} {
		wantRefusal(t, nil, append(good(t, "check"), "--config", writeFile(t, "weir.yaml", yaml)), words...)
	}
	ok := "namespaces:\n  - {name: a, allowed_origins: 'HTTPS://app.example.com:443'}"
	if status, stdout, stderr := weir(append(good(t, "check"), "--config", writeFile(t, "weir.yaml", ok))...); status != 0 {
		t.Errorf("status %d, %s%s", status, stdout, stderr)
	}
	bounds := "namespaces:\n  - {name: a, max_outbox_bytes: 66560}\n  - {name: b, slow_consumer: drop_newest}\n  - {name: c, slow_consumer: conflate, conflate_key: /k}"
	if status, stdout, stderr := weirEnv(env, "check", "--dev", "--config", writeFile(t, "weir.yaml", bounds)); status != 0 || !strings.Contains(stdout, "a, b, c") {
		t.Errorf("status %d, %s%s", status, stdout, stderr)
	}
}

func TestHelpGoesToStdout(t *testing.T) {
	status, stdout, stderr := weir("serve", "--help")
	if status != 0 || stderr != "" {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
	for _, group := range []string{"Listeners", "TLS", "Keys", "Who may connect", "Limits per address", "Times", "Logs"} {
		if !strings.Contains(stdout, "\n"+group+"\n") {
			t.Errorf("no group %q", group)
		}
	}
	if status, stdout, _ := weir(); status != 0 || !strings.Contains(stdout, "Commands:") {
		t.Errorf("without arguments: status %d, %q", status, stdout)
	}
}

// FuzzConfigFile: no file makes the parser panic, and a refused one says where.
func FuzzConfigFile(f *testing.F) {
	f.Add("listen: :1\nnamespaces:\n  - name: a\n")
	f.Add("a: &x [*x]")
	f.Add("namespaces: [{name: *a}]")
	f.Fuzz(func(t *testing.T, content string) {
		file := filepath.Join(t.TempDir(), "weir.yaml")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s := &settings{known: map[string]bool{"listen": true, "allowed-origins": true}}
		if err := s.load(file); err != nil && !strings.HasPrefix(err.Error(), "--config: ") {
			t.Errorf("%q: %v", content, err)
		}
	})
}
