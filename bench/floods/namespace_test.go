//go:build linux

package floods

import (
	"os"
	"os/exec"
	"testing"
)

// In a network namespace of its own the test may have a whole /32 of IPv6 on
// its loopback device, whatever addresses the machine has.
const (
	attackersV6 = "2001:db8::/32" // 2³² prefixes of 64 bits, of which each connection has another
	serverV6    = "2001:db8:ffff:ffff::2"

	namespaceVariable = "WEIR_FLOODS_NAMESPACE" // set: this process is in it
	binaryVariable    = "WEIR_FLOODS_BINARY"    // a weir that is built already
)

// TestFloodOfIPv6Addresses is the flood of addresses from IPv6: as many as there
// is time for, each once. TestFloodOfAddresses of security/limit has 2²⁰ of them
// take from the same table.
func TestFloodOfIPv6Addresses(t *testing.T) {
	if os.Getenv(namespaceVariable) != "" {
		s := scale{honest: 20, v6: true}
		if *full {
			s = scale{honest: 500, v6: true, least: *long}
		}
		s.set(t).hold(t, "addresses", defences()["addresses"])
		return
	}
	for _, tool := range []string{"unshare", "ip"} {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing: install util-linux and iproute2", tool)
		}
		t.Skipf("skipped: a flood from IPv6 addresses (no %s; install util-linux and iproute2)", tool)
	}
	for _, flags := range []string{"-n", "-rn"} { // as root; as anybody, where that is allowed
		const prepare = "ip link set lo up && ip -6 route add local " + attackersV6 + " dev lo && echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind"
		if out, err := exec.CommandContext(t.Context(), "unshare", flags, "sh", "-c", prepare).CombinedOutput(); err != nil {
			t.Logf("unshare %s: %v: %s", flags, err, out)
			continue
		}
		again := []string{flags, "sh", "-c", prepare + ` && exec "$@"`, "sh", os.Args[0], "-test.run=^" + t.Name() + "$", "-test.v"}
		if *full {
			again = append(again, "-full", "-flood="+long.String())
		}
		inside := exec.CommandContext(t.Context(), "unshare", again...)
		inside.Env = append(os.Environ(), namespaceVariable+"=1", binaryVariable+"="+weir(t))
		out, err := inside.CombinedOutput()
		t.Logf("in a network namespace:\n%s", out)
		if err != nil {
			t.Error(err)
		}
		return
	}
	t.Skip("skipped: a flood from IPv6 addresses: this user may make no network namespace with IPv6 here")
}
