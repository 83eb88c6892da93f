package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"belfry/internal/bus/bustest"
)

const backupPage = "docs/backup.md"

// A reader follows backup.md, in a directory of their own.
type reader struct {
	t     *testing.T
	dir   string
	env   []string
	nats  string // stands for nats://127.0.0.1:4222
	steps map[string]string
	taken map[string]bool
}

func newReader(t *testing.T, nats string) *reader {
	t.Helper()
	r := &reader{t: t, dir: t.TempDir(), nats: nats, steps: map[string]string{}, taken: map[string]bool{}}
	r.env = append(os.Environ(), "PATH="+filepath.Dir(build(t))+":"+os.Getenv("PATH"),
		"BELFRY_PUBLIC_LISTEN=127.0.0.1:0", "BELFRY_INTERNAL_LISTEN=127.0.0.1:0", "BELFRY_NATS_LISTEN=127.0.0.1:0", "BELFRY_DRAIN_DELAY=0s")
	for _, b := range blocks(t, "sh") {
		if name, ok := strings.CutPrefix(b.mark, "backup: "); ok && b.page == backupPage {
			r.steps[name] = b.text
		}
	}
	return r
}

func (r *reader) command(text string) *exec.Cmd {
	cmd := exec.Command("sh", "-ec", strings.ReplaceAll(text, "nats://127.0.0.1:4222", r.nats))
	cmd.Dir, cmd.Env = r.dir, r.env
	return cmd
}

// does runs a command and returns what it printed.
func (r *reader) does(text string) string {
	r.t.Helper()
	out, err := r.command(text).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s\nfailed: %v\n%s", text, err, out)
	}
	return string(out)
}

// step runs a step of the page, by its name.
func (r *reader) step(name string) string {
	r.t.Helper()
	if r.steps[name] == "" {
		r.t.Fatalf("%s has no step %q", backupPage, name)
	}
	return r.does(r.steps[name])
}

// serves starts a gateway and returns when it is ready; stop ends it as a
// supervisor does.
func (r *reader) serves(text string) (stop func()) {
	r.t.Helper()
	cmd := r.command("exec " + strings.TrimSpace(text))
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	r.t.Cleanup(func() { _ = cmd.Process.Kill() }) // where the test failed
	addresses := filepath.Join(r.dir, "belfry-data", "addresses.json")
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if text, err := os.ReadFile(addresses); err == nil && json.Valid(text) {
			break
		}
		if time.Now().After(deadline) {
			r.t.Fatal("the gateway was not ready within 30 s")
		}
	}
	return func() {
		r.t.Helper()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				r.t.Fatalf("the gateway ended with %v\n%s", err, &log)
			}
		case <-time.After(30 * time.Second):
			r.t.Fatal("the gateway did not end within 30 s")
		}
	}
}

// publishes publishes, and fails where it does not get this sequence.
func (r *reader) publishes(sequence int, flags string) (position string) {
	r.t.Helper()
	out := r.does("belfry publish " + flags + " 1 hello")
	m := regexp.MustCompile(` sequence=(\d+) position=(\S+)`).FindStringSubmatch(out)
	if m == nil || m[1] != fmt.Sprint(sequence) {
		r.t.Fatalf("want sequence %d, it printed %s", sequence, out)
	}
	return m[2]
}

// restored holds what is there after a restore to what was copied: one message,
// and another epoch than that of the position.
func (r *reader) restored(behind, flags string) {
	r.t.Helper()
	again := r.publishes(2, flags)
	epoch := func(position string) string { return strings.Split(position, "-")[1] }
	if epoch(again) == epoch(behind) {
		r.t.Errorf("%s was given out before the restore, %s behind it", behind, again)
	}
}

func TestBackupEmbedded(t *testing.T) {
	r := newReader(t, "")
	stop := r.serves("belfry serve")
	r.publishes(1, "")
	r.step("copy")
	behind := r.publishes(2, "")
	stop()
	stop = r.serves(r.steps["start"])
	if out := r.step("restore"); !strings.Contains(out, "stream=BELFRY_NOTIFICATIONS messages=1 last=1 epoch=") {
		t.Errorf("it printed %s", out)
	}
	stop()
	stop = r.serves("belfry serve")
	r.restored(behind, "")
	stop()
}

func TestBackupOffline(t *testing.T) {
	r := newReader(t, "")
	stop := r.serves("belfry serve")
	r.publishes(1, "")
	stop()
	r.step("offline copy")
	stop = r.serves("belfry serve")
	behind := r.publishes(2, "")
	stop()
	r.step("offline restore")
	stop = r.serves(r.steps["start"])
	r.step("offline rotate")
	stop()
	stop = r.serves("belfry serve")
	r.restored(behind, "")
	stop()
}

// The rights that the page names are enough, and it names none twice.
func TestBackupExternal(t *testing.T) {
	n := bustest.Start(t, &bustest.Server{Dir: t.TempDir(), Users: map[string]string{"backup": backupRights(t)}})
	r := newReader(t, n.URL("backup"))
	gateway := "--nats " + n.URL(bustest.Admin)
	stop := r.serves("belfry serve " + gateway)
	r.publishes(1, gateway)
	r.step("copy external")
	behind := r.publishes(2, gateway)
	stop()
	r.step("restore external")
	stop = r.serves("belfry serve " + gateway)
	r.restored(behind, gateway)
	stop()
	if refused := n.Refused(); len(refused) > 0 {
		t.Errorf("NATS refused %q", refused)
	}
}

// backupRights are the permissions that the page names for the user for backups.
func backupRights(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, backupPage))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Rights\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var publish []string
	for _, m := range regexp.MustCompile("`(\\$[^`]+)`").FindAllStringSubmatch(section, -1) {
		if !strings.Contains(m[1], "<stream>") {
			publish = append(publish, fmt.Sprintf("%q", m[1]))
			continue
		}
		for _, s := range []string{"BELFRY_NOTIFICATIONS", "BELFRY_CHANNELS", "KV_BELFRY_CURSORS"} {
			publish = append(publish, fmt.Sprintf("%q", strings.ReplaceAll(m[1], "<stream>", s)))
		}
	}
	if len(publish) < 10 {
		t.Fatalf("%s names %d rights", backupPage, len(publish))
	}
	return fmt.Sprintf(`{publish: [%s], subscribe: ["_INBOX.>"]}`, strings.Join(publish, ", "))
}
