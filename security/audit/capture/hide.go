package capture

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"slices"
	"strings"
)

// Kinds of what stands in the place of a secret: a closed list.
const (
	KindToken    = "token"    // of a connection or a subscription, where the server takes one
	KindTicket   = "ticket"   // ?ticket=
	KindSecret   = "secret"   // of a member or header field that is named like one
	KindJWT      = "jwt"      // what looks like a token, wherever it stood
	KindRun      = "run"      // a long word of a text that could not be read
	KindQuery    = "query"    // a parameter that the server does not know
	KindProtocol = "protocol" // a subprotocol that it does not know
	KindPath     = "path"     // a part of a path that it does not know
)

func kinds() []string {
	return []string{KindToken, KindTicket, KindSecret, KindJWT, KindRun, KindQuery, KindProtocol, KindPath}
}

// nameDigits is how many hexadecimal digits of the keyed hash a name has.
const nameDigits = 12

// hider names secrets: its kind, a dash, and some digits of a keyed hash, so that equal
// secrets have equal names and a name tells nothing else. The key is drawn at start
// and never leaves the process. It belongs to one goroutine.
type hider struct{ mac hash.Hash }

func newHider(key []byte) *hider { return &hider{hmac.New(sha256.New, key)} }

func (h *hider) name(kind string, secret []byte) string {
	h.mac.Reset()
	h.mac.Write(secret) // never errs
	return kind + "-" + hex.EncodeToString(h.mac.Sum(nil))[:nameDigits]
}

// nameAt returns the name that begins text.
func nameAt(text string) (name string, ok bool) {
	kind, rest, ok := strings.Cut(text, "-")
	if !ok || len(rest) < nameDigits || !slices.Contains(kinds(), kind) {
		return "", false
	}
	for _, c := range []byte(rest[:nameDigits]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", false
		}
	}
	return text[:len(kind)+1+nameDigits], true
}

// Text is what a client sent, with names in the place of secrets. Marks says where
// they begin, in bytes and ascending: what else looks like a name is the client's.
type Text struct {
	Text  string `json:"text"`
	Marks []int  `json:"marks,omitempty"`
}

// good reports whether there is a name at each mark.
func (t *Text) good() bool {
	end := 0
	for _, at := range t.Marks {
		if at < end || at >= len(t.Text) {
			return false
		}
		name, ok := nameAt(t.Text[at:])
		if !ok {
			return false
		}
		end = at + len(name)
	}
	return true
}

// Names calls f for each name, in order.
func (t *Text) Names(f func(name string)) {
	for _, at := range t.Marks {
		if name, ok := nameAt(t.Text[at:]); ok {
			f(name)
		}
	}
}

// Fill returns the text with what f gives in the place of each name.
func (t *Text) Fill(f func(name string) string) string {
	var b strings.Builder
	from := 0
	for _, at := range t.Marks {
		if name, ok := nameAt(t.Text[at:]); ok {
			b.WriteString(t.Text[from:at])
			b.WriteString(f(name))
			from = at + len(name)
		}
	}
	b.WriteString(t.Text[from:])
	return b.String()
}

// redaction is a text that is being written anew.
type redaction struct {
	*hider
	out   []byte
	marks []int
}

func (r *redaction) text() Text {
	return Text{Text: string(r.out), Marks: r.marks}
}

// keep takes what is no secret.
func (r *redaction) keep(b ...byte) { r.out = append(r.out, b...) }

// hide puts a name in the place of a secret. An empty one stays empty.
func (r *redaction) hide(kind string, secret []byte) {
	if len(secret) == 0 {
		return
	}
	r.marks = append(r.marks, len(r.out))
	r.out = append(r.out, r.name(kind, secret)...)
}

// scrub keeps b but for what looks like a token: a word with "ey", which is how the
// base64 of a JSON object begins, and a dot behind it.
func (r *redaction) scrub(b []byte) {
	for len(b) > 0 {
		n := wordLen(b, tokenLetter)
		if n == 0 {
			r.keep(b[0])
			b = b[1:]
			continue
		}
		word := b[:n]
		if at := jwtIn(word); at >= 0 {
			r.keep(word[:at]...)
			r.hide(KindJWT, word[at:])
		} else {
			r.keep(word...)
		}
		b = b[n:]
	}
}

// Lengths of words.
const (
	leastJWTPart = 4  // bytes of the header and of the claims of what looks like a token
	leastCoded   = 16 // bytes of the base64 of the least of them
	longWord     = 12 // bytes from which a word of a text that cannot be read may be a secret
	longestName  = 64 // bytes at the end of a word that may name a secret
)

// jwtIn returns where in a word of tokenLetters something like a token begins; -1 if
// there is none.
func jwtIn(word []byte) int {
	for from := 0; ; {
		at := bytes.Index(word[from:], []byte("ey"))
		if at < 0 {
			return -1
		}
		at += from
		header := bytes.IndexByte(word[at:], '.')
		if header < 0 {
			return -1
		}
		claims := word[at+header+1:]
		if end := bytes.IndexByte(claims, '.'); end >= 0 {
			claims = claims[:end]
		}
		switch {
		case len(claims) < leastJWTPart: // none of those before the dot either
			from = at + header + 1
		case header < leastJWTPart:
			from = at + 1
		default:
			return at
		}
	}
}

// hasJWT reports whether scrub would hide something of b.
func hasJWT(b []byte) bool {
	for len(b) > 0 {
		n := max(wordLen(b, tokenLetter), 1)
		if jwtIn(b[:n]) >= 0 {
			return true
		}
		b = b[n:]
	}
	return false
}

// encodedJWT reports whether a text is the base64 of one that scrub would hide something of.
func encodedJWT(text string) bool {
	text = strings.TrimRight(text, "=")
	if len(text) < leastCoded || strings.IndexByte(text, '.') >= 0 {
		return false
	}
	plain, err := base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_").Replace(text))
	return err == nil && hasJWT(plain)
}

// scour is scrub for a text that cannot be read: it hides every word of so many bytes or more, and all
// that stands behind a word that announces a secret: to the end of the line, or of the parameter of a form.
func (r *redaction) scour(b []byte, long int) {
	announced, quoted := false, false
	for len(b) > 0 {
		n := wordLen(b, wildLetter)
		if n == 0 {
			quoted = quoted || b[0] == '"'
			announced = announced && b[0] != '\n' && (b[0] != '&' || quoted)
			r.keep(b[0])
			b = b[1:]
			continue
		}
		word := b[:n]
		b = b[n:]
		switch {
		case announced:
			r.hide(KindSecret, word)
			continue
		case n >= long:
			r.hide(KindRun, word)
		default:
			r.scrub(word)
		}
		announced, quoted = announces(word), false
	}
}

// announces reports whether a word is the name of a secret, however it is written: apiKey, X-API-Key, api_key.
func announces(word []byte) bool {
	word = word[max(len(word)-longestName, 0):]
	letters := make([]byte, 0, longestName)
	for _, c := range word {
		switch {
		case 'A' <= c && c <= 'Z':
			letters = append(letters, c|0x20)
		case 'a' <= c && c <= 'z':
			letters = append(letters, c)
		}
	}
	name := string(letters)
	for _, part := range [...]string{
		"password", "passwd", "passphrase", "passcode", "secret", "cookie", "authorization", "bearer", "credential", "apikey", "accesskey",
		"privatekey", "signingkey", "encryptionkey", "sessionid", "sessionkey", "sessid",
	} {
		if strings.Contains(name, part) {
			return true
		}
	}
	for _, end := range [...]string{"token", "ticket", "jwt", "pwd", "auth"} { // others are about one: token_type
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// wordLen is how many of the first bytes of b are letters.
func wordLen(b []byte, letter func(byte) bool) int {
	for i, c := range b {
		if !letter(c) {
			return i
		}
	}
	return len(b)
}

// tokenLetter tells the letters of a compact JWT: base64url (RFC 4648 §5) and the dot.
func tokenLetter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

// wildLetter tells those of anything that may be a secret, and of its escapes.
func wildLetter(c byte) bool {
	return tokenLetter(c) || c == '+' || c == '/' || c == '~' || c == '\\' || c == '%' || c >= 0x80
}
