package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"strings"

	"weir/engine"
	"weir/engine/poll"
)

// check validates a configuration as serve does and prints what it amounts to.
func check(p *process, c *command) error {
	s, err := newSetup(p, c.Check.serverOptions, c.namespaces)
	if err != nil {
		return err
	}
	if err := rehearse(s.config); err != nil {
		return err
	}
	connections := s.config.Limits.Connections
	if connections == 0 {
		if connections, err = poll.Capacity(); err != nil {
			return err
		}
	}
	fmt.Fprintf(p.stdout, "The configuration is good.\n\n")
	if s.warning != "" {
		fmt.Fprintf(p.stdout, "Warning: %s\n\n", s.warning)
	}
	fmt.Fprintf(p.stdout, "public      %s, TLS %s and later, certificate %s%s\n",
		s.config.Listen, c.Check.TLSMin, s.certs.describe(), clientAuth(s.config.TLS))
	for _, l := range []struct{ name, addr, more string }{{"API", s.config.APIListen, clientAuth(s.config.APITLS)}, {"health", s.config.HealthListen, ""}} {
		if l.addr != "" {
			fmt.Fprintf(p.stdout, "%-11s %s%s\n", l.name, l.addr, l.more)
		}
	}
	if s.config.ProxyListen != "" {
		fmt.Fprintf(p.stdout, "proxies     %s\n", c.Check.proxyOptions.describe())
	}
	if s.config.Hooks.Any() {
		fmt.Fprintf(p.stdout, "hooks       %s\n", hookNames(&s.config.Hooks))
	}
	fmt.Fprintf(p.stdout, "namespaces  %s\n\n", namespaceNames(s.config.Namespaces))
	items := memorySum(&s.config, connections, cmp.Or(s.config.Pollers, runtime.GOMAXPROCS(0)))
	items = append(items, askedForMemory(&s.config, connections)...)
	items = append(items, s.capture.memory()...)
	if err := printMemory(p.stdout, items); err != nil {
		return err
	}
	_, err = io.WriteString(p.stdout, kernelMemory(connections)+s.memory.say(&c.Check.serverOptions, total(items)))
	return err
}

// rehearse has the engine take the configuration as serve would, so that
// nothing is called good that serve then refuses. Its listeners are on free
// loopback ports, for the right ones may be in use by the server that runs.
func rehearse(cfg engine.Config) error {
	cfg.Listen, cfg.APIListen, cfg.HealthListen = "127.0.0.1:0", "", ""
	if cfg.ProxyListen != "" {
		cfg.ProxyListen = "127.0.0.1:0"
	}
	server, err := engine.New(cfg)
	if err != nil {
		return &configError{err}
	}
	server.Close()
	return nil
}

// namespaceNames lists the namespaces; "" always exists.
func namespaceNames(all []engine.Namespace) string {
	names := []string{`""`}
	for _, n := range all {
		if n.Name != "" {
			names = append(names, n.Name)
		}
	}
	return strings.Join(names, ", ")
}
