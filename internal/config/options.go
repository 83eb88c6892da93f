// Package config is the one tree of options: every default in one constructor,
// read from file, environment and flags, and checked once. belfry.yaml at the
// root of the repository is its manual.
package config

import (
	"net/netip"
	"time"
)

// Options is everything that can be set. The `key` tag is the name of an
// option, or of a part of one, in the file; behind BELFRY_, in upper case with
// _ for each dot, it is the name in the environment. A running gateway takes
// over what is tagged `reload` on SIGHUP; `flag` is the name of its flag,
// `secret` is never printed, and where `auto` stands 0 is written "auto".
// An int64 is a number of bytes.
type Options struct {
	Public   Public   `key:"public"`
	Internal Internal `key:"internal"`
	NATS     NATS     `key:"nats"`
	// Data is the directory of the embedded NATS's store and of addresses.json.
	Data string `key:"data" flag:"data"`
	// Durable keeps publications in streams. false is live only: nothing is
	// stored, and a NATS without JetStream will do.
	Durable        bool           `key:"durable" flag:"durable"`
	Stream         Stream         `key:"stream"`
	Subjects       Subjects       `key:"subjects"`
	Auth           Auth           `key:"auth"`
	Limits         Limits         `key:"limits"`
	Replay         Replay         `key:"replay"`
	Channels       Channels       `key:"channels"`
	MessageChannel MessageChannel `key:"messagechannel"`
	EventSource    EventSource    `key:"eventsource"`
	API            API            `key:"api"`
	Metrics        Metrics        `key:"metrics"`
	Log            Log            `key:"log"`
	// Demo serves the demo page, and its example backend answers authentication.
	Demo bool `key:"demo" flag:"demo"`
	// TrustedProxies are the networks whose X-Forwarded-For or Forwarded header
	// gives the client's address.
	TrustedProxies []netip.Prefix `key:"trusted_proxies" reload:"true"`
	// DrainDelay is how long a gateway that was told to stop goes on accepting,
	// until the load balancer has seen /readyz turn false.
	DrainDelay time.Duration `key:"drain_delay" reload:"true"`
	// Drain is over how long it then closes its connections.
	Drain time.Duration `key:"drain" reload:"true"`
}

type Public struct {
	Listen  string   `key:"listen" flag:"public"`
	Origins []string `key:"origins" reload:"true"`
	Cookie  string   `key:"cookie" reload:"true"`
	TLS     TLS      `key:"tls"`
}

// TLS is a certificate and its key, both PEM files, or neither.
type TLS struct {
	Cert string `key:"cert"`
	Key  string `key:"key"`
}

type Internal struct {
	Listen string `key:"listen" flag:"internal"`
}

// NATS says which NATS: an embedded one where URL is empty, else these.
type NATS struct {
	URL          []string     `key:"url" flag:"nats"`
	Listen       string       `key:"listen" flag:"nats-listen"`
	Prefix       string       `key:"prefix" flag:"prefix"`
	SyncInterval SyncInterval `key:"sync_interval"`
	MaxStore     int64        `key:"max_store"`
	Credentials  string       `key:"credentials"`
	NKey         string       `key:"nkey"`
	User         string       `key:"user"`
	Password     string       `key:"password" secret:"true"`
	CA           string       `key:"ca"`
	Cert         string       `key:"cert"`
	Key          string       `key:"key"`
	Domain       string       `key:"domain"`
	InboxPrefix  string       `key:"inbox_prefix"`
	Cluster      Cluster      `key:"cluster"`
}

// Cluster has the embedded NATS servers of several gateways form one; Name
// empty is none.
type Cluster struct {
	Name      string     `key:"name"`
	Node      string     `key:"node"`
	Listen    string     `key:"listen"`
	Advertise string     `key:"advertise"`
	Routes    []string   `key:"routes"` // host:port of every node, this one among them
	Secret    string     `key:"secret" secret:"true"`
	TLS       ClusterTLS `key:"tls"`
}

// ClusterTLS is for the routes, on both sides: all three files, or none.
type ClusterTLS struct {
	CA   string `key:"ca"`
	Cert string `key:"cert"`
	Key  string `key:"key"`
}

// Clustered says that the embedded NATS is one of several.
func (n NATS) Clustered() bool { return len(n.URL) == 0 && n.Cluster.Name != "" }

// SyncInterval is how often the embedded NATS has the operating system write
// its store to disk; SyncAlways before each ack.
type SyncInterval time.Duration

const SyncAlways SyncInterval = 0

type Stream struct {
	Manage   string        `key:"manage"`               // create, update or never
	Replicas int           `key:"replicas" auto:"true"` // 0 is auto
	MaxAge   time.Duration `key:"max_age"`
	MaxBytes int64         `key:"max_bytes"`
}

type Subjects struct {
	Authentication string `key:"authentication"`
	Authorization  string `key:"authorization"`
	Notification   string `key:"notification"`
	Channel        string `key:"channel"`
	Live           string `key:"live"`
}

type Auth struct {
	Timeout    time.Duration `key:"timeout" reload:"true"`
	Concurrent int           `key:"concurrent" reload:"true"`
}

type Limits struct {
	Connections int   `key:"connections" auto:"true" reload:"true"` // 0 is the descriptor limit less 512
	Queue       int64 `key:"queue" reload:"true"`                   // bytes a connection
}

type Replay struct {
	Max int `key:"max"`
	// Start is where a client without a position starts on its user's personal
	// channel: cursor, now or all.
	Start string `key:"start"`
	// StartChannels is the same for other channels: now or all.
	StartChannels string `key:"start_channels"`
}

type Channels struct {
	Public []string `key:"public"`
}

type MessageChannel struct {
	Legacy bool `key:"legacy"`
}

// EventSource is the dialect on /events.
type EventSource struct {
	// Heartbeat is how often each connection is told its position.
	Heartbeat time.Duration `key:"heartbeat" reload:"true"`
	// Retry is about how long a client waits before it comes back.
	Retry time.Duration `key:"retry" reload:"true"`
}

type API struct {
	Key string `key:"key" secret:"true" reload:"true"`
}

type Metrics struct {
	Open bool `key:"open" reload:"true"`
}

type Log struct {
	Format string `key:"format" flag:"log-format"`             // text or json
	Level  string `key:"level" flag:"log-level" reload:"true"` // debug, info, warn or error
}

// Default returns every default.
func Default() Options {
	return Options{
		Public:   Public{Listen: "127.0.0.1:6003"},
		Internal: Internal{Listen: "127.0.0.1:6004"},
		NATS: NATS{
			Listen:       "127.0.0.1:4222",
			SyncInterval: SyncInterval(2 * time.Minute),
			MaxStore:     4 << 30,
			Cluster:      Cluster{Listen: "127.0.0.1:6222"},
		},
		Data:    "belfry-data",
		Durable: true,
		Stream:  Stream{Manage: "create", MaxAge: 30 * 24 * time.Hour, MaxBytes: 1 << 30},
		Subjects: Subjects{
			Authentication: "authentication",
			Authorization:  "authorization",
			Notification:   "notification",
			Channel:        "channel",
			Live:           "live",
		},
		Auth:           Auth{Timeout: 4 * time.Second, Concurrent: 512},
		Limits:         Limits{Queue: 1 << 20},
		Replay:         Replay{Max: 500, Start: "cursor", StartChannels: "now"},
		MessageChannel: MessageChannel{Legacy: true},
		EventSource:    EventSource{Heartbeat: 25 * time.Second, Retry: 2 * time.Second},
		Log:            Log{Format: "text", Level: "info"},
		DrainDelay:     5 * time.Second,
		Drain:          30 * time.Second,
	}
}
