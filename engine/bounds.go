package engine

import (
	"unsafe"

	"weir/engine/api"
	"weir/engine/hub"
	"weir/engine/session"
	"weir/security/limit"
)

// Bounds are limits of the engine's own that weigh in the memory of a node.
type Bounds struct {
	ConnectionBytes   int // what every connection has: keys of both directions, session, one subscription
	ChargesBytes      int // buckets of one that sends
	SubscriptionBytes int // one more of its subscriptions
	BatchBytes        int // output of one connection that is sealed and that its socket did not take
	QueuedCommands    int // commands that wait for a worker, each as long as a message at most
	Streams           int // channels with a position
	Patterns          int // different wildcard subscriptions
	IdempotencyKeys   int // publishes whose answers are kept
	HookQueue         int // questions to the backend that wait for each that is asked
	HookAnswerBytes   int // longest answer
	CertificateBytes  int // kept of a connection whose client has shown a certificate
	PerUserBytes      int // buckets of all users for one rate
	PresenceLists     int // lists of a channel's members being made, each as long as what may wait for a connection
}

// FixedBounds returns them, for who adds up the memory of a node.
func FixedBounds() Bounds {
	return Bounds{
		ConnectionBytes: int(unsafe.Sizeof(conn{})), ChargesBytes: int(unsafe.Sizeof(charges{})),
		SubscriptionBytes: int(unsafe.Sizeof(session.Sub{}) + unsafe.Sizeof(hub.Member{})),
		BatchBytes:        batchBytes, QueuedCommands: workQueue, Streams: streams, Patterns: patterns,
		IdempotencyKeys: api.DefaultLimits().IdempotencyKeys, PresenceLists: presenceWalks, HookQueue: hookQueue, HookAnswerBytes: hookAnswerBytes,
		PerUserBytes: limit.PerUserBytes, CertificateBytes: int(unsafe.Sizeof(waiting{})),
	}
}
