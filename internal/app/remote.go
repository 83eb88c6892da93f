package app

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientOf is the address of the client. It is the socket's other end, unless
// that is a trusted proxy: then the chain of addresses that proxies wrote down
// is followed from the end, and the first one that is not a trusted proxy's is
// the client's. What stands before it in the chain the client may have made up.
//
// X-Forwarded-For counts, and Forwarded (RFC 7239) where there is none of it.
// The zero Addr stands for a socket that has no IP address.
func clientOf(r *http.Request, trusted []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client := peer.Addr().Unmap().WithZone("")
	if !within(client, trusted) {
		return client
	}
	for _, hop := range slices.Backward(chain(r.Header)) {
		address, ok := parseHop(hop)
		if !ok { // a proxy that hides who asked it: it is the last that we know
			return client
		}
		client = address
		if !within(client, trusted) {
			return client
		}
	}
	return client
}

func within(a netip.Addr, trusted []netip.Prefix) bool {
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
}

// chain is the addresses that proxies wrote down, the client's end first.
func chain(h http.Header) []string {
	if all := h.Values("X-Forwarded-For"); len(all) > 0 {
		return strings.Split(strings.Join(all, ","), ",")
	}
	var hops []string
	for _, element := range strings.Split(strings.Join(h.Values("Forwarded"), ","), ",") {
		hops = append(hops, forwardedFor(element))
	}
	return hops
}

// forwardedFor is the `for` of one element of a Forwarded header, "" for none.
func forwardedFor(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(strings.TrimSpace(name), "for") {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}

// parseHop reads an address with or without port and brackets.
func parseHop(hop string) (netip.Addr, bool) {
	hop = strings.TrimSpace(hop)
	if whole, err := netip.ParseAddrPort(hop); err == nil {
		return whole.Addr().Unmap().WithZone(""), true
	}
	address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(hop, "["), "]"))
	return address.Unmap().WithZone(""), err == nil
}
