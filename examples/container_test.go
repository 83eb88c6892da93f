package examples_test

import (
	"debug/elf"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// No container engine runs here: these tests read the Dockerfile and the
// compose file, do what they say as plain processes on loopback, and leave out
// only the engine itself.

const password = "a password for this test"

// What RUN says, done in a copy of what COPY would see, makes a static binary.
func TestDockerfileBuilds(t *testing.T) {
	d := readDockerfile(t)
	context, out := t.TempDir(), t.TempDir()
	copyContext(t, context)
	build, found := d.build.find("RUN", "go build")
	if !found {
		t.Fatal("the Dockerfile does not build")
	}
	cmd := exec.Command("sh", "-c", strings.ReplaceAll(build, "/out/", out+"/"))
	cmd.Dir = context
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, said)
	}
	binary, err := elf.Open(filepath.Join(out, "belfry"))
	if err != nil {
		t.Fatalf("what RUN built: %v", err)
	}
	defer binary.Close()
	if slices.ContainsFunc(binary.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Error("the binary needs a dynamic loader, which scratch has not")
	}
}

// copyContext copies the repository without what .dockerignore names.
func copyContext(t *testing.T, to string) {
	t.Helper()
	var ignored []string
	for line := range strings.Lines(read(t, "../.dockerignore")) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			ignored = append(ignored, line)
		}
	}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel("..", path)
		switch {
		case err != nil:
			return err
		case slices.Contains(ignored, name) || slices.Contains(ignored, "**/"+entry.Name()):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), data, 0o644)
	})
	if err != nil {
		t.Fatalf("copying the build context: %v", err)
	}
}

func TestDockerfileIsStaticAndNotRoot(t *testing.T) {
	d := readDockerfile(t)
	if from := d.build.the(t, "FROM"); from != "golang:"+goVersion(t)+" AS build" {
		t.Errorf("builds FROM %s, and go.mod is of Go %s", from, goVersion(t))
	}
	if from := d.final.the(t, "FROM"); from != "scratch" {
		t.Errorf("the final stage is FROM %s", from)
	}
	user := d.final.the(t, "USER")
	if uid, gid, err := ids(user); err != nil || uid == 0 || gid == 0 {
		t.Errorf("USER %s: want numbers, and not root's", user)
	}
	data := d.env()["BELFRY_DATA"]
	if owned, found := d.final.find("COPY", "--chown="+user); !found || !strings.HasSuffix(owned, " "+data) {
		t.Errorf("%s does not belong to USER %s: %s", data, user, owned)
	}
	if volume := d.final.the(t, "VOLUME"); volume != data {
		t.Errorf("VOLUME %s, and the data is in %s", volume, data)
	}
	if port := d.final.the(t, "EXPOSE"); !strings.HasSuffix(d.env()["BELFRY_PUBLIC_LISTEN"], ":"+port) {
		t.Errorf("EXPOSE %s, and public.listen is %s", port, d.env()["BELFRY_PUBLIC_LISTEN"])
	}
	if binary, found := d.final.find("COPY", "/out/belfry"); !found || !strings.HasSuffix(binary, " "+d.command(t)[0]) {
		t.Errorf("ENTRYPOINT is %s, and the binary is copied so: %s", d.command(t)[0], binary)
	}
}

func TestComposeFits(t *testing.T) {
	d, c := readDockerfile(t), readCompose(t)
	gateway, backend := c.Services["gateway"], c.Services["backend"]
	if len(c.Services) != 2 {
		t.Fatalf("services are %v, want gateway and backend", slices.Collect(maps.Keys(c.Services)))
	}
	if file := filepath.Join(gateway.Build, "Dockerfile"); filepath.Clean(file) != filepath.Join("..", "Dockerfile") {
		t.Errorf("the gateway is built from %s", file)
	}
	_, port, _ := strings.Cut(d.env()["BELFRY_PUBLIC_LISTEN"], ":")
	if want := "127.0.0.1:" + port + ":" + port; !slices.Equal(gateway.Ports, []string{want}) {
		t.Errorf("ports are %v, want %s alone: NATS is the backend's", gateway.Ports, want)
	}
	name, dir, _ := strings.Cut(gateway.Volumes[0], ":")
	if _, declared := c.Volumes[name]; !declared || dir != d.env()["BELFRY_DATA"] {
		t.Errorf("the data is in %s, and the volume is %s", d.env()["BELFRY_DATA"], gateway.Volumes[0])
	}
	_, port, _ = strings.Cut(gateway.Environment["BELFRY_NATS_LISTEN"], ":")
	if url := backend.Environment["NATS_URL"]; url != "nats://gateway:"+port {
		t.Errorf("the backend's NATS is %s, and nats.listen is %s", url, gateway.Environment["BELFRY_NATS_LISTEN"])
	}
	if interpolate(t, gateway.Environment["BELFRY_NATS_PASSWORD"]) != password {
		t.Error("the password is not the environment's")
	}
}

// The very settings pass the gateway's own check, and without the password it
// refuses to open NATS to other machines.
func TestComposeSettingsAreAccepted(t *testing.T) {
	belfry := filepath.Join(built(t, "gateway", buildGateway), "belfry")
	env := gatewayEnv(t)
	env["BELFRY_DATA"] = t.TempDir()
	if _, code := run(t, nil, list(env), belfry, "check"); code != 0 {
		t.Errorf("the gateway's settings are refused, exit code %d", code)
	}
	delete(env, "BELFRY_NATS_PASSWORD")
	p, code := run(t, nil, list(env), belfry, "check")
	if said := p.stdout.String() + p.stderr.String(); code == 0 || !strings.Contains(said, "nats.password") {
		t.Errorf("without a password: exit code %d, said:\n%s", code, said)
	}
}

// Both services as plain processes, with the same binary, arguments, files and
// environment; only addresses and directories are this machine's.
func TestComposeRoundTrip(t *testing.T) {
	backend := readCompose(t).Services["backend"]
	need(t, backend.Command[0], "apt-get install php-cli")
	g := startGatewayService(t)

	env := map[string]string{}
	for key, value := range backend.Environment {
		env[key] = interpolate(t, value)
	}
	env["NATS_URL"] = g.NATS
	folder, mounted, _ := strings.Cut(backend.Volumes[0], ":")
	here := func(argv []string) []string {
		argv = slices.Clone(argv)
		argv[1] = strings.Replace(argv[1], strings.TrimSuffix(mounted, ":ro"), folder, 1)
		return argv
	}
	start(t, nil, list(env), here(backend.Command)...).says(t, "answering authentication", 1)
	l := language{publish: here([]string{"php", "/app/publish.php"})}
	roundTrip(t, g, func(args ...string) receipt { return publish(t, l, list(env), nil, args...) })

	env["NATS_PASSWORD"], env["PUBLISH_DEADLINE"] = "a guess", "1"
	if p, code := run(t, nil, list(env), append(l.publish, "1", "x")...); code != 1 || !strings.Contains(p.stderr.String(), "Authorization") {
		t.Errorf("NATS took a wrong password: exit code %d", code)
	}
}

// startGatewayService runs the gateway's ENTRYPOINT and CMD; as the USER of the
// Dockerfile where this test is root and can.
func startGatewayService(t *testing.T) *gateway {
	t.Helper()
	d := readDockerfile(t)
	dir := built(t, "gateway", buildGateway)
	data, err := os.MkdirTemp(binaries, "data-")
	if err != nil {
		t.Fatal(err)
	}
	env := gatewayEnv(t)
	env["BELFRY_PUBLIC_LISTEN"], env["BELFRY_INTERNAL_LISTEN"], env["BELFRY_NATS_LISTEN"] = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	env["BELFRY_DATA"] = data
	argv := d.command(t)
	argv[0] = filepath.Join(dir, argv[0])
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(list(env), quick...) // nothing else, as in the container
	if os.Geteuid() == 0 {
		uid, gid, err := ids(d.final.the(t, "USER"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(data, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	}
	return ready(t, startCmd(t, cmd), data)
}

// gatewayEnv is what the gateway's container has in its environment.
func gatewayEnv(t *testing.T) map[string]string {
	env := readDockerfile(t).env()
	for key, value := range readCompose(t).Services["gateway"].Environment {
		env[key] = interpolate(t, value)
	}
	return env
}

func list(env map[string]string) (all []string) {
	for key, value := range env {
		all = append(all, key+"="+value)
	}
	return all
}

func ids(user string) (uid, gid uint32, err error) {
	u, g, _ := strings.Cut(user, ":")
	a, err := strconv.ParseUint(u, 10, 32)
	if err != nil {
		return 0, 0, err
	}
	b, err := strconv.ParseUint(g, 10, 32)
	return uint32(a), uint32(b), err
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
