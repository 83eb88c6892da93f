package messagechannel

import "net/netip"

// A remote is a client's address in 16 bytes, without a zone: netip.Addr has 24.
// The zero value stands for a client that has none.
type remote [16]byte

func remoteOf(a netip.Addr) (r remote) {
	if a.IsValid() {
		r = a.As16()
	}
	return r
}

func (r remote) addr() netip.Addr {
	if r == (remote{}) {
		return netip.Addr{}
	}
	return netip.AddrFrom16(r).Unmap()
}
