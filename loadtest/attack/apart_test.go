package attack

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// apartVariable makes this test a process of attackers.
const apartVariable = "WEIR_TEST_ATTACKERS"

func TestMain(m *testing.M) {
	if os.Getenv(apartVariable) != "" {
		if err := Serve(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestApart: a process of its own floods until it is told to end, and what came of it is told here.
func TestApart(t *testing.T) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for range 5 {
			if c, err := ln.Accept(); err == nil {
				_ = c.Close()
			}
		}
		cancel()
	}()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	apart := Apart{Program: self, Environment: []string{apartVariable + "=1"}, Stderr: &said}
	churn, _ := Named("churn")
	target := Target{Addr: ln.Addr().String(), Name: "example.com", Authority: ca, From: netip.MustParsePrefix("127.2.0.0/15"), Attackers: 2}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if tally, err := churn.RunApart(ctx, target, apart); err != nil || tally.Lives < 5 {
			t.Errorf("%+v, %v: %s", tally, err, said.String())
		}
	}()
	select {
	case <-ended:
	case <-time.After(2 * time.Minute):
		t.Fatal("it does not end")
	}
	target.Authority = ""
	if _, err := churn.RunApart(t.Context(), target, apart); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("without authorities: %v", err)
	}
	if _, err := (Kind{Name: "kindness"}).RunApart(t.Context(), target, apart); err == nil || !strings.Contains(said.String(), "kindness") {
		t.Errorf("a flood that there is not: %v, %s", err, said.String())
	}
}
