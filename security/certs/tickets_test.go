package certs

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// ticketKeyOf is a key that no other number has.
func ticketKeyOf(n byte) []byte {
	return append(bytes.Repeat([]byte{n}, ticketKeyBytes-1), n^0xff)
}

// newest are the keys of a file, in this order.
func newest(numbers ...byte) (b []byte) {
	for _, n := range numbers {
		b = append(b, ticketKeyOf(n)...)
	}
	return b
}

func ticketFile(t testing.TB, b []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tickets.key")
	write(t, name, b, 0o600)
	return name
}

func TestTicketKeyFile(t *testing.T) {
	var most []byte
	for n := range byte(maxTicketKeys) {
		most = append(most, ticketKeyOf(n)...)
	}
	for _, c := range []struct {
		name  string
		bytes []byte
		keys  int
		want  string // in the error
	}{
		{"one", newest(1), 1, ""},
		{"three", newest(3, 2, 1), 3, ""},
		{"as many as may be", most, maxTicketKeys, ""},
		{"empty", nil, 0, "openssl rand 32"},
		{"31 bytes", newest(1)[1:], 0, "31 bytes"},
		{"33 bytes", append(newest(1), 0), 0, "33 bytes"},
		{"nginx's 48 bytes", newest(1, 2)[:48], 0, "48 bytes"},
		{"hexadecimal", []byte(hex.EncodeToString(newest(1))), 0, "text"},
		{"base64", []byte(base64.StdEncoding.EncodeToString(newest(1)) + "\n"), 0, "text"},
		{"too many", append(most, ticketKeyOf(200)...), 0, "17 keys"},
		{"zeroes", append(newest(1), make([]byte, 32)...), 0, "key 2 is one byte"},
		{"twice", newest(1, 2, 1), 0, "key 3 is key 1 again"},
	} {
		file := ticketFile(t, c.bytes)
		k, err := LoadTicketKeys(file, nil)
		if c.want == "" {
			if err != nil || len(k.keys) != c.keys || k.keys[0].secret != [32]byte(c.bytes) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "--ticket-key-file: "+file) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := LoadTicketKeys("/nowhere", nil); err == nil || !strings.Contains(err.Error(), "--ticket-key-file") {
		t.Errorf("no file: %v", err)
	}
	open := ticketFile(t, newest(1))
	if err := os.Chmod(open, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadTicketKeys(open, nil); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("open to others: %v", err)
	}
}

// resumer is a client of servers that all have one certificate, by the clock of the test.
type resumer struct {
	t       testing.TB
	w       *world
	store   *Store
	clock   *time.Time
	version uint16
	cache   tls.ClientSessionCache
}

func newResumer(t testing.TB, version uint16) *resumer {
	w, clock := newWorld(t), now
	w.options.Now = func() time.Time { return clock }
	certFile, keyFile := files(t, certPEM(w.leaf, w.between), keyPEM(t, w.leaf))
	store, err := Load(certFile, keyFile, w.options)
	if err != nil {
		t.Fatal(err)
	}
	return &resumer{t, w, store, &clock, version, tls.NewLRUClientSessionCache(1)}
}

func (r *resumer) server(k *TicketKeys) *tls.Config {
	r.t.Helper()
	c, err := ServerConfig(TLSOptions{Store: r.store, Tickets: k})
	if err != nil {
		r.t.Fatal(err)
	}
	c.Time = r.w.options.Now
	return c
}

// resumed connects and tells whether the handshake was short.
func (r *resumer) resumed(server *tls.Config) bool {
	r.t.Helper()
	near, far := net.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		c := tls.Server(far, server)
		_, _ = c.Write([]byte("x")) // the ticket goes before it
		_ = c.Close()
	})
	defer wg.Wait()
	defer near.Close()
	client := tls.Client(near, &tls.Config{RootCAs: r.w.options.Roots, ServerName: "push.example.com", Time: r.w.options.Now,
		ClientSessionCache: r.cache, MinVersion: r.version, MaxVersion: r.version})
	if _, err := client.Read(make([]byte, 1)); err != nil {
		r.t.Fatal(err)
	}
	return client.ConnectionState().DidResume
}

// TestTicketKeysAreShared: two servers with one file resume each other's sessions, also while the file is rotated.
func TestTicketKeysAreShared(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		r := newResumer(t, version)
		file := ticketFile(t, newest(1))
		var keys [2]*TicketKeys
		var servers [2]*tls.Config
		for i := range keys {
			var err error
			if keys[i], err = LoadTicketKeys(file, r.w.options.Now); err != nil {
				t.Fatal(err)
			}
			servers[i] = r.server(keys[i])
		}
		step := func(what string, server int, want bool) {
			t.Helper()
			if got := r.resumed(servers[server]); got != want {
				t.Errorf("%s, %s: resumed %v", tls.VersionName(version), what, got)
			}
		}
		step("at first", 0, false)
		step("at the other", 1, true)
		step("and back", 0, true)
		write(t, file, newest(2, 1), 0o600)
		if changed, err := keys[0].Reload(); !changed || err != nil {
			t.Fatal(changed, err)
		}
		step("a ticket under the previous key", 0, true)
		if changed, err := keys[1].Reload(); !changed || err != nil {
			t.Fatal(changed, err)
		}
		step("a ticket under the new one", 1, true)
		write(t, file, newest(2), 0o600)
		if _, err := keys[0].Reload(); err != nil {
			t.Fatal(err)
		}
		step("the new one is in use", 0, true)
		write(t, file, newest(3), 0o600)
		if _, err := keys[0].Reload(); err != nil {
			t.Fatal(err)
		}
		step("no key of it is left", 0, false)
		write(t, file, []byte("half a fi"), 0o600)
		if changed, err := keys[0].Reload(); changed || err == nil {
			t.Errorf("a bad file: %v, %v", changed, err)
		}
		step("a bad file changes nothing", 0, true)
	}
}

// TestTicketKeysRotate: without a file a ticket of an hour ago is good, one of two days ago is not, whenever
// in the life of the key it was given out.
func TestTicketKeysRotate(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, start := range []time.Duration{0, time.Hour, ticketRotation - time.Second, ticketRotation, 3*ticketRotation - time.Minute} {
			for age, want := range map[time.Duration]bool{0: true, time.Hour: true, ticketRotation - time.Second: true, ticketLife: false, 48 * time.Hour: false} {
				r := newResumer(t, version)
				k, err := LoadTicketKeys("", r.w.options.Now)
				if err != nil {
					t.Fatal(err)
				}
				server := r.server(k)
				run := func(d time.Duration) { // Watch looks at least every hour
					for end := r.clock.Add(d); r.clock.Before(end); {
						*r.clock = r.clock.Add(min(time.Hour, end.Sub(*r.clock)))
						k.look()
					}
				}
				run(start)
				if r.resumed(server) {
					t.Fatal("resumed out of nothing")
				}
				run(age)
				if got := r.resumed(server); got != want {
					t.Errorf("%s, a ticket of %v ago, given out after %v: resumed %v", tls.VersionName(version), age, start, got)
				}
				if len(k.keys) > 3 {
					t.Errorf("%d keys", len(k.keys))
				}
			}
		}
	}
}

// A clock that was set: no key lives longer for it, and a process that slept forgets what is over.
func TestTicketKeysAfterAClockStep(t *testing.T) {
	for _, step := range []time.Duration{-365 * day, 365 * day} {
		clock := now
		k, err := LoadTicketKeys("", func() time.Time { return clock })
		if err != nil {
			t.Fatal(err)
		}
		old := k.keys[0].secret
		clock = clock.Add(step)
		if changed, err := k.Reload(); !changed || err != nil || len(k.keys) != 1 || k.keys[0].secret == old {
			t.Errorf("after %v: %d keys, %v", step, len(k.keys), err)
		}
	}
}

// TestWatchTicketKeys: what is told, each thing once.
func TestWatchTicketKeys(t *testing.T) {
	file, clock := ticketFile(t, newest(1)), now
	put := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, clock, clock); err != nil {
			t.Fatal(err)
		}
	}
	put(newest(1))
	k, err := LoadTicketKeys(file, func() time.Time { return clock })
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	expect := func(what string, want ...string) {
		t.Helper()
		var told []string
		for range 3 {
			for _, n := range k.look() {
				told = append(told, n.ID)
				n.Log(slog.New(slog.NewTextHandler(&log, nil)))
			}
		}
		if !slices.Equal(told, want) {
			t.Errorf("%s: told %v, want %v", what, told, want)
		}
	}
	expect("nothing happens")
	put(newest(2)[1:])
	expect("a bad file", TicketKeysRefused)
	put(newest(2, 1))
	expect("a good one", TicketKeysReplaced)
	clock = clock.Add(24 * time.Hour)
	expect("a day")
	clock = clock.Add(time.Hour)
	expect("nobody rotates", TicketKeysOld)
	clock = clock.Add(24 * time.Hour)
	expect("not again at once")
	clock = clock.Add(time.Hour)
	expect("but the next day", TicketKeysOld)
	put(newest(3, 2))
	expect("rotated", TicketKeysReplaced)
	if text := log.String(); strings.Contains(text, string(ticketKeyOf(2)[1:8])) || !strings.Contains(text, "event=ticket_keys_refused") {
		t.Errorf("the log is %q", text)
	}
}

func FuzzTicketKeys(f *testing.F) {
	f.Add(newest(1))
	f.Add(newest(1, 2, 1))
	f.Add([]byte("text"))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parseTicketKeys(b)
		if (err == nil) != (len(keys) > 0) || len(keys) > maxTicketKeys {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		var back []byte
		for _, k := range keys {
			back = append(back, k.secret[:]...)
		}
		if err == nil && !bytes.Equal(back, b) {
			t.Fatal("other keys than the file's")
		}
	})
}
