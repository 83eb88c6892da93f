package config

import (
	"fmt"
	"reflect"
	"time"
)

// bounds are what numbers, sizes and durations may be; 0 beside them where it
// is written "auto" or "always".
var bounds = map[string]struct{ least, most int64 }{
	"nats.sync_interval":    {int64(time.Millisecond), int64(time.Hour)},
	"nats.max_store":        {16 << 20, 100 << 40},
	"stream.max_age":        {int64(2 * time.Minute), int64(3650 * day)}, // not below the duplicate window
	"stream.max_bytes":      {1 << 20, 100 << 40},
	"auth.timeout":          {int64(10 * time.Millisecond), int64(time.Minute)}, // no AUTH within 60 s ends a connection
	"auth.concurrent":       {1, 1 << 16},
	"limits.connections":    {1, 10_000_000},
	"limits.queue":          {4 << 10, 1 << 30},
	"replay.max":            {1, 100_000},
	"eventsource.heartbeat": {int64(time.Second), int64(10 * time.Minute)},
	"eventsource.retry":     {int64(100 * time.Millisecond), int64(time.Minute)},
	"drain_delay":           {0, int64(10 * time.Minute)},
	"drain":                 {0, int64(time.Hour)},
}

func (l *loading) checkBounds() {
	for _, k := range allKeys() {
		b, has := bounds[k.Name]
		if !has {
			continue
		}
		v := reflect.ValueOf(l.Options).FieldByIndex(k.index)
		unset := v.IsZero() && (k.auto || v.Type() == reflect.TypeFor[SyncInterval]())
		if n := v.Int(); !unset && (n < b.least || n > b.most) {
			l.mistake(k.Name, "is "+k.Text(l.Options), fmt.Sprintf("take %s to %s", k.textOf(b.least), k.textOf(b.most)))
		}
	}
}

// textOf is a number as it is written for this key.
func (k Key) textOf(n int64) string {
	var o Options
	reflect.ValueOf(&o).Elem().FieldByIndex(k.index).SetInt(n)
	return k.Text(o)
}
