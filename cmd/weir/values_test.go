package main

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// valueOf decodes text into a new T and returns it as text, or its error.
func valueOf[T any](s string) string {
	v := reflect.New(reflect.TypeFor[T]()).Elem()
	if err := decodeText(v, s); err != nil {
		return "error: " + err.Error()
	}
	return fmt.Sprintf("%v", v.Interface())
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		name, got, want string
	}{
		{"count", valueOf[count]("4096"), "4096"},
		{"count grouped", valueOf[count]("1_000_000"), "1000000"},
		{"count negative", valueOf[count]("-1"), `error: "-1" is not a whole number between 0 and 2147483647`},
		{"count too large", valueOf[count]("2147483648"), `error: "2147483648" is not a whole number between 0 and 2147483647`},
		{"count of letters", valueOf[count]("many"), `error: "many" is not a whole number between 0 and 2147483647`},
		{"size", valueOf[size]("65536"), "64 KiB"},
		{"size with unit", valueOf[size]("16 MiB"), "16 MiB"},
		{"size with decimal unit", valueOf[size]("1MB"), "1000000"},
		{"size with fraction", valueOf[size]("1.5KiB"), "1536"},
		{"size with strange unit", valueOf[size]("3 miles"), `error: "3 miles" is not a size; write bytes or a unit, as in 65536, 64KiB, 1MiB`},
		{"size of nothing", valueOf[size](""), `error: "" is not a size; write bytes or a unit, as in 65536, 64KiB, 1MiB`},
		{"size beyond reason", valueOf[size]("99999999GiB"), `error: "99999999GiB" is not a size; write bytes or a unit, as in 65536, 64KiB, 1MiB`},
		{"rate", valueOf[rate]("50/s"), "50"},
		{"rate per minute", valueOf[rate]("30/m"), "0.5"},
		{"rate per hour", valueOf[rate]("3600/h"), "1"},
		{"rate bare", valueOf[rate]("100"), "100"},
		{"rate per day", valueOf[rate]("1/d"), `error: "1/d" is not a rate; write a number per second, minute or hour, as in 50/s, 300/m`},
		{"rate of NaN", valueOf[rate]("NaN"), `error: "NaN" is not a rate; write a number per second, minute or hour, as in 50/s, 300/m`},
		{"byte rate", valueOf[byteRate]("1 MiB/s"), "1.048576e+06"},
		{"byte rate bare", valueOf[byteRate]("65536"), "65536"},
		{"byte rate wrong", valueOf[byteRate]("fast"), `error: "fast" is not a byte rate; write bytes per second, as in 1MiB/s, 65536/s`},
		{"span", valueOf[span]("25 s"), fmt.Sprint(int64(25 * time.Second))},
		{"span without unit", valueOf[span]("25"), `error: "25" is not a duration; write a number and a unit, as in 500ms, 10s, 5m, 24h`},
		{"span negative", valueOf[span]("-3s"), `error: "-3s" is not a duration; write a number and a unit, as in 500ms, 10s, 5m, 24h`},
		{"share", valueOf[share]("25%"), "{25 0}"},
		{"share in bytes", valueOf[share]("2GiB"), "{0 2147483648}"},
		{"share over all", valueOf[share]("101%"), `error: "101%" is not a percentage above 0 and up to 100`},
		{"share of nothing", valueOf[share]("0"), `error: "0" is neither a size nor a percentage; write 2GiB or 25%`},
		{"list", valueOf[list](" a, b,,c "), "[a b c]"},
		{"network", valueOf[networks]("127.0.0.0/8, ::1"), "[127.0.0.0/8 ::1/128]"},
		{"network mapped address", valueOf[networks]("::ffff:10.0.0.1"), "[10.0.0.1/32]"},
		{"network mapped prefix", valueOf[networks]("::ffff:10.0.0.0/104"), `error: "::ffff:10.0.0.0/104" mixes IPv4 and IPv6; write the IPv4 prefix itself, as in 127.0.0.0/8`},
		{"network with host bits", valueOf[networks]("10.0.0.1/8"), `error: "10.0.0.1/8" has bits set behind its prefix; write 10.0.0.0/8`},
		{"network of letters", valueOf[networks]("home"), `error: "home" is not a network; write an address or a CIDR prefix, as in 127.0.0.0/8, 2001:db8::/32`},
		{"address", valueOf[address](":8443"), ":8443"},
		{"address off", valueOf[address]("off"), ""},
		{"address without port", valueOf[address]("localhost"), `error: "localhost" is not an address; write host:port or :port, as in :8443, 127.0.0.1:9000, [::1]:9000`},
		{"address with large port", valueOf[address](":65536"), `error: ":65536" has no port between 0 and 65535`},
		{"address with URL", valueOf[address]("https://a:1"), `error: "https://a:1" is not an address; write host:port or :port, as in :8443, 127.0.0.1:9000, [::1]:9000`},
		{"switch", valueOf[bool]("Yes"), "true"},
		{"switch wrong", valueOf[bool]("maybe"), `error: "maybe" is neither true nor false`},
		{"path", valueOf[path]("a/../b"), "b"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, c.got, c.want)
		}
	}
}

func TestAddressesThatCannotBothBeHad(t *testing.T) {
	for _, c := range []struct {
		a, b address
		want bool
	}{
		{":8443", "127.0.0.1:8443", true},
		{"0.0.0.0:8443", "[::1]:8443", true},
		{"127.0.0.1:9000", "127.0.0.1:9000", true},
		{"localhost:9000", "127.0.0.1:9000", true},
		{"[::ffff:127.0.0.1]:9000", "127.0.0.1:9000", true},
		{"[::1]:9000", "[0:0::1]:9000", true},
		{"127.0.0.1:9000", "127.0.0.2:9000", false},
		{":8443", ":9000", false},
		{"127.0.0.1:0", "127.0.0.1:0", false},
		{"", ":8443", false},
	} {
		if got := c.a.overlaps(c.b); got != c.want {
			t.Errorf("%q and %q: got %v", c.a, c.b, got)
		}
	}
}

func TestLoopbackAddresses(t *testing.T) {
	for a, want := range map[address]bool{
		"127.0.0.1:1": true, "127.3.4.5:1": true, "[::1]:1": true, "localhost:1": true, "[::ffff:127.0.0.1]:1": true,
		":1": false, "0.0.0.0:1": false, "10.0.0.1:1": false, "[::]:1": false, "localhost.example.com:1": false, "": false,
	} {
		if got := a.loopback(); got != want {
			t.Errorf("%q: got %v", a, got)
		}
	}
}

func TestShareOfMemory(t *testing.T) {
	if got := (share{percent: 25}).of(4 << 30); got != 1<<30 {
		t.Errorf("25%% of 4 GiB: got %d", got)
	}
	if got := (share{bytes: 7}).of(4 << 30); got != 7 {
		t.Errorf("7 bytes: got %d", got)
	}
}

// FuzzValues: no text makes an option type panic, and every error says something.
func FuzzValues(f *testing.F) {
	for _, s := range []string{"", "1", "1MiB", "50/s", "25%", "127.0.0.0/8", ":8443", "3s", "a,b", "\x00", "1e999", "::ffff:1.2.3.4/1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, got := range []string{
			valueOf[count](s), valueOf[size](s), valueOf[rate](s), valueOf[byteRate](s), valueOf[span](s),
			valueOf[share](s), valueOf[list](s), valueOf[networks](s), valueOf[address](s), valueOf[bool](s),
		} {
			if strings.TrimPrefix(got, "error: ") == "" && strings.HasPrefix(got, "error") {
				t.Errorf("%q: an error without a word", s)
			}
		}
	})
}
