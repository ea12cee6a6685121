//go:build linux

package faults

import (
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"weir/bench/internal/node"
)

const (
	kills    = 10
	lifeAcks = 1200 // acknowledged in each life of the server, on average
)

// TestKilledWhilePublishing is row D1 under kill -9: the server is killed in the middle of
// publishing and started again at its address, ten times. Within one life everything that
// was acknowledged comes to who stays, or is recovered, or told of where the history is too
// short; and a new life is a new epoch, which everybody is told. The audit log goes on
// through all of it as one good chain.
func TestKilledWhilePublishing(t *testing.T) {
	trail := filepath.Join(t.TempDir(), "logs", "audit.log")
	flags := []string{configured(t), "--audit-file", trail, "--audit-max-size=8KiB", "--message-size-limit=4096", "--max-outbox-bytes=262144", "--ping-interval=2s", "--pong-timeout=1s",
		"--handshake-timeout=1m", "--head-timeout=1m", "--stale-close-delay=1m"}
	first := startServer(t, node.Options{Flags: flags})
	h := newHistory(t)
	h.token, h.narrow = tokenOf(t, first), true
	h.serve(first, first.Addr)
	all, finish := h.follow()
	s, rng := first, rand.New(rand.NewPCG(5, 5))
	for life := range kills + 1 {
		enough, met := h.acks.Load()+lifeAcks/2+rng.Int64N(lifeAcks), h.faults()
		h.await("a life of the server", func() bool {
			for _, f := range all {
				if f.met.Load() != met {
					return false
				}
			}
			shown := h.slow.Load() > 0 && h.gaps.Load() > 0 && h.recoveries.Load() > 0 // else the run shows nothing
			return h.acks.Load() >= enough && (life > 0 || shown)
		})
		if life == kills {
			break
		}
		h.fault(true)
		s.kill(t)
		s = startServer(t, node.Options{Like: first.Node, Flags: flags})
		h.serve(s, s.Addr)
	}
	h.await("the end of a file of the audit log", func() bool { // the server looks once a second, and its lives may be shorter
		ended, err := filepath.Glob(trail + ".2*")
		return err == nil && len(ended) > 0
	})
	finish()
	if h.epochs.Load() < kills {
		t.Errorf("%d new epochs were told in %d lives", h.epochs.Load(), kills+1)
	}
	s.kill(t)
	ended, err := filepath.Glob(trail + ".2*")
	if err != nil || len(ended) == 0 {
		t.Errorf("no file of the audit log was ended: %v", err)
	}
	out, err := exec.Command(weir(t), append([]string{"audit", "verify", trail}, ended...)...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "good: records 1 to ") {
		t.Errorf("the audit log of %d lives: %v: %s", kills+1, err, out)
	}
}

// tokenOf lets its bearer subscribe to the channels of the run.
func tokenOf(t *testing.T, s *server) string {
	t.Helper()
	token, err := s.Token("", "sub")
	if err != nil {
		t.Fatal(err)
	}
	return token
}
