package schema

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

// reference is the validator in its most naive form, over encoding/json.
func reference(text string, lim Limits) (accepted bool, why string) {
	if !json.Valid([]byte(text)) {
		return false, "syntax"
	}
	if !utf8.ValidString(text) {
		return false, "utf8"
	}
	if halfPair(text) {
		return false, "surrogate"
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	why = referenceValue(d, lim, 0)
	return why == "", why
}

func referenceValue(d *json.Decoder, lim Limits, depth int) string {
	token, err := d.Token()
	if err != nil {
		return err.Error()
	}
	if n, ok := token.(json.Number); ok {
		return referenceNumber(string(n))
	}
	open, ok := token.(json.Delim)
	if !ok {
		return ""
	}
	if depth++; lim.Depth > 0 && depth > lim.Depth {
		return "depth"
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			token, err := d.Token()
			if err != nil {
				return err.Error()
			}
			name := token.(string)
			if lim.Members > 0 && len(seen) >= lim.Members {
				return "members"
			}
			if seen[name] {
				return "duplicate"
			}
			seen[name] = true
		}
		if why := referenceValue(d, lim, depth); why != "" {
			return why
		}
	}
	if _, err := d.Token(); err != nil && err != io.EOF {
		return err.Error()
	}
	return ""
}

// referenceNumber goes by strconv, save at the upper edge of float64, where the
// validator goes by decimal digits.
func referenceNumber(n string) string {
	if len(n) > maxNumberBytes {
		return "number"
	}
	f, err := strconv.ParseFloat(n, 64)
	mantissa, exponent, _ := strings.Cut(strings.ToLower(n), "e")
	zero := !strings.ContainsAny(mantissa, "123456789")
	switch {
	case zero:
		return ""
	case err != nil || f == 0:
		return "number"
	case math.Abs(f) >= 1e307:
		return referenceEdge(mantissa, exponent)
	}
	return ""
}

// referenceEdge compares with the largest float64 by shifting the decimal point one digit at a time.
func referenceEdge(mantissa, exponent string) string {
	e, _ := strconv.Atoi(exponent)
	mantissa = strings.TrimPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	shifted := strings.TrimLeft(whole+fraction, "0")
	power := e + len(whole) - 1 - (len(whole+fraction) - len(shifted))
	if power > 308 || power == 308 && strings.TrimRight(shifted, "0") > "17976931348623157" {
		return "number"
	}
	return ""
}

// halfPair reports whether a string of a valid text has half a surrogate pair.
func halfPair(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		if text[i+1] != 'u' {
			i++
			continue
		}
		unit, _ := strconv.ParseUint(text[i+2:i+6], 16, 16)
		i += 5
		if unit < 0xd800 || unit > 0xdfff {
			continue
		}
		if unit >= 0xdc00 || !strings.HasPrefix(text[i+1:], `\u`) {
			return true
		}
		low, _ := strconv.ParseUint(text[i+3:i+7], 16, 16)
		if low < 0xdc00 || low > 0xdfff {
			return true
		}
		i += 6
	}
	return false
}

// sameMeaning holds accepted text against encoding/json and fastjson, as it is
// and compacted.
func sameMeaning(t *testing.T, b []byte) {
	t.Helper()
	var want any
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatalf("%q: accepted, encoding/json says %v", b, err)
	}
	p, err := fastjson.ParseBytes(b)
	if err != nil {
		// It has a fixed depth of its own.
		if !strings.Contains(err.Error(), "depth") {
			t.Fatalf("%q: accepted, fastjson says %v", b, err)
		}
	} else {
		var got any
		if err := json.Unmarshal(p.MarshalTo(nil), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: fastjson reads %v, encoding/json %v", b, got, want)
		}
	}
	short := Compact(nil, b)
	var naive bytes.Buffer
	if err := json.Compact(&naive, b); err != nil || !bytes.Equal(short, naive.Bytes()) {
		t.Fatalf("%q: compact %q, encoding/json %q", b, short, naive.Bytes())
	}
}
