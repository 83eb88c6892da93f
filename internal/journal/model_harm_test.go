package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"pgregory.net/rapid"

	"belfry/internal/hub"
	"belfry/internal/position"
)

func (m *model) remove(r *rapid.T) {
	all := m.present()
	if len(all) == 0 {
		return
	}
	i := rapid.IntRange(0, len(all)-1).Draw(r, "which")
	stream, err := m.w.backend.JetStream().Stream(m.w.ctx(), m.name)
	if err != nil {
		m.r.Fatal(err)
	}
	if err := stream.DeleteMsg(m.w.ctx(), all[i].seq); err != nil && !all[i].removed {
		m.r.Fatal(err)
	}
	all[i].removed = true
}

func (m *model) purge(*rapid.T) {
	stream, err := m.w.backend.JetStream().Stream(m.w.ctx(), m.name)
	if err != nil {
		m.r.Fatal(err)
	}
	if err := stream.Purge(m.w.ctx()); err != nil {
		m.r.Fatal(err)
	}
	for i := range m.present() {
		m.present()[i].removed = true
	}
}

// moved is called when the stream has another epoch: gateways find out, and
// move their clients.
func (m *model) moved(epoch string, have []modelMessage) {
	before := m.present()
	m.epochs[notifications] = epoch
	m.have[epoch] = have
	m.settled()
	for _, c := range m.where(0) {
		if !slices.Contains(c.streams(), notifications) {
			continue
		}
		at := c.at.Get(notifications)
		// Two gateways may have rotated the epoch one after the other.
		mark := position.Mark{Epoch: epoch, Seq: ^uint64(0)}
		for _, reset := range m.hubs[c.gateway].resetMarks()[m.resets[c.gateway]:] {
			mark.Seq = min(mark.Seq, reset.Seq)
		}
		// What is below the mark is the same as before, but for what was removed. The
		// gateway may have handed on something new before it found out.
		for _, msg := range have {
			if msg.seq <= mark.Seq && !msg.removed && !m.was(before, msg) && !m.hubs[c.gateway].had(msg) {
				m.r.Fatalf("reset to %v, but %v was not there before; resets %v", mark, msg, m.hubs[c.gateway].resetMarks()[m.resets[c.gateway]:])
			}
			if msg.seq <= mark.Seq && msg.seq <= lastOf(before) && !msg.removed && !m.was(before, msg) {
				m.r.Fatalf("reset to %v, but %v is in the place of another one; resets %v", mark, msg, m.hubs[c.gateway].resetMarks()[m.resets[c.gateway]:])
			}
		}
		at = position.Mark{Epoch: epoch, Seq: min(at.Seq, mark.Seq)}
		c.at, c.since = c.at.With(notifications, at), c.since.With(notifications, at)
		c.got[notifications] = nil
	}
	for i, h := range m.hubs {
		m.resets[i] = len(h.resetMarks())
	}
}

func (m *model) was(before []modelMessage, msg modelMessage) bool {
	return slices.ContainsFunc(before, func(b modelMessage) bool { return b.seq == msg.seq && b.text == msg.text })
}

func lastOf(all []modelMessage) uint64 {
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].seq
}

// had tells whether the recorder was given a message, in whatever epoch.
func (r *recorder) had(msg modelMessage) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.all, func(p hub.Publication) bool { return p.Seq == msg.seq && string(p.Payload) == msg.text })
}

func (m *model) epochNow() string {
	epoch := ""
	m.w.eventually("the stream's epoch can be had", func() bool {
		var err error
		epoch, err = Epoch(m.w.ctx(), m.w.backend, m.name)
		return err == nil
	})
	return epoch
}

func (m *model) recreate(*rapid.T) {
	stream, err := m.w.backend.JetStream().Stream(m.w.ctx(), m.name)
	if err != nil {
		m.r.Fatal(err)
	}
	config := stream.CachedInfo().Config
	if err := m.w.backend.JetStream().DeleteStream(m.w.ctx(), m.name); err != nil {
		m.r.Fatal(err)
	}
	delete(config.Metadata, EpochKey)
	if _, err := m.w.backend.JetStream().CreateStream(m.w.ctx(), config); err != nil {
		m.r.Fatal(err)
	}
	m.moved(m.epochNow(), nil)
}

func (m *model) rotate(*rapid.T) {
	m.settled()
	epoch, err := Rotate(m.w.ctx(), m.w.backend, m.name)
	if err != nil {
		m.r.Fatal(err)
	}
	m.moved(epoch, slices.Clone(m.present()))
}

// dir is where NATS keeps the stream.
func (m *model) dir() string {
	return filepath.Join(m.w.dir, "jetstream", "$G", "streams", m.name)
}

func (m *model) up() {
	m.w.up()
	m.w.eventually("the stream is back", func() bool { return m.epochNow() != "" })
}

func (m *model) copy(*rapid.T) {
	m.w.down()
	c := &modelCopy{dir: filepath.Join(m.w.t.TempDir(), "copy"), epoch: m.epochs[notifications], have: slices.Clone(m.present())}
	m.w.copyStore(c.dir, m.dir())
	m.copied = c
	m.up()
}

// restore puts a copy in the stream's place, and publishes before the gateways
// may have found out.
func (m *model) restore(r *rapid.T) {
	if m.copied == nil {
		return
	}
	m.settled()
	m.w.down()
	if err := os.RemoveAll(m.dir()); err != nil {
		m.r.Fatal(err)
	}
	if err := os.CopyFS(m.dir(), os.DirFS(m.copied.dir)); err != nil {
		m.r.Fatal(err)
	}
	m.up()
	have := slices.Clone(m.copied.have)
	same := m.copied.epoch == m.epochs[notifications] && len(have) == len(m.present())
	for range rapid.IntRange(0, 30).Draw(r, "since") {
		m.number++
		text := fmt.Sprint("p", m.number)
		got, err := m.pub.Publish(m.w.ctx(), "#1", "", []byte(text), 0)
		if err != nil {
			m.r.Fatal(err)
		}
		have = append(have, modelMessage{got.Seq, "#1", text, false})
	}
	if same { // nothing was lost, but what was removed has come back
		m.have[m.epochs[notifications]] = have
		return
	}
	epoch := ""
	m.w.eventually("the epoch is rotated", func() bool {
		epoch = m.epochNow()
		_, known := m.have[epoch]
		return !known
	})
	m.w.eventually("the gateways agree on the epoch", func() bool {
		epoch = m.epochNow()
		return m.hubs[0].mark(notifications).Epoch == epoch && m.hubs[1].mark(notifications).Epoch == epoch
	})
	m.moved(epoch, have)
}

func (m *model) restart(*rapid.T) {
	m.w.down()
	m.up()
}

// finish has every client come back, if it is away, and read everything.
func (m *model) finish() {
	m.settled()
	for _, c := range m.clients {
		if c.gateway < 0 {
			m.begin(c, 0, hub.Query{User: "x", Channels: c.channels, Position: c.at.String(), HasPosition: true})
		}
		m.readAll(c)
	}
}
