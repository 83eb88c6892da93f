package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Text is the key's value as it could be written in the file; of a secret, and
// of a password in a URL, only that there is one.
func (k Key) Text(o Options) string {
	text := k.plain(o)
	if k.Secret && text != "" {
		return "(secret)"
	}
	if k.Name == "nats.url" {
		urls := make([]string, len(o.NATS.URL))
		for i, u := range o.NATS.URL {
			urls[i] = maskURL(u)
		}
		text = strings.Join(urls, ",")
	}
	return text
}

// plain is the key's value as it could be written in the file, secrets too.
func (k Key) plain(o Options) string {
	switch v := reflect.ValueOf(o).FieldByIndex(k.index).Interface().(type) {
	case int:
		if k.auto && v == 0 {
			return "auto"
		}
		return strconv.Itoa(v)
	case int64:
		return formatSize(v)
	case time.Duration:
		return formatDuration(v)
	case SyncInterval:
		if v == SyncAlways {
			return "always"
		}
		return formatDuration(time.Duration(v))
	case []string:
		return strings.Join(v, ",")
	case []netip.Prefix:
		texts := make([]string, len(v))
		for i, p := range v {
			texts[i] = p.String()
		}
		return strings.Join(texts, ",")
	default:
		return fmt.Sprint(v)
	}
}
