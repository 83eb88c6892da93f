package examples_test

import (
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

func readDeployment(t *testing.T) deployment {
	t.Helper()
	d := manifest[deployment](t, "deployment.yaml", "apps/v1", "Deployment")
	if len(d.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("the pod has %d containers", len(d.Spec.Template.Spec.Containers))
	}
	return d
}

func TestKubernetesStopsAndChecksHealth(t *testing.T) {
	d := readDeployment(t)
	p := d.Spec.Template.Spec
	c := p.Containers[0]
	if got := time.Duration(p.Grace) * time.Second; got != timeToStop(t) {
		t.Errorf("terminationGracePeriodSeconds is %v, want %v", got, timeToStop(t))
	}
	if c.Readiness.Get.Path != "/readyz" || c.Liveness.Get.Path != "/healthz" {
		t.Errorf("readiness is asked on %s, liveness on %s", c.Readiness.Get.Path, c.Liveness.Get.Path)
	}
	// A pod that drains is taken out by Kubernetes itself; one that loses NATS by
	// its probe.
	if noticed := time.Duration(c.Readiness.Period*c.Readiness.Threshold+c.Readiness.Timeout) * time.Second; noticed > duration(t, manual(t).DrainDelay) {
		t.Errorf("not being ready is noticed after %v, and drain_delay is %s", noticed, manual(t).DrainDelay)
	}
	if d.Spec.Strategy.RollingUpdate.MaxUnavailable != 0 || d.Spec.Strategy.RollingUpdate.MaxSurge < 1 || d.Spec.Replicas < 2 {
		t.Errorf("an update takes a gateway away before another is there: %+v, %d replicas", d.Spec.Strategy, d.Spec.Replicas)
	}
	// The probes' answers, from a gateway.
	g := serve(t)
	for _, probe := range []probe{c.Readiness, c.Liveness} {
		response, err := httpGet(t, "http://"+g.Public+probe.Get.Path)
		if err != nil || response != 200 {
			t.Errorf("%s answers %d, %v", probe.Get.Path, response, err)
		}
	}
}

func TestKubernetesPortsAndLabelsFit(t *testing.T) {
	d := readDeployment(t)
	c := d.Spec.Template.Spec.Containers[0]
	ports := map[string]int{}
	for _, port := range c.Ports {
		ports[port.Name] = port.Port
	}
	m := manual(t)
	for name, listen := range map[string]string{"public": m.Public.Listen, "internal": m.Internal.Listen} {
		if _, port, _ := net.SplitHostPort(listen); strconv.Itoa(ports[name]) != port {
			t.Errorf("the container's port %s is %d, Belfry's is %s", name, ports[name], port)
		}
	}
	for _, probe := range []probe{c.Readiness, c.Liveness} {
		if probe.Get.Port != "public" {
			t.Errorf("%s is asked on the port %s", probe.Get.Path, probe.Get.Port)
		}
	}
	if at := d.Spec.Template.Metadata.Annotations["prometheus.io/port"]; at != strconv.Itoa(ports["internal"]) {
		t.Errorf("metrics are read from %s", at)
	}
	s := manifest[serviceManifest](t, "service.yaml", "v1", "Service")
	if len(s.Spec.Ports) != 1 || s.Spec.Ports[0].TargetPort != "public" {
		t.Errorf("the Service opens %+v, want the public port alone", s.Spec.Ports)
	}
	budget := manifest[disruptionBudget](t, "disruption.yaml", "policy/v1", "PodDisruptionBudget")
	if budget.Spec.MaxUnavailable < 1 || budget.Spec.MaxUnavailable >= d.Spec.Replicas {
		t.Errorf("%d of %d gateways may be away", budget.Spec.MaxUnavailable, d.Spec.Replicas)
	}
	on := d.Spec.Template.Metadata.Labels
	for what, by := range map[string]labels{
		"the Deployment": d.Spec.Selector.MatchLabels, "the Service": s.Spec.Selector,
		"the budget": budget.Spec.Selector.MatchLabels, "the spread": d.Spec.Template.Spec.Spread[0].Selector.MatchLabels,
	} {
		if len(by) == 0 || !maps.Equal(by, on) {
			t.Errorf("%s selects %v, the pods have %v", what, by, on)
		}
	}
}

// The image's user and directories, and the configuration that the gateway gets,
// which its own check accepts.
func TestKubernetesFitsTheImageAndTheConfiguration(t *testing.T) {
	d, image := readDeployment(t).Spec.Template.Spec, readDockerfile(t)
	c := d.Containers[0]
	uid, gid, err := ids(image.final.the(t, "USER"))
	if err != nil || d.Security.User != int(uid) || d.Security.Group != int(gid) || d.Security.FSGroup != int(gid) || !d.Security.NonRoot {
		t.Errorf("runs as %+v, the image's user is %d:%d, %v", d.Security, uid, gid, err)
	}
	if !c.Security.ReadOnly || c.Security.Escalation || !slices.Equal(c.Security.Caps.Drop, []string{"ALL"}) {
		t.Errorf("the container may %+v", c.Security)
	}
	mounts, volumes := map[string]string{}, map[string]bool{}
	for _, m := range c.Mounts {
		mounts[m.Path] = m.Name
	}
	for _, v := range d.Volumes {
		volumes[v.Name] = v.EmptyDir != nil
	}
	if writable, found := volumes[mounts[image.env()["BELFRY_DATA"]]]; !found || !writable {
		t.Errorf("nothing to write to is mounted at %s: %v", image.env()["BELFRY_DATA"], mounts)
	}

	config := manifest[configMap](t, "config.yaml", "v1", "ConfigMap")
	argv := append([]string{filepath.Join(built(t, "gateway", buildGateway), "belfry"), "check"}, c.Args[1:]...)
	at := argv[len(argv)-1]
	text, found := config.Data[filepath.Base(at)]
	if c.Args[0] != "serve" || !found || mounts[filepath.Dir(at)] == "" {
		t.Fatalf("it runs %q, and the ConfigMap has %v", c.Args, slices.Collect(maps.Keys(config.Data)))
	}
	argv[len(argv)-1] = filepath.Join(t.TempDir(), "belfry.yaml")
	if err := os.WriteFile(argv[len(argv)-1], []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := image.env()
	for _, e := range c.Env {
		env[e.Name] = "a secret of " + e.From.Secret.Name
	}
	if _, code := run(t, nil, list(env), argv...); code != 0 {
		t.Errorf("the configuration is refused, exit code %d", code)
	}
	delete(env, "BELFRY_API_KEY")
	if _, code := run(t, nil, list(env), argv...); code == 0 {
		t.Error("without the Secret's key the internal port would be open")
	}
}

func httpGet(t *testing.T, url string) (status int, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(within(t), http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	return response.StatusCode, nil
}
