package journal

import (
	"hash/maphash"
	"sync"
	"time"

	"belfry/internal/position"
)

const (
	ringEntries = 256 << 10
	ringBytes   = 64 << 20

	// blockSlots is how many entries are allocated together. A place's low bits
	// are the slot in its block.
	blockSlots = 1 << blockBits
	blockBits  = 8

	// chunkSize is how much room for payloads is allocated together; a payload
	// above ownSize has a piece of its own, so that it can be freed at once.
	chunkSize = 64 << 10
	ownSize   = 4 << 10

	// chainCost is about what an entry costs in the table of chains.
	chainCost = 24

	// applyAtOnce bounds how long readers wait for the writer.
	applyAtOnce = 64
)

// A ring is the newest publications of one stream, chained by channel. One
// goroutine writes, any number reads.
//
// It has three kinds of memory, none of which has a pointer per entry: slots
// in blocks, payloads (with the channel's name before each) in chunks, and a
// table from a channel's hash to the newest entry of its chain. All are
// allocated as they are needed and freed as entries leave.
type ring struct {
	stream  position.Stream
	entries uint32 // the most to hold
	bytes   int    // likewise
	seed    maphash.Seed
	date    *storeDate

	mu     sync.RWMutex // guards the following
	epoch  string
	above  uint64   // everything that the stream retains above it is here …
	upTo   uint64   // … up to it
	floor  uint64   // what is below it the stream does not retain any more
	blocks []*block // by the high bits of a place, modulo their number
	start  uint32   // the oldest entry's place
	count  uint32   // the entries are at start, start+1, …, modulo 2^32
	heads  map[uint64]uint32
	chunk  []byte // what is used of the one that is being filled
	used   int    // bytes
}

// block is what the entries of blockSlots places have.
type block struct {
	slots  [blockSlots]slot
	chunks [][]byte // whole; the first may be shared with the block before
	shared uint16   // the one that is being filled
	cost   int      // bytes of the block and of the chunks that it began
}

// slot is an entry. Links are places: prev and jump lead to older entries of
// the chain, maybe to places that have no entry any more; next is the slot's
// own place where it is the newest.
type slot struct {
	seq   uint64
	time  int64
	ttl   uint32 // s; 0 for none
	prev  uint32
	jump  uint32 // further back: any older entry is log n steps away
	next  uint32
	depth uint32 // of the chain, below this entry
	off   uint32 // in its chunk: the channel's name, then the payload
	size  uint32 // of the payload
	chunk uint16 // in its block
	name  uint8  // bytes of the channel's name
	kind  uint8  // the payload's class, or removed
}

// removed is the kind of an entry that is not to be delivered any more.
const removed = 0xff

const (
	slotCost  = 48
	blockCost = blockSlots*slotCost + 64
)

// newRing makes an empty ring that holds at most that many entries, and at
// most about that many bytes, its own tables included. It says nothing until
// it is reset.
func newRing(s position.Stream, entries, bytes int) *ring {
	blocks := 2
	for blocks*blockSlots < entries+2*blockSlots {
		blocks *= 2
	}
	return &ring{
		stream: s, entries: uint32(entries), bytes: bytes, seed: maphash.MakeSeed(), date: newStoreDate(),
		blocks: make([]*block, blocks), heads: map[uint64]uint32{},
	}
}

// reset empties the ring: from now on it is of that epoch, and has whatever
// comes above after.
func (r *ring) reset(epoch string, after uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch, r.above, r.upTo, r.floor = epoch, after, after, 0
	clear(r.blocks)
	r.start, r.count, r.used, r.chunk = 0, 0, 0, nil
	r.heads = map[uint64]uint32{}
}

// apply appends entries, ascending and above all before, and then says that
// everything up to upTo is here: sequences without an entry are holes. What it
// is given is copied.
func (r *ring) apply(batch []entry, upTo uint64) {
	for len(batch) > applyAtOnce {
		r.applySome(batch[:applyAtOnce], batch[applyAtOnce-1].seq)
		batch = batch[applyAtOnce:]
	}
	r.applySome(batch, upTo)
}

func (r *ring) applySome(batch []entry, upTo uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range batch {
		r.append(&batch[i])
	}
	r.upTo = max(r.upTo, upTo)
}

// append and all below it are called with mu held.
func (r *ring) append(e *entry) {
	if len(e.channel) > 255 { // no channel of ours is: a hole
		return
	}
	for r.count > 0 && (r.count >= r.entries || r.used+blockCost+chunkSize+len(e.payload) > r.bytes) {
		r.evict()
	}
	place := r.start + r.count
	r.count++
	b := r.blockFor(place)
	s := b.at(place)
	*s = slot{seq: e.seq, time: e.time, ttl: ttlSeconds(e), name: uint8(len(e.channel)), size: uint32(len(e.payload)), kind: uint8(e.class), next: place}
	r.store(b, s, e)
	r.link(place, s, maphash.String(r.seed, e.channel))
}

func ttlSeconds(e *entry) uint32 {
	if e.expires == 0 {
		return 0
	}
	return uint32(max(1, (e.expires-e.time)/int64(time.Second)))
}

func (b *block) at(place uint32) *slot { return &b.slots[place%blockSlots] }

func (r *ring) blockOf(place uint32) **block {
	return &r.blocks[place>>blockBits%uint32(len(r.blocks))]
}

// slotAt is the slot of a place that has an entry.
func (r *ring) slotAt(place uint32) *slot { return (*r.blockOf(place)).at(place) }

// has tells whether a place has an entry.
func (r *ring) has(place uint32) bool { return place-r.start < r.count }

// blockFor is the block of the place behind the newest, made if it is the
// block's first.
func (r *ring) blockFor(place uint32) *block {
	b := r.blockOf(place)
	if *b == nil {
		*b = &block{cost: blockCost}
		r.used += blockCost
		if r.chunk != nil {
			(*b).chunks = append((*b).chunks, r.chunk[:cap(r.chunk)])
		}
	}
	return *b
}

// store copies channel and payload into a chunk.
func (r *ring) store(b *block, s *slot, e *entry) {
	size := len(e.channel) + len(e.payload)
	if size > ownSize {
		s.chunk = r.addChunk(b, append(append(make([]byte, 0, size), e.channel...), e.payload...))
		return
	}
	if cap(r.chunk)-len(r.chunk) < size {
		r.chunk = make([]byte, 0, chunkSize)
		b.shared = r.addChunk(b, r.chunk[:chunkSize])
	}
	s.chunk, s.off = b.shared, uint32(len(r.chunk))
	r.chunk = append(append(r.chunk, e.channel...), e.payload...)
}

func (r *ring) addChunk(b *block, chunk []byte) (index uint16) {
	b.chunks = append(b.chunks, chunk)
	b.cost += cap(chunk)
	r.used += cap(chunk)
	return uint16(len(b.chunks) - 1)
}

// link puts an entry at the head of its chain. Jumps are those of a skew-binary
// list: two of equal length are followed by one over both.
func (r *ring) link(place uint32, s *slot, hash uint64) {
	before, ok := r.heads[hash]
	r.heads[hash] = place
	if !ok {
		s.prev, s.jump = r.start-1, r.start-1
		r.used += chainCost
		return
	}
	prev := r.slotAt(before)
	prev.next = place
	s.prev, s.jump, s.depth = before, before, prev.depth+1
	if !r.has(prev.jump) {
		return
	}
	over := r.slotAt(prev.jump)
	if r.has(over.jump) && prev.depth-over.depth == over.depth-r.slotAt(over.jump).depth {
		s.jump = over.jump
	}
}

// evict drops the oldest entry. That the ring does not reach as far back then
// is so only if the stream still retains it.
func (r *ring) evict() {
	place, s := r.start, r.slotAt(r.start)
	if s.seq >= r.floor {
		r.above = max(r.above, s.seq)
	}
	if s.next == place {
		delete(r.heads, maphash.Bytes(r.seed, r.nameOf(place, s)))
		r.used -= chainCost
	}
	r.start++
	r.count--
	b := r.blockOf(place)
	if place%blockSlots == blockSlots-1 {
		r.used -= (*b).cost
		*b = nil
		return
	}
	if int(s.name)+int(s.size) > ownSize {
		own := &(*b).chunks[s.chunk]
		(*b).cost -= cap(*own)
		r.used -= cap(*own)
		*own = nil
	}
}

// nameOf is the channel of an entry; payloadOf what was published.
func (r *ring) nameOf(place uint32, s *slot) []byte {
	return (*r.blockOf(place)).chunks[s.chunk][s.off:][:s.name]
}

func (r *ring) payloadOf(place uint32, s *slot) []byte {
	from := s.off + uint32(s.name)
	to := from + s.size
	return (*r.blockOf(place)).chunks[s.chunk][from:to:to]
}

// expires is when the entry's TTL ends, in ns since 1970; 0 for never.
func (s *slot) expires() int64 {
	if s.ttl == 0 {
		return 0
	}
	return s.time + int64(s.ttl)*int64(time.Second)
}
