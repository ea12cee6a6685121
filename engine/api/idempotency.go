package api

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"weir/engine/clientproto"
)

// answerKey stands for a channel and an idempotency key: a fixed size, however long they are.
type answerKey [16]byte

func newAnswerKey(channel, idempotencyKey string) answerKey {
	text := make([]byte, 0, 128)
	text = binary.AppendUvarint(text, uint64(len(channel)))
	text = append(text, channel...)
	text = append(text, idempotencyKey...)
	sum := sha256.Sum256(text)
	return answerKey(sum[:16])
}

// answers keeps the positions of publications made under an idempotency key.
type answers struct {
	limit int           // immutable; of kept and running together
	ttl   time.Duration // immutable

	mu      sync.Mutex             // guards what follows; a leaf, never held over a publish
	kept    map[answerKey]Position // of finished publishes
	running map[answerKey]*publishing
	order   []expiring // kept ones, oldest first: all live equally long
}

type expiring struct {
	key answerKey
	at  time.Time
}

// publishing is a publish that others wait for. position and err are written before finished is closed, read after.
type publishing struct {
	finished chan struct{}
	position Position
	err      *clientproto.Error
}

func newAnswers(limit int, ttl time.Duration) *answers {
	return &answers{
		limit: limit, ttl: ttl,
		kept: make(map[answerKey]Position), running: make(map[answerKey]*publishing),
	}
}

// once returns the kept position of key, or what the publish that is running for it returns, or runs publish itself. Only a
// position is kept. ctx ends the waiting, not the publish.
func (a *answers) once(ctx context.Context, now func() time.Time, key answerKey,
	publish func() (Position, *clientproto.Error)) (Position, *clientproto.Error) {
	a.mu.Lock()
	a.expire(now())
	if position, ok := a.kept[key]; ok {
		a.mu.Unlock()
		return position, nil
	}
	if first, ok := a.running[key]; ok {
		a.mu.Unlock()
		return first.wait(ctx)
	}
	if len(a.kept)+len(a.running) >= a.limit {
		a.mu.Unlock()
		return Position{}, errManyKeys
	}
	// The error stands if publish panics: those who wait are told.
	p := &publishing{finished: make(chan struct{}), err: clientproto.ErrInternal}
	a.running[key] = p
	a.mu.Unlock()

	defer func() { a.finish(key, p, now()) }()
	p.position, p.err = publish()
	return p.position, p.err
}

func (p *publishing) wait(ctx context.Context) (Position, *clientproto.Error) {
	select {
	case <-p.finished:
		return p.position, p.err
	case <-ctx.Done():
		return Position{}, clientproto.ErrInternal
	}
}

func (a *answers) finish(key answerKey, p *publishing, now time.Time) {
	a.mu.Lock()
	delete(a.running, key)
	if p.err == nil {
		a.kept[key] = p.position
		a.order = append(a.order, expiring{key, now.Add(a.ttl)})
	}
	a.mu.Unlock()
	close(p.finished)
}

// expire drops what is older than ttl. a.mu is held.
func (a *answers) expire(now time.Time) {
	n := 0
	for n < len(a.order) && !now.Before(a.order[n].at) {
		delete(a.kept, a.order[n].key)
		n++
	}
	if a.order = a.order[n:]; len(a.order) == 0 {
		a.order = nil
	}
}
