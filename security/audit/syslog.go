package audit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"
)

const (
	// syslogBytes wait for a collector that is away, beside what waits for the sink.
	syslogBytes = 1 << 20
	// A collector that does not answer is tried again after a while, ever longer.
	syslogFirstPause = time.Second
	syslogMaxPause   = 30 * time.Second
	syslogTimeout    = 10 * time.Second // to connect, and for one write
	// syslogFacility is "log audit" (RFC 5424 §6.2.1).
	syslogFacility = 13
)

// errCollector is told while the buffer for a collector is full.
var errCollector = errors.New("the syslog collector is away or slow, and what waits for it is full")

// SyslogOptions say where a collector is.
type SyslogOptions struct {
	Address string      // host:port
	TLS     *tls.Config // whom to trust; ServerName is set from Address
	Host    string      // HOSTNAME of the messages
	PID     int
	Format  Format
	Key     []byte // of checkpoints; nil: not chained
	Log     *slog.Logger
	Dial    func(ctx context.Context, address string) (net.Conn, error) // nil: TLS
}

// DialSyslog sends RFC 5424 messages over TLS with octet counting (RFC 5425). It
// returns before there is a connection: a collector that is away holds up nothing.
func DialSyslog(o SyslogOptions) (Destination, error) {
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil {
		return Destination{}, fmt.Errorf("%q is no address; write host:port: %w", o.Address, err)
	}
	if o.Dial == nil {
		d := tls.Dialer{NetDialer: &net.Dialer{Timeout: syslogTimeout}, Config: o.TLS.Clone()}
		d.Config.ServerName, d.Config.MinVersion = host, tls.VersionTLS12
		o.Dial = func(ctx context.Context, address string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &syslog{options: o, ctx: ctx, cancel: cancel, bell: make(chan struct{}, 1), done: make(chan struct{})}
	go s.send()
	frame := func(dst, line []byte, r *Record) []byte { return appendSyslog(dst, line, r, o.Host, o.PID) }
	return Destination{format: o.Format, key: o.Key, sink: s, frame: frame}, nil
}

// appendSyslog wraps a line: octet count, header, message (RFC 5425 §4.3, RFC 5424 §6).
func appendSyslog(dst, text []byte, r *Record, host string, pid int) []byte {
	severity := 6 // informational
	if i, ok := r.Event.index(); ok && events[i].severity >= 5 {
		severity = 4 // warning
	} else if ok && events[i].severity >= 3 {
		severity = 5 // notice
	}
	head := fmt.Appendf(nil, "<%d>1 %s %s weir %d %s - ", syslogFacility*8+severity, r.Time.UTC().Format(timeForm), syslogName(host), pid, r.Event)
	dst = strconv.AppendInt(dst, int64(len(head)+len(text)), 10)
	dst = append(dst, ' ')
	return append(append(dst, head...), text...)
}

// syslogName keeps what may stand in HOSTNAME: printable ASCII, 255 at most.
func syslogName(host string) string {
	b := []byte(host)
	for i, c := range b {
		if c <= ' ' || c >= 0x7f {
			b[i] = '_'
		}
	}
	if len(b) == 0 {
		return "-"
	}
	return string(b[:min(len(b), 255)])
}

// syslog is a connection to a collector, made again when it breaks. What the
// kernel had taken when it broke may be lost: RFC 5425 has no acknowledgement.
type syslog struct {
	options SyslogOptions
	ctx     context.Context
	cancel  context.CancelFunc
	bell    chan struct{} // room for one
	done    chan struct{} // closed when send has ended

	mu      sync.Mutex
	waiting []byte // guarded by mu: whole messages
	ending  bool   // guarded by mu: send what waits, then end
}

// write takes whole messages while there is room, and never blocks.
func (s *syslog) write(b []byte) (int, error) {
	s.mu.Lock()
	n := 0
	for n < len(b) {
		size := messageLen(b[n:])
		if len(s.waiting)+size > syslogBytes {
			break
		}
		s.waiting = append(s.waiting, b[n:n+size]...)
		n += size
	}
	s.mu.Unlock()
	s.ring()
	if n < len(b) {
		return n, errCollector
	}
	return n, nil
}

func (s *syslog) ring() {
	select {
	case s.bell <- struct{}{}:
	default: // it rings already
	}
}

// messageLen is the length of the message at the start of b, with its count.
func messageLen(b []byte) int {
	n := 0
	for i, c := range b {
		if c == ' ' {
			return i + 1 + n
		}
		n = 10*n + int(c-'0')
	}
	return len(b)
}

func (s *syslog) due(time.Time, int) bool       { return false }
func (s *syslog) rotate(time.Time, place) error { return nil }
func (s *syslog) sealed(place) error            { return nil }

// close gives what waits some time to go out.
func (s *syslog) close() error {
	s.mu.Lock()
	s.ending = true
	s.mu.Unlock()
	s.ring()
	patience := time.AfterFunc(closeWait/2, s.cancel)
	defer patience.Stop()
	<-s.done
	s.cancel()
	if left := len(s.waiting); left > 0 {
		return fmt.Errorf("%d bytes were not sent to the syslog collector", left)
	}
	return nil
}

// send is the goroutine that owns the connection.
func (s *syslog) send() {
	defer close(s.done)
	var conn net.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close() // what was to be sent is sent
		}
	}()
	pause := syslogFirstPause
	for {
		batch, ending := s.next()
		if len(batch) == 0 {
			if ending {
				return
			}
			select {
			case <-s.bell:
			case <-s.ctx.Done():
				return
			}
			continue
		}
		var err error
		if conn == nil {
			conn, err = s.options.Dial(s.ctx, s.options.Address)
		}
		if err == nil {
			if err = s.deliver(conn, batch); err == nil {
				pause = syslogFirstPause
				continue
			}
			_ = conn.Close() // it is broken
			conn = nil
		}
		s.options.Log.Error("the syslog collector cannot be reached; the audit log waits for it", "address", s.options.Address, "error", err.Error())
		if !s.rest(pause) {
			return
		}
		pause = min(2*pause, syslogMaxPause)
	}
}

// next returns what waits; it stays there until it was delivered.
func (s *syslog) next() (batch []byte, ending bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	const most = 64 << 10
	n := 0
	for n < len(s.waiting) && n < most {
		n += messageLen(s.waiting[n:])
	}
	return append([]byte(nil), s.waiting[:n]...), s.ending
}

// deliver writes a batch. Messages of which the kernel took all are not sent again.
func (s *syslog) deliver(conn net.Conn, batch []byte) error {
	if err := conn.SetWriteDeadline(time.Now().Add(syslogTimeout)); err != nil {
		return err
	}
	stop := context.AfterFunc(s.ctx, func() { _ = conn.Close() })
	defer stop()
	n, err := conn.Write(batch)
	whole := 0
	for whole < n {
		size := messageLen(batch[whole:])
		if whole+size > n {
			break
		}
		whole += size
	}
	s.mu.Lock()
	s.waiting = s.waiting[:copy(s.waiting, s.waiting[whole:])]
	s.mu.Unlock()
	return err
}

// rest waits; false if the log ends meanwhile.
func (s *syslog) rest(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}
