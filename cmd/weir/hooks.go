package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"weir/engine"
	"weir/engine/backend"
)

const (
	longestHook    = 30 * time.Second
	mostConcurrent = 4096 // questions to one hook: each is a goroutine, kept ready
)

// urls are where each kind of question goes, with the option's name.
func (o *hookOptions) urls() [backend.Kinds]struct{ option, url string } {
	return [backend.Kinds]struct{ option, url string }{
		backend.Connect:   {"--connect-hook", string(o.ConnectHook)},
		backend.RPC:       {"--rpc-hook", string(o.RPCHook)},
		backend.Send:      {"--send-hook", string(o.SendHook)},
		backend.Subscribe: {"--subscribe-hook", string(o.SubscribeHook)},
		backend.Publish:   {"--publish-hook", string(o.PublishHook)},
	}
}

// loadHooks fills the part of the configuration that is about the backend. No
// message holds a URL or the header's value: both may be secrets.
func (s *setup) loadHooks(o *serverOptions) error {
	cfg := backend.Config{Timeout: time.Duration(o.HookTimeout), Concurrency: int(o.HookConcurrency)}
	var errs []error
	for kind, at := range o.urls() {
		if at.url == "" {
			continue
		}
		if err := backend.CheckURL(at.url); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", at.option, err))
		}
		cfg.URLs[kind] = at.url
	}
	if cfg.Timeout < time.Millisecond || cfg.Timeout > longestHook {
		errs = append(errs, fmt.Errorf("--hook-timeout: %v is not between 1ms and %v; clients give up a command after 5s", cfg.Timeout, longestHook))
	}
	if o.HookConcurrency == 0 || o.HookConcurrency > mostConcurrent {
		errs = append(errs, fmt.Errorf("--hook-concurrency: %d is not between 1 and %d", o.HookConcurrency, mostConcurrent))
	}
	line, err := secret("hook-header", o.HookHeader, o.HookHeaderFile)
	switch {
	case err != nil:
		errs = append(errs, err)
	case len(line) > 0:
		if cfg.HeaderName, cfg.HeaderValue, err = backend.ParseHeader(string(line)); err != nil {
			option := "--hook-header"
			if o.HookHeaderFile != "" {
				option = fmt.Sprintf("--hook-header-file: %s", o.HookHeaderFile)
			}
			errs = append(errs, fmt.Errorf("%s: %w", option, err))
		}
	}
	s.config.Hooks = cfg
	return errors.Join(errs...)
}

// hookNames lists the hooks that are set.
func hookNames(h *backend.Config) string {
	var names []string
	for kind, url := range h.URLs {
		if url != "" {
			names = append(names, backend.Kind(kind).String())
		}
	}
	return strings.Join(names, ", ")
}

// hookMemory is what questions to the backend can take; nothing if there is none.
func hookMemory(cfg *engine.Config) []memoryItem {
	asked := 0
	for _, url := range cfg.Hooks.URLs {
		if url != "" {
			asked += cfg.Hooks.Concurrency
		}
	}
	if asked == 0 {
		return nil
	}
	e, message := engine.FixedBounds(), cfg.Limits.MessageSize
	return []memoryItem{{
		"questions to hooks", fmt.Sprintf("%d asked, %d waiting", asked, e.HookQueue*asked),
		asked*(message+e.HookAnswerBytes) + e.HookQueue*asked*message,
	}}
}
