package main

import "testing"

// What the machine takes is known, and not nothing.
func TestItself(t *testing.T) {
	m, err := itself()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", m)
	for what, ns := range map[string]float64{"a system call": m.SystemCallNS, "a round trip": m.RoundTripNS, "memory": m.MemoryNS, "a page": m.PageNS} {
		if ns < 1 || ns > 1e8 {
			t.Errorf("%s takes %g ns", what, ns)
		}
	}
}
