package capture

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// secretToken is a JWT as the server issues them; no part of it may be in a capture.
func secretToken(payload string) string {
	b := base64.RawURLEncoding.EncodeToString
	return b([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + b([]byte(payload)) + "." + b([]byte("a signature of 32 bytes, or so...."))
}

func redacted(h *hider, text string) Text {
	r := redaction{hider: h}
	r.message([]byte(text))
	return r.text()
}

// shown is a redacted text with its names in brackets, without their digits.
func shown(t Text) string {
	return t.Fill(func(name string) string { return "[" + strings.Split(name, "-")[0] + "]" })
}

func TestMessagesLoseTheirSecrets(t *testing.T) {
	jwt := secretToken(`{"sub":"alice"}`)
	escaped := `\u0065` + jwt[1:]
	for _, c := range []struct{ name, in, want string }{
		{"connect", `{"id":1,"connect":{"token":"` + jwt + `","name":"js"}}`, `{"id":1,"connect":{"token":"[token]","name":"js"}}`},
		{"white space", "{ \"id\" :1,\t\"connect\": { \"token\" : \"x\" } }\r", "{ \"id\" :1,\t\"connect\": { \"token\" : \"[token]\" } }\r"},
		{"subscribe", `{"id":2,"subscribe":{"channel":"$a","token":"opaque"}}`, `{"id":2,"subscribe":{"channel":"$a","token":"[token]"}}`},
		{"refresh", `{"id":3,"refresh":{"token":"opaque"}}`, `{"id":3,"refresh":{"token":"[token]"}}`},
		{"sub_refresh", `{"id":3,"sub_refresh":{"channel":"a","token":"opaque"}}`, `{"id":3,"sub_refresh":{"channel":"a","token":"[token]"}}`},
		{"a name with escapes", `{"id":1,"connect":{"t\u006fken":"opaque"}}`, `{"id":1,"connect":{"t\u006fken":"[token]"}}`},
		{"a token with escapes", `{"id":1,"connect":{"token":"` + escaped + `"}}`, `{"id":1,"connect":{"token":"[token]"}}`},
		{"twice", `{"id":1,"connect":{"token":"opaque","token":"other"}}`, `{"id":1,"connect":{"token":"[token]","token":"[token]"}}`},
		{"an empty one", `{"id":1,"connect":{"token":""}}`, `{"id":1,"connect":{"token":""}}`},
		{"none", `{"id":1,"connect":{"token":null}}`, `{"id":1,"connect":{"token":null}}`},
		{"of the wrong kind", `{"id":1,"connect":{"token":["opaque",{"a":"b"},1]}}`, `{"id":1,"connect":{"token":["[token]",{"a":"[token]"},0]}}`},
		{"a method nobody knows", `{"id":1,"konnect":{"token":"opaque"}}`, `{"id":1,"konnect":{"token":"[token]"}}`},
		{"two lines", `{"id":1,"connect":{"token":"opaque"}}` + "\n" + `{"id":2,"publish":{"channel":"a","data":1}}`,
			`{"id":1,"connect":{"token":"[token]"}}` + "\n" + `{"id":2,"publish":{"channel":"a","data":1}}`},
		{"a payload stays", `{"id":2,"publish":{"channel":"a","data":{"x":"a long payload, it may stay"}}}`, `{"id":2,"publish":{"channel":"a","data":{"x":"a long payload, it may stay"}}}`},
		{"secrets in a payload", `{"id":2,"rpc":{"data":{"Password":"p","n":[1.5e3,true],"x":"see ` + jwt + ` there"}}}`,
			`{"id":2,"rpc":{"data":{"Password":"[secret]","n":[1.5e3,true],"x":"see [jwt] there"}}}`},
		{"JSON in a string", `{"id":2,"rpc":{"data":"{\"token\":\"` + jwt + `\"}"}}`, `{"id":2,"rpc":{"data":"{\"token\":\"[secret]\"}"}}`},
		{"escapes in a payload", `{"id":2,"send":{"data":"` + escaped + `"}}`, `{"id":2,"send":{"data":"[jwt]"}}`},
		{"in a name", `{"` + jwt + `":1}`, `{"[jwt]":1}`},
		{"a bearer", `{"x":"bearer.` + jwt + `"}`, `{"x":"bearer.[jwt]"}`},
		{"no end", `{"id":1,"connect":{"token":"` + jwt, `{"id":1,"connect":{"token":"[secret]`},
		{"no end, short", `{"id":1,"connect":{"token":"opaq`, `{"id":1,"connect":{"token":"[secret]`},
		{"no quotes", `{"id":1,connect:{token:opaque}}`, `{"id":1,connect:{token:[secret]}}`},
		{"a form", `token=opaque&a=b`, `token=[secret]&a=b`},
		{"not JSON", `HELLO ` + jwt + ` now`, `HELLO [run] now`},
		{"not JSON, announced", `AUTH p1`, `AUTH [secret]`},
		{"not JSON, with escapes", `"` + escaped, `"[run]`},
		{"over two lines", `{"id":1,"connect":{"token":` + "\n" + `"` + jwt + `"}}`, `{"id":1,"connect":{"token":` + "\n" + `"[run]"}}`},
		{"nothing left that is wrong", `"aaaaaaaaaaaa\xaaaaaaaa"`, `[run]`},
		{"names as others write them", `{"accessToken":"s1","client_secret":"s2","X-Auth-Token":"s3","userPassword":"s4","Set-Cookie":"s5","PHPSESSID":"s6","auth":"s7","` + strings.Repeat("x", 64) + `Token":"s8","token_type":"t"}`,
			`{"accessToken":"[secret]","client_secret":"[secret]","X-Auth-Token":"[secret]","userPassword":"[secret]","Set-Cookie":"[secret]","PHPSESSID":"[secret]","auth":"[secret]","` + strings.Repeat("x", 64) + `Token":"[secret]","token_type":"t"}`},
		{"a number", `{"data":{"password":12345678,"passcode":[-1.5e3,true],"n":7}}`, `{"data":{"password":0,"passcode":[0,true],"n":7}}`},
		{"a secret in JSON in a string", `{"data":"{\"password\":\"hunter2\",\"a\":1}"}`, `{"data":"{\"password\":\"[secret]\",\"a\":1}"}`},
		{"twice in a string", `{"data":"[\"{\\\"secret\\\":\\\"hunter2\\\"}\"]"}`, `{"data":"[\"{\\\"secret\\\":\\\"[secret]\\\"}\"]"}`},
		{"no JSON in a string", `{"data":"{\"password\":\"hunter2\", see a-longer-word"}`, `{"data":"{\"password\":\"[secret]\", [secret] [secret]"}`},
		{"what begins like JSON", `{"data":"[a-longer-word](https://a.example/another)"}`, `{"data":"[a-longer-word](https://a.example/another)"}`},
		{"base64 of one", `{"data":"` + base64.StdEncoding.EncodeToString([]byte("Bearer "+jwt)) + `"}`, `{"data":"[jwt]"}`},
		{"no end, several words", `{"password":"correct horse, battery`, `{"password":"[secret] [secret], [secret]`},
		{"no end, a list", `{"password":["p1","p2"`, `{"password":["[secret]","[secret]"`},
		{"a long name", `{"access_token":"p1`, `{"[run]":"[secret]`},
		{"a header field", `Authorization: Basic dTpw`, `[run]: [secret] [secret]`},
		{"escaped, and no JSON", `{\"password\":\"p1\"}`, `{\"password\":[secret]"[secret]"}`},
		{"nothing", "", ""},
		{"an empty line", "\n{}", "\n{}"},
		{"a name of ours in a payload", `{"data":"token-0123456789ab"}`, `{"data":"token-0123456789ab"}`},
	} {
		got := redacted(newHider(nil), c.in)
		if !got.good() || shown(got) != c.want {
			t.Errorf("%s: %s, want %s", c.name, shown(got), c.want)
		}
		for first, line := range strings.Split(c.in, "\n") {
			if is := strings.Split(got.Text, "\n")[first]; json.Valid([]byte(line)) != json.Valid([]byte(is)) {
				t.Errorf("%s: %q is JSON, or is not, unlike %q", c.name, is, line)
			}
		}
	}
}

func TestHeadsLoseTheirSecrets(t *testing.T) {
	jwt := secretToken(`{"sub":"alice"}`)
	for _, c := range []struct{ field, in, want string }{
		{"path", "/connection/websocket", "/connection/websocket"},
		{"path", "/feed", "/feed"},
		{"path", "/", "/"},
		{"path", "/a/b/" + jwt + "/c", "/a/b/[path]/c"},
		{"path", "/" + strings.Repeat("x", 43), "/[path]"},
		{"query", "channel=a&since=a:7@e&token=" + jwt, "channel=a&since=a:7@e&token=[token]"},
		{"query", "ticket=abc&ticket=", "ticket=[ticket]&ticket="},
		{"query", "%74oken=abc&jwt=abc&x", "[query]=[query]&jwt=[query]&x"},
		{"query", jwt, "[query]"},
		{"query", "token=%zz", "token=[token]"},
		{"query", "channel=" + jwt, "channel=[query]"},
		{"query", "channel=%65" + jwt[1:], "channel=[query]"},
		{"protocols", "centrifuge-json,bearer." + jwt, "centrifuge-json, bearer.[token]"},
		{"protocols", "bearer, " + jwt, "bearer, [protocol]"},
		{"protocols", "weir-feed, a b", "weir-feed, [protocol]@"},
		{"protocols", ", bearer.", ", bearer."},
		{"protocols", "bearer.a b", "bearer.[token]@"},
		{"authorization", "Bearer " + jwt, "Bearer [token]"},
		{"authorization", "bearer   opaque", "bearer [token]"},
		{"authorization", "Bearer a b", "Bearer [token],"},
		{"authorization", "Bearer", "Bearer"},
		{"authorization", "Basic dTpw", "Basic [secret]"},
		{"authorization", "opaque", "[secret]"},
		{"origin", "https://app.example.com", "https://app.example.com"},
		{"origin", "null", "null"},
		{"origin", "https://a.example/?" + jwt, "https://a.example/?[jwt]"},
		{"origin", "https://user:password1@a.example", "[secret]"},
		{"origin", "\xff\xfe", "?"},
	} {
		how := map[string]func(*redaction, []byte){"path": (*redaction).path, "query": (*redaction).query, "origin": (*redaction).origin,
			"protocols": (*redaction).protocols, "authorization": (*redaction).authorization}[c.field]
		got := newHider(nil).redact([]byte(c.in), how)
		if !got.good() || shown(*got) != c.want {
			t.Errorf("%s %s: %s, want %s", c.field, c.in, shown(*got), c.want)
		}
		if strings.Contains(got.Text, "password1") || strings.Contains(got.Text, jwt) {
			t.Errorf("%s %s: %s", c.field, c.in, got.Text)
		}
	}
}

// TestEqualSecretsHaveEqualNames: within a capture, wherever they stand, and in none other.
func TestEqualSecretsHaveEqualNames(t *testing.T) {
	h, other := newHider([]byte("one")), newHider([]byte("two"))
	names := map[string]int{}
	see := func(text Text) { text.Names(func(name string) { names[name]++ }) }
	see(redacted(h, `{"connect":{"token":"opaque"}}`))
	see(redacted(h, `{"refresh":{"token":"op\u0061que"}}`))
	see(*h.redact([]byte("Bearer opaque"), (*redaction).authorization))
	see(*h.redact([]byte("weir-feed, bearer.opaque"), (*redaction).protocols))
	see(*h.redact([]byte("token=op%61que"), (*redaction).query))
	if len(names) != 1 || names[h.name(KindToken, []byte("opaque"))] != 5 {
		t.Errorf("names: %v", names)
	}
	if h.name(KindToken, []byte("opaque")) == other.name(KindToken, []byte("opaque")) || h.name(KindToken, []byte("a")) == h.name(KindToken, []byte("b")) {
		t.Error("a name tells a secret without the key")
	}
}

// checkNoLeak redacts a text that holds the token in one piece or less, and looks for its parts.
func checkNoLeak(t *testing.T, in, jwt string) {
	t.Helper()
	got := redacted(newHider(nil), in)
	if !got.good() {
		t.Errorf("%q: marks of %+v", in, got)
	}
	for _, part := range strings.Split(jwt, ".")[1:] {
		if strings.Contains(got.Text, part) {
			t.Errorf("%q: %q", in, got.Text)
		}
	}
}

// TestNoTokenInAnyPrefix cuts messages with a token at each byte: what is left of it is hidden from
// its twelfth byte on.
func TestNoTokenInAnyPrefix(t *testing.T) {
	jwt := secretToken(`{"sub":"alice"}`)
	for _, in := range []string{
		`{"id":1,"connect":{"token":"` + jwt + `"}}`, `{"id":1,"publish":{"channel":"a","data":"` + jwt + `"}}`, `junk ` + jwt + ` junk`,
	} {
		for i := range in {
			checkNoLeak(t, in[:i], jwt)
			checkNoLeak(t, in[i:], jwt)
			checkNoLeak(t, in[:i]+"\n"+in, jwt)
		}
	}
}

// FuzzRedact: no text makes redaction panic, leave a token that stands in it by itself, or make a text of
// one that is no JSON.
func FuzzRedact(f *testing.F) {
	jwt := secretToken(`{"sub":"alice"}`)
	for _, seed := range []string{`{"id":1,"connect":{"token":"`, `"}}`, `{"a":[1,{"b":"`, `\"`, `\u0065`, "\n", `{"token":{"x":`} {
		f.Add([]byte(seed), []byte(`"}}`))
	}
	f.Fuzz(func(t *testing.T, before, behind []byte) {
		in := strings.ToValidUTF8(string(before)+" "+jwt+" "+string(behind), "?")
		got := redacted(newHider(nil), in)
		if !got.good() {
			t.Fatalf("marks: %+v", got)
		}
		if strings.Contains(got.Text, strings.Split(jwt, ".")[2]) {
			t.Fatalf("it is there: %q", got.Text)
		}
		if again := got.Fill(func(name string) string { return name }); again != got.Text {
			t.Fatalf("%q, %q", again, got.Text)
		}
		was, is := strings.Split(in, "\n"), strings.Split(got.Text, "\n")
		if len(was) != len(is) {
			t.Fatalf("%d lines of %d", len(is), len(was))
		}
		for i := range was {
			if json.Valid([]byte(was[i])) != json.Valid([]byte(is[i])) {
				t.Fatalf("%q became %q", was[i], is[i])
			}
		}
		for _, how := range []func(*redaction, []byte){(*redaction).path, (*redaction).query, (*redaction).origin, (*redaction).protocols, (*redaction).authorization} {
			if text := newHider(nil).redact([]byte(in), how); !text.good() || strings.Contains(text.Text, strings.Split(jwt, ".")[2]) {
				t.Fatalf("head: %+v", text)
			}
		}
	})
}

// TestRedactionTakesLinearTime: on the writer's goroutine, which all captured connections share.
func TestRedactionTakesLinearTime(t *testing.T) {
	for _, piece := range []string{"ey", "ey.a", "eyJ", "\\", "{", "[", `"token":`, "token ", `"a":`, "."} {
		for _, quote := range []string{"", `"`} {
			for _, end := range []string{"", ".a"} {
				h := newHider(nil)
				text := func(n int) string { return quote + strings.Repeat(piece, n/len(piece)) + end + quote }
				least := func(n int) time.Duration {
					in, least := text(n), time.Hour
					for range 5 {
						begun := time.Now()
						redacted(h, in)
						least = min(least, time.Since(begun))
					}
					return least
				}
				const short, long = 8 << 10, 64 << 10
				linear := false
				var s, l time.Duration
				for round := 0; round < 6 && !linear; round++ { // a machine with other work is not its fault
					s, l = least(short), least(long)
					linear = l <= 3*(long/short)*s+time.Millisecond
				}
				if !linear {
					t.Errorf("%s%s…%s: %v, eight times as much %v", quote, piece, end, s, l)
				}
			}
		}
	}
}
