package apptest

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"belfry/internal/app"
)

var httpClient = &http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true}}

// Get gets a page: its status and body.
func Get(t testing.TB, url string) (status int, body string) {
	t.Helper()
	answer, err := httpClient.Get(url)
	if err != nil {
		t.Fatalf("getting %s: %v", url, err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("getting %s: %v", url, err)
	}
	return answer.StatusCode, string(data)
}

// Metric reads one metric, named as in the text format, labels included:
// `belfry_closes_total{reason="slow"}`.
func Metric(t testing.TB, a *app.App, name string) float64 {
	t.Helper()
	_, body := Get(t, "http://"+a.Addresses().Internal+"/metrics")
	for line := range strings.SplitSeq(body, "\n") {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatalf("metric %s is %q", name, text)
			}
			return v
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// MetricBecomes waits until a metric has a value.
func MetricBecomes(t testing.TB, a *app.App, name string, want float64) {
	t.Helper()
	got, deadline := 0.0, time.Now().Add(Patience)
	for time.Now().Before(deadline) {
		if got = Metric(t, a, name); got == want {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s is %v after %v, want %v", name, got, Patience, want)
}

// Readiness reads the internal /readyz: its status, the state's word and the
// sentence.
func Readiness(t testing.TB, a *app.App) (status int, state, why string) {
	t.Helper()
	status, body := Get(t, "http://"+a.Addresses().Internal+"/readyz")
	var health struct{ State, Reason string }
	if err := json.Unmarshal([]byte(body), &health); err != nil {
		t.Fatalf("/readyz says %q: %v", body, err)
	}
	return status, health.State, health.Reason
}
