package poll

import (
	"encoding/binary"
	"net"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestReportsInVain: a condition that reports no input does not keep the loop busy, one that does not last is no matter.
func TestReportsInVain(t *testing.T) {
	s := &server{data: func(c *Conn, b []byte) { _ = c.Write(b) }}
	l := s.start(t, LoopConfig{})
	ours, theirs := pair(t)
	if err := l.Add(ours); err != nil {
		t.Fatal(err)
	}
	c := s.only()
	report := func() { l.read(&c.nb) }
	for range 3 {
		s.run(func() {
			for range maxVain {
				report()
			}
		})
		roundTrip(t, theirs, "x") // input takes the count back
	}
	s.run(func() {
		for range maxVain + 1 {
			report()
		}
	})
	if _, err := theirs.Read(make([]byte, 1)); err == nil {
		t.Fatal("not closed")
	}
	s.await(func() bool { return len(s.conns) == 0 })
}

// TestUrgentByteBehindAHole: the kernel reports an urgent byte as soon as it is there, but gives it out only after all
// bytes before it. A peer that makes its own segments withholds one of those.
func TestUrgentByteBehindAHole(t *testing.T) {
	closed := make(chan struct{})
	s := &server{closed: func(*Conn) { close(closed) }}
	l := s.start(t, LoopConfig{})
	p := newSegments(t)
	p.ln = serve(t, ListenConfig{Addr: "10.213.0.1:0"}, l)
	const syn, ack, urgent = 0x02, 0x10, 0x20
	p.send(t, syn, 0, "")
	p.awaitSynAck(t)
	p.seq++
	p.send(t, ack, 0, "")
	s.only()
	p.seq++ // the hole
	p.send(t, ack|urgent, 1, "!")
	receive(t, closed)
}

// segments is a peer without a kernel: 10.213.0.2 behind a tunnel, in a network namespace of the test's own.
type segments struct {
	ln       *Listener
	tunnel   int
	seq, ack uint32
}

func newSegments(t *testing.T) *segments {
	t.Helper()
	// The thread has the namespace, which goes with it: it is never unlocked.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skip("skipped: no network namespace may be made here: ", err)
	}
	tunnel, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("skipped: no tunnel may be made here: ", err)
	}
	t.Cleanup(func() { _ = unix.Close(tunnel) })
	req, err := unix.NewIfreq("weir0")
	if err != nil {
		t.Fatal(err)
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(tunnel, unix.TUNSETIFF, req); err != nil {
		t.Skip("skipped: no tunnel may be made here: ", err)
	}
	for _, args := range [][]string{{"addr", "add", "10.213.0.1/24", "dev", "weir0"}, {"link", "set", "weir0", "up"}} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Skipf("skipped: ip %v: %v %s", args, err, out)
		}
	}
	return &segments{tunnel: tunnel, seq: 1000}
}

// send sends one segment; urgent is the urgent pointer.
func (p *segments) send(t *testing.T, flags byte, urgent uint16, data string) {
	t.Helper()
	const ipLen, tcpLen = 20, 20
	b := make([]byte, ipLen+tcpLen+len(data))
	tcp := b[ipLen:]
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	copy(b[12:], net.IPv4(10, 213, 0, 2).To4())
	copy(b[16:], net.IPv4(10, 213, 0, 1).To4())
	binary.BigEndian.PutUint16(b[10:], checksum(b[:ipLen], 0))
	binary.BigEndian.PutUint16(tcp, 5555)
	binary.BigEndian.PutUint16(tcp[2:], p.ln.Addr().Port())
	binary.BigEndian.PutUint32(tcp[4:], p.seq)
	binary.BigEndian.PutUint32(tcp[8:], p.ack)
	tcp[12], tcp[13] = tcpLen/4<<4, flags
	binary.BigEndian.PutUint16(tcp[14:], 65000)
	binary.BigEndian.PutUint16(tcp[18:], urgent)
	copy(tcp[tcpLen:], data)
	pseudo := unix.IPPROTO_TCP + uint32(len(tcp))
	for i := 12; i < ipLen; i += 2 {
		pseudo += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(tcp[16:], checksum(tcp, pseudo))
	if _, err := unix.Write(p.tunnel, b); err != nil {
		t.Fatal(err)
	}
}

func (p *segments) awaitSynAck(t *testing.T) {
	t.Helper()
	b := make([]byte, 2000)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		awaitReadable(t, p.tunnel)
		n, err := unix.Read(p.tunnel, b)
		if err != nil {
			t.Fatal(err)
		}
		if n >= 40 && b[0] == 0x45 && b[9] == unix.IPPROTO_TCP && b[33] == 0x12 {
			p.ack = binary.BigEndian.Uint32(b[24:]) + 1
			return
		}
	}
	t.Fatal("no answer to the SYN")
}

// checksum is the Internet checksum (RFC 1071) of b and what was summed up before.
func checksum(b []byte, sum uint32) uint16 {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
