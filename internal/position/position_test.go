package position_test

import (
	"errors"
	"math"
	"testing"

	"belfry/internal/position"
)

func TestSpelling(t *testing.T) {
	n, c := position.Mark{Epoch: "c1x9", Seq: 285}, position.Mark{Epoch: "c1xa.2", Seq: 46}
	both := position.Position{}.With(position.Notifications, n).With(position.Channels, c)
	for want, p := range map[string]position.Position{
		"n-c1x9-7x_c-c1xa.2-1a": both,
		"n-c1x9-7x":             both.Only(position.Notifications),
		"c-c1xa.2-1a":           both.Only(position.Channels),
		"n-0-0":                 position.Position{}.With(position.Notifications, position.Mark{Epoch: "0"}),
		"n-e-3w5e11264sgsf":     position.Position{}.With(position.Notifications, position.Mark{Epoch: "e", Seq: math.MaxUint64}),
	} {
		if got := p.String(); got != want {
			t.Errorf("%v is %q, want %q", p, got, want)
		}
		if back, err := position.Parse(want); err != nil || back != p {
			t.Errorf("%q came back as %v, %v", want, back, err)
		}
	}
}

func TestMalformed(t *testing.T) {
	for _, s := range []string{
		"", "n", "n-", "n-e", "n-e-", "n--1", "N-e-1", "n-E-1", "n-e-A", "n-e-01", "n-e-1_", "_n-e-1", "x-e-1", "nn-e-1",
		"n-e-1_n-e-2", "c-e-1_n-e-1", "n-e-1 ", "n-e-zzzzzzzzzzzzz", "n-e-1-2", "42", "n-e\n-1", "n-e-1_c-e-1_c-e-1",
	} {
		if p, err := position.Parse(s); !errors.Is(err, position.ErrMalformed) {
			t.Errorf("%q was read as %v, %v", s, p, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("n-c1x9-7x_c-c1xa.2-1a")
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := position.Parse(s); err == nil && p.String() != s {
			t.Fatalf("%q has a second spelling, %q", p, s)
		}
	})
}
