package app

import (
	"log/slog"
	"net/netip"
	"reflect"
	"testing"

	"belfry/internal/config"
)

// Reload takes over exactly the keys that are tagged so, whatever keys there are.
func TestReloadTakesOverWhatIsTagged(t *testing.T) {
	a, err := New(config.Default(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	old := *a.options.Load()
	next := old
	alter(t, reflect.ValueOf(&next).Elem())
	a.Reload(next)
	if compare(t, "", reflect.ValueOf(old), reflect.ValueOf(next), reflect.ValueOf(*a.options.Load())) == 0 {
		t.Error("no key is tagged")
	}
}

// alter gives every key another value.
func alter(t *testing.T, options reflect.Value) {
	t.Helper()
	for i := range options.NumField() {
		switch v := options.Field(i); v.Kind() {
		case reflect.Struct:
			alter(t, v)
		case reflect.String:
			v.SetString(v.String() + "/x")
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Int, reflect.Int64:
			v.SetInt(v.Int() + 1_000_000_000)
		case reflect.Slice:
			one := reflect.New(v.Type().Elem()).Elem()
			if v.Type() == reflect.TypeFor[[]netip.Prefix]() {
				one.Set(reflect.ValueOf(netip.MustParsePrefix("10.0.0.0/8")))
			} else {
				one.SetString("x")
			}
			v.Set(reflect.Append(v, one))
		default:
			t.Fatalf("%s: give this test another value of type %s", options.Type().Field(i).Name, v.Type())
		}
	}
}

// compare finds what was taken over of next, and returns how many keys are tagged.
func compare(t *testing.T, in string, old, next, now reflect.Value) (tagged int) {
	t.Helper()
	for i := range old.NumField() {
		f := old.Type().Field(i)
		name := in + f.Tag.Get("key")
		if f.Type.Kind() == reflect.Struct {
			tagged += compare(t, name+".", old.Field(i), next.Field(i), now.Field(i))
			continue
		}
		want, says := old, "needs a restart"
		if f.Tag.Get("reload") != "" {
			want, says = next, "is taken over"
			tagged++
		}
		if got := now.Field(i).Interface(); !reflect.DeepEqual(got, want.Field(i).Interface()) {
			t.Errorf("%s %s, and after a reload it is %v: it was %v and became %v in the file", name, says, got, old.Field(i), next.Field(i))
		}
	}
	return tagged
}
