package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const unitFile = "deploy/belfry.service"

// unit is the unit's settings, by section and key; of a key that stands there
// more than once, each.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	settings, section := map[string][]string{}, ""
	for line := range strings.Lines(read(t, unitFile)) {
		line = strings.TrimSpace(line)
		switch key, value, found := strings.Cut(line, "="); {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = line
		case found:
			settings[section+key] = append(settings[section+key], value)
		default:
			t.Errorf("%s has a line without a setting: %s", unitFile, line)
		}
	}
	return settings
}

func TestUnitFits(t *testing.T) {
	settings := unit(t)
	the := func(key string) string {
		if len(settings["[Service]"+key]) != 1 {
			t.Fatalf("%s has %q for %s, want one", unitFile, settings["[Service]"+key], key)
		}
		return settings["[Service]"+key][0]
	}
	if got := duration(t, the("TimeoutStopSec")+"s"); got != timeToStop(t) {
		t.Errorf("TimeoutStopSec is %v, want %v", got, timeToStop(t))
	}
	if the("WorkingDirectory") != "/var/lib/"+the("StateDirectory") {
		t.Errorf("it starts in %s, and may write below /var/lib/%s", the("WorkingDirectory"), the("StateDirectory"))
	}
	// What it starts: that the command and its flag exist, the gateway itself says.
	argv := strings.Fields(the("ExecStart"))
	config := filepath.Join(t.TempDir(), "belfry.yaml")
	if err := os.WriteFile(config, []byte("api: {key: short}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	argv[0], argv[len(argv)-1] = filepath.Join(built(t, "gateway", buildGateway), "belfry"), config
	p, code := run(t, nil, nil, argv...)
	if said := p.stderr.String(); the("RestartPreventExitStatus") != "2" || code != 2 || !strings.Contains(said, "api.key") {
		t.Errorf("a mistake in the configuration: exit code %d, and the unit does not try again after %s; said:\n%s", code, the("RestartPreventExitStatus"), said)
	}
}

// systemd's own checks, without a running systemd.
func TestUnitIsValidAndHardened(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skipf("no systemd on %s: TestUnitFits alone has read the unit", runtime.GOOS)
	}
	need(t, "systemd-analyze", "apt-get install systemd")
	binary := filepath.Join(built(t, "gateway", buildGateway), "belfry")
	file := filepath.Join(t.TempDir(), "belfry.service")
	text := strings.ReplaceAll(read(t, unitFile), "/usr/local/bin/belfry", binary)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, argv := range [][]string{
		{"systemd-analyze", "verify", "--man=no", file},
		{"systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", file}, // 20 is an exposure of 2.0
	} {
		out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
		if err != nil || argv[1] == "verify" && len(out) > 0 { // it only warns of unknown keys
			t.Errorf("%v: %v\n%s", argv, err, out)
		}
	}
}
