package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/bus/bustest"
)

type world struct {
	t  *testing.T
	nc *nats.Conn
	js jetstream.JetStream
}

func newWorld(t *testing.T) *world {
	t.Helper()
	n := bustest.Start(t, &bustest.Server{Dir: t.TempDir()})
	nc, err := nats.Connect(n.URL(bustest.Admin))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t, nc, js}
}

func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	w.t.Cleanup(cancel)
	return ctx
}

// stream makes a stream S with n messages of a size, of which the third and the
// last are deleted.
func (w *world) stream(n, size int) jetstream.Stream {
	w.t.Helper()
	s, err := w.js.CreateStream(w.ctx(), jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s.*"}, AllowDirect: true, AllowMsgTTL: true, Metadata: map[string]string{"owner": "me"},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range n {
		m := &nats.Msg{Subject: fmt.Sprint("s.", i%5), Header: nats.Header{"Number": {fmt.Sprint(i + 1)}}, Data: make([]byte, size)}
		rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(m.Data) //nolint:errcheck // never fails
		if _, err := w.js.PublishMsg(w.ctx(), m); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, seq := range []int{3, n} {
		if err := s.DeleteMsg(w.ctx(), uint64(seq)); n > 0 && err != nil {
			w.t.Fatal(err)
		}
	}
	return s
}

func (w *world) snapshot() (Head, []byte) {
	w.t.Helper()
	var b bytes.Buffer
	head, err := Snapshot(w.ctx(), w.nc, "", "S", &b)
	if err != nil {
		w.t.Fatal(err)
	}
	return head, b.Bytes()
}

// holds is what a stream holds, in words.
func holds(t *testing.T, s jetstream.Stream) string {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	first := max(info.State.FirstSeq, 1) // an empty stream begins at 0 or 1
	fmt.Fprintf(&text, "%d..%d, %d messages\n", first, info.State.LastSeq, info.State.Msgs)
	for seq := first; seq <= info.State.LastSeq; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			fmt.Fprintln(&text, seq, err)
			continue
		}
		fmt.Fprintln(&text, seq, m.Subject, m.Time, m.Header, len(m.Data), m.Data[:1])
	}
	return text.String()
}

func (w *world) gone() {
	w.t.Helper()
	if _, err := w.js.Stream(w.ctx(), "S"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		w.t.Errorf("there is a stream: %v", err)
	}
}

// TestThereAndBack: what comes back is what was there, sequences, times and
// holes, and what this Belfry does not know of the settings.
func TestThereAndBack(t *testing.T) {
	for _, c := range []struct{ n, size int }{{0, 0}, {6, 10}, {300, 40_000}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			w := newWorld(t)
			s := w.stream(c.n, c.size)
			before := holds(t, s)
			head, copied := w.snapshot()
			if head.Stream != "S" || head.State.Last != uint64(c.n) || head.Config.Metadata()["owner"] != "me" || head.Config.Replicas() != 1 {
				t.Errorf("the head is %+v", head)
			}
			if _, err := Restore(w.ctx(), w.nc, "", bytes.NewReader(copied), Change{}); !errors.Is(err, ErrExists) {
				t.Errorf("over a stream that is there: %v", err)
			}
			if err := Delete(w.ctx(), w.nc, "", "S"); err != nil {
				t.Fatal(err)
			}
			if _, err := Restore(w.ctx(), w.nc, "", bytes.NewReader(copied), Change{Metadata: map[string]string{"more": "1"}}); err != nil {
				t.Fatal(err)
			}
			s, err := w.js.Stream(w.ctx(), "S")
			if err != nil {
				t.Fatal(err)
			}
			if after := holds(t, s); after != before {
				t.Errorf("it was\n%.600s\nand is\n%.600s", before, after)
			}
			if m := s.CachedInfo().Config.Metadata; m["owner"] != "me" || m["more"] != "1" {
				t.Errorf("its metadata is %v", m)
			}
			ack, err := w.js.Publish(w.ctx(), "s.1", nil)
			if err != nil || ack.Sequence != uint64(c.n)+1 {
				t.Errorf("the next message: %+v, %v", ack, err)
			}
		})
	}
}

func TestSnapshotOfNothing(t *testing.T) {
	w := newWorld(t)
	if _, err := Snapshot(w.ctx(), w.nc, "", "S", io.Discard); !errors.Is(err, ErrNoStream) {
		t.Errorf("no stream: %v", err)
	}
	if err := Delete(w.ctx(), w.nc, "", "S"); !errors.Is(err, ErrNoStream) {
		t.Errorf("deleting none: %v", err)
	}
}

// TestDiskFull: a writer that takes no more ends the copy.
func TestDiskFull(t *testing.T) {
	w := newWorld(t)
	w.stream(300, 40_000)
	full := errors.New("no space left on device")
	if _, err := Snapshot(w.ctx(), w.nc, "", "S", &fullWriter{room: 300_000, err: full}); !errors.Is(err, full) {
		t.Errorf("a full disk: %v", err)
	}
}

type fullWriter struct {
	room int
	err  error
}

func (w *fullWriter) Write(p []byte) (int, error) {
	if w.room -= len(p); w.room < 0 {
		return 0, w.err
	}
	return len(p), nil
}

// TestRestoreInPart: whatever goes wrong in the middle, nothing is left.
func TestRestoreInPart(t *testing.T) {
	w := newWorld(t)
	w.stream(300, 40_000)
	_, copied := w.snapshot()
	if err := Delete(w.ctx(), w.nc, "", "S"); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the disk is broken")
	half := copied[:len(copied)/2]
	flipped := bytes.Clone(copied)
	flipped[len(flipped)/2] ^= 1
	cancelled, cancel := context.WithCancel(w.ctx())
	for _, c := range []struct {
		name string
		ctx  context.Context
		r    io.Reader
		want error // nil: any
	}{
		{"cut off", w.ctx(), bytes.NewReader(half), nil},
		{"a flipped bit", w.ctx(), bytes.NewReader(flipped), nil},
		{"a reader that fails", w.ctx(), io.MultiReader(bytes.NewReader(half), iotest.ErrReader(broken)), broken},
		{"a reader that ends too early", w.ctx(), io.MultiReader(bytes.NewReader(half), iotest.ErrReader(io.ErrUnexpectedEOF)), io.ErrUnexpectedEOF},
		{"cancelled", cancelled, io.MultiReader(bytes.NewReader(half), readerFunc(func() { cancel() }), bytes.NewReader(copied[len(half):])), context.Canceled},
		{"empty", w.ctx(), strings.NewReader(""), ErrFormat},
		{"something else", w.ctx(), strings.NewReader("{}\nx"), ErrFormat},
	} {
		_, err := Restore(c.ctx, w.nc, "", c.r, Change{})
		if err == nil || c.want != nil && !errors.Is(err, c.want) || errors.Is(err, ErrUnfinished) {
			t.Errorf("%s: %v", c.name, err)
		}
		w.gone()
	}
	if _, err := Restore(w.ctx(), w.nc, "", bytes.NewReader(copied), Change{}); err != nil {
		t.Errorf("the whole copy: %v", err)
	}
}

// A readerFunc is empty, and calls when it is read.
type readerFunc func()

func (f readerFunc) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}
