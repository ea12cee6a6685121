package main

import "time"

// cli is the whole command line: options that every scenario has, and the scenarios.
type cli struct {
	targetOptions
	loadOptions
	reportOptions

	Storm   scenarioCommand `cmd:"" help:"Open connections for a time, at --connect-rate or as fast as they open; each is closed when it is subscribed."`
	Idle    scenarioCommand `cmd:"" help:"Open connections, leave them alone, and see what memory of --pid each of them takes."`
	Publish scenarioCommand `cmd:"" help:"Publish through --api, then by --publishers connections, and time the acknowledgements."`
	Mixed   scenarioCommand `cmd:"" help:"A day in short: publications, connections that leave and come again, slow readers."`
	Attack  attackCommand   `cmd:"" help:"Flood the server in one way after the other, each for --duration, with honest subscribers beside."`
	Recover scenarioCommand `cmd:"" help:"Publish, cut every connection, open them again where they were, check that nothing is lost."`
	Fanout  scenarioCommand `cmd:"" help:"Subscribe to one or many channels, publish to them, check that everybody gets everything."`
	Million scenarioCommand `cmd:"" help:"Open very many connections to a server of many processes, and publish once to all, through the --api of each process."`
	Report  reportCommand   `cmd:"" help:"Show runs that --json kept, put them side by side on one page (--html), and judge them by --fail-if."`
}

// targetOptions say whom to load, and who one is.
type targetOptions struct {
	URL                 string   `name:"url" group:"Target" default:"wss://localhost:8443" placeholder:"URL" help:"Server; several are separated by commas and have the same options (default ${default})."`
	Protocol            string   `name:"protocol" group:"Target" default:"weir" enum:"weir,centrifugo,feed,echo" placeholder:"NAME" help:"weir, centrifugo, feed or echo (default ${default})."`
	Token               string   `name:"token" group:"Target" placeholder:"TOKEN" help:"Token of the connections, for channels that begin with --channel."`
	TokenFile           string   `name:"token-file" group:"Target" placeholder:"FILE" help:"File with the token, so that it stands in no process list."`
	TokenHMACSecret     string   `name:"token-hmac-secret" group:"Target" placeholder:"SECRET" help:"Secret of the server, to make a token with."`
	TokenHMACSecretFile string   `name:"token-hmac-secret-file" group:"Target" placeholder:"FILE" help:"File with that secret."`
	API                 []string `name:"api" group:"Target" placeholder:"URL" help:"Server API to publish through; of several each gets every publication."`
	APIKey              string   `name:"api-key" group:"Target" placeholder:"KEY" help:"Key of the server API."`
	APIKeyFile          string   `name:"api-key-file" group:"Target" placeholder:"FILE" help:"File with that key."`
	CAFile              string   `name:"ca-file" group:"Target" placeholder:"FILE" help:"Certificates, PEM, trusted beside the system's. The server's certificate is verified, always."`
	Pins                []string `name:"pin" group:"Target" placeholder:"sha256/…" help:"Public key of which one must be in the verified chain, of --api too where that is https; several may be given."`
	Origin              string   `name:"origin" group:"Target" placeholder:"ORIGIN" help:"Origin to send (default https and the host of the URL)."`
	AllowTarget         []string `name:"allow-target" group:"Target" placeholder:"HOST" help:"A host that is not this machine and that you may load."`
	PIDs                []int    `name:"pid" group:"Target" placeholder:"PID" help:"Process of the server on this machine, to watch its memory and processor time; several may be given."`
}

// loadOptions say how much of it.
type loadOptions struct {
	Connections int           `name:"connections" group:"Load" default:"100" placeholder:"N" help:"Connections (default ${default})."`
	Channel     string        `name:"channel" group:"Load" default:"load" placeholder:"PREFIX" help:"How the names of the channels begin; something of this run follows (default ${default})."`
	Channels    int           `name:"channels" group:"Load" default:"1" placeholder:"N" help:"Channels in all (default ${default})."`
	Each        int           `name:"channels-per-connection" group:"Load" default:"1" placeholder:"N" help:"Channels of one connection (default ${default})."`
	Rate        float64       `name:"rate" group:"Load" default:"10" placeholder:"N" help:"Publications a second, over all channels; they are due whether or not the ones before were answered (default ${default})."`
	Size        int           `name:"size" group:"Load" default:"256" placeholder:"BYTES" help:"Size of a publication (default ${default})."`
	Duration    time.Duration `name:"duration" group:"Load" default:"10s" placeholder:"TIME" help:"How long (default ${default})."`
	Settle      time.Duration `name:"settle" group:"Load" default:"10s" placeholder:"TIME" help:"How long to wait for what is still to come (default ${default})."`
	ConnectRate float64       `name:"connect-rate" group:"Load" default:"0" placeholder:"N" help:"Connections opened a second; 0 is as fast as --at-once lets it (default ${default})."`
	AtOnce      int           `name:"at-once" group:"Load" default:"64" placeholder:"N" help:"Connections being opened at once (default ${default})."`
	Resume      float64       `name:"resume" group:"Load" default:"0" placeholder:"SHARE" help:"Share of the connections that offer a session ticket, 0 to 1 (default ${default})."`
	Processes   int           `name:"processes" group:"Load" default:"0" placeholder:"N" help:"Worker processes; 0 is one for each 18,000 connections, and none of its own for fewer (default ${default})."`
	Sources     int           `name:"sources" group:"Load" default:"1000" placeholder:"N" help:"Connections from each loopback address; 0 leaves the address to the system (default ${default})."`
	Congestion  string        `name:"congestion" group:"Load" default:"cubic" placeholder:"NAME" help:"TCP congestion control of the connections; - is the system's (default ${default})."`
	Groups      []string      `name:"groups" group:"Load" placeholder:"NAME" help:"Groups to offer for the key exchange, as X25519, P-256 or X25519MLKEM768 (default those of Go)."`
	Timeout     time.Duration `name:"timeout" group:"Load" default:"30s" placeholder:"TIME" help:"For opening a connection (default ${default})."`
	Seed        uint32        `name:"seed" group:"Load" placeholder:"N" help:"Makes the names of channels and streams those of another run with it (default random)."`
	Rest        time.Duration `name:"rest" group:"Load" default:"5s" placeholder:"TIME" help:"How long idle waits before it looks at memory (default ${default})."`
	Away        time.Duration `name:"away" group:"Load" default:"2s" placeholder:"TIME" help:"How long those that recover cuts off stay away (default ${default})."`
	Churn       float64       `name:"churn" group:"Load" default:"10" placeholder:"N" help:"Connections that leave in a second, and come again, in mixed (default ${default})."`
	SlowReaders int           `name:"slow-readers" group:"Load" default:"0" placeholder:"N" help:"Connections beside these that read one message in --slow-pause (default ${default})."`
	SlowPause   time.Duration `name:"slow-pause" group:"Load" default:"1s" placeholder:"TIME" help:"See --slow-readers (default ${default})."`
	Lanes       int           `name:"lanes" group:"Load" default:"16" placeholder:"N" help:"Calls to the API at once (default ${default})."`
	Publishers  int           `name:"publishers" group:"Load" default:"0" placeholder:"N" help:"Connections that publish, where there is no --api; 0 is one for each channel (default ${default})."`
}

// reportOptions say what becomes of the results.
type reportOptions struct {
	JSON     string        `name:"json" group:"Report" placeholder:"FILE" help:"Write the whole run as JSON; - is standard output."`
	HTML     string        `name:"html" group:"Report" placeholder:"FILE" help:"Write a page with charts; it needs nothing from anywhere."`
	FailIf   []string      `name:"fail-if" group:"Report" sep:"none" placeholder:"COND" help:"Exit with status 1 if a figure is so, as in 'p99>50ms'; several may be given."`
	Interval time.Duration `name:"interval" group:"Report" default:"1s" placeholder:"TIME" help:"How often to tell what is going on (default ${default})."`
	Quiet    bool          `name:"quiet" group:"Report" help:"Say nothing while it runs."`
}

type scenarioCommand struct{}

// attackCommand has the floods.
type attackCommand struct {
	Kinds     []string      `arg:"" optional:"" name:"flood" help:"Floods, as --list names them (default all)."`
	List      bool          `name:"list" help:"List the floods and do nothing."`
	From      string        `name:"from" default:"127.2.0.0/15" placeholder:"CIDR" help:"Addresses that the attackers come from; the honest ones come from 127.1.0.0/16 (default ${default})."`
	Attackers int           `name:"attackers" default:"0" placeholder:"N" help:"Connections of a flood at once; 0 is what its kind asks for (default ${default})."`
	Calm      time.Duration `name:"calm" default:"5s" placeholder:"TIME" help:"How long the honest are measured before (default ${default})."`
	Back      time.Duration `name:"back" default:"30s" placeholder:"TIME" help:"How long to wait after each flood for latency to be what it was (default ${default})."`
}
