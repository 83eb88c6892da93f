package bus

import (
	"fmt"
	"strings"

	"belfry/internal/config"
)

const permissionsHead = `# The rights of Belfry's NATS users, in nats-server's configuration syntax, as
# ` + "`belfry check --permissions`" + ` prints them for its configuration. Include them in
# nats-server's, and have the users refer to them:
#
#   authorization {
#     users = [
#       {user: gateway, password: "...", permissions: $%[1]s}
#       {user: backend, password: "...", permissions: $%[2]s}
#     ]
#   }
#
# Users of an account, in accounts {...}, take them in the same way. nats-server
# refuses a definition that no user refers to: remove it then. Print them anew
# when Belfry's configuration changes.
`

const domainHead = `#
# With a JetStream domain each right to its API stands here twice: servers of the
# domain look at the second form, a leaf node in front of it at the first.
`

// PermissionsText are the permissions of a gateway's and of a backend's user in
// the syntax of nats-server's configuration, each with what it is for.
func PermissionsText(o config.Options) string {
	gateway, backend := definitions(o)
	var b strings.Builder
	fmt.Fprintf(&b, permissionsHead, gateway, backend)
	if o.NATS.Domain != "" {
		b.WriteString(domainHead)
	}
	b.WriteString("\n# A gateway, and the belfry commands that connect to NATS.\n")
	block(&b, gateway, GatewayPermissions(o), "")
	b.WriteString("\n# A backend. Leave out what yours does not do.\n")
	block(&b, backend, BackendPermissions(o), "  # replies to the gateways' questions\n  allow_responses = true\n")
	return b.String()
}

// definitions are what the blocks are called. Those of several products may
// stand in one file.
func definitions(o config.Options) (gateway, backend string) {
	of := ""
	if p := o.NATS.Prefix; p != "" {
		of = "_" + strings.ToUpper(strings.ReplaceAll(p, "-", "_"))
	}
	return "BELFRY_GATEWAY" + of, "BELFRY_BACKEND" + of
}

func block(b *strings.Builder, name string, all []Permission, more string) {
	fmt.Fprintf(b, "%s = {\n", name)
	for _, a := range []Action{MayPublish, MaySubscribe} {
		fmt.Fprintf(b, "  %s = {\n    allow = [\n", a)
		why := ""
		for _, p := range all {
			if p.Action != a {
				continue
			}
			if p.Why != why {
				why = p.Why
				fmt.Fprintf(b, "      # %s\n", strings.ReplaceAll(p.comment(), "\n", "\n      # "))
			}
			off := ""
			if p.Choice {
				off = "# "
			}
			fmt.Fprintf(b, "      %s%q\n", off, p.Subject)
			if p.Inside != "" {
				fmt.Fprintf(b, "      %q\n", p.Inside)
			}
		}
		b.WriteString("    ]\n  }\n")
	}
	b.WriteString(more + "}\n")
}

func (p Permission) comment() string {
	if p.Without == "" {
		return p.Why
	}
	return p.Why + ";\n" + p.Without
}
