package journal

import (
	"testing"
	"time"

	"belfry/internal/wall"
)

// The store's clock counts, whatever becomes of this machine's.
func TestStoreDate(t *testing.T) {
	t.Cleanup(func() { wall.Set(0) })
	d := newStoreDate()
	near := func(want time.Time) {
		t.Helper()
		if off := d.time().Sub(want); off.Abs() > time.Minute {
			t.Errorf("it is off by %v", off)
		}
	}
	near(time.Now())
	wall.Set(time.Hour)
	near(time.Now().Add(time.Hour)) // nothing better is known
	d.heed(time.Time{})
	near(time.Now().Add(time.Hour))
	d.heed(time.Now())
	near(time.Now())
	wall.Set(-2 * time.Hour)
	near(time.Now())
	d.heed(time.Now().Add(3 * time.Hour)) // the store's own was put right
	near(time.Now().Add(3 * time.Hour))
}

// A publication that lasts an hour is sent by a gateway whose clock is wrong by
// two, and tickets last as long as they do elsewhere.
func TestWrongClock(t *testing.T) {
	t.Cleanup(func() { wall.Set(0) })
	w := newWorld(t)
	wall.Set(2 * time.Hour)
	j, h := w.gateway()
	first, err := j.Publish(w.ctx(), "#1", "", []byte("lasts"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	w.reaches(h, notifications, first.Position.Get(notifications))
	batch, _, ok := j.Recent(notifications, []string{"#1"}, first.Seq-1, first.Seq, 1<<20)
	if !ok || len(batch) != 1 {
		t.Errorf("it has %v, %v", batch, ok)
	}
	if off := time.Until(j.cursors.date()); off.Abs() > time.Minute {
		t.Errorf("tickets go by a clock that is off by %v", off)
	}
}

// A rotation gives an epoch behind the one before, though the clock has been put
// back in between.
func TestFreshEpochGoesForward(t *testing.T) {
	t.Cleanup(func() { wall.Set(0) })
	before := FreshEpoch("")
	wall.Set(-time.Hour)
	after := FreshEpoch(before)
	if !wentBack(standing{created: time.Unix(0, 1), rotated: before}, epochOf(time.Unix(0, 1), after)) {
		t.Errorf("%s is not behind %s", after, before)
	}
	if again := FreshEpoch("not a number!"); len(again) != len(before) {
		t.Errorf("behind another's word: %s", again)
	}
}
