package app_test

import (
	"net/http"
	"testing"

	"belfry/internal/app/apptest"
)

// A device that is no id is refused, however it is written: who was let in
// without one would share a place with the user's others.
func TestADeviceThatCannotBeReadIsRefused(t *testing.T) {
	a := apptest.Start(t)
	url := "ws://" + a.Addresses().Public + "/?"
	for _, query := range []string{"device=a;b", "device=50%", "device=a%20b", "x=1&device=%zz"} {
		if _, answer, err := apptest.DialWith(t, url+query, http.DefaultClient); err == nil || answer == nil || answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %v, %v", query, answer, err)
		}
	}
	for _, query := range []string{"device=tab-1", "x=50%&device=tab%2d1", "x=50%", "device="} {
		if _, answer, err := apptest.DialWith(t, url+query, http.DefaultClient); err != nil {
			t.Errorf("%s: %v, %v", query, answer, err)
		}
	}
}
