package grafana_test

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"belfry/internal/app/apptest"
	"belfry/internal/config"
)

// scraping is as much of Prometheus's configuration as the page has.
type scraping struct {
	ScrapeConfigs []struct {
		JobName        string `yaml:"job_name"`
		ScrapeInterval string `yaml:"scrape_interval"`
		Authorization  struct {
			Type            string
			CredentialsFile string `yaml:"credentials_file"`
		}
		StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
	} `yaml:"scrape_configs"`
}

// The configurations on the page ask for what a gateway answers: the request
// that Prometheus would make is made, at the address that it would name.
func TestScrapeConfigurations(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(config.Default().Internal.Listen, ":")
	const key = "a key of 32 letters, or a bit more"
	a := apptest.Start(t, func(o *config.Options) { o.API.Key = key })
	blocks := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 2 {
		t.Fatalf("the page has %d configurations, want one without a key and one with", len(blocks))
	}
	for _, block := range blocks {
		var s scraping
		read := yaml.NewDecoder(strings.NewReader(block[1]))
		read.KnownFields(true)
		if err := read.Decode(&s); err != nil {
			t.Fatalf("%v in\n%s", err, block[1])
		}
		for _, c := range s.ScrapeConfigs {
			for _, target := range c.StaticConfigs[0].Targets {
				if !strings.HasSuffix(target, ":"+port) {
					t.Errorf("%s is not the internal port, %s", target, port)
				}
				r, err := http.NewRequest("GET", "http://"+a.Addresses().Internal+"/metrics", nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = target // under a name the key is asked for on loopback too
				if c.Authorization.CredentialsFile != "" {
					r.Header.Set("Authorization", c.Authorization.Type+" "+key)
				}
				answer, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				answer.Body.Close()
				if answer.StatusCode != 200 {
					t.Errorf("%s is answered with %s", target, answer.Status)
				}
			}
		}
	}
}
