package grafana_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A use is one place in an expression that names a metric.
type use struct {
	metric   string
	matchers []matcher
	ranged   bool // metric[5m]
}

type matcher struct{ label, op, value string }

// A grouping is a list of labels, and the metrics that must have them: by, on,
// and their kind.
type grouping struct {
	labels []string
	over   []use
}

// An expression is what we check of one: enough of PromQL for that, and no
// more. What it does not know is an error, so that nothing passes unread.
type expression struct {
	uses      []use
	groupings []grouping
}

var (
	token = regexp.MustCompile(`^(?:[a-zA-Z_:][a-zA-Z0-9_:]*|"(?:[^"\\]|\\.)*"|[0-9][0-9a-z.]*|\$[a-z_]+|=~|!~|!=|==|<=|>=|[-+*/%^<>=(){}\[\],])`)
	name  = regexp.MustCompile(`^[a-zA-Z_:]`)

	functions = []string{"rate", "increase", "histogram_quantile", "time", "sum", "min", "max", "avg", "count", "topk", "delta", "deriv", "max_over_time"}
	joins     = []string{"on", "ignoring", "group_left", "group_right"}
	words     = []string{"and", "or", "unless", "bool", "offset"}
)

type reader struct {
	text string
	all  []string
	at   int
	got  expression
}

func parse(text string) (expression, error) {
	r := &reader{text: text}
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimSpace(rest) {
		t := token.FindString(rest)
		if t == "" {
			return expression{}, fmt.Errorf("%q: can't read on at %q", text, rest)
		}
		r.all = append(r.all, t)
		rest = rest[len(t):]
	}
	if err := r.group(""); err != nil {
		return expression{}, fmt.Errorf("%q: %w", text, err)
	}
	if len(r.got.uses) == 0 {
		return expression{}, fmt.Errorf("%q names no metric", text)
	}
	return r.got, nil
}

// peek is the token that comes n after the next, "" behind the end.
func (r *reader) peek(n int) string {
	if r.at+n < len(r.all) {
		return r.all[r.at+n]
	}
	return ""
}

func (r *reader) next() string {
	t := r.peek(0)
	r.at++
	return t
}

// group reads up to a closing token, "" for the end.
func (r *reader) group(until string) error {
	for {
		t := r.next()
		var err error
		switch {
		case t == until:
			return nil
		case t == "":
			return fmt.Errorf("%s is missing", until)
		case t == "(":
			err = r.group(")")
		case t == ")" || t == "}" || t == "]" || t == "{" || t == "[":
			err = fmt.Errorf("%s stands where it can't", t)
		case slices.Contains(words, t):
		case slices.Contains(joins, t):
			var labels []string
			labels, err = r.labels()
			r.got.groupings = append(r.got.groupings, grouping{labels: labels}) // of all of it: see check
		case name.MatchString(t) && (r.peek(0) == "(" || r.peek(0) == "by" || r.peek(0) == "without"):
			err = r.call(t)
		case name.MatchString(t):
			err = r.metric(t)
		}
		if err != nil {
			return err
		}
	}
}

// call reads a function, with a by clause before its arguments.
func (r *reader) call(function string) error {
	if !slices.Contains(functions, function) {
		return fmt.Errorf("%s is no function that is known here", function)
	}
	var labels []string
	if r.peek(0) != "(" {
		r.next()
		var err error
		if labels, err = r.labels(); err != nil {
			return err
		}
	}
	if t := r.next(); t != "(" {
		return fmt.Errorf("%s stands behind %s, want (", t, function)
	}
	first := len(r.got.uses)
	if err := r.group(")"); err != nil {
		return err
	}
	if labels != nil {
		r.got.groupings = append(r.got.groupings, grouping{labels, slices.Clone(r.got.uses[first:])})
	}
	if t := r.peek(0); t == "by" || t == "without" {
		return fmt.Errorf("%s is to stand before the parentheses", t)
	}
	return nil
}

func (r *reader) labels() (labels []string, err error) {
	if t := r.next(); t != "(" {
		return nil, fmt.Errorf("labels begin with %q", t)
	}
	for {
		switch t := r.next(); {
		case t == ")":
			return labels, nil
		case t == ",":
		case name.MatchString(t):
			labels = append(labels, t)
		default:
			return nil, fmt.Errorf("%q among labels", t)
		}
	}
}

func (r *reader) metric(metric string) error {
	u := use{metric: metric}
	if r.peek(0) == "{" {
		for r.next(); r.peek(0) != "}"; {
			m := matcher{r.next(), r.next(), r.next()}
			if !name.MatchString(m.label) || !slices.Contains([]string{"=", "!=", "=~", "!~"}, m.op) || !strings.HasPrefix(m.value, `"`) {
				return fmt.Errorf("%v is no matcher", m)
			}
			m.value = strings.Trim(m.value, `"`)
			u.matchers = append(u.matchers, m)
			if r.peek(0) == "," {
				r.next()
			}
		}
		r.next()
	}
	if r.peek(0) == "[" {
		u.ranged = true
		if r.next(); r.peek(1) != "]" {
			return fmt.Errorf("the range of %s is not closed", metric)
		}
		r.at += 2
	}
	r.got.uses = append(r.got.uses, u)
	return nil
}

func TestParse(t *testing.T) {
	got, err := parse(`sum by (le) (rate(a_bucket{x="1", y=~"2|3"}[$__rate_interval])) / on (job) b > 0`)
	if err != nil {
		t.Fatal(err)
	}
	a := use{"a_bucket", []matcher{{"x", "=", "1"}, {"y", "=~", "2|3"}}, true}
	if want := fmt.Sprint(expression{[]use{a, {metric: "b"}}, []grouping{{[]string{"le"}, []use{a}}, {[]string{"job"}, nil}}}); fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	for _, text := range []string{"", "1 + 2", "unheard(a)", "sum(a) by (x)", "(a", "a)", `a{x}`, `a{x=1}`, `a{x="1"`, "a[5m", `{x="1"}`, "sum by x (a)", "a ; b"} {
		if got, err := parse(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}
