package receive

import (
	"testing"

	"pgregory.net/rapid"
)

func TestTrack(t *testing.T) {
	for _, tt := range []struct {
		name       string
		got        []uint64
		published  uint64
		lost       uint64
		late, dups int
	}{
		{"everything", []uint64{1, 2, 3}, 3, 0, 0, 0},
		{"nothing", nil, 3, 3, 0, 0},
		{"the last lost", []uint64{1, 2}, 3, 1, 0, 0},
		{"the first lost", []uint64{2, 3}, 3, 1, 0, 0},
		{"two in the middle lost", []uint64{1, 4, 5}, 5, 2, 0, 0},
		{"swapped", []uint64{1, 3, 2, 4}, 4, 0, 1, 0},
		{"twice at once", []uint64{1, 2, 2, 3}, 3, 0, 0, 1},
		{"twice, later", []uint64{1, 2, 3, 1}, 3, 0, 0, 1},
		{"late, and twice", []uint64{3, 1, 1, 2}, 3, 0, 2, 1},
		{"late, and another lost", []uint64{4, 2}, 4, 2, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tr track
			counts := map[verdict]int{}
			for _, seq := range tt.got {
				counts[tr.got(seq)]++
			}
			if lost := tr.lost(tt.published); lost != tt.lost || counts[late] != tt.late || counts[duplicated] != tt.dups {
				t.Errorf("lost %d, late %d, twice %d", lost, counts[late], counts[duplicated])
			}
		})
	}
}

// Whatever comes in whatever order, what is counted is what a set knows.
func TestTrackAgainstASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const published = 30
		var tr track
		seen, dups := map[uint64]bool{}, 0
		for _, seq := range rapid.SliceOf(rapid.Uint64Range(1, published)).Draw(t, "sequences") {
			if was := seen[seq]; (tr.got(seq) == duplicated) != was {
				t.Fatalf("%d: it was there before: %v", seq, was)
			} else if was {
				dups++
			}
			seen[seq] = true
			for s := uint64(1); s <= published; s++ {
				if tr.has(s) != seen[s] {
					t.Fatalf("it has %d: %v", s, tr.has(s))
				}
			}
		}
		if lost := tr.lost(published); lost != uint64(published-len(seen)) {
			t.Fatalf("lost %d of %d, got %d", lost, published, len(seen))
		}
	})
}

// A publication is complete when each connection that is there has it, in
// whatever order it comes, also when one of them goes.
func TestSpread(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const conns, published = 4, 12
		s := spread{conns: conns}
		tracks, gone := make([]track, conns), make([]bool, conns)
		complete := uint64(0)
		for range rapid.IntRange(0, 80).Draw(t, "steps") {
			c := rapid.IntRange(0, conns-1).Draw(t, "connection")
			switch {
			case gone[c]:
			case rapid.IntRange(0, 19).Draw(t, "goes") == 0 && s.conns > 1:
				gone[c] = true
				complete += s.leave(&tracks[c])
			default:
				seq := rapid.Uint64Range(1, published).Draw(t, "sequence")
				if tracks[c].got(seq) != duplicated {
					complete += s.got(seq)
				}
			}
			for all := uint64(0); all <= s.done; all++ {
				for i := range tracks {
					if !gone[i] && all > 0 && !tracks[i].has(all) {
						t.Fatalf("%d is complete, and connection %d has not got it", all, i)
					}
				}
			}
		}
		if complete != s.done {
			t.Fatalf("%d were told, %d are complete", complete, s.done)
		}
		next := s.done + 1
		for i := range tracks {
			if !gone[i] && !tracks[i].has(next) {
				return
			}
		}
		t.Fatalf("%d has reached all, and is not complete", next)
	})
}
