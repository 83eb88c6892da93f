package hub

import (
	"context"
	"time"

	"belfry/internal/position"
)

// turn is one step of a catchup, by the goroutine that took it from the line: it
// begins, or reads and writes one batch of each stream, or goes live.
func (k *catchup) turn() {
	s := k.conn.shard
	s.mu.Lock()
	start := k.start
	k.start = nil
	if k.phase == ended {
		s.mu.Unlock()
		if start != nil {
			start.close()
		}
		return
	}
	k.phase, k.again = running, false
	if start != nil {
		for _, r := range start.Resets {
			s.resets.count(r.Why)
		}
	}
	s.mu.Unlock()
	if start != nil {
		k.cursor = start.Cursor
		k.started(*start)
		if start.Err != nil {
			s.mu.Lock()
			k.abandon()
			s.mu.Unlock()
			return
		}
	}
	k.tellResets()
	switch wait := k.replay(); wait {
	case running:
		k.waitFor(k.goLive())
	case reading, ended: // it is somebody else's turn by now
	default:
		k.waitFor(wait)
	}
}

// waitFor ends a turn.
func (k *catchup) waitFor(what phase) {
	s := k.conn.shard
	s.mu.Lock()
	if k.phase != running { // ended
		s.mu.Unlock()
		return
	}
	k.phase = what
	switch {
	case what == inLine || k.again || what == behind && !k.isAhead():
		k.phase = inLine
		k.hub.catchups.push(k)
	case what == behind:
		s.ahead = append(s.ahead, k)
	case what == pausing:
		time.AfterFunc(pause, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			k.wake(pausing)
		})
	}
	s.mu.Unlock()
	if what == draining && k.conn.w.Idle() {
		s.mu.Lock()
		k.wake(draining)
		s.mu.Unlock()
	}
}

// tellResets writes what happened to the streams since the last turn.
func (k *catchup) tellResets() {
	s := k.conn.shard
	s.mu.Lock()
	resets, at := k.resets, k.at
	k.resets = nil
	for _, r := range resets {
		s.resets.count(r.Why)
	}
	s.mu.Unlock()
	var told [position.Count]bool // of two in one turn both are in at
	for _, r := range resets {
		s.mu.Lock()
		own := k.conn.readsOwn(r.Stream)
		s.mu.Unlock()
		if own && !told[r.Stream-1] {
			k.conn.w.Reset(at.Get(r.Stream))
		}
		told[r.Stream-1] = true
		if frame := k.conn.encoding.reset; frame != nil {
			k.conn.w.Deliver(frame(at, r.Why), 0)
		}
	}
}

// replay writes the next batch. It returns what to wait for, or running when
// there is nothing left but what goLive brings.
func (k *catchup) replay() phase {
	s := k.conn.shard
	s.mu.Lock()
	marks, at, channels, read := s.marks, k.at, k.channels, k.read
	k.read = nil
	s.mu.Unlock()
	if read != nil {
		return k.writeOlder(read)
	}
	for _, stream := range position.All() {
		names := channels[stream-1]
		have, offered := at.Get(stream), marks.Get(stream)
		if len(names) == 0 || have == offered {
			continue
		}
		if have.Seq > offered.Seq {
			return behind
		}
		batch, next, ok := k.hub.history.Recent(stream, names, have.Seq, offered.Seq, batchBytes)
		if k.overtaken(stream, have) {
			return inLine
		}
		if !ok {
			return k.readOlder(stream, names, have)
		}
		if k.write(stream, have.Epoch, batch, next, &k.hub.catchups.fromRing) {
			return draining
		}
		if next < offered.Seq {
			return inLine
		}
	}
	return running
}

// overtaken tells whether something behind a mark, which the client was still to
// be sent, is not retained any more: it may have expired before it was read. It
// is asked behind every read. Then the client is told, and goes on with what
// there is.
func (k *catchup) overtaken(stream position.Stream, have position.Mark) bool {
	s := k.conn.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	return k.isOvertaken(stream, have)
}

// isOvertaken is overtaken with the shard's mu held.
func (k *catchup) isOvertaken(stream position.Stream, have position.Mark) bool {
	first := k.hub.history.First(stream)
	if have.Seq+1 >= first.Seq || have.Epoch != first.Epoch || have != k.at.Get(stream) {
		return false // the last two: reset meanwhile
	}
	k.at = k.at.With(stream, position.Mark{Epoch: have.Epoch, Seq: first.Seq - 1})
	k.resets = append(k.resets, Reset{stream, ResetExpired})
	return true
}

// readOlder asks the stream for what memory does not have.
func (k *catchup) readOlder(stream position.Stream, channels []string, after position.Mark) phase {
	ctx, cancel := context.WithCancel(context.Background())
	s := k.conn.shard
	s.mu.Lock()
	if k.phase == ended {
		s.mu.Unlock()
		cancel()
		return ended
	}
	k.cancel, k.phase = cancel, reading
	s.mu.Unlock()
	k.hub.history.Older(ctx, stream, channels, after.Seq, batchBytes, func(batch []Publication, next uint64, err error) {
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		k.read = &older{stream, after.Epoch, after.Seq, batch, next, err}
		k.wake(reading)
	})
	return reading
}

func (k *catchup) writeOlder(read *older) phase {
	switch {
	case read.err != nil:
		return pausing
	case k.overtaken(read.stream, position.Mark{Epoch: read.epoch, Seq: read.after}):
		return inLine
	case k.write(read.stream, read.epoch, read.batch, read.next, &k.hub.catchups.fromStream):
		return draining
	}
	return inLine
}

// write delivers a batch and moves on. It returns whether anything was written.
func (k *catchup) write(stream position.Stream, epoch string, batch []Publication, next uint64, count *counter) bool {
	s := k.conn.shard
	s.mu.Lock()
	at := k.at
	s.mu.Unlock()
	if at.Get(stream).Epoch != epoch || foreign(batch, epoch) {
		return false // reset meanwhile
	}
	bytes, mark := k.conn.encode(at, stream, batch)
	k.deep = k.deep || count == &k.hub.catchups.fromStream
	k.written = k.written || mark != 0
	if bytes != nil {
		k.conn.w.Deliver(bytes, mark)
		count.Add(uint64(len(batch)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := k.at.Get(stream); at.Epoch == epoch {
		// No further than what has been offered: an empty page may be of a memory that
		// is of another epoch still.
		next = min(next, s.marks.Get(stream).Seq)
		k.at = k.at.With(stream, position.Mark{Epoch: epoch, Seq: max(at.Seq, next)})
	}
	return bytes != nil
}

// foreign tells whether a batch is of another epoch than what was asked for: the
// history changes its own a moment before or after the hub is told.
func foreign(batch []Publication, epoch string) bool {
	return len(batch) > 0 && batch[0].Epoch != epoch
}

// encode makes one piece of bytes of a batch, each publication with its own
// place. A replay is one client's, so nothing of it can be shared.
func (c *Conn) encode(at position.Position, stream position.Stream, batch []Publication) (bytes []byte, mark uint64) {
	for i := range batch {
		p := &batch[i]
		p.At = at.With(stream, position.Mark{Epoch: p.Epoch, Seq: p.Seq})
		bytes = append(bytes, c.encoding.encode(p)...)
		if c.owns(p.Channel) {
			mark = p.Seq
		}
	}
	c.encoding.deliveries.Add(uint64(len(batch)))
	return bytes, mark
}

// goLive closes the gap, if it is small and memory has it, and makes the
// subscriptions live, in one go. It returns what to wait for, or ended.
func (k *catchup) goLive() phase {
	s := k.conn.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.phase == ended {
		return ended
	}
	if len(k.resets) > 0 {
		return inLine
	}
	var bytes []byte
	var mark uint64
	at := k.at
	for _, stream := range position.All() {
		names := k.channels[stream-1]
		have, offered := at.Get(stream), s.marks.Get(stream)
		if len(names) == 0 || have == offered {
			continue
		}
		if have.Seq > offered.Seq {
			return behind
		}
		batch, next, ok := k.hub.history.Recent(stream, names, have.Seq, offered.Seq, batchBytes)
		if !ok || next < offered.Seq || k.isOvertaken(stream, have) || len(bytes) > batchBytes || foreign(batch, have.Epoch) {
			return inLine // more than fits: another turn, outside the lock
		}
		more, newest := k.conn.encode(at, stream, batch)
		bytes, mark = append(bytes, more...), max(mark, newest)
		at = at.With(stream, offered)
		k.hub.catchups.fromRing.Add(uint64(len(batch)))
	}
	if live, _ := k.conn.collect(); live != nil {
		bytes = append(bytes, live...)
	}
	k.at = at
	k.confirmQuiet(mark)
	k.release()
	if len(bytes) > 0 {
		s.handovers = append(s.handovers, handover{conn: k.conn, bytes: bytes, mark: mark})
		s.rouse()
	}
	return ended
}

// confirmQuiet moves a user's cursor on who had nothing to receive although the
// stream had to be read to know: else each of his connections would have it read
// again, until what the cursor says has expired.
func (k *catchup) confirmQuiet(mark uint64) {
	if k.deep && !k.written && mark == 0 && k.cursor != nil && len(k.channels[position.Notifications-1]) > 0 {
		k.cursor.Confirm(k.at.Get(position.Notifications).Seq)
	}
}
