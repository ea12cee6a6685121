package poll

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"sync"
	"syscall"
	"unsafe"

	"github.com/lesismal/nbio"
	"github.com/lesismal/nbio/logging"
)

// duplicate makes the descriptor that nbio will own, closing nc when it succeeds.
// nbio duplicates without close-on-exec; the lock keeps a fork from seeing it so.
func duplicate(nc net.Conn) (*nbio.Conn, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	nb, err := nbio.NBConn(nc)
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(nb.Hash())
	return nb, nil
}

// settle moves a connection that nbio has not heard of yet to where it is to stay: nbio makes each by itself. What it
// has of the connection then is this address, until it has told OnClose; only the loop, in a turn of its own after
// that, gives the place to another. from is not used again.
func settle(to, from *nbio.Conn) {
	reflect.ValueOf(to).Elem().Set(reflect.ValueOf(from).Elem()) // nobody holds its lock
}

// startEngine starts g and marks the descriptors it made close-on-exec.
// A child holding one would keep closed connections registered. It returns the one that
// is waited on.
func startEngine(g *nbio.Engine) (int, error) {
	pollers := reflect.ValueOf(g).Elem().FieldByName("pollers")
	if !hasDescriptors(pollers) {
		return 0, errFields
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := g.Start(); err != nil {
		return 0, err
	}
	for _, name := range descriptorFields {
		syscall.CloseOnExec(int(pollers.Index(0).Elem().FieldByName(name).Int()))
	}
	return int(pollers.Index(0).Elem().FieldByName(descriptorFields[0]).Int()), nil
}

var errFields = errors.New("poll: this version of nbio has other fields than the pinned one")

// hasDescriptors reports whether the poller's descriptors are where the pinned version
// of nbio has them: in unexported fields. It offers no other way to them. A test
// looks at every descriptor of a loop.
func hasDescriptors(pollers reflect.Value) bool {
	if !pollers.IsValid() || pollers.Kind() != reflect.Slice || pollers.Type().Elem().Kind() != reflect.Pointer {
		return false
	}
	for _, name := range descriptorFields {
		f, ok := pollers.Type().Elem().Elem().FieldByName(name)
		if !ok || f.Type.Kind() != reflect.Int {
			return false
		}
	}
	return true
}

// connFields are the offsets of fields of nbio.Conn that are written where the pinned version has them, for nbio offers no way.
// fd and typ make a connection of a descriptor; nbio itself would ask for a net.Conn and duplicate its. The two addresses it
// keeps for the life of a connection and never looks at: they are 96 bytes of the 304 that one has on the heap there, and the
// handler has them as values.
type connFields struct{ fd, typ, local, remote uintptr }

func newConnFields() (f connFields, err error) {
	for _, field := range []struct {
		name string
		kind reflect.Type
		at   *uintptr
	}{
		{"fd", reflect.TypeFor[int](), &f.fd},
		{"typ", reflect.TypeFor[nbio.ConnType](), &f.typ},
		{"lAddr", reflect.TypeFor[net.Addr](), &f.local},
		{"rAddr", reflect.TypeFor[net.Addr](), &f.remote},
	} {
		found, ok := reflect.TypeFor[nbio.Conn]().FieldByName(field.name)
		if !ok || found.Type != field.kind {
			return f, errFields
		}
		*field.at = found.Offset
	}
	return f, nil
}

// conn makes a TCP connection that owns fd.
func (f connFields) conn(fd int) *nbio.Conn {
	nb := new(nbio.Conn)
	*(*int)(unsafe.Add(unsafe.Pointer(nb), f.fd)) = fd
	*(*nbio.ConnType)(unsafe.Add(unsafe.Pointer(nb), f.typ)) = nbio.ConnTypeTCP
	return nb
}

func (f connFields) forgetAddresses(nb *nbio.Conn) {
	*(*net.Addr)(unsafe.Add(unsafe.Pointer(nb), f.local)) = nil
	*(*net.Addr)(unsafe.Add(unsafe.Pointer(nb), f.remote)) = nil
}

// silenceNbio replaces nbio's logger, which is one per process and prints to
// standard output. It can only be replaced before the first engine runs, because
// nbio reads it without a lock: hence the one Once of the package.
var silenceNbio sync.Once

// nbioLog passes nbio's errors on (a failing epoll_wait, a panic in its close
// callbacks) and drops the rest.
type nbioLog struct{ log *slog.Logger }

func replaceNbioLog(log *slog.Logger) {
	silenceNbio.Do(func() { logging.SetLogger(nbioLog{log}) })
}

func (nbioLog) Debug(string, ...any) {}
func (nbioLog) Info(string, ...any)  {}
func (nbioLog) Warn(string, ...any)  {}
func (l nbioLog) Error(format string, v ...any) {
	l.log.Error("nbio", "message", fmt.Sprintf(format, v...))
}
