package eventsource

import (
	"time"

	"belfry/internal/hub"
	"belfry/internal/position"
)

// delivery is what is known of how far the client has received its personal
// channel, for the cursor that those who come without a position start from.
//
// An EventSource answers nothing. Its position is confirmed when it comes back,
// which whoever resolves it sees; else when the kernel has nothing unsent left
// after a write, which says that the other host has it, not the page. Where the
// system does not tell what is unsent, a write that was taken counts a second
// later.
//
// session.mu guards it, and is held while the cursor is called: else a sequence
// of one epoch could be confirmed in the next.
type delivery struct {
	cursor hub.Cursor    // nil: nobody wants to know
	lookAt time.Duration // when to ask the kernel, 0 for never
	marks  marks
	resets uint32 // how often marks began anew: what was found before means nothing after
}

// marks are sequences of the notifications stream.
type marks struct {
	sent      uint64 // the newest that was written
	taken     uint64 // the newest that was written when nothing waited in the process
	confirmed uint64
}

// lookAfter is how long after a write, and after a look, the kernel is asked.
const lookAfter = time.Second

// sent notes that the personal channel has been written up to mark.
func (s *session) sent(mark uint64) {
	s.mu.Lock()
	d := &s.delivery
	d.marks.sent = max(d.marks.sent, mark)
	first := d.cursor != nil && d.lookAt == 0
	if first {
		d.lookAt = s.now() + lookAfter
	}
	if d.cursor != nil {
		d.cursor.Sent(mark)
	}
	s.mu.Unlock()
	if first {
		s.setAlarm()
	}
}

// look asks the kernel, if it is time.
func (s *session) look(now time.Duration) {
	s.mu.Lock()
	d := &s.delivery
	if d.lookAt == 0 || now < d.lookAt {
		s.mu.Unlock()
		return
	}
	before, resets := d.marks, d.resets // what is written from here on does not count
	s.mu.Unlock()
	unsent, exact := s.conn.Unsent()
	s.mu.Lock()
	defer s.mu.Unlock()
	if resets == d.resets {
		if confirmed := d.marks.after(before, unsent == 0, exact); confirmed != 0 && d.cursor != nil {
			d.cursor.Confirm(confirmed)
		}
	}
	d.lookAt = 0
	if d.marks.confirmed < d.marks.sent {
		d.lookAt = now + lookAfter
	}
}

// after takes in what a look found: whether everything that had been written
// before it is out of the way, and whether the system tells when the other host
// has it. It returns what is newly confirmed, 0 for nothing.
func (m *marks) after(before marks, empty, exact bool) uint64 {
	if !empty {
		return 0
	}
	has := before.sent
	if !exact {
		has, m.taken = before.taken, before.sent
	}
	if has <= m.confirmed {
		return 0
	}
	m.confirmed = has
	return has
}

// goOn says that what is written from now on is of another epoch. Of what was
// written before, that one has what is up to m.
func (s *session) goOn(m position.Mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &s.delivery
	d.marks = marks{min(d.marks.sent, m.Seq), min(d.marks.taken, m.Seq), min(d.marks.confirmed, m.Seq)}
	d.resets++
	if d.cursor != nil {
		d.cursor.Reset(m)
	}
}

// settle ends the cursor's part. What was not confirmed by now is not.
func (s *session) settle() {
	s.mu.Lock()
	cursor := s.delivery.cursor
	s.delivery.cursor = nil
	s.mu.Unlock()
	if cursor != nil {
		cursor.Close()
	}
}
