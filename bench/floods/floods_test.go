//go:build linux

package floods

import (
	"fmt"
	"testing"

	"weir/loadtest/attack"
)

// met is one defence: a counter of the server that must have grown by so much
// for the flood to be one.
type met struct {
	counter string
	least   float64
}

func protocolError(kind string) string { return `weir_protocol_errors_total{kind="` + kind + `"}` }
func closed(code int) string           { return fmt.Sprintf(`weir_closes_total{code="%d"}`, code) }
func commandError(code int) string     { return fmt.Sprintf(`weir_command_errors_total{code="%d"}`, code) }

// defences says for each flood what must be seen to meet it. Numbers are a
// fraction of what a machine with little time for the attackers comes to.
func defences() map[string][]met {
	return map[string][]met{
		"churn":           {{`weir_connections_refused_total{reason="rate"}`, 1000}, {"weir_connections_accepted_total", 100}},
		"stalled-hello":   {{protocolError("handshake_timeout"), 500}},
		"silent-hello":    {{`weir_handshakes_failed_total{reason="evicted"}`, 50}}, // a quick machine leaves few to their timeout
		"bad-tokens":      {{`weir_upgrades_total{status="401"}`, 20}, {closed(3500), 20}},
		"slow-heads":      {{protocolError("head_timeout"), 100}},
		"slow-frames":     {{protocolError("message_timeout"), 50}, {protocolError("record_timeout"), 50}},
		"hoarders":        {{protocolError("handshake_timeout"), 100}, {protocolError("head_timeout"), 50}, {closed(3502), 50}},
		"pings":           {{closed(3013), 10}},
		"tiny-frames":     {{closed(3013), 3}, {closed(3501), 5}},
		"empty-fragments": {{protocolError("fragments"), 10}},
		"deflate-bombs":   {{protocolError("too_big"), 10}},
		"bad-json": {{protocolError("depth"), 5}, {protocolError("members"), 5}, {protocolError("duplicate"), 5}, {protocolError("number"), 5},
			{protocolError("syntax"), 5}, {protocolError("text"), 5}, {closed(3013), 5}},
		"slow-readers":    {{`weir_slow_consumers_total{action="disconnect"}`, 20}},
		"subscribe-churn": {{commandError(111), 20}, {commandError(106), 20}, {closed(3013), 10}},
		"key-updates":     {{protocolError("tls_record"), 10}},
		"addresses":       {{"weir_connections_accepted_total", 1000}}, // none is refused: each comes once
	}
}

func TestFloods(t *testing.T) {
	s, names := scale{honest: 20}, []string{"churn", "bad-tokens", "deflate-bombs"}
	if *full {
		s, names = scale{honest: 500, least: *long}, nil
		for _, k := range attack.Kinds() {
			names = append(names, k.Name)
		}
	}
	st := s.set(t)
	for _, name := range names {
		want := defences()[name]
		if len(want) == 0 {
			t.Fatalf("nothing is said of what meets %s", name)
		}
		if !t.Run(name, func(t *testing.T) { st.hold(t, name, want) }) {
			return // who was harmed is no measure for the next
		}
	}
}
