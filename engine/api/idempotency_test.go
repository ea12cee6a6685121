package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/engine/clientproto"
)

func keyed(channel, key string, data int) string {
	return fmt.Sprintf(`{"channel":%q,"idempotency_key":%q,"data":%d}`, channel, key, data)
}

func TestRepeatReturnsTheFirstAnswer(t *testing.T) {
	s := newService(t, nil)
	first := s.call(t, "publish", keyed("c", "k", 1)).raw
	s.call(t, "publish", `{"channel":"c","data":2}`)
	s.clock.advance(5*time.Minute - time.Nanosecond)
	if again := s.call(t, "publish", keyed("c", "k", 3)).raw; again != first || s.node.total() != 2 {
		t.Errorf("repeat %s after %s, %d publications", again, first, s.node.total())
	}
	for _, other := range []string{keyed("c", "k2", 4), keyed("d", "k", 5), keyed("c", "", 6), keyed("c", "", 7)} {
		before := s.node.total()
		if r := s.call(t, "publish", other); r.code() != 0 || s.node.total() != before+1 {
			t.Errorf("%s published %d times: %s", other, s.node.total()-before, r.raw)
		}
	}
	s.clock.advance(time.Nanosecond)
	before := s.node.total()
	if late := s.call(t, "publish", keyed("c", "k", 8)).raw; late == first || s.node.total() != before+1 {
		t.Errorf("after five minutes: %s, %d more publications", late, s.node.total()-before)
	}
}

// Channel and key cannot be shifted against each other.
func TestKeysOfDifferentChannelsDiffer(t *testing.T) {
	if newAnswerKey("ab", "c") == newAnswerKey("a", "bc") || newAnswerKey("", "a") == newAnswerKey("a", "") {
		t.Error("two pairs of channel and key are one")
	}
}

func TestBroadcastRepeats(t *testing.T) {
	s := newService(t, nil)
	body := `{"channels":["a","b","a"],"idempotency_key":"k","data":1}`
	first := s.call(t, "broadcast", body).raw
	if again := s.call(t, "broadcast", body).raw; again != first || s.node.total() != 2 {
		t.Errorf("%s then %s, %d publications, want 2", first, again, s.node.total())
	}
	if strings.Count(first, `{"offset":1,"epoch":"e-a"}`) != 2 {
		t.Errorf("the doubled channel of a broadcast got two offsets: %s", first)
	}
}

func TestFailureIsNotKept(t *testing.T) {
	s := newService(t, nil)
	s.node.refuse = clientproto.ErrInternal
	if r := s.call(t, "publish", keyed("c", "k", 1)); r.code() != 100 {
		t.Fatalf("answer %s", r.raw)
	}
	s.node.refuse = nil
	if r := s.call(t, "publish", keyed("c", "k", 1)); r.code() != 0 || s.node.total() != 1 {
		t.Errorf("the retry: %s, %d publications", r.raw, s.node.total())
	}
}

func TestManyAtOnceArePublishedOnce(t *testing.T) {
	const callers = 64
	s := newService(t, nil)
	s.node.begun, s.node.hold = make(chan struct{}, callers), make(chan struct{})
	answers := make([]string, callers)
	var wait sync.WaitGroup
	for i := range callers {
		wait.Go(func() { answers[i] = s.call(t, "publish", keyed("c", "k", i)).raw })
	}
	<-s.node.begun // one is publishing; the others wait for it or come later
	close(s.node.hold)
	wait.Wait()
	for i, answer := range answers {
		if answer != `{"result":{"offset":1,"epoch":"e-c"}}` {
			t.Errorf("caller %d got %s", i, answer)
		}
	}
	if s.node.total() != 1 || len(s.node.begun) != 0 {
		t.Errorf("%d publications, %d more begun; want 1 and 0", s.node.total(), len(s.node.begun))
	}
}

// Direct calls in a bubble, so that all of them surely wait on the running one.
func TestWaitersGetTheRunningAnswer(t *testing.T) {
	for name, fault := range map[string]*clientproto.Error{"position": nil, "error": clientproto.ErrTooManyRequests} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAnswers(10, time.Minute)
				hold := make(chan struct{})
				var calls sync.WaitGroup
				calls.Go(func() {
					a.once(t.Context(), time.Now, answerKey{1}, func() (Position, *clientproto.Error) {
						<-hold
						return Position{Offset: 9}, fault
					})
				})
				synctest.Wait()
				again := func() (Position, *clientproto.Error) {
					t.Error("published a second time")
					return Position{}, nil
				}
				for range 8 {
					calls.Go(func() {
						if at, err := a.once(t.Context(), time.Now, answerKey{1}, again); err != fault || at.Offset != 9 {
							t.Errorf("a waiter got %+v, %v", at, err)
						}
					})
				}
				gone, cancel := context.WithCancel(t.Context())
				calls.Go(func() {
					if _, err := a.once(gone, time.Now, answerKey{1}, again); err != clientproto.ErrInternal {
						t.Errorf("a waiter that hung up got %v", err)
					}
				})
				synctest.Wait()
				cancel()
				synctest.Wait()
				close(hold)
				calls.Wait()
			})
		})
	}
}

// A publisher that hangs up while its publish runs finds the answer when it comes back.
func TestHangUpDoesNotStopAKeyedPublish(t *testing.T) {
	s := newService(t, nil)
	s.node.begun, s.node.hold = make(chan struct{}, 2), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, "POST", s.URL+"/api/publish", strings.NewReader(keyed("c", "k", 1)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set(keyHeader, testKey)
	var first sync.WaitGroup
	first.Go(func() {
		if response, err := s.Client().Do(request); err == nil {
			response.Body.Close()
			t.Error("the call ended before its publish")
		}
	})
	<-s.node.begun
	cancel()
	first.Wait()
	close(s.node.hold)
	if r := s.call(t, "publish", keyed("c", "k", 2)); r.raw != `{"result":{"offset":1,"epoch":"e-c"}}` || s.node.published("c")[0] != "1" {
		t.Errorf("answer %s, history %v", r.raw, s.node.published("c"))
	}
	if s.node.total() != 1 {
		t.Errorf("%d publications", s.node.total())
	}
}

func TestKeyedPublishHasATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := &memoryNode{hold: make(chan struct{})}
		h := New(Config{Node: node, APIKey: testKey, Limits: Limits{PublishTimeout: time.Second}})
		start := time.Now()
		_, err := h.publishTo(t.Context(), "c", publication{data: []byte("1"), idempotencyKey: "k"})
		if err != clientproto.ErrInternal || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestFullStoreRefusesNewKeysOnly(t *testing.T) {
	s := newService(t, func(c *Config) { c.Limits.IdempotencyKeys = 3 })
	for i := range 3 {
		s.call(t, "publish", keyed("c", fmt.Sprint(i), i))
	}
	if r := s.call(t, "publish", keyed("c", "new", 9)); r.code() != 111 || s.node.total() != 3 {
		t.Errorf("a fourth key: %s, %d publications", r.raw, s.node.total())
	}
	if r := s.call(t, "publish", keyed("c", "0", 9)); r.code() != 0 || s.node.total() != 3 {
		t.Errorf("a kept key: %s, %d publications", r.raw, s.node.total())
	}
	if r := s.call(t, "publish", `{"channel":"c","data":1}`); r.code() != 0 {
		t.Errorf("without a key: %s", r.raw)
	}
	s.clock.advance(5 * time.Minute)
	if r := s.call(t, "publish", keyed("c", "new", 9)); r.code() != 0 {
		t.Errorf("after the others expired: %s", r.raw)
	}
}

// Running publishes count against the bound too.
func TestRunningPublishesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnswers(2, time.Minute)
		hold := make(chan struct{})
		var calls sync.WaitGroup
		for i := range 2 {
			calls.Go(func() {
				a.once(t.Context(), time.Now, answerKey{byte(i)}, func() (Position, *clientproto.Error) {
					<-hold
					return Position{}, nil
				})
			})
		}
		synctest.Wait()
		if _, err := a.once(t.Context(), time.Now, answerKey{9}, nil); err != errManyKeys {
			t.Errorf("a third publish: %v", err)
		}
		close(hold)
		calls.Wait()
	})
}

func TestStoreGivesItsMemoryBack(t *testing.T) {
	a := newAnswers(1000, time.Minute)
	clock := newClock()
	publish := func() (Position, *clientproto.Error) { return Position{Offset: 1}, nil }
	for i := range 5000 {
		a.once(t.Context(), clock.read, newAnswerKey("c", fmt.Sprint(i)), publish)
		clock.advance(time.Second)
	}
	if len(a.kept) != 60 || len(a.order) != 60 || cap(a.order) > 1000 || len(a.running) != 0 {
		t.Errorf("kept %d, order %d (capacity %d), running %d; want 60 of a minute", len(a.kept), len(a.order), cap(a.order), len(a.running))
	}
}

func TestPanicOfThePublishIsToldToWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnswers(10, time.Minute)
		hold := make(chan struct{})
		var calls sync.WaitGroup
		calls.Go(func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			a.once(t.Context(), time.Now, answerKey{1}, func() (Position, *clientproto.Error) {
				<-hold
				panic("broken")
			})
		})
		synctest.Wait()
		calls.Go(func() {
			if _, err := a.once(t.Context(), time.Now, answerKey{1}, nil); err != clientproto.ErrInternal {
				t.Errorf("a waiter got %v", err)
			}
		})
		synctest.Wait()
		close(hold)
		calls.Wait()
		if len(a.running) != 0 || len(a.kept) != 0 {
			t.Errorf("%d running, %d kept", len(a.running), len(a.kept))
		}
	})
}
