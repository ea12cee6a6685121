package main

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"

	"weir/cmd/option"
	"weir/loadtest/attack"
	"weir/loadtest/dialect"
	"weir/loadtest/scenario"
)

// listFloods prints their names and what they do.
func listFloods(p *process) error {
	for _, k := range attack.Kinds() {
		if _, err := fmt.Fprintf(p.stdout, "%-16s %s\n", k.Name, k.What); err != nil {
			return err
		}
	}
	return nil
}

// attacks reads what the attack command has beside the plan.
func (c *cli) attacks(plan *scenario.Plan) (a scenario.Attacks, err error) {
	o := &c.Attack
	if c.CAFile == "" {
		return a, mistake("--ca-file: the attackers verify the server too, by this file alone; name its certificate or authority")
	}
	if d, err := dialect.Parse(c.Protocol); err != nil || !d.Commands() {
		return a, mistake("--protocol: the floods are against the client protocol; write weir or centrifugo")
	}
	for _, name := range o.Kinds {
		k, ok := attack.Named(name)
		if !ok {
			return a, mistake("%q is not a flood; weir-load attack --list has them", name)
		}
		a.Kinds = append(a.Kinds, k)
	}
	if len(a.Kinds) == 0 {
		a.Kinds = attack.Kinds()
	}
	from, err := netip.ParsePrefix(o.From)
	if err != nil {
		return a, mistake("--from: %w", err)
	}
	if o.Attackers < 0 || o.Calm <= 0 || o.Back <= 0 {
		return a, mistake("--attackers cannot be below 0; --calm and --back are times above 0")
	}
	to := plan.Fleet.Plan.Targets[0]
	u, err := url.Parse(to.URL)
	if err != nil {
		return a, mistake("--url: %w", err)
	}
	if !option.Loopback(u) || !slices.Contains([]string{"", "localhost", "127.0.0.1"}, u.Hostname()) {
		return a, mistake("--url: floods come from many addresses of this machine, which reach 127.0.0.1 alone")
	}
	a.Calm, a.Back = o.Calm, o.Back
	a.Target = attack.Target{
		Addr: net.JoinHostPort("127.0.0.1", cmp.Or(u.Port(), "443")), Name: u.Hostname(), Authority: c.CAFile,
		Origin: cmp.Or(to.Origin, "https://"+u.Host), Token: plan.Fleet.Plan.Token, Channel: plan.Fleet.Plan.Channel, From: from, Attackers: o.Attackers,
	}
	return a, nil
}
