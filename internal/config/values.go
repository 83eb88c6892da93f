package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// wrong is what is wrong with a value, and what to write instead.
type wrong struct{ what, remedy string }

// set reads raw, as YAML decoded it or as text from environment or flag, into
// the key's field.
func (k Key) set(o *Options, raw any) *wrong {
	field := reflect.ValueOf(o).Elem().FieldByIndex(k.index)
	if raw == nil {
		return &wrong{"has no value", `write one, "" for an empty text or [] for an empty list, or remove the line`}
	}
	switch p := field.Addr().Interface().(type) {
	case *string:
		if port, bare := raw.(int); bare && k.isAddress() {
			raw = strconv.Itoa(port) // quotes would not help: hostPort says what does
		}
		return setText(p, raw)
	case *bool:
		return setBool(p, raw)
	case *int:
		return setInt(p, raw, k.auto)
	case *int64:
		return setSize(p, raw)
	case *time.Duration:
		return setDuration(p, raw)
	case *SyncInterval:
		return setSync(p, raw)
	case *[]string:
		return setList(p, raw)
	case *[]netip.Prefix:
		return setNetworks(p, raw)
	}
	panic("config: no way to read a " + field.Type().String())
}

func setText(p *string, raw any) *wrong {
	s, ok := raw.(string)
	if !ok {
		return &wrong{"is not a text", "put it in quotes"} // not its value: it may be a secret
	}
	*p = s
	return nil
}

func setBool(p *bool, raw any) *wrong {
	switch fmt.Sprint(raw) {
	case "true":
		*p = true
	case "false":
		*p = false
	default:
		return &wrong{"is " + kind(raw), "write true or false"}
	}
	return nil
}

func setInt(p *int, raw any, auto bool) *wrong {
	remedy := "write a whole number"
	if auto {
		remedy += " or auto"
	}
	text := fmt.Sprint(raw)
	if auto && text == "auto" {
		*p = 0
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return &wrong{"is " + kind(raw) + ", not a whole number", remedy}
	}
	*p = n
	return nil
}

func setSize(p *int64, raw any) *wrong {
	n, err := parseSize(fmt.Sprint(raw))
	if err != nil {
		return &wrong{"is " + kind(raw) + ", not a size", "write bytes, or a unit behind the number: 512KiB, 64MiB, 1GiB"}
	}
	*p = n
	return nil
}

func setDuration(p *time.Duration, raw any) *wrong {
	text := fmt.Sprint(raw)
	d, err := parseDuration(text)
	if err == nil {
		*p = d
		return nil
	}
	if _, err := strconv.ParseUint(text, 10, 32); err == nil {
		return &wrong{"is " + text + " without a unit", "write a unit, for example " + text + "s"}
	}
	return &wrong{"is " + kind(raw) + ", not a duration", "write a number with a unit: 500ms, 4s, 5m, 12h, 30d"}
}

func setSync(p *SyncInterval, raw any) *wrong {
	if raw == "always" {
		*p = SyncAlways
		return nil
	}
	var d time.Duration
	if w := setDuration(&d, raw); w != nil {
		w.remedy += ", or always"
		return w
	}
	if d == 0 {
		return &wrong{"is 0", "write always to have every write synced before its ack"}
	}
	*p = SyncInterval(d)
	return nil
}

func setList(p *[]string, raw any) *wrong {
	var list []string
	switch raw := raw.(type) {
	case string:
		for _, item := range strings.Split(raw, ",") {
			list = append(list, strings.TrimSpace(item))
		}
		if strings.TrimSpace(raw) == "" {
			list = nil
		}
	case []any:
		for i, item := range raw {
			s, ok := item.(string)
			if !ok {
				return &wrong{fmt.Sprintf("has %s as item %d, not a text", kind(item), i+1), "put it in quotes"}
			}
			list = append(list, s)
		}
	default:
		return &wrong{"is " + kind(raw) + ", not a list", "write [one, two] in the file, one,two elsewhere"}
	}
	*p = list
	return nil
}

func setNetworks(p *[]netip.Prefix, raw any) *wrong {
	var list []string
	if w := setList(&list, raw); w != nil {
		return w
	}
	var networks []netip.Prefix
	for _, s := range list {
		network, err := netip.ParsePrefix(s)
		if addr, bare := netip.ParseAddr(s); bare == nil && addr.Zone() == "" {
			network, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return &wrong{fmt.Sprintf("has %q, which is no network", s), "write networks as 10.0.0.0/8 or 2001:db8::/32, one address as 10.1.2.3"}
		}
		if network != network.Masked() {
			return &wrong{fmt.Sprintf("has %q, an address inside a network", s), "write " + network.Masked().String() + " for the network, " + network.Addr().String() + " for the address alone"}
		}
		networks = append(networks, network)
	}
	*p = networks
	return nil
}

// kind is a wrong value as a sentence can have it.
func kind(raw any) string {
	switch raw := raw.(type) {
	case string:
		return strconv.Quote(raw)
	case bool, int, int64, uint64, float64:
		return fmt.Sprint(raw)
	case []any:
		return "a list"
	case map[string]any:
		return "a group of keys"
	case time.Time:
		return "a date"
	}
	return fmt.Sprintf("a %T", raw)
}
