package main

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"

	"weir/engine"
	"weir/engine/pointer"
)

// namespaceOptions are the options of the channels "name:…"; each field's key
// is its name in the YAML file. A field with the tag later is refused when set.
type namespaceOptions struct {
	Name                       text  `key:"name" help:"What stands before the colon; \"\" is for channels without one."`
	AllowSubscribeForClient    bool  `key:"allow_subscribe_for_client" help:"Any client may subscribe, whatever its token grants."`
	AllowPublishForClient      bool  `key:"allow_publish_for_client" help:"Any client may publish."`
	AllowPublishForSubscriber  bool  `key:"allow_publish_for_subscriber" help:"Who is subscribed to a channel may publish to it."`
	HistorySize                count `key:"history_size" help:"Publications kept for each channel; needs history_ttl."`
	HistoryTTL                 span  `key:"history_ttl" help:"How long they are kept, counted from the newest; needs history_size."`
	ForceRecovery              bool  `key:"force_recovery" help:"Every subscription can recover what it missed, asked for or not; needs history."`
	ForceRecoveryMode          text  `key:"force_recovery_mode" help:"stream (the default: all that was missed) or cache (only the newest publication)."`
	ForcePositioning           bool  `key:"force_positioning" help:"Every subscription is told its position and of gaps."`
	SubscribeHook              bool  `key:"subscribe_hook" help:"--subscribe-hook decides who may subscribe without a subscription token, and nothing else does."`
	PublishHook                bool  `key:"publish_hook" help:"--publish-hook decides what clients may publish, and nothing else does."`
	Presence                   bool  `key:"presence" help:"It can be asked who is subscribed."`
	JoinLeave                  bool  `key:"join_leave" help:"Subscribers who ask for it are told who joins and leaves."`
	AllowHistoryForSubscriber  bool  `key:"allow_history_for_subscriber" help:"Who is subscribed may read the history."`
	AllowPresenceForSubscriber bool  `key:"allow_presence_for_subscriber" help:"Who is subscribed may read the presence."`
	AllowedDeltaTypes          list  `key:"allowed_delta_types" help:"fossil: subscribers that ask for it are sent what changed of a publication, where that is shorter."`
	DeltaPublish               bool  `key:"delta_publish" help:"Do so for every publication, not only for those of the server API with delta: true; needs allowed_delta_types."`
	Schema                     path  `key:"schema" help:"JSON Schema file that everything published must fit, by clients, hooks and the server API (docs/schemas.md)."`
	Sanitize                   text  `key:"sanitize" help:"none (the default) or html: <, >, & and the line separators of JavaScript stand as \\u003c … in strings of publications (docs/schemas.md)."`
	SlowConsumer               text  `key:"slow_consumer" help:"What becomes of a publication for which a reader has no room: disconnect (the default; the connection is closed with 3008), drop_oldest, drop_newest, or conflate (docs/slow-consumers.md)."`
	ConflateKey                text  `key:"conflate_key" help:"With conflate: JSON pointer to the key of which a slow reader gets only the newest, as in /symbol."`
	MaxOutboxBytes             size  `key:"max_outbox_bytes" help:"What may wait for one connection from this namespace, inside --max-outbox-bytes (default that)."`
	AllowedOrigins             list  `key:"allowed_origins" help:"Origins whose pages may subscribe, publish and read here, of those that may connect (default all of them). A client that sent no Origin is none of them."`
}

// readNamespaces reads the list under the key namespaces.
func readNamespaces(n *yaml.Node) ([]namespaceOptions, error) {
	if n.Kind != yaml.SequenceNode {
		return nil, errors.New("namespaces needs a list; write - name: feeds under it")
	}
	var all []namespaceOptions
	names := map[text]bool{}
	for _, item := range n.Content {
		ns, err := readNamespace(item)
		if err != nil {
			return nil, at(item.Line, err)
		}
		if names[ns.Name] {
			return nil, at(item.Line, fmt.Errorf("the namespace %q stands there twice", ns.Name))
		}
		names[ns.Name] = true
		all = append(all, ns)
	}
	return all, nil
}

func readNamespace(n *yaml.Node) (namespaceOptions, error) {
	var ns namespaceOptions
	if n.Kind != yaml.MappingNode {
		return ns, at(n.Line, errors.New("a namespace needs keys, as in name: feeds"))
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if seen[key.Value] {
			return ns, at(key.Line, fmt.Errorf("%s stands there twice", key.Value))
		}
		seen[key.Value] = true
		if err := ns.set(key.Value, n.Content[i+1]); err != nil {
			return ns, at(key.Line, err)
		}
	}
	if !seen["name"] {
		return ns, at(n.Line, errors.New("the namespace has no name; write name: \"\" for channels without one"))
	}
	return ns, errors.Join(ns.checkName(), ns.checkHistory(), ns.checkSanitize(), ns.checkDeltas(), ns.checkSlowConsumer())
}

func (ns *namespaceOptions) checkHistory() error {
	switch {
	case (ns.HistorySize > 0) != (ns.HistoryTTL > 0):
		return fmt.Errorf("the namespace %q has one of history_size and history_ttl; history needs both", ns.Name)
	case ns.ForceRecovery && ns.HistorySize == 0:
		return fmt.Errorf("the namespace %q has force_recovery and no history to recover from; set history_size and history_ttl", ns.Name)
	case ns.ForceRecoveryMode != "" && ns.ForceRecoveryMode != "stream" && ns.ForceRecoveryMode != "cache":
		return fmt.Errorf("force_recovery_mode: %q is neither stream nor cache", ns.ForceRecoveryMode)
	}
	return nil
}

func (ns *namespaceOptions) checkSanitize() error {
	if ns.Sanitize != "" && ns.Sanitize != "none" && ns.Sanitize != "html" {
		return fmt.Errorf("sanitize: %q is neither none nor html", ns.Sanitize)
	}
	return nil
}

func (ns *namespaceOptions) checkDeltas() error {
	for _, kind := range ns.AllowedDeltaTypes {
		if kind != "fossil" {
			return fmt.Errorf("allowed_delta_types: %q is not known; fossil is", kind)
		}
	}
	if ns.DeltaPublish && len(ns.AllowedDeltaTypes) == 0 {
		return fmt.Errorf("the namespace %q has delta_publish and nobody to whom it matters; set allowed_delta_types: fossil", ns.Name)
	}
	return nil
}

// checkSlowConsumer checks what does not depend on the limits; the engine checks
// the rest.
func (ns *namespaceOptions) checkSlowConsumer() error {
	known := map[string]bool{engine.SlowDisconnect: true, engine.SlowDropOldest: true, engine.SlowDropNewest: true, engine.SlowConflate: true}
	policy := cmp.Or(string(ns.SlowConsumer), engine.SlowDisconnect)
	switch {
	case !known[policy]:
		if near := nearest(policy, known); near != "" {
			return fmt.Errorf("slow_consumer: %q is no policy; did you mean %s?", policy, near)
		}
		return fmt.Errorf("slow_consumer: %q is no policy; write disconnect, drop_oldest, drop_newest or conflate", policy)
	case policy == engine.SlowConflate && ns.ConflateKey == "":
		return fmt.Errorf("the namespace %q has slow_consumer: conflate and no key; set conflate_key, as in /symbol", ns.Name)
	case policy != engine.SlowConflate && ns.ConflateKey != "":
		return fmt.Errorf("the namespace %q has conflate_key, which only slow_consumer: conflate uses; set that or leave the key out", ns.Name)
	}
	if _, err := pointer.Parse(string(ns.ConflateKey)); err != nil {
		return fmt.Errorf("conflate_key: %w", err)
	}
	return nil
}

// set gives the option key its value.
func (ns *namespaceOptions) set(key string, value *yaml.Node) error {
	v, err := scalarText(value)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	known := map[string]bool{}
	fields := reflect.TypeFor[namespaceOptions]()
	for i := range fields.NumField() {
		tag := fields.Field(i).Tag
		known[tag.Get("key")] = true
		if tag.Get("key") != key {
			continue
		}
		if v == "" && key == "allowed_origins" { // where "" elsewhere is the default, here that would be everybody
			return errors.New("allowed_origins: is empty; name an origin, or leave it out to let in all that may connect")
		}
		if v == "" && key != "name" {
			return nil
		}
		if later := tag.Get("later"); later != "" {
			return fmt.Errorf("%s: not available yet (%s); leave it out", key, later)
		}
		if err := decodeText(reflect.ValueOf(ns).Elem().Field(i), v); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	}
	if near := nearest(key, known); near != "" {
		return fmt.Errorf("%s is not an option of a namespace; did you mean %s?", key, near)
	}
	return fmt.Errorf("%s is not an option of a namespace", key)
}

func (ns *namespaceOptions) checkName() error {
	for _, r := range ns.Name {
		if r <= ' ' || r > '~' || r == ':' || r == '*' || r == '#' || r == '$' {
			return fmt.Errorf("the namespace name %q may hold only printable ASCII without : * # $ and spaces", ns.Name)
		}
	}
	if len(ns.Name) > 200 {
		return errors.New("a namespace name may have 200 bytes at most")
	}
	return nil
}
