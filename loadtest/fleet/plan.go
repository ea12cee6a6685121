package fleet

import (
	"errors"
	"fmt"

	"weir/loadtest/client"
	"weir/loadtest/dialect"
)

// WorkerConnections is how many connections a process is given at most: what a
// limit of 20,000 descriptors leaves room for.
const WorkerConnections = 18_000

// maxConnections bounds what one Fleet may be asked for.
const maxConnections = 4_000_000

// Plan is what the connections of a fleet are and do. It is plain data, and holds
// a token: it goes to a worker by its input, never by its arguments.
//
// Connections are numbered from 0 over the whole fleet. Number n goes to target n
// modulo their number, and takes Each channels from channel n×Each on, round and
// round. A stream is one publisher's publications in one channel.
type Plan struct {
	Targets    []client.Target
	Protocol   string
	Token      string
	Channel    string // how the names of channels begin; their number follows
	Channels   int
	Each       int    // channels of one connection; 0: it subscribes to nothing
	Publishers int    // streams in a channel; 0 is 1
	Stream0    uint32 // number of the first stream, so that two runs are told apart
	Recover    bool   // keep positions, and go on there when a connection comes again
	Numbered   bool   // the channels are new: a position is a number in the (only) stream

	dialect dialect.Dialect
}

func (p *Plan) check() (err error) {
	if p.dialect, err = dialect.Parse(p.Protocol); err != nil {
		return err
	}
	p.Publishers = max(p.Publishers, 1)
	switch {
	case len(p.Targets) == 0:
		return errors.New("no target")
	case p.Channels < 1 || p.Each < 0 || p.Each > p.Channels:
		return fmt.Errorf("%d channels of %d for each connection", p.Each, p.Channels)
	case p.Publishers > 1 && p.Numbered:
		return errors.New("positions number a stream only where it is the only one")
	}
	return nil
}

// Name is the name of a channel.
func (p *Plan) Name(channel int) string { return fmt.Sprintf("%s%d", p.Channel, channel) }

// Streams is the number of streams.
func (p *Plan) Streams() int { return p.Channels * max(p.Publishers, 1) }

// channelOf is the j-th channel of connection n.
func (p *Plan) channelOf(n, j int) int { return (n*p.Each%p.Channels + j) % p.Channels }

// place finds a stream among those of connection n; ok is false if it is not subscribed to.
func (p *Plan) place(n int, stream uint32) (at int, ok bool) {
	s := int(stream - p.Stream0)
	if s >= p.Channels*p.Publishers {
		return 0, false
	}
	j := s/p.Publishers - n*p.Each%p.Channels
	if j < 0 {
		j += p.Channels
	}
	return j*p.Publishers + s%p.Publishers, j < p.Each
}

// streamOf is the stream, counted from 0, that publisher n of all publishes, and its channel.
func (p *Plan) streamOf(publisher int) (stream, channel int) {
	channel = publisher % p.Channels
	return channel*p.Publishers + publisher/p.Channels, channel
}
