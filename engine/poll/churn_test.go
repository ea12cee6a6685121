package poll

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// churn is a server whose connections close each other. A client's first byte says what it
// is: 'h' honest, echoed to and never closed; 'd' doomed, it resets and is written to by
// others; 'v' victim, closed by others. Storage is reused at once.
type churn struct {
	t       *testing.T
	loop    *Loop
	free    []*Conn
	others  []*Conn        // doomed and victims
	kind    map[*Conn]byte // owned by the loop
	rng     *rand.Rand
	parked  int
	failed  int
	aborted int
}

func (h *churn) Open(_, _ netip.AddrPort, _ uint8) *Conn {
	var c *Conn
	if n := len(h.free); n > 0 {
		c, h.free = h.free[n-1], h.free[:n-1]
	} else {
		c = new(Conn)
	}
	if _, ok := h.kind[c]; ok {
		h.t.Error("storage in use")
	}
	h.kind[c] = 0
	return c
}

func (h *churn) Data(c *Conn, b []byte) {
	if h.kind[c] == 0 {
		h.kind[c] = b[0]
		if b[0] != 'h' {
			h.others = append(h.others, c)
			return
		}
	}
	if h.kind[c] != 'h' {
		return
	}
	if err := c.Write(b); err != nil {
		h.t.Errorf("write to an honest client: %v", err)
	}
	before := h.failed + h.aborted
	defer func() {
		// Numbers are free now: give others time to get them while this batch lasts.
		for i := 0; i < 100 && h.failed+h.aborted > before; i++ {
			runtime.Gosched()
		}
	}()
	// Touch others in our own report.
	h.others = slices.DeleteFunc(h.others, func(o *Conn) bool {
		if h.kind[o] == 'v' {
			if h.rng.IntN(8) > 0 {
				return false
			}
			o.Abort()
			h.aborted++
			return true
		}
		if o.Write([]byte("XXXXXXXX")) == nil {
			return false
		}
		h.failed++
		return true
	})
}

func (h *churn) Writable(*Conn) {}

func (h *churn) Closed(c *Conn) {
	if _, ok := h.kind[c]; !ok {
		h.t.Error("Closed twice")
	}
	delete(h.kind, c)
	h.others = slices.DeleteFunc(h.others, func(o *Conn) bool { return o == c })
	h.free = append(h.free, c)
}

func (h *churn) Wake(time.Time) { h.parked += len(h.loop.parked) }

// TestChurn: connections come and go beside failing writes and closes, so that numbers are
// reused all the time. No honest client may be closed by us, or read a byte that is not its own.
func TestChurn(t *testing.T) {
	h := &churn{t: t, kind: make(map[*Conn]byte), rng: rand.New(rand.NewPCG(1, 2))}
	l, err := NewLoop(LoopConfig{}, h)
	if err != nil {
		t.Fatal(err)
	}
	h.loop = l
	t.Cleanup(l.Stop)
	addr := serve(t, ListenConfig{}, l).Addr().String()

	const workers, rounds = 64, 25
	var serial atomic.Uint64
	var clients sync.WaitGroup
	for range workers {
		clients.Go(func() {
			for range rounds {
				if err := churnRound(addr, &serial); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	l.Stop()
	t.Logf("%d echoes, %d writes failed, %d aborted, parked %d times", serial.Load(), h.failed, h.aborted, h.parked)
	if h.failed == 0 || h.aborted == 0 || len(h.kind) != 0 {
		t.Errorf("%d writes failed, %d aborted, %d left: the test shows nothing", h.failed, h.aborted, len(h.kind))
	}
}

func churnRound(addr string, serial *atomic.Uint64) error {
	var conns [4]*net.TCPConn
	for i := range conns {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(patience))
		conns[i] = nc.(*net.TCPConn)
	}
	honest, doomed, victim, late := conns[0], conns[1], conns[2], conns[3]
	if _, err := doomed.Write([]byte("d")); err != nil {
		return err
	}
	if _, err := victim.Write([]byte("v")); err != nil {
		return err
	}
	for range 3 {
		if err := churnEcho(honest, serial.Add(1)); err != nil {
			return fmt.Errorf("an honest client: %w", err)
		}
	}
	_ = doomed.SetLinger(0)
	_ = doomed.Close()
	if err := churnEcho(late, serial.Add(1)); err != nil {
		return fmt.Errorf("an honest late client: %w", err)
	}
	for { // until we are closed
		if _, err := victim.Write([]byte("v")); err != nil {
			return nil
		}
		if err := churnEcho(late, serial.Add(1)); err != nil {
			return fmt.Errorf("an honest late client: %w", err)
		}
	}
}

func churnEcho(nc net.Conn, serial uint64) error {
	sent := binary.BigEndian.AppendUint64([]byte("h"), serial)
	if _, err := nc.Write(sent); err != nil {
		return err
	}
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(nc, got); err != nil {
		return err
	}
	if !bytes.Equal(got, sent) {
		return fmt.Errorf("read %x, want %x", got, sent)
	}
	return nil
}
