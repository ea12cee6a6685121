package poll

import "math/bits"

const (
	smallestBatch = 12 // 4 KiB
	largestBatch  = 17 // 128 KiB: nbio gathers up to 64 KiB in one buffer
	keptBatches   = 1 << 20
)

// batches hands out the buffers in which nbio keeps what a socket did not take.
// It is owned by the loop, which is the only one to write, flush and close. nbio's own
// pool is one per process and keeps buffers of any size; this one keeps at most 1 MiB.
type batches struct {
	free [largestBatch - smallestBatch + 1][]*[]byte
	kept int // bytes
}

func newBatches() *batches { return &batches{} }

// class returns the index of the smallest size that holds n bytes, or -1.
func class(n int) int {
	if n > 1<<largestBatch {
		return -1
	}
	return max(bits.Len(uint(max(n, 1)-1)), smallestBatch) - smallestBatch
}

// Malloc returns a buffer of size bytes, with undefined content.
func (a *batches) Malloc(size int) *[]byte {
	k := class(size)
	if k < 0 {
		b := make([]byte, size)
		return &b
	}
	if n := len(a.free[k]); n > 0 {
		p := a.free[k][n-1]
		a.free[k][n-1] = nil
		a.free[k] = a.free[k][:n-1]
		a.kept -= cap(*p)
		*p = (*p)[:size]
		return p
	}
	b := make([]byte, size, 1<<(k+smallestBatch))
	return &b
}

// Free takes a buffer back.
func (a *batches) Free(p *[]byte) {
	if p == nil {
		return
	}
	size := cap(*p)
	k := class(size)
	if k < 0 || size != 1<<(k+smallestBatch) || a.kept+size > keptBatches {
		return
	}
	a.kept += size
	a.free[k] = append(a.free[k], p)
}

// Append appends to a buffer of Malloc.
func (a *batches) Append(p *[]byte, more ...byte) *[]byte {
	if len(*p)+len(more) <= cap(*p) {
		*p = append(*p, more...)
		return p
	}
	q := a.Realloc(p, len(*p)+len(more))
	copy((*q)[len(*q)-len(more):], more)
	return q
}

// AppendString is Append; nbio does not call it for a TCP connection.
func (a *batches) AppendString(p *[]byte, more string) *[]byte { return a.Append(p, []byte(more)...) }

// Realloc changes the length of a buffer of Malloc, keeping what fits.
func (a *batches) Realloc(p *[]byte, size int) *[]byte {
	if size <= cap(*p) {
		*p = (*p)[:size]
		return p
	}
	q := a.Malloc(size)
	copy(*q, *p)
	a.Free(p)
	return q
}
