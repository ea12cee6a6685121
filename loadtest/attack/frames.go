package attack

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"weir/engine/clientproto"
	"weir/engine/ws"
)

// recordBytes is about what goes into one write: a record's worth.
const recordBytes = 16 << 10

// frameKinds are those who are in, and send what is no command.
func frameKinds() []Kind {
	return []Kind{
		{Name: "slow-frames", What: "begin a long frame or record and send it byte by byte", Attackers: 300, live: slowFrame},
		{Name: "pings", What: "send pings as fast as can be", Attackers: 16, live: pings},
		{Name: "tiny-frames", What: "send frames of six bytes as fast as can be", Attackers: 16, live: tinyFrames},
		{Name: "empty-fragments", What: "send a message of fragments with nothing in them", Attackers: 16, live: emptyFragments},
		{Name: "deflate-bombs", What: "send short messages that inflate to long ones", Attackers: 16, live: deflateBomb},
	}
}

func slowFrame(ctx context.Context, a *attacker) error {
	l, err := a.enter(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	long := make([]byte, 60<<10)
	if a.number%2 == 0 { // a record that is never whole
		begun := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, 16<<10)
		begun = append(begun, long[:recordBytes]...)
		l.each(drip, func() error {
			_, err := l.raw.Write(begun[:1])
			begun = begun[1:]
			return err
		})
		return nil
	}
	l.frame(ws.Header{Fin: true, Opcode: ws.OpText}, long)
	rest := l.out
	l.each(drip, func() error {
		_, err := l.stream.Write(rest[:1])
		rest = rest[1:]
		return err
	})
	return nil
}

// pour sends a frame as often as goes into a record, again and again, and reads nothing.
func (a *attacker) pour(ctx context.Context, h ws.Header, payload []byte) error {
	l, err := a.enter(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	for len(l.out) < recordBytes-len(payload)-ws.MaxHeaderBytes {
		l.frame(h, payload)
	}
	for err == nil && ctx.Err() == nil {
		_, err = l.stream.Write(l.out)
	}
	return nil
}

func pings(ctx context.Context, a *attacker) error {
	return a.pour(ctx, ws.Header{Fin: true, Opcode: ws.OpPing}, bytes.Repeat([]byte{'p'}, 125*(a.number%2)))
}

func tinyFrames(ctx context.Context, a *attacker) error {
	op := [...]ws.Opcode{ws.OpText, ws.OpBinary, ws.OpPong}[a.number%3]
	return a.pour(ctx, ws.Header{Fin: true, Opcode: op}, nil)
}

func emptyFragments(ctx context.Context, a *attacker) error {
	l, err := a.enter(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	l.frame(ws.Header{Opcode: ws.OpText}, nil)
	err = l.flush()
	for len(l.out) < recordBytes {
		l.frame(ws.Header{Opcode: ws.OpContinuation}, nil)
	}
	for err == nil && ctx.Err() == nil {
		_, err = l.stream.Write(l.out)
	}
	return nil
}

// bombBytes is what a bomb inflates to; deflated it is a thousandth of that.
const bombBytes = 40 << 20

// bomb is a deflated run of spaces, valid around a JSON text, which RFC 7692
// §7.2.1 ends without its last four bytes.
func bomb() ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	spaces := bytes.Repeat([]byte{' '}, 1<<20)
	for range bombBytes / len(spaces) {
		if _, err := w.Write(spaces); err != nil {
			return nil, err
		}
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff}), nil
}

func deflateBomb(ctx context.Context, a *attacker) error {
	l, err := a.open(ctx, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n")
	if err != nil {
		return err
	}
	defer l.close()
	load, err := a.bomb()
	if err != nil {
		return err
	}
	for ctx.Err() == nil { // one after the other, until one goes off at the server
		l.frame(ws.Header{Fin: true, Rsv1: true, Opcode: ws.OpText}, load)
		if l.flush() != nil {
			return nil
		}
		if _, err := l.stream.Read(l.in[:]); err != nil {
			return nil
		}
	}
	return nil
}

// commandKinds are those who speak the protocol, or nearly.
func commandKinds() []Kind {
	return []Kind{
		{Name: "bad-json", What: "send JSON that is wrong, deep, wide or doubled", Attackers: 16, live: badJSON},
		{Name: "slow-readers", What: "have long publications sent, and read a byte now and then", Attackers: 128, live: slowReader},
		{Name: "subscribe-churn", What: "subscribe to ever new channels and leave them", Attackers: 16, live: subscribeChurn},
	}
}

// badTexts are commands that a parser can lose time or memory over.
func badTexts() [][]byte {
	const n = 60 << 10
	wide, doubled := []byte(`{"id":1,"connect":{"data":{`), []byte(`{"id":1,"connect":{"data":{`)
	for i := 0; len(wide) < n; i++ {
		wide = fmt.Appendf(wide, `"%d":0,`, i)
	}
	for i := range 500 { // of each name two, far apart and differently written
		doubled = fmt.Appendf(doubled, `"a%d":0,"b%d":0,`, i, 500+i)
	}
	doubled = append(doubled, `"\u0061100":0,`...)
	wrap := func(open, end string) []byte {
		return fmt.Appendf(nil, `{"id":1,"connect":{"data":%s%s}}`, bytes.Repeat([]byte(open), n/2/len(open)), bytes.Repeat([]byte(end), n/2/len(open)))
	}
	return [][]byte{
		wrap("[", "]"), wrap(`{"a":`, "}"), wrap("[", ""), // deep
		append(wide, `"z":0}}}`...), append(doubled, `"z":0}}}`...),
		bytes.Repeat([]byte(`{"id":1}`+"\n"), n/9),
		append([]byte(`{"id":1,"connect":{"data":"`), bytes.Repeat([]byte("\xed\xa0\x80"), n/3)...), // surrogates in UTF-8
		append([]byte(`{"id":1,"connect":{"data":1e`), bytes.Repeat([]byte("9"), n)...),
		append([]byte(`{"id":1,"connect":{"token":"`), bytes.Repeat([]byte(`\`), n)...),
	}
}

func badJSON(ctx context.Context, a *attacker) error {
	l, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	texts := a.texts()
	for i := a.number; ctx.Err() == nil && l.text(texts[i%len(texts)]) == nil; i++ {
		if _, err := l.stream.Read(l.in[:]); err != nil {
			break
		}
	}
	return nil
}

const (
	feeders       = 2                     // of the slow readers' attackers: they publish
	feedEvery     = 70 * time.Millisecond // a little below --byte-rate
	feedBytes     = 60 << 10
	windowBytes   = 4 << 10 // kernel's receive buffer of a slow reader
	slowReadEvery = 500 * time.Millisecond
)

func slowReader(ctx context.Context, a *attacker) error {
	l, err := a.enter(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	channel := []byte(a.target.Channel + "-slow")
	if a.number < feeders {
		data := append(append([]byte{'"'}, bytes.Repeat([]byte{'f'}, feedBytes)...), '"')
		id := uint32(1)
		l.each(feedEvery, func() error {
			id++
			if err := l.command(&clientproto.Command{ID: id, Method: clientproto.Publish, Publish: clientproto.PublishRequest{Channel: channel, Data: data}}); err != nil {
				return err
			}
			return l.await("{")
		})
		return nil
	}
	if err := l.raw.SetReadBuffer(windowBytes); err != nil {
		return err
	}
	if err := l.command(&clientproto.Command{ID: 2, Method: clientproto.Subscribe, Subscribe: clientproto.SubscribeRequest{Channel: channel}}); err != nil {
		return nil // closed already: that is the server's right
	}
	l.each(slowReadEvery, func() error {
		_, err := l.raw.Read(l.in[:1])
		return err
	})
	return nil
}

const (
	churnBurst = 60                     // commands in one message
	churnEvery = 600 * time.Millisecond // a burst of who stays below --message-rate
)

// subscribeChurn is as fast as it can be, and is closed for it, or as fast as
// goes unpunished. Two subscribes go with one unsubscribe.
func subscribeChurn(ctx context.Context, a *attacker) error {
	l, err := a.enter(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	n, every := uint32(1), churnEvery
	if a.number%2 == 0 {
		every = time.Millisecond
	}
	life := a.lives.Load()
	l.each(every, func() error {
		var lines []byte
		for range churnBurst {
			n++
			cmd := clientproto.Command{ID: n, Method: clientproto.Subscribe, Subscribe: clientproto.SubscribeRequest{
				Channel: fmt.Appendf(nil, "%s-%d-%d", a.target.Channel, life, n)}}
			if n%3 == 0 {
				cmd = clientproto.Command{ID: n, Method: clientproto.Unsubscribe, Unsubscribe: clientproto.UnsubscribeRequest{
					Channel: fmt.Appendf(nil, "%s-%d-%d", a.target.Channel, life, n-1)}}
			}
			lines = append(clientproto.AppendCommand(lines, &cmd), '\n')
		}
		if err := l.text(lines[:len(lines)-1]); err != nil {
			return err
		}
		_, err := l.stream.Read(l.in[:])
		return err
	})
	return nil
}
