package ask

import (
	"testing"
	"time"
)

func TestMemoryRecallsUntilTheTimeIsOver(t *testing.T) {
	now := time.Now()
	var m Memory[int, string]
	m.Settle(1, "yes", 3, now.Add(time.Minute), now)
	if v, ok := m.Recall(1, now.Add(time.Minute-1)); !ok || v != "yes" {
		t.Errorf("recalled %q, %v", v, ok)
	}
	if v, ok := m.Recall(1, now.Add(time.Minute)); ok || v != "" {
		t.Errorf("recalled %q when its time was over", v)
	}
	m.Settle(1, "yes", 3, now.Add(time.Minute), now)
	m.Settle(1, "no", 2, now, now) // takes back what was
	if _, ok := m.Recall(1, now); ok || m.weight != 0 || len(m.known) != 0 {
		t.Errorf("still remembered, %d bytes", m.weight)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	now := time.Now()
	for name, weight := range map[string]int{"entries": 2, "bytes": MaxReply} {
		var m Memory[int, struct{}]
		for i := range maxRemembered + 100 {
			m.Settle(i, struct{}{}, weight, now.Add(time.Minute), now)
			if len(m.known) > maxRemembered || m.weight > maxWeight || m.weight != len(m.known)*weight {
				t.Fatalf("%s: %d entries of %d bytes", name, len(m.known), m.weight)
			}
		}
		if _, ok := m.Recall(maxRemembered+99, now); !ok {
			t.Errorf("%s: the newest is forgotten", name)
		}
	}
}

func TestMemoryForgetsWhatIsOver(t *testing.T) {
	now := time.Now()
	var m Memory[int, struct{}]
	for i := range 2000 {
		m.Settle(i, struct{}{}, 2, now.Add(time.Second), now)
	}
	later := now.Add(2 * time.Second)
	for i := range 2000 { // each new one pays for two old ones
		m.Settle(2000+i, struct{}{}, 2, later.Add(time.Hour), later)
	}
	if len(m.known) > 2600 {
		t.Errorf("%d entries, 2000 of them are in use", len(m.known))
	}
}

func BenchmarkRecall(b *testing.B) {
	now := time.Now()
	var m Memory[[32]byte, [128]byte]
	for i := range 10000 {
		m.Settle([32]byte{byte(i), byte(i >> 8)}, [128]byte{}, 2, now.Add(time.Hour), now)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Recall([32]byte{77}, now)
	}
}
