package payload

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(Least, 4096).Draw(t, "size")
		m := Message{
			Index: rapid.Uint64Range(0, 9_999_999_999).Draw(t, "index"),
			Seq:   rapid.Uint64Range(0, 999_999_999_999).Draw(t, "seq"),
			At:    rapid.Int64Min(0).Draw(t, "at"),
		}
		w, err := NewWriter("1a2b3c4d", size)
		if err != nil {
			t.Fatal(err)
		}
		text := w.Make(m)
		if len(text) != size || !json.Valid(text) {
			t.Fatalf("%d bytes, wanted %d: %s", len(text), size, text)
		}
		if got, ours := NewReader("1a2b3c4d").Read(text); !ours || got != m {
			t.Fatalf("%s was read as %+v, %v", text, got, ours)
		}
		before := rapid.StringMatching(`[a-z{"]{0,20}`).Draw(t, "before")
		if got, ours, found := NewReader("1a2b3c4d").Find([]byte(before + string(text) + "}}")); !ours || !found || got != m {
			t.Fatalf("behind %q it was read as %+v, %v", before, got, ours)
		}
		if _, ours := NewReader("ffffffff").Read(text); ours {
			t.Fatal("a payload of another run was taken for one of this")
		}
	})
}

// The layout is what other programs know of it.
func TestLayout(t *testing.T) {
	w, err := NewWriter("1a2b3c4d", 92)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"bench":"1a2b3c4d","c":"0000000012","s":"000000000034","t":"0001234567890123456","p":"xxx"}`
	if got := string(w.Make(Message{12, 34, 1234567890123456})); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWhatIsNoPayload(t *testing.T) {
	w, _ := NewWriter("1a2b3c4d", Least)
	text := string(w.Make(Message{12, 34, 56}))
	r := NewReader("1a2b3c4d")
	for i := range fixed {
		if _, ours := r.Read([]byte(text[:i])); ours {
			t.Errorf("%q was taken for a payload", text[:i])
		}
	}
	for _, at := range []int{atC, atC + cLen - 1, atS + 3, atS + sLen - 1, atT, atT + tLen - 1} {
		for _, c := range "/:a\x00\xff" {
			if _, ours := r.Read([]byte(text[:at] + string(c) + text[at+1:])); ours {
				t.Errorf("%q in the place %d was taken for a digit", c, at)
			}
		}
	}
	if _, _, found := r.Find([]byte(strings.Repeat("x", 300))); found {
		t.Error("a payload was found where there is none")
	}
	if _, err := NewWriter("1a2b3c4d", Least-1); err == nil {
		t.Errorf("%d bytes were enough", Least-1)
	}
}

func TestNumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[0-9]{1,19}`).Draw(t, "digits")
		want, _ := strconv.ParseUint(text, 10, 64)
		if got, ok := number([]byte(text)); !ok || got != want {
			t.Fatalf("%s is %d, %v", text, got, ok)
		}
	})
}

// The clock is the system's, to 20 µs: a receiver in another process has one of
// its own.
func TestClock(t *testing.T) {
	a, b := NewClock(), NewClock()
	for range 100 {
		x, y, z := a.Now(), monotonic(), b.Now()
		if time.Duration(x-y) > 20*time.Microsecond || time.Duration(y-z) > 20*time.Microsecond {
			t.Fatalf("one clock says %d, then the system %d, then another clock %d", x, y, z)
		}
	}
}

func TestAlarm(t *testing.T) {
	c := NewClock()
	a, err := NewAlarm(c)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for range 20 {
		at := c.Now() + int64(300*time.Microsecond)
		if !a.SleepUntil(t.Context(), at) || c.Now() < at {
			t.Fatal("it woke up early")
		}
	}
}

func BenchmarkRead(b *testing.B) {
	w, _ := NewWriter("1a2b3c4d", 128)
	text, r := w.Make(Message{12, 34, 1234567890123456}), NewReader("1a2b3c4d")
	b.ReportAllocs()
	for b.Loop() {
		if _, ours := r.Read(text); !ours {
			b.Fatal("it is not ours")
		}
	}
}
