package engine

import (
	"time"

	"weir/engine/tlsconn"
	"weir/security/limit"
)

// Every limit of the engine that is not the operator's (those are Limits):
// unit, reason, and the attack that it bounds. checkLimits verifies how they
// relate to the operator's at start.
const (
	// readBufferBytes is a loop's one read buffer: four full TLS records, so a
	// bulk sender costs few system calls. Memory: one per shard.
	readBufferBytes = 64 << 10

	// batchBytes is the most plaintext that one flush hands to a socket. With
	// TCP_NOTSENT_LOWAT the kernel holds little more; the rest waits as
	// references. Bounds what a reader that stops can make us copy.
	batchBytes = 64 << 10

	// maxUnsentBytes bounds the copy that the poller keeps of a batch: the batch
	// sealed, with answers of the record layer (alerts, key updates) behind it.
	maxUnsentBytes = 2 * batchBytes

	// notSentLowatBytes keeps waiting data in the outbox, where it is shared and
	// can be dropped, instead of 4 MB of kernel memory per slow reader.
	notSentLowatBytes = 16 << 10

	// frameRoomBytes is what a publication's envelope adds to its data: frame
	// header, channel name, offset.
	frameRoomBytes = 1 << 10

	// tlsRecordBytes is the longest record, which must be whole to be opened.
	tlsRecordBytes = 17 << 10

	// heldBytes is the input kept for a connection whose command is with the
	// workers, beside the burst that its byte rate allows. Attack: pipelining
	// behind a slow command. Over it: 3013.
	heldBytes = 256 << 10

	// keepPartialBytes is how much larger than four times its content the buffer
	// of a half record may stay. Attack: a byte left over of 64 KiB, many times.
	keepPartialBytes = 1 << 10

	// controlFloorBytes is room for replies and control frames beside a full
	// outbox, so that a slow reader can still be told why it is closed.
	controlFloorBytes = 64 << 10

	// controlBufferBytes is the buffer that replies wait in, lent by the shard
	// while there are any; controlBuffersKept is how many free ones it keeps.
	controlBufferBytes = 512
	controlBuffersKept = 4096

	// headBytes and headFields bound a request head (SECURITY.md H1). Attack:
	// header floods.
	headBytes  = 8 << 10
	headFields = 64

	// askedTextBytes is what is kept of each text of a request for the audit log, until
	// the request is answered. Attack: long heads.
	askedTextBytes = 256

	// chargesKept is how many free charges a shard keeps, of 48 bytes each, and
	// chargesTurn how many in use one turn of its loop looks at.
	chargesKept = 4096
	chargesTurn = 512

	// closeTimeout is how long a peer may take to answer our close with its FIN
	// (SECURITY.md I5). Attack: sockets held half closed.
	closeTimeout = 5 * time.Second

	// sweepConnections is how many connections one turn of the loop flushes
	// before it reads again: a long fan-out must not starve handshakes.
	sweepConnections = 256

	// sweepDeliveries is how many references one turn appends to outboxes, for
	// the same reason: about half a millisecond.
	sweepDeliveries = 16 << 10

	// stoodStill is how long a loop may be without a turn, by the machine's clock,
	// before it counts as stopped; readUpIn is what it then has to read what came
	// meanwhile, before it closes anybody for being late.
	stoodStill = time.Second
	readUpIn   = 2 * time.Second

	// tightenedShare divides idle timeouts while the node is under pressure. Attack:
	// connections that are opened and left.
	tightenedShare = 2

	// behindAfter is how long a socket must have taken nothing for its reader to be
	// behind when the node sheds such. A reader of a busy node may be late for a moment.
	behindAfter = time.Second

	// shedPerScan and evictPerScan are how many connections of a shard one look at
	// all of them closes, once a second: what they free is seen before the next, and
	// their clients do not come back all at once.
	shedPerScan  = 256
	evictPerScan = 64

	// subscriptionBytes is what a subscription takes, to compare connections by.
	subscriptionBytes = 128

	// inboxEntries and inboxBytes bound the publications waiting for a shard.
	// Attack: a publisher faster than the fan-out. Over it: the channel is
	// marked behind and its subscribers are told.
	inboxEntries = 16 << 10
	inboxBytes   = 64 << 20

	// patterns and patternOverlap bound the wildcard subscriptions of the node that
	// differ: in all, about 1 KiB each, and such that one publication may have to be
	// compared with and encoded for. Attack: subscribing to ever new patterns that
	// match the same channels. Over them: error 106, except for patterns that others
	// have subscribed to as well. patternsOverlapping is the latter for one session.
	// Attack: having each publication sent many times.
	patterns            = 1 << 16
	patternOverlap      = 128
	patternsOverlapping = 16

	// refillPublications and refillBytes bound what a shard whose inbox was full
	// brings back from histories at once: it is encoded once more, on the loop.
	// Over them the subscribers are told of a gap.
	refillPublications = 4096
	refillBytes        = 16 << 20

	// conflateBacklogBytes is how much of a conflating namespace waits in one
	// outbox; what else a connection is owed waits once for all of them. Enough to
	// keep a socket busy, and little to send before the newest.
	conflateBacklogBytes = 32 << 10

	// conflateEntries bounds the keys that one channel keeps on one shard for
	// readers that are behind, beside their bytes. Attack: a publisher of ever new
	// keys. Over it the one that was not updated for longest goes, and is counted.
	conflateEntries = 16 << 10

	// workersPerCore and workQueue bound checks of signatures by public keys, and broker calls.
	// Attack: connect commands with bad tokens. A full queue answers 111.
	workersPerCore = 2
	workQueue      = 4096

	// presenceMembers is the longest list of members that presence answers with.
	// Attack: asking for the list of a large channel, again and again.
	// presence_stats counts any number.
	presenceMembers = 4096

	// openSurveys bounds the channels that presence is being asked of, and
	// presenceWalks those whose members are being gone through: each holds a list
	// of as many bytes as one connection may be sent.
	openSurveys   = 4096
	presenceWalks = 16

	// walkTurn is how many members one turn of the loop goes through, walkStep how
	// many of one channel that are counted. A step costs as much as walkStepCost
	// members, and writing one down as counting memberListCost. About half a
	// millisecond.
	walkTurn       = 4096
	walkStep       = 1024
	walkStepCost   = 16
	memberListCost = 2

	// hookQueue is how many questions to the backend may wait for each that is
	// asked at a time; with the timeout, it bounds how long. Attack: rpc commands
	// to a backend that hangs. A full queue answers 111.
	hookQueue = 4

	// hookAnswerBytes is the longest answer of the backend. It is passed on to one
	// client, so --max-outbox-bytes bounds it too.
	hookAnswerBytes = 256 << 10

	// forever is the longest that a deadline lies ahead: sums with it do not
	// overflow. Tokens may end in the year 9999.
	forever = 100 * 365 * 24 * time.Hour

	// internalConnections bounds those of the API and of the health listener,
	// each. Attack: idle connections from inside the network, which would take
	// the descriptors of the public listener. Over it the one that waits for a
	// request for longest gives way.
	internalConnections = 512

	// bodyTimeout is how long a request to the API may take to come.
	bodyTimeout = 30 * time.Second

	// loopLate is how much later than it was woken a loop may have its turn. A storm of
	// handshakes takes the cores from the loops, and the scheduler gives them back
	// some 10 ms at a time: past that who is connected notices who is not yet.
	loopLate = 25 * time.Millisecond
	// paceCalm is in how many ticks every loop must have been on time for handshakes to have
	// one core more again: half a second.
	paceCalm = 10

	// tick is the resolution of every deadline.
	tick = 50 * time.Millisecond

	// wheelBuckets: one turn of the wheel is a minute at tick.
	wheelBuckets = 1200

	// handshakeStaleShare of the handshake's time is how long a whole hello may
	// wait for a free core: after that its client has most likely given up, and the
	// rest would not do for the handshake (SECURITY.md F4).
	handshakeStaleShare = 2.0 / 3

	// limiterEntries sizes the fixed tables of per-address buckets: 8 bytes each.
	limiterEntries = 1 << 16

	// streams bounds the channels that the memory broker keeps a position for,
	// streamIdle is when it forgets one that nobody uses; one without a history gives
	// way after a minute, one that nothing was published to with its last subscriber.
	// Attack: publishing to or subscribing to ever new names.
	streams    = 1 << 18
	streamIdle = time.Hour

	// ticketsWaiting bounds the tickets that are issued and not used, of about a
	// kilobyte each; they last half a minute. revocationsKept bounds the entries of
	// each kind. Attack: a publisher's key in wrong hands. Over it the API says so.
	ticketsWaiting  = 1 << 16
	revocationsKept = 1 << 16

	// historyBytes bounds the histories of all channels. Attack: publishing long
	// messages to many channels. Over it a channel that is published to gives up
	// its oldest if it has more than its share, else another that has.
	historyBytes = 256 << 20

	// deltaBaseBytes bounds what is kept of each channel with deltas to make the
	// next one: its last publication. Attack: long publications to many channels.
	// Over it publications go out in full.
	deltaBaseBytes = 64 << 20

	// userTimeout is TCP_USER_TIMEOUT, or more where --write-timeout is longer:
	// data in flight that a vanished peer does not acknowledge.
	userTimeout = 30 * time.Second

	// releaseAfter is how long after the last handshake the memory that
	// handshakes needed is handed back to the system: the ciphers that new
	// connections used for their first messages are dropped by then.
	releaseAfter = tlsconn.CiphersIdle + time.Second
)

// kernelTimeout is when the kernel gives a peer up. A window that stays closed is
// the same to it as a peer that is gone; that is for the loop to end, which says
// why.
func kernelTimeout(writeTimeout time.Duration) time.Duration {
	return max(userTimeout, writeTimeout+closeTimeout)
}

// failureRate is how many forged or revoked credentials one address may send, and failureEntries how many addresses are
// remembered for it, in 24 bytes each. Attack: tokens to be guessed, or to have signatures checked. Over it: 429 or 3013,
// unlooked at; --limit-exempt is passed over. Tokens that are merely over, as those of many clients behind one address may be
// after an outage, are no failures.
var failureRate = limit.Rate{PerSecond: 10, Burst: 100}

const failureEntries = 1 << 14

// pendingRate is how many tokens by keys that are not here yet one address may send before more of them are failures, for as many
// addresses. After a rotation many clients behind one may come with such tokens, and come again until the key is here. Attack: forged
// tokens with a kid that nobody has.
var pendingRate = limit.Rate{PerSecond: 20, Burst: 500}

// sessionFailures is how many wrong tokens a session of a user may bring, and is asked for in the place of its address: others there
// must not be able to end it at its refresh. They count for the address too. Attack: tokens to be guessed from within. Over it: 3013.
const sessionFailures = 10

// eventRate is how many joins and leaves a shard tells its connections, one for
// each of them. Attack: subscribing and unsubscribing, in a channel where all are
// told of it. Over it: they are dropped and counted.
var eventRate = limit.Rate{PerSecond: 1 << 17, Burst: 1 << 20}

// walkRate is what a shard spends on presence, in members: about a tenth of a
// core in the long run. Attack: presence_stats of a large channel from many
// connections. Over it: answers take longer.
var walkRate = limit.Rate{PerSecond: 1 << 20, Burst: 1 << 16}
