package client

import (
	"context"
	"fmt"
	"sync"
)

// Open dials connections number from to to-1, at most atOnce at the same time,
// and calls each with every one that is subscribed, from several goroutines.
// It returns when all are, or the first error once nobody dials any more.
func (d *Dialer) Open(ctx context.Context, from, to, atOnce int, each func(i int, c *Conn)) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	numbers := make(chan int)
	var dialing sync.WaitGroup
	for range atOnce {
		dialing.Go(func() {
			for i := range numbers {
				c, err := d.Dial(ctx, i)
				if err != nil {
					fail(fmt.Errorf("connection %d: %w", i, err))
					return
				}
				each(i, c)
			}
		})
	}
	for i := from; i < to && ctx.Err() == nil; i++ {
		select {
		case numbers <- i:
		case <-ctx.Done():
		}
	}
	close(numbers)
	dialing.Wait()
	return context.Cause(ctx)
}
