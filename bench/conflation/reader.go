package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/bench/internal/client"
)

// reader is what one connection got. Owned by its goroutine until that has ended.
type reader struct {
	offsets   []int
	keys      []int // of each
	latencies []time.Duration
	err       error
}

// read takes publications up to the last.
func (r *reader) read(c *client.Conn, start time.Time, last int) {
	for {
		message, err := c.Next()
		if err != nil {
			r.err = err
			return
		}
		now := time.Since(start)
		for line := range bytes.SplitSeq(message, []byte("\n")) {
			p, err := parse(line)
			if err != nil {
				r.err = err
				return
			}
			r.offsets, r.keys, r.latencies = append(r.offsets, p.offset), append(r.keys, p.key), append(r.latencies, now-p.due)
			if p.offset == last {
				return
			}
		}
	}
}

// judge wants everything for those who read, and the newest for those who did not.
func (r *result) judge(p *plan, asleep, awake []reader) error {
	for i := range awake {
		if err := awake[i].everything(p.publications()); err != nil {
			return fmt.Errorf("reader %d: %w", i, err)
		}
		r.latencies = append(r.latencies, awake[i].latencies...)
	}
	slices.Sort(r.latencies)
	r.fewest = p.publications()
	for i := range asleep {
		if err := asleep[i].newest(p.publications(), p.keys); err != nil {
			return fmt.Errorf("reader %d, which stood still: %w", i, err)
		}
		r.fewest, r.most = min(r.fewest, len(asleep[i].offsets)), max(r.most, len(asleep[i].offsets))
	}
	return nil
}

// everything wants each offset once, in order.
func (r *reader) everything(n int) error {
	for i, offset := range r.offsets {
		if offset != i+1 {
			return fmt.Errorf("offset %d where %d was due", offset, i+1)
		}
	}
	if r.err != nil || len(r.offsets) != n {
		return errors.Join(fmt.Errorf("%d of %d publications", len(r.offsets), n), r.err)
	}
	return nil
}

// newest wants the last publication of each key, in the order of offsets. The i-th
// publication of n has key i modulo keys.
func (r *reader) newest(n, keys int) error {
	if r.err != nil {
		return r.err
	}
	if !slices.IsSorted(r.offsets) || len(slices.Compact(slices.Clone(r.offsets))) != len(r.offsets) {
		return errors.New("offsets out of order, or twice")
	}
	for offset := n - keys + 1; offset <= n; offset++ {
		i, found := slices.BinarySearch(r.offsets, offset)
		if !found || r.keys[i] != (offset-1)%keys {
			return fmt.Errorf("the newest of key %d is missing", (offset-1)%keys)
		}
	}
	return nil
}

// publication is what a reader needs of one.
type publication struct {
	offset, key int
	due         time.Duration // since the start
}

const (
	beforeKey    = `"symbol":"S`
	beforeDue    = `","due":`
	beforeOffset = `"offset":`
)

// appendData appends what is published: some 200 bytes.
func appendData(dst []byte, key int, due time.Duration) []byte {
	return fmt.Appendf(dst, `{"symbol":"S%d","due":%d,"pad":"%s"}`, key, due.Nanoseconds(), strings.Repeat("x", 150))
}

// parse finds the figures of a push without decoding it.
func parse(line []byte) (p publication, err error) {
	rest := line
	for _, field := range []struct {
		before string
		to     func(int)
	}{
		{beforeKey, func(n int) { p.key = n }},
		{beforeDue, func(n int) { p.due = time.Duration(n) }},
		{beforeOffset, func(n int) { p.offset = n }},
	} {
		_, after, found := bytes.Cut(rest, []byte(field.before))
		digits := 0
		for digits < len(after) && after[digits] >= '0' && after[digits] <= '9' {
			digits++
		}
		n, err := strconv.Atoi(string(after[:digits]))
		if !found || err != nil {
			return p, fmt.Errorf("not a publication: %q", line)
		}
		field.to(n)
		rest = after[digits:]
	}
	return p, nil
}
