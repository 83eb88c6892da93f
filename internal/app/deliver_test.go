package app_test

import (
	"fmt"
	"slices"
	"testing"

	"belfry/internal/app/apptest"
	"belfry/internal/config"
)

// Both of a user's subjects reach all of the user's connections, each once and
// in order, and nobody else's.
func TestNotificationsReachTheUserAndNobodyElse(t *testing.T) {
	a := apptest.Start(t)
	backend := apptest.Backend(t, a.Addresses().NATS, "")
	phone, laptop := apptest.Listen(t, a, "1"), apptest.Listen(t, a, "1")
	other, strange := apptest.Listen(t, a, "2"), apptest.Listen(t, a, "a@b.c")

	var durables, legacies []string
	for i := range 20 {
		durable, legacy := fmt.Sprintf(`{"durable":%d}`, i), fmt.Sprintf("legacy %d", i)
		apptest.Publish(t, backend, "notification.1", durable)
		apptest.Publish(t, backend, "notification_1", legacy)
		durables, legacies = append(durables, durable), append(legacies, legacy)
	}
	apptest.Publish(t, backend, "notification.2", "for 2")
	apptest.Publish(t, backend, "notification.=YUBiLmM", "for a@b.c")
	apptest.Publish(t, backend, "notification_=YUBiLmM", "for a@b.c too")
	apptest.Publish(t, backend, "notification.a@b", "for nobody")
	apptest.Publish(t, backend, "notification.1", "last")
	apptest.Publish(t, backend, "notification.2", "last")
	apptest.Publish(t, backend, "notification.=YUBiLmM", "last")

	for _, c := range []*apptest.Client{phone, laptop} {
		c.ExpectMixed(append(slices.Clone(durables), "last"), slices.Clone(legacies))
	}
	other.Expect("for 2", "last")
	strange.ExpectMixed([]string{"for a@b.c", "last"}, []string{"for a@b.c too"})

	apptest.MetricBecomes(t, a, `belfry_publications_total{source="notification"}`, 25)
	apptest.MetricBecomes(t, a, `belfry_publications_total{source="legacy"}`, 21)
	apptest.MetricBecomes(t, a, `belfry_deliveries_total{dialect="messagechannel"}`, 2*41+2+3)
	apptest.MetricBecomes(t, a, `belfry_misspelled_subjects_total`, 1)
	apptest.MetricBecomes(t, a, `belfry_connections{dialect="messagechannel"}`, 4)
}

func TestLegacySubjectsCanBeOff(t *testing.T) {
	a := apptest.Start(t, func(o *config.Options) { o.MessageChannel.Legacy = false })
	backend := apptest.Backend(t, a.Addresses().NATS, "")
	c := apptest.Listen(t, a, "1")
	apptest.Publish(t, backend, "notification_1", "legacy")
	apptest.Publish(t, backend, "notification.1", "durable")
	c.Expect("durable")
}

func TestTwoGatewaysOnOneNATSBothDeliver(t *testing.T) {
	n := apptest.StartNATS(t, true)
	external := func(o *config.Options) { o.NATS.URL = []string{n.URL()} }
	a, b := apptest.Start(t, external), apptest.Start(t, external)
	backend := apptest.Backend(t, n.URL(), "")
	one, two := apptest.Listen(t, a, "1"), apptest.Listen(t, b, "1")
	apptest.Publish(t, backend, "notification.1", "x", "last")
	one.Expect("x", "last")
	two.Expect("x", "last")
}

// Two products share a NATS and user ids, and never see each other.
func TestPrefixesNeverCross(t *testing.T) {
	n := apptest.StartNATS(t, true)
	with := func(prefix string) func(*config.Options) {
		return func(o *config.Options) { o.NATS.URL, o.NATS.Prefix = []string{n.OpenURL()}, prefix }
	}
	red, blue, plain := apptest.Start(t, with("red")), apptest.Start(t, with("blue")), apptest.Start(t, with(""))
	nc := apptest.Backend(t, n.URL(), "red")
	apptest.Backend(t, n.URL(), "blue")
	apptest.Backend(t, n.URL(), "")
	r, b, p := apptest.Listen(t, red, "1"), apptest.Listen(t, blue, "1"), apptest.Listen(t, plain, "1")

	for _, kind := range []string{"notification.1", "notification_1"} {
		apptest.Publish(t, nc, "red."+kind, "red "+kind)
		apptest.Publish(t, nc, "blue."+kind, "blue "+kind)
		apptest.Publish(t, nc, kind, "plain "+kind)
	}
	for name, c := range map[string]*apptest.Client{"red ": r, "blue ": b, "plain ": p} {
		c.ExpectMixed([]string{name + "notification.1"}, []string{name + "notification_1"})
	}
	for _, prefix := range []string{"red.", "blue.", ""} {
		apptest.Publish(t, nc, prefix+"notification.1", "last")
	}
	for _, c := range []*apptest.Client{r, b, p} {
		c.Expect("last")
	}
}
