package config

import (
	"regexp"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"
)

// foreignEnv matches the variables that Kubernetes sets in every pod beside a
// service called "belfry" or "belfry-…": they are not meant for us.
var foreignEnv = regexp.MustCompile(`^BELFRY_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)=|^BELFRY_([A-Z0-9_]+_)?PORT=(tcp|udp|sctp)://`)

// environment is the layer of BELFRY_… variables, given as os.Environ does.
func (l *loading) environment(environ []string) {
	names := map[string]Key{}
	for _, k := range allKeys() {
		names[k.Env()] = k
	}
	for _, r := range renamings {
		names[r.OldEnv()] = Key{Name: r.Old}
	}
	k := koanf.New(".")
	provider := env.Provider(".", env.Opt{
		Prefix:      EnvPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			if foreignEnv.MatchString(name + "=" + value) {
				return "", nil
			}
			key, ok := names[name]
			if !ok && name != EnvConfig {
				l.unknownEnv(name)
			}
			return key.Name, value
		},
	})
	if err := k.Load(provider, nil); err != nil {
		l.broken("environment", "", "can't be read: "+oneLine(err), "")
		return
	}
	l.layer(k, func(key string) string { return Key{Name: key}.Env() })
}

func (l *loading) unknownEnv(name string) {
	var candidates []string
	for _, k := range allKeys() {
		candidates = append(candidates, k.Env())
	}
	remedy := "remove it; belfry.yaml has every key"
	if near := Nearest(name, candidates); near != "" {
		remedy = "did you mean " + near + "?"
	}
	l.add(Problem{Key: name, Source: "environment", What: "is no variable of this version", Remedy: remedy})
}

// configPath is the file that BELFRY_CONFIG names; the last one counts.
func configPath(environ []string) string {
	path := ""
	for _, e := range environ {
		if v, ok := strings.CutPrefix(e, EnvConfig+"="); ok {
			path = v
		}
	}
	return path
}
