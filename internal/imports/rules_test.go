// Package imports has no code of its own: its tests hold every package of
// Belfry to the import rules of docs/architecture.md.
package imports

import (
	"fmt"
	"slices"
	"strings"
)

// module is what every import of ours begins with.
const module = "belfry"

// A room is one package, or a family of them where the name ends in "/*", and
// what it may import.
type room struct {
	name string
	// may lists the packages of ours, leaves aside: those are for everyone.
	may []string
	// nats says that the room may import the NATS client or server.
	nats bool
	// why is told to whoever breaks the rule.
	why string
}

// anything, in may, is every room.
const anything = "*"

// leaves import none of ours but what leafExceptions names, and every room may
// import them.
var leaves = []string{"internal/access", "internal/config", "internal/histogram", "internal/position", "internal/reason", "internal/subject", "internal/wall"}

// A leaf that needs another one: config checks the prefix that subject spells.
var leafExceptions = map[string][]string{"internal/config": {"internal/subject"}}

var rooms = []room{
	{name: "cmd/*", may: []string{"internal/app"},
		why: "a command parses flags and makes one call into app"},
	{name: "internal/app", may: []string{anything}, nats: true,
		why: "app wires everything"},
	{name: "internal/dialect/*", may: []string{"internal/hub", "internal/auth", "internal/ask", "internal/backend", "internal/transport"},
		why: "a dialect knows how its clients talk, and neither NATS nor another dialect"},
	{name: "internal/ask", may: []string{"internal/bus"}, nats: true,
		why: "ask is what questions to a backend have in common, and knows of none"},
	{name: "internal/auth", may: []string{"internal/ask", "internal/bus"}, nats: true,
		why: "auth turns a token into an identity by asking over the bus"},
	{name: "internal/backend", may: []string{"internal/ask", "internal/bus"}, nats: true,
		why: "backend asks over the bus what else there is to ask, and knows no connection"},
	{name: "internal/journal", may: []string{"internal/bus", "internal/hub"}, nats: true,
		why: "journal carries what is stored from NATS to the hub, and what the hub needs of it is an interface of the hub's"},
	{name: "internal/api", may: []string{"internal/hub", "internal/journal", "internal/auth", "internal/backend"},
		why: "api is what servers ask of a gateway over HTTP, done by the rooms behind it"},
	{name: "internal/live", may: []string{"internal/bus", "internal/hub"}, nats: true,
		why: "live carries publications from NATS to the hub"},
	{name: "internal/backup", nats: true,
		why: "backup copies streams, whatever is in them"},
	{name: "internal/bus", nats: true,
		why: "bus is NATS itself and knows nothing of what it carries"},
	{name: "internal/hub",
		why: "the hub knows channels and connections, no wire format and no NATS; what it needs it states as an interface that app fills"},
	{name: "internal/transport",
		why: "transport knows bytes, not their meaning; what it needs it states as an interface"},
	{name: "internal/ops",
		why: "ops answers for health and metrics from what app hands it"},
	{name: "internal/web",
		why: "web is the embedded page, nothing else"},
	{name: "internal/demo", may: []string{"internal/bus", "internal/web"}, nats: true,
		why: "demo stands where a backend would: it reaches the gateway over NATS alone"},
	{name: "internal/load", may: []string{"internal/bus", "internal/load"}, nats: true,
		why: "load stands outside the gateway, as any client and backend: what it measures it must not share code with"},
	{name: "internal/verify/judge",
		why: "the judge knows what happened by what it is told, and talks to nobody"},
	{name: "internal/verify/line",
		why: "a bad line knows bytes, and nothing of what they say"},
	{name: "internal/verify/disk",
		why: "a full disk is a limit on a process, whatever that does"},
	{name: "internal/verify/nodes", may: []string{"internal/verify/nodes", "internal/verify/disk"}, nats: true,
		why: "nodes are NATS servers from outside, and know of no gateway"},
	{name: "internal/verify/streams", may: []string{"internal/backup"}, nats: true,
		why: "streams does to NATS what an operator may, and knows of no gateway"},
	{name: "internal/verify", may: []string{"internal/verify"}, nats: true,
		why: "verify stands outside the gateway, as any client and backend: what it tries to break it must not share code with"},
}

// A pkg is what a rule is about: a package's path and its imports.
type pkg struct {
	path    string
	imports []string
}

// broken returns a sentence for each rule that p breaks.
func broken(p pkg) []string {
	name, ours := rel(p.path)
	if !ours || !strings.HasPrefix(name, "cmd/") && !strings.HasPrefix(name, "internal/") {
		return nil // examples and e2e are outside the house
	}
	r, ok := roomOf(name)
	if !ok {
		return []string{fmt.Sprintf("%s has no import rule: give it one in internal/imports/rules_test.go and a line in docs/architecture.md", name)}
	}
	var bad []string
	for _, imp := range p.imports {
		if isNATS(imp) && !r.nats {
			bad = append(bad, fmt.Sprintf("%s imports %s, and may not import NATS: %s", name, imp, r.why))
		}
		if to, ours := rel(imp); ours && !allowed(name, r, to) {
			bad = append(bad, fmt.Sprintf("%s imports %s, which its rule does not allow: %s", name, to, r.why))
		}
	}
	return bad
}

func allowed(from string, r room, to string) bool {
	if within(from, to) && !strings.HasSuffix(r.name, "/*") {
		return true // a room may be furnished with packages below it
	}
	for _, name := range r.may {
		if name == anything || within(name, to) {
			return true
		}
	}
	return slices.Contains(leaves, to) && !slices.Contains(leaves, from)
}

// roomOf finds a package's rule: its own, its family's, or that of the room
// that it stands in.
func roomOf(name string) (room, bool) {
	if slices.Contains(leaves, name) {
		return room{name: name, may: leafExceptions[name], why: "it is a leaf, which every room may import, so it imports none of ours"}, true
	}
	for _, r := range rooms {
		if family, ok := strings.CutSuffix(r.name, "/*"); ok && within(family, name) && family != name || within(r.name, name) {
			return r, true
		}
	}
	return room{}, false
}

// within says that name is room or below it.
func within(room, name string) bool { return name == room || strings.HasPrefix(name, room+"/") }

// rel is a path inside the module, and whether it is inside.
func rel(importPath string) (string, bool) { return strings.CutPrefix(importPath, module+"/") }

// isNATS is true for the client, its packages and the server; ids and keys
// (nuid, nkeys) are not NATS.
func isNATS(importPath string) bool {
	return within("github.com/nats-io/nats.go", importPath) ||
		strings.HasPrefix(importPath, "github.com/nats-io/nats-server")
}
