package stats

// Counter names one number that only grows.
type Counter uint8

// The counters of a node. Bytes are those of the socket, TLS included.
const (
	ConnectionsAccepted Counter = iota // connections let in by admission
	HandshakesDone                     // TLS handshakes completed
	HandshakesResumed                  // of these, resumed by a session ticket
	MessagesIn                         // WebSocket messages read whole, data frames only
	ControlFramesIn                    // pings, pongs and close frames read
	BytesIn                            // bytes read from clients
	BytesOut                           // bytes given to the kernel for clients
	Publications                       // publications accepted by the broker through this node
	Deliveries                         // publications put into an outbox, one per subscriber
	Flushes                            // batches written to a connection
	MailboxBehind                      // times a shard's mailbox was full and a channel was marked behind
	MailboxRefilled                    // publications that a full mailbox lost and that came back from a history
	WorkRefused                        // commands refused because the worker pool or a connection's queue was full
	EventsTold                         // joins and leaves put into an outbox, one per subscriber
	EventsDropped                      // joins and leaves that subscribers were not told of, one per subscriber
	PresenceWalks                      // times the members of a channel were gone through for presence
	Panics                             // panics contained to one connection
	counterCount
)

// Gauge names one number that goes up and down. The shards' parts are summed.
type Gauge uint8

// The gauges of a node.
const (
	Connections   Gauge = iota // open connections, from accept to close
	Sessions                   // connections that finished their connect command
	Subscriptions              // subscriptions of all sessions
	OutboxBytes                // bytes referenced by outboxes, shared frames counted once per connection
	PartialBytes               // bytes held for half records, frames and messages
	gaugeCount
)

// Family names a counter that is split by one label out of a closed list.
type Family uint8

// The families of a node. The lists of those with numbers for labels (from Upgrades on) are fixed in this package.
const (
	HandshakesFailed Family = iota // TLS handshakes that failed, by reason
	Commands                       // client commands, by method
	ProtocolErrors                 // violations of TLS, HTTP, WebSocket or the client protocol, by kind
	SlowConsumers                  // connections over a bound of their outbox, by what the policy did
	OverloadCloses                 // connections closed to make room, by the overload level that closed them
	OutboxDrops                    // publications taken out of an outbox or not put in, by reason
	APIRequests                    // server API calls, by method
	PublishRefused                 // publications that the server API refused before the broker, by reason
	PayloadsRefused                // payloads that their namespace did not take, from whomever they came, by keyword
	Upgrades                       // answers to request heads, by HTTP status; 101 is a success
	Closes                         // close frames sent, by code
	CommandErrors                  // error replies to client commands, by code
	APIErrors                      // error answers of the server API, by code
	familyCount
	firstCoded = Upgrades
)

// name is what a scrape shows of one counter, gauge or family.
type name struct{ metric, help, label string }

// Tables are read only. Units stand in the name, as is the custom of Prometheus.
var (
	counterNames = [counterCount]name{
		ConnectionsAccepted: {metric: "weir_connections_accepted_total", help: "Connections let in by admission."},
		HandshakesDone:      {metric: "weir_handshakes_done_total", help: "TLS handshakes completed."},
		HandshakesResumed:   {metric: "weir_handshakes_resumed_total", help: "TLS handshakes completed by resuming a session."},
		MessagesIn:          {metric: "weir_messages_received_total", help: "WebSocket messages read whole from clients."},
		ControlFramesIn:     {metric: "weir_control_frames_received_total", help: "WebSocket control frames read from clients."},
		BytesIn:             {metric: "weir_received_bytes_total", help: "Bytes read from client sockets, TLS included."},
		BytesOut:            {metric: "weir_sent_bytes_total", help: "Bytes given to the kernel for clients, TLS included."},
		Publications:        {metric: "weir_publications_total", help: "Publications accepted by the broker through this node."},
		Deliveries:          {metric: "weir_deliveries_total", help: "Publications put into an outbox, one per subscriber."},
		Flushes:             {metric: "weir_flushes_total", help: "Batches written to a connection."},
		MailboxBehind:       {metric: "weir_mailbox_behind_total", help: "Times a full shard mailbox marked a channel as behind."},
		MailboxRefilled:     {metric: "weir_mailbox_refilled_total", help: "Publications that a full shard mailbox lost and that came back from a history."},
		WorkRefused:         {metric: "weir_work_refused_total", help: "Commands refused because the worker pool was full."},
		EventsTold:          {metric: "weir_join_leave_deliveries_total", help: "Joins and leaves put into an outbox, one per subscriber."},
		EventsDropped:       {metric: "weir_join_leave_dropped_total", help: "Joins and leaves that subscribers were not told of, one per subscriber."},
		PresenceWalks:       {metric: "weir_presence_walks_total", help: "Times the members of a channel were gone through for presence."},
		Panics:              {metric: "weir_panics_total", help: "Panics contained to one connection."},
	}
	gaugeNames = [gaugeCount]name{
		Connections:   {metric: "weir_connections", help: "Open connections."},
		Sessions:      {metric: "weir_sessions", help: "Connections that are authenticated."},
		Subscriptions: {metric: "weir_subscriptions", help: "Subscriptions of all sessions."},
		OutboxBytes:   {metric: "weir_outbox_bytes", help: "Bytes waiting in outboxes, shared frames counted per connection."},
		PartialBytes:  {metric: "weir_partial_input_bytes", help: "Bytes held for half records, frames and messages."},
	}
	familyNames = [familyCount]name{
		HandshakesFailed: {"weir_handshakes_failed_total", "TLS handshakes that failed, by reason.", "reason"},
		Commands:         {"weir_commands_total", "Client commands, by method.", "method"},
		ProtocolErrors:   {"weir_protocol_errors_total", "Protocol violations of peers, by kind.", "kind"},
		SlowConsumers:    {"weir_slow_consumers_total", "Connections over a bound of their outbox, by what was done.", "action"},
		OverloadCloses:   {"weir_overload_closed_total", "Connections closed to make room, by the overload level that closed them.", "level"},
		OutboxDrops:      {"weir_outbox_dropped_total", "Publications dropped from an outbox, by reason.", "reason"},
		APIRequests:      {"weir_api_requests_total", "Server API calls, by method.", "method"},
		PublishRefused:   {"weir_publications_refused_total", "Publications that the server API refused before the broker, by reason.", "reason"},
		PayloadsRefused:  {"weir_payloads_refused_total", "Payloads that the schema or the sanitizing of their namespace refused, whoever published them, by keyword.", "keyword"},
		Upgrades:         {"weir_upgrades_total", "Answers to request heads, by HTTP status.", "status"},
		Closes:           {"weir_closes_total", "WebSocket closes sent, by code.", "code"},
		CommandErrors:    {"weir_command_errors_total", "Error replies to client commands, by code.", "code"},
		APIErrors:        {"weir_api_errors_total", "Error answers of the server API, by code.", "code"},
	}
)

// codes returns the closed list of numbers of a coded family.
func codes(f Family) []uint32 {
	switch f {
	case Upgrades:
		return []uint32{101, 200, 400, 401, 403, 404, 405, 408, 426, 429, 431, 503}
	case Closes:
		return []uint32{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011,
			3000, 3001, 3004, 3005, 3006, 3008, 3009, 3010, 3011, 3012, 3013,
			3500, 3501, 3502, 3503, 3504, 3505, 3507, 3509}
	case CommandErrors, APIErrors:
		return []uint32{100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112}
	default:
		return nil
	}
}
