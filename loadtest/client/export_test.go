package client

import (
	"context"
	"net"
	"time"
)

// Establish makes a Line of a connection of the test's own.
func (d *Dialer) Establish(ctx context.Context, raw *net.TCPConn) (*Line, error) {
	return d.establish(ctx, raw, "", time.Now(), &Timing{})
}

// Chosen is which of a host's addresses is dialled.
var Chosen = chosen
