package durability

import (
	"fmt"
	"testing"
	"time"

	"belfry/internal/app"
	"belfry/internal/app/apptest"
)

// Two tabs and a phone of one user, and the line of one tab carries nothing for
// 30 s, while the others receive 20. On its return, to either gateway, it gets
// those 20, though they are confirmed for its user; and the others get nothing
// twice. With a name of its own for each device too.
func TestATabIsCutFor30s(t *testing.T) {
	t.Parallel()
	const gone, missed = 30 * time.Second, 20
	n := apptest.StartNATS(t, true)
	apptest.Backend(t, n.URL(), "")
	s := openStore(t, n.URL())
	a, b := apptest.Start(t, external(n)), apptest.Start(t, external(n))
	line := apptest.StartProxy(t, a.Addresses().Public)

	families := []*family{
		{user: "1", back: a}, {user: "2", back: b},
		{user: "3", back: a, devices: true}, {user: "4", back: b, devices: true},
		{user: "5", back: a, quiet: true}, // the tab has nothing unconfirmed
	}
	for _, f := range families {
		f.cut = attach(t, line.Addr(), f.user, f.device("cut"))
		f.others = []*apptest.Client{
			attach(t, a.Addresses().Public, f.user, f.device("tab")),
			attach(t, b.Addresses().Public, f.user, f.device("phone")),
		}
		if !f.quiet {
			s.put("notification."+f.user, "before")
			for _, c := range append(f.others, f.cut) {
				c.Expect("before")
			}
		}
	}
	for _, f := range families {
		if f.quiet {
			continue
		}
		// The tab has confirmed it too.
		key := f.user
		if f.devices {
			key += ".cut"
		}
		s.awaitCursor(key, 1)
	}

	line.Forget()
	back := time.After(gone)
	for _, f := range families {
		s.put("notification."+f.user, texts("missed by "+f.user, missed)...)
		for _, c := range f.others {
			c.Expect(texts("missed by "+f.user, missed)...)
		}
	}
	apptest.MetricBecomes(t, a, `belfry_closes_total{reason="no_pong"}`, float64(len(families)))
	<-back
	for _, f := range families {
		c := attach(t, f.back.Addresses().Public, f.user, f.device("cut"))
		c.Expect(texts("missed by "+f.user, missed)...)
		s.put("notification."+f.user, "after")
		for _, c := range append(f.others, c) {
			c.Expect("after")
		}
	}
}

// A family is a user's clients.
type family struct {
	user    string
	devices bool     // each names itself
	quiet   bool     // nothing came before the cut
	back    *app.App // where the cut one comes back to
	cut     *apptest.Client
	others  []*apptest.Client
}

func (f *family) device(name string) string {
	if !f.devices {
		return ""
	}
	return fmt.Sprint("device=", name)
}
