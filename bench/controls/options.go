package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"weir/bench/internal/node"
)

// origin is what every client sends.
const origin = "https://app.example.com"

// What clients publish, and the schema that it is held to.
const (
	data = `{"symbol":"ACME","price":101.25,"size":300,"venue":"XETR","at":"2026-11-22T12:00:00Z","tags":["open","lit"],` +
		`"book":{"bid":101.2,"ask":101.3,"depth":[1,2,3,5,8,13]},"note":"the same bytes for both servers"}`

	schemaText = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["symbol","price","at"],
"additionalProperties":false,"properties":{"symbol":{"type":"string","pattern":"^[A-Z]{1,8}$"},"price":{"type":"number","exclusiveMinimum":0},
"size":{"type":"integer","minimum":1,"maximum":1000000},"venue":{"enum":["XETR","XNYS"]},"at":{"type":"string","format":"date-time"},
"tags":{"type":"array","maxItems":8,"uniqueItems":true,"items":{"type":"string","maxLength":16}},
"book":{"type":"object","required":["bid","ask"],"properties":{"bid":{"type":"number"},"ask":{"type":"number"},
"depth":{"type":"array","items":{"type":"integer","minimum":0}}}},"note":{"type":"string","maxLength":200}}}`
)

// configure says what to run. With controls every bucket is charged, though none may run dry: what a control costs is
// asked, not what it refuses.
func configure(folder string, controls bool) (node.Options, error) {
	config := filepath.Join(folder, "weir.yaml")
	o := node.Options{Flags: []string{"--config", config, "--ping-interval", "0", "--allowed-origins", origin, "--max-outbox-bytes", "64MiB"}}
	if !controls {
		o.Exempt = "127.0.0.0/8"
		o.Flags = append(o.Flags, "--message-rate", "0", "--byte-rate", "0", "--subscribe-rate", "0", "--ping-rate", "0", "--ip-connect-rate", "0",
			"--ip-connections", "0", "--ip-handshakes", "0", "--max-json-depth", "0", "--max-json-members", "0", "--max-fragments", "0",
			"--audit-file", "off")
		return o, os.WriteFile(config, []byte("namespaces:\n  - name: feeds\n"), 0o600)
	}
	o.Exempt = "192.0.2.0/24" // nobody here
	o.Flags = append(o.Flags, "--message-rate", "1000000/s", "--byte-rate", "1GiB/s", "--user-connections", "100000",
		"--user-message-rate", "1000000/s", "--user-byte-rate", "1GiB/s",
		"--audit-file", filepath.Join(folder, "audit", "weir.log"))
	file := filepath.Join(folder, "schema.json")
	namespaces := fmt.Sprintf("namespaces:\n  - name: feeds\n    allowed_origins: [%s]\n    schema: %s\n", origin, file)
	return o, errors.Join(os.WriteFile(config, []byte(namespaces), 0o600), os.WriteFile(file, []byte(schemaText), 0o600))
}
