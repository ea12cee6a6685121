package audit

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// full is a record with every field set.
func full() Record {
	return Record{
		Time: time.UnixMilli(1_763_848_800_123).UTC(), Event: UpgradeRefused, Reason: "origin", Count: 3,
		Conn: ConnID{Run: 0x5f3a9c1e, Number: 0x2b00000007}, Addr: netip.MustParseAddr("203.0.113.7"), Port: 51234,
		Proxy: "10.0.0.1,10.0.0.2", Prefix: netip.MustParsePrefix("203.0.113.7/32"), Since: time.UnixMilli(1_763_848_799_000).UTC(),
		TLSVersion: tls.VersionTLS13, TLSSuite: tls.TLS_AES_128_GCM_SHA256, Resumed: true, ServerName: "push.example.com",
		Path: "/connection/websocket", Origin: "https://evil.example", UserAgent: `Mozilla/5.0 (X11; "Linux")`,
		Status: 403, RequestID: "r-17", Trace: Trace{ID: [16]byte{1, 15: 2}, Parent: [8]byte{3}, Flags: 1},
		User: "alice", Auth: ByTicket, Session: "s", Channel: "feeds:a=b|c", Duration: 1500 * time.Millisecond,
		In: 1, Out: 2, Code: 3501, Message: "two words",
	}
}

func TestEveryFieldComesBack(t *testing.T) {
	for f := range formats {
		r := full()
		text := AppendLine(nil, f, &r)
		e, err := ParseLine(text)
		if err != nil {
			t.Fatalf("%s: %v in %s", f, err, text)
		}
		if e.Record != r {
			t.Errorf("%s: %s\n got %+v\nwant %+v", f, text, e.Record, r)
		}
		if r != full() {
			t.Errorf("%s: a good record was changed: %+v", f, r)
		}
	}
}

// hostile are texts that a peer may send in the hope of forging or breaking a line.
func hostile() []string {
	list := []string{
		"a\nb", "a\r\nb", "\x00", "\x1b[2J", "\x7f", "\u0085", "\u2028", "\u2029", "\u202eevil", "\u200b", "\ufeff", "\U000e0041",
		`"`, `\`, `\"`, `","user.id":"root`, `"}` + "\n" + `{"event.code":"201"}`, ` user=root`, `x" user="root`, `=`, `\=`, ` a=b`, `a=b `,
		`|`, `\|`, `x|suser=root`, "trailing ", " leading", `\u000a`, `\n`, "\xff\xfe", "a\xc3", "\xed\xa0\x80", "ü", "日本", "😀",
		strings.Repeat("x", 10_000), strings.Repeat("é", 200), strings.Repeat("\xff", 300), `weir.hash":"0"`, " hash=00", `\`, `x\`,
	}
	for c := range 256 {
		list = append(list, string([]byte{'a', byte(c), 'z'}))
	}
	return list
}

func TestNoTextForgesOrBreaksALine(t *testing.T) {
	for _, text := range hostile() {
		for f := range formats {
			sound(t, f, text, text)
		}
	}
}

// sound checks that a record with two texts of a peer is one printable line, which
// says just that when it is read again.
func sound(t *testing.T, f Format, a, b string) {
	t.Helper()
	r := Record{
		Time: time.UnixMilli(1).UTC(), Event: AuthenticationFailed, Reason: a, ServerName: b, Path: a, Origin: b, UserAgent: a,
		User: b, Channel: a, RequestID: b, Message: a,
	}
	out := AppendLine(nil, f, &r)
	for _, c := range out {
		if c < ' ' || c == 0x7f {
			t.Fatalf("%s: byte %#x in %q", f, c, out)
		}
	}
	for _, c := range []string{"\u0085", "\u2028", "\u2029", "\u202e", "\u009b"} {
		if bytes.Contains(out, []byte(c)) {
			t.Fatalf("%s: %q in %q", f, c, out)
		}
	}
	if f == ECS && !json.Valid(out) {
		t.Fatalf("not JSON: %q", out)
	}
	if len(out) > 40<<10 {
		t.Fatalf("%s: %d bytes", f, len(out))
	}
	e, err := ParseLine(out)
	if err != nil {
		t.Fatalf("%s: %v in %q", f, err, out)
	}
	if e.Record != r || e.Seq != 0 || e.Hash != "" {
		t.Fatalf("%s: %q\n got %+v\nwant %+v", f, out, e, r)
	}
}

func FuzzLine(f *testing.F) {
	for i, text := range hostile() {
		f.Add(uint8(i), text, text+"x")
	}
	f.Fuzz(func(t *testing.T, format uint8, a, b string) { sound(t, Format(format)%formats, a, b) })
}

// FuzzParseLine: whatever stands in a file, reading it ends, and what was read is
// written so that it reads the same.
func FuzzParseLine(f *testing.F) {
	for format := range formats {
		r := full()
		f.Add(AppendLine(nil, format, &r))
	}
	for _, fields := range []string{
		"tls=0x0301 cipher=0x0005", "tls=768", "tls=0x7f1c cipher=TLS_RSA_WITH_RC4_128_SHA", "addr=::ffff:192.0.2.1%eth0 prefix=::ffff:192.0.2.1/97 port=65535", "duration=-1h0.5ms since=0001-01-01T00:00:00.000Z count=1",
		`conn=5-ffffffffffffffff user="\ud800\u0000" message=` + strings.Repeat("\xf0\x9f", 200), "auth= trace=" + strings.Repeat("0", 32) + " span=0000000000000001 trace_flags=255 in=18446744073709551615 user=a user=b",
	} {
		f.Add([]byte("time=2026-11-05T14:30:00.123Z id=103 " + fields))
	}
	f.Add([]byte(`CEF:0|Weir|Weir|1|65535|?|3|rt=-62135596800001 weirDuration=9223372036854775807 suser= a\=b \ud83d\ude00 msg=x\\`))
	f.Add([]byte(`{"@timestamp":"0000-01-01T00:00:00.000Z","event.code":101,"event.duration":-1,"tls.version":"1.0","weir.count":1,"tls.resumed":true,"user.id":false,"user.id":"b"}`))
	f.Add([]byte(`time= x`))
	f.Add([]byte("CEF:0|||||||a=\\"))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := ParseLine(text)
		if err != nil {
			return
		}
		r := e.Record
		again, err := ParseLine(AppendLine(nil, FormatOf(text), &r))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if again.Record != r {
			t.Fatalf("%q\n got %+v\nwant %+v", text, again.Record, r)
		}
	})
}

func TestTruncatedLinesAreErrorsOrShorter(t *testing.T) {
	for f := range formats {
		r := full()
		text := AppendLine(nil, f, &r)
		for n := range text {
			if e, err := ParseLine(text[:n]); err == nil && e.Record == r {
				t.Errorf("%s: %q reads as the whole line", f, text[:n])
			}
		}
	}
}

func TestEventsAreAClosedListInOrder(t *testing.T) {
	seen := map[string]bool{}
	for i, e := range Events() {
		if at, ok := e.index(); !ok || at != i {
			t.Errorf("%d stands at %d, found %v at %d", e, i, ok, at)
		}
		name := e.String()
		if seen[name] || name == "" || !bare(name) {
			t.Errorf("%d: name %q", e, name)
		}
		seen[name] = true
		if back, ok := EventNamed(name); !ok || back != e {
			t.Errorf("%q is %d", name, back)
		}
	}
}

// TestEventNumbersStay: SIEM rules go by them.
func TestEventNumbersStay(t *testing.T) {
	for number, name := range map[Event]string{
		101: "connection-refused", 102: "handshake-failed", 103: "upgrade-refused", 104: "connection-accepted", 110: "disconnected",
		201: "authenticated", 202: "authentication-failed", 301: "publish-refused", 302: "subscribe-refused", 303: "limit-hit",
		304: "protocol-violation", 401: "disconnect-ordered", 402: "user-blocked", 503: "policy-reloaded", 505: "overload-level",
		506: "certificate-alert", 601: "anomaly", 902: "checkpoint",
	} {
		if got := number.String(); got != name {
			t.Errorf("%d is %s, want %s", number, got, name)
		}
	}
}

// The formats are those of --audit-format, by these names and no other.
func TestParseFormat(t *testing.T) {
	for f, name := range map[Format]string{ECS: "ecs", Logfmt: "logfmt", CEF: "cef"} {
		if got, err := ParseFormat(name); got != f || err != nil || f.String() != name {
			t.Errorf("%q is %v (%v), and %v is %q", name, got, err, f, f.String())
		}
	}
	for _, name := range []string{"", "?", "ECS", "json", "ecs "} {
		if got, err := ParseFormat(name); err == nil {
			t.Errorf("%q is %v", name, got)
		}
	}
}

// What detectors find and what comes of it are alerts to the collectors of logs, all else events.
func TestKindOfECS(t *testing.T) {
	for _, e := range Events() {
		want := `"event.kind":"event"`
		if e == Anomaly || e == Contained || e == Uncontained {
			want = `"event.kind":"alert"`
		}
		if line := string(AppendLine(nil, ECS, &Record{Event: e})); !strings.Contains(line, want) {
			t.Errorf("%s has no %s", line, want)
		}
	}
}
