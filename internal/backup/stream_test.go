package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/bus/bustest"
)

type world struct {
	t  *testing.T
	n  *bustest.Server
	nc *nats.Conn
	js jetstream.JetStream
}

func newWorld(t *testing.T) *world {
	t.Helper()
	n := bustest.Start(t, &bustest.Server{Dir: t.TempDir()})
	nc, err := nats.Connect(n.URL(bustest.Admin), nats.ReconnectWait(20*time.Millisecond), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t, n, nc, js}
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
	return holdsUntil(t, s, info.State.LastSeq)
}

// holdsUntil is what it holds up to a sequence.
func holdsUntil(t *testing.T, s jetstream.Stream, last uint64) string {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	first := max(info.State.FirstSeq, 1) // an empty stream begins at 0 or 1
	fmt.Fprintf(&text, "%d..%d\n", first, last)
	for seq := first; seq <= last; seq++ {
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

// TestNATSGoesAway: in the middle of either way. A restore says that something may
// be there in part, and another one takes its place.
func TestNATSGoesAway(t *testing.T) {
	w := newWorld(t)
	before := holds(t, w.stream(300, 40_000))
	_, copied := w.snapshot()
	restart := sync.OnceFunc(func() { w.n.Down(); w.n.Up() })
	if _, err := Snapshot(w.ctx(), w.nc, "", "S", writerFunc(restart)); !errors.Is(err, errBroke) {
		t.Errorf("while it was copied: %v", err)
	}
	w.back()
	if err := Delete(w.ctx(), w.nc, "", "S"); err != nil {
		t.Fatal(err)
	}
	half := len(copied) / 2
	restart = sync.OnceFunc(func() { w.n.Down(); w.n.Up() })
	r := io.MultiReader(bytes.NewReader(copied[:half]), readerFunc(restart), bytes.NewReader(copied[half:]))
	if _, err := Restore(w.ctx(), w.nc, "", r, Change{}); !errors.Is(err, ErrUnfinished) {
		t.Errorf("while it was restored: %v", err)
	}
	if _, err := Replace(w.ctx(), w.nc, "", "S", func() io.Reader { return bytes.NewReader(copied) }, Change{}); err != nil {
		t.Fatalf("again: %v", err)
	}
	s, err := w.js.Stream(w.ctx(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if after := holds(t, s); after != before {
		t.Errorf("it was\n%.600s\nand is\n%.600s", before, after)
	}
}

// TestReplaceTriesAgain: with the whole copy, and over what the first try left.
func TestReplaceTriesAgain(t *testing.T) {
	w := newWorld(t)
	before := holds(t, w.stream(300, 40_000))
	_, copied := w.snapshot()
	half, tries := len(copied)/2, 0
	_, err := Replace(w.ctx(), w.nc, "", "S", func() io.Reader {
		if tries++; tries > 1 {
			return bytes.NewReader(copied)
		}
		restart := sync.OnceFunc(func() { w.n.Down(); w.n.Up() })
		return io.MultiReader(bytes.NewReader(copied[:half]), readerFunc(restart), bytes.NewReader(copied[half:]))
	}, Change{})
	if err != nil || tries < 2 {
		t.Fatalf("after %d tries: %v", tries, err)
	}
	s, err := w.js.Stream(w.ctx(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if after := holds(t, s); after != before {
		t.Errorf("it was\n%.600s\nand is\n%.600s", before, after)
	}
	tries = 0
	broken := errors.New("the disk is broken")
	if _, err := Replace(w.ctx(), w.nc, "", "S", func() io.Reader {
		tries++
		return io.MultiReader(bytes.NewReader(copied[:half]), iotest.ErrReader(broken))
	}, Change{}); !errors.Is(err, broken) || tries != 1 {
		t.Errorf("what does not pass: %v after %d tries", err, tries)
	}
}

// TestConnectionLost: for good, in the middle of a restore. It says what may be
// there, and what is there has the mark that it was given.
func TestConnectionLost(t *testing.T) {
	w := newWorld(t)
	w.stream(300, 40_000)
	_, copied := w.snapshot()
	if err := Delete(w.ctx(), w.nc, "", "S"); err != nil {
		t.Fatal(err)
	}
	half := len(copied) / 2
	lost, err := nats.Connect(w.n.URL(bustest.Admin))
	if err != nil {
		t.Fatal(err)
	}
	r := io.MultiReader(bytes.NewReader(copied[:half]), readerFunc(lost.Close), bytes.NewReader(copied[half:]))
	mark := map[string]string{"mark": "unfinished"}
	if _, err := Restore(w.ctx(), lost, "", r, Change{Metadata: mark}); !errors.Is(err, ErrUnfinished) || !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("the error is %v", err)
	}
	var s jetstream.Stream
	for deadline := time.Now().Add(20 * time.Second); s == nil; time.Sleep(50 * time.Millisecond) {
		if s, err = w.js.Stream(w.ctx(), "S"); err != nil && time.Now().After(deadline) {
			t.Fatal(err) // the server gives up after 5 s
		}
	}
	if info := s.CachedInfo(); info.Config.Metadata["mark"] != "unfinished" || info.State.Msgs >= 298 {
		t.Errorf("there is %+v with %v", info.State, info.Config.Metadata)
	}
	if err := Delete(w.ctx(), w.nc, "", "S"); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(w.ctx(), w.nc, "", bytes.NewReader(copied), Change{}); err != nil {
		t.Errorf("again: %v", err)
	}
}

// TestInUse: what is published while a stream is copied is in the copy or not,
// as its head says.
func TestInUse(t *testing.T) {
	w := newWorld(t)
	s := w.stream(100, 40_000)
	stop, published := make(chan struct{}), make(chan int)
	begun := make(chan struct{})
	go func() {
		n := 0
		for ; ; n++ {
			if n == 10 {
				close(begun)
			}
			select {
			case <-stop:
				published <- n
				return
			default:
			}
			if _, err := w.js.Publish(context.Background(), "s.1", make([]byte, 1000)); err != nil {
				t.Error(err)
			}
		}
	}()
	<-begun
	head, copied := w.snapshot()
	close(stop)
	n := uint64(<-published)
	if head.State.Last < 110 || head.State.Last > 100+n {
		t.Errorf("the copy ends at %d, %d were published", head.State.Last, n)
	}
	want := holdsUntil(t, s, head.State.Last)
	if err := Delete(w.ctx(), w.nc, "", "S"); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(w.ctx(), w.nc, "", bytes.NewReader(copied), Change{}); err != nil {
		t.Fatal(err)
	}
	s, err := w.js.Stream(w.ctx(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if got := holds(t, s); got != want {
		t.Errorf("it was\n%.300s\nand is\n%.300s", want, got)
	}
}

// back waits until JetStream answers again.
func (w *world) back() {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := w.js.AccountInfo(w.ctx()); err == nil {
			return
		} else if time.Now().After(deadline) {
			w.t.Fatal(err)
		}
	}
}

// A writerFunc calls for each write, but the head's.
type writerFunc func()

func (f writerFunc) Write(p []byte) (int, error) {
	if len(p) == chunkBytes {
		f()
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
	for deadline := time.Now().Add(20 * time.Second); ; { // the server may still be removing what was there
		_, err := Restore(w.ctx(), w.nc, "", bytes.NewReader(copied), Change{})
		if err == nil {
			break
		}
		if !errors.Is(err, ErrRefused) || time.Now().After(deadline) {
			t.Fatalf("the whole copy: %v", err)
		}
	}
}

// A readerFunc is empty, and calls when it is read.
type readerFunc func()

func (f readerFunc) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}
