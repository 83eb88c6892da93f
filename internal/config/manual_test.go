package config

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

const manual = "../../belfry.yaml"

func TestManualIsTheDefaults(t *testing.T) {
	got, err := Load(manual, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys() {
		if got.Sources[k.Name] == "" {
			t.Errorf("belfry.yaml does not have %s", k.Name)
		}
		if g, w := k.Text(got.Options), k.Text(Default()); g != w {
			t.Errorf("belfry.yaml has %s as %q, the default is %q", k.Name, g, w)
		}
	}
	if changed, restart := Changed(Default(), got.Options); len(changed)+len(restart) > 0 {
		t.Errorf("belfry.yaml changes %v %v", changed, restart)
	}
	if len(got.Warnings) > 0 {
		t.Errorf("belfry.yaml warns: %v", got.Warnings)
	}
}

// Each key's comment, or its group's, names its flag and whether it reloads.
func TestManualNamesFlagsAndReload(t *testing.T) {
	b, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	where, err := linesOf(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys() {
		comment := commentAbove(lines, where[k.Name])
		if strings.HasPrefix(k.Name, "public.tls.") {
			comment = commentAbove(lines, where["public.tls"])
		}
		reload := "Reload: no"
		if k.Reload {
			reload = "Reload: yes"
		}
		if !strings.Contains(comment, reload) {
			t.Errorf("the comment of %s does not say %q", k.Name, reload)
		}
		flag := ""
		if m := regexp.MustCompile(`Flag --([a-z-]+)`).FindStringSubmatch(comment); m != nil {
			flag = m[1]
		}
		if flag != k.Flag {
			t.Errorf("the comment of %s names flag %q, it has %q", k.Name, flag, k.Flag)
		}
	}
}

// commentAbove is the comment that ends above this line (counted from 1).
func commentAbove(lines []string, line int) string {
	comment := ""
	for i := line - 2; i >= 0 && strings.HasPrefix(strings.TrimSpace(lines[i]), "#"); i-- {
		comment = strings.TrimSpace(lines[i]) + " " + comment
	}
	return comment
}

func TestManualNamesEveryBound(t *testing.T) {
	b, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	where, err := linesOf(b)
	if err != nil {
		t.Fatal(err)
	}
	for name, bound := range bounds {
		if name == "limits.connections" {
			continue // "a number": its upper bound is only there to catch slips
		}
		k, ok := Lookup(name)
		if !ok {
			t.Fatalf("bounds has %s, which is no key", name)
		}
		want := k.textOf(bound.least) + " to " + k.textOf(bound.most)
		comment := strings.ReplaceAll(commentAbove(strings.Split(string(b), "\n"), where[name]), "# ", "")
		if !strings.Contains(comment, want) {
			t.Errorf("the comment of %s does not say %q", name, want)
		}
	}
}

func TestNamesInTheEnvironment(t *testing.T) {
	seen := map[string]string{EnvConfig: "--config"}
	for _, k := range Keys() {
		if other := seen[k.Env()]; other != "" {
			t.Errorf("%s and %s are both %s", other, k.Name, k.Env())
		}
		seen[k.Env()] = k.Name
		if strings.HasSuffix(k.Env(), "_PORT") || foreignEnv.MatchString(k.Env()+"=x") {
			t.Errorf("%s looks like a variable of Kubernetes's", k.Env())
		}
	}
}
