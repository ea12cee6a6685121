package clientproto

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"testing"

	"weir/security/schema"
)

// reference reads a line with encoding/json, one map at a time so that names
// are compared exactly. It answers nil for every line that must be refused; the
// validator's own rules are the business of security/schema.
func reference(line []byte, limits schema.Limits) *Command {
	var v schema.Validator
	limits.Depth += envelopeDepth
	outer := fieldsOf(line)
	if v.Check(line, limits) != nil || outer == nil {
		return nil
	}
	if len(outer) == 0 {
		return &Command{Method: Pong}
	}
	cmd := &Command{}
	if raw, ok := outer["id"]; ok {
		id, err := strconv.ParseUint(string(raw), 10, 32)
		if err != nil && string(raw) != "null" {
			return nil
		}
		cmd.ID = uint32(id)
	}
	var request map[string]json.RawMessage
	for m := Connect; m <= Send; m++ {
		raw, ok := outer[m.String()]
		if !ok || string(raw) == "null" {
			continue
		}
		if cmd.Method != 0 {
			return nil
		}
		if cmd.Method, request = m, fieldsOf(raw); request == nil {
			return nil
		}
	}
	if cmd.Method == 0 || cmd.ID == 0 && cmd.Method != Send {
		return nil
	}
	f := fields{of: request}
	f.request(cmd)
	if f.wrong || cmd.Method == Publish && cmd.Publish.Data == nil {
		return nil
	}
	return cmd
}

func fieldsOf(raw []byte) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m
}

type fields struct {
	of    map[string]json.RawMessage
	wrong bool
}

func (f *fields) request(cmd *Command) {
	switch cmd.Method {
	case Connect:
		cmd.Connect = ConnectRequest{Token: f.text("token"), Name: f.text("name"), Version: f.text("version"), Data: f.data("data")}
		for channel := range f.inner("subs").of {
			s := f.inner("subs")
			at := s.inner(channel)
			cmd.Connect.Subs = append(cmd.Connect.Subs, SubRecover{
				Channel: []byte(channel), Recover: at.flag("recover"), Offset: at.uint("offset"), Epoch: at.text("epoch")})
			f.wrong = f.wrong || s.wrong || at.wrong
		}
	case Subscribe:
		cmd.Subscribe = SubscribeRequest{
			Channel: f.text("channel"), Token: f.text("token"), Epoch: f.text("epoch"), Delta: f.text("delta"),
			Data: f.data("data"), Recover: f.flag("recover"), Positioned: f.flag("positioned"),
			Recoverable: f.flag("recoverable"), JoinLeave: f.flag("join_leave"), Offset: f.uint("offset"), Flag: f.int("flag")}
	case Unsubscribe:
		cmd.Unsubscribe.Channel = f.text("channel")
	case Publish:
		cmd.Publish = PublishRequest{Channel: f.text("channel"), Data: f.data("data")}
	case Presence, PresenceStats:
		cmd.Presence.Channel = f.text("channel")
	case History:
		at := f.inner("since")
		cmd.History = HistoryRequest{Channel: f.text("channel"), Limit: f.int("limit"), Reverse: f.flag("reverse"),
			Since: at.of != nil, Offset: at.uint("offset"), Epoch: at.text("epoch")}
		f.wrong = f.wrong || at.wrong
	case RPC:
		cmd.RPC = RPCRequest{Method: f.text("method"), Data: f.data("data")}
	case Refresh:
		cmd.Refresh.Token = f.text("token")
	case SubRefresh:
		cmd.SubRefresh = SubRefreshRequest{Channel: f.text("channel"), Token: f.text("token")}
	case Send:
		cmd.Send.Data = f.data("data")
	}
}

func (f *fields) into(name string, v any) {
	if raw, ok := f.of[name]; ok && string(raw) != "null" && json.Unmarshal(raw, v) != nil {
		f.wrong = true
	}
}

func (f *fields) text(name string) []byte {
	var s string
	f.into(name, &s)
	return []byte(s)
}

func (f *fields) flag(name string) (v bool)   { f.into(name, &v); return v }
func (f *fields) uint(name string) (v uint64) { f.into(name, &v); return v }
func (f *fields) int(name string) (v int64)   { f.into(name, &v); return v }

func (f *fields) inner(name string) fields {
	m := map[string]json.RawMessage(nil)
	f.into(name, &m)
	return fields{of: m}
}

func (f *fields) data(name string) []byte {
	raw, ok := f.of[name]
	if !ok {
		return nil
	}
	var w bytes.Buffer
	json.Compact(&w, raw)
	return w.Bytes()
}

// sameCommand compares without regard to the order of subs, which is a map.
func sameCommand(a, b Command) bool {
	a, b = normal(a), normal(b)
	left, right := map[string]SubRecover{}, map[string]SubRecover{}
	for _, s := range a.Connect.Subs {
		left[string(s.Channel)] = s
	}
	for _, s := range b.Connect.Subs {
		right[string(s.Channel)] = s
	}
	a.Connect.Subs, b.Connect.Subs = nil, nil
	return reflect.DeepEqual(a, b) && reflect.DeepEqual(left, right)
}

func TestReference(t *testing.T) {
	for _, c := range accepted {
		if got := reference([]byte(c.line), usual); got == nil || !sameCommand(*got, c.want) {
			t.Errorf("%s: %+v", c.line, got)
		}
	}
	for _, c := range refused {
		if got := reference([]byte(c.line), usual); got != nil {
			t.Errorf("%s: %+v", c.line, got)
		}
	}
}

// FuzzParse holds every line against encoding/json, in a frame of which the
// bytes around the line change, and sends what was read through the encoder.
func FuzzParse(f *testing.F) {
	for _, c := range accepted {
		f.Add([]byte(c.line))
		f.Add(AppendCommand(nil, &c.want))
	}
	for _, c := range refused {
		f.Add([]byte(c.line))
	}
	for _, line := range []string{
		`{"\u0069d":1,"p\u0075blish":{"c\u0068annel":"a\u0000\ud83d\ude00","data" : [ 1 , {"a" : "\n" } ] }}`, `{"id":4294967295,"send":null,"rpc":{"method":"","data":null}}`,
		`{"id":4294967296,"send":{}}`, `{"id":-0,"send":{"data":1}}`, `{"id":1e0,"send":{"data":1}}`, `{"id":null,"send":{"data":-0.0}}`, `{"ID":1,"Id":2,"id":3,"PUBLISH":{},"refresh":{"token":"\\"}}`,
		`{"id":2,"connect":{"subs":{"a":null,"\u0061b":{"recover":null,"offset":18446744073709551615,"epoch":"\u2028"},"":{}},"data":"x","name":null,"x":{"id":7}}}`,
		`{"id":2,"connect":{"subs":{"a":[]}}}`, `{"id":2,"subscribe":{"channel":"a","offset":18446744073709551616}}`, `{"id":2,"subscribe":{"flag":-0,"offset":0,"delta":"fossil","data":{"a":[]}}}`,
		`{"id":2,"history":{"channel":"a","limit":-9223372036854775808,"since":{"offset":1.0}}}`, `{"id":2,"history":{"since":{},"reverse":true,"limit":9223372036854775807}}`, `{"id":2,"history":{"since":null}}`,
		`{"id":1,"publish":{"data":1},"x":{"publish":{},"id":[{"id":9}]}}`, `{"x":"id","id":1,"presence":{"channel":1}}`, `{"id":1,"id":1,"presence":{}}`, "{\"id\":1,\"presence\":{\"channel\":\"\xff\"}}", " \r\t{ } ",
	} {
		f.Add([]byte(line))
	}
	p, again := newParser(), newParser()
	f.Fuzz(func(t *testing.T, line []byte) {
		var cmd, second Command
		want := reference(line, p.Limits)
		v := p.Parse(line, &cmd)
		if (v == nil) != (want != nil) {
			t.Fatalf("%q: %+v, the reference: %+v", line, v, want)
		}
		if v != nil {
			if (v.Close == nil) == (v.Error == nil) || (v.Error != nil) != (cmd.ID > 0) || v.Label == "" {
				t.Fatalf("%q: id %d, %+v", line, cmd.ID, v)
			}
			return
		}
		if !sameCommand(cmd, *want) {
			t.Fatalf("%q:\n got %+v\nwant %+v", line, cmd, *want)
		}
		sent := AppendCommand(nil, &cmd)
		if bytes.ContainsAny(sent, "\r\n") {
			t.Fatalf("%q: sent as more than a line: %q", line, sent)
		}
		if v := again.Parse(sent, &second); v != nil || !sameCommand(cmd, second) {
			t.Fatalf("%q: sent as %q: %+v\n got %+v\nwant %+v", line, sent, v, second, cmd)
		}
	})
}

// FuzzNextLine: the lines of a frame are its text without the separators.
func FuzzNextLine(f *testing.F) {
	f.Add([]byte("{}\n\n {\"id\":1}\r\n"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		var want [][]byte
		for _, line := range bytes.Split(frame, []byte{'\n'}) {
			if len(bytes.Trim(line, " \t\r")) > 0 {
				want = append(want, line)
			}
		}
		n := 0
		for line, rest := NextLine(frame); line != nil; line, rest = NextLine(rest) {
			if n == len(want) || !bytes.Equal(line, want[n]) {
				t.Fatalf("%q: line %d is %q", frame, n, line)
			}
			n++
		}
		if n != len(want) {
			t.Fatalf("%q: %d lines, want %d", frame, n, len(want))
		}
	})
}
