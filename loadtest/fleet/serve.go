package fleet

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
)

// Serve is a worker: it obeys the orders of in, one JSON value each, until they
// end, and answers each on out.
func Serve(ctx context.Context, in io.Reader, out io.Writer, log *slog.Logger) error {
	orders, reports := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	var c *crew
	defer func() {
		if c != nil {
			c.stop()
		}
	}()
	for {
		var o Order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var r Report
		var err error
		switch {
		case (o.Begin != nil) == (c != nil):
			err = errors.New("the first order, and no other, begins")
		case o.Begin != nil:
			c, err = newCrew(ctx, *o.Begin, log)
		default:
			r, err = c.obey(o)
		}
		if err != nil {
			r.Failure = err.Error()
		}
		if o.Count {
			r.Process, _ = ReadProcess(self) // without /proc there is no figure
		}
		if err := reports.Encode(&r); err != nil {
			return err
		}
	}
}

// local is a worker of this process.
type local struct{ c *crew }

func (l local) do(o Order) (Report, error) { return l.c.obey(o) }
func (l local) end() error                 { l.c.stop(); return nil }
