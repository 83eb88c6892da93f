package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"belfry/internal/bus"
)

// EpochKey is the stream's metadata that a rotation changes.
const EpochKey = "belfry_epoch"

var epochForm = regexp.MustCompile(`^[a-z0-9]{1,32}$`)

// epochOf is the epoch of a stream: when it was created, in ns since 1970, and
// behind a dot its belfry_epoch where it has one. Sequences of another epoch
// mean nothing.
func epochOf(created time.Time, rotated string) string {
	epoch := strconv.FormatInt(created.UnixNano(), 36)
	switch {
	case rotated == "":
		return epoch
	case epochForm.MatchString(rotated):
		return epoch + "." + rotated
	}
	h := fnv.New64a() // written by somebody else: any other spelling is another epoch
	h.Write([]byte(rotated))
	return epoch + ".x" + strconv.FormatUint(h.Sum64(), 36)
}

// wentBack tells whether a stream's epoch is older than one that was seen before:
// it will have been in use then, for other messages.
func wentBack(now standing, seen string) bool {
	created, rotated, _ := strings.Cut(seen, ".")
	then, err := strconv.ParseInt(created, 36, 64)
	if err != nil || now.created.UnixNano() != then {
		return err == nil && now.created.UnixNano() < then
	}
	before, err1 := strconv.ParseUint(rotated, 36, 64)
	after, err2 := strconv.ParseUint(now.rotated, 36, 64)
	return rotated != "" && (now.rotated == "" || err1 == nil && err2 == nil && after < before)
}

// A standing is what the leader says of a stream.
type standing struct {
	epoch   string
	created time.Time
	rotated string // its belfry_epoch
	first   uint64 // at least 1
	last    uint64
}

func (s *sequencer) standing(ctx context.Context) (standing, error) {
	first, last, created, meta, err := s.fetch.state(ctx, s.name)
	if err != nil {
		return standing{}, err
	}
	rotated := meta[EpochKey]
	return standing{epochOf(created, rotated), created, rotated, max(first, 1), last}, nil
}

// rotateWithin bounds one question of a rotation.
const rotateWithin = 5 * time.Second

// Rotate gives a stream, by its name in NATS, another epoch and returns it once
// it reads back as written: every client that comes with an older position is
// told reset. It is a step of restoring a stream from a copy: sequences that
// were given out before are given out again, for other messages. Running
// gateways see it within 10 s.
//
// Only the stream's metadata is changed, whatever stream.manage says. It needs
// the right to publish to $JS.API.STREAM.INFO.<stream> and
// $JS.API.STREAM.UPDATE.<stream>.
func Rotate(ctx context.Context, b *bus.Bus, domain, stream string) (epoch string, err error) {
	return rotate(ctx, b, apiPrefix(domain), stream)
}

func rotate(ctx context.Context, b *bus.Bus, api, stream string) (string, error) {
	config, _, err := look(ctx, b, api, stream)
	if err != nil {
		return "", fmt.Errorf("rotate the epoch of stream %s: %w", stream, err)
	}
	update, err := rotated(config)
	if err != nil {
		return "", fmt.Errorf("rotate the epoch of stream %s: %w", stream, err)
	}
	if _, _, err := streamInfo(ctx, b, api+"STREAM.UPDATE."+stream, update); err != nil {
		return "", fmt.Errorf("rotate the epoch of stream %s: update it: %w", stream, err)
	}
	// Another one may have been as quick: then its epoch counts, which is as new.
	_, epoch, err := look(ctx, b, api, stream)
	if err != nil {
		return "", fmt.Errorf("rotate the epoch of stream %s: read it back: %w", stream, err)
	}
	return epoch, nil
}

// settings are a stream's as the API has them: those that this Belfry has never
// heard of are passed back as they came.
type settings map[string]json.RawMessage

// rotated are the settings with another epoch.
func rotated(config settings) ([]byte, error) {
	meta, err := config.metadata()
	if err != nil {
		return nil, err
	}
	// In ns: no value comes twice, whatever copy is restored.
	meta[EpochKey] = strconv.FormatInt(time.Now().UnixNano(), 36)
	if config["metadata"], err = json.Marshal(meta); err != nil {
		return nil, err
	}
	return json.Marshal(config)
}

func (c settings) metadata() (map[string]string, error) {
	meta := map[string]string{}
	if text, ok := c["metadata"]; ok {
		if err := json.Unmarshal(text, &meta); err != nil {
			return nil, fmt.Errorf("read its metadata: %w", err)
		}
	}
	return meta, nil
}

// look asks for a stream's settings and epoch.
func look(ctx context.Context, b *bus.Bus, api, stream string) (settings, string, error) {
	config, created, err := streamInfo(ctx, b, api+"STREAM.INFO."+stream, nil)
	if err != nil {
		return nil, "", err
	}
	meta, err := config.metadata()
	if err != nil {
		return nil, "", err
	}
	return config, epochOf(created, meta[EpochKey]), nil
}

// streamInfo asks the API for a stream, or to change it.
func streamInfo(ctx context.Context, b *bus.Bus, subject string, data []byte) (settings, time.Time, error) {
	reply, err := request(ctx, b, &nats.Msg{Subject: subject, Data: data})
	if err != nil {
		return nil, time.Time{}, err
	}
	if err := apiError(reply.Data); err != nil {
		return nil, time.Time{}, err
	}
	var info struct {
		Created time.Time `json:"created"`
		Config  settings  `json:"config"`
	}
	if err := json.Unmarshal(reply.Data, &info); err != nil {
		return nil, time.Time{}, fmt.Errorf("read JetStream's answer: %w", err)
	}
	if info.Config == nil {
		return nil, time.Time{}, errors.New("JetStream's answer has no configuration")
	}
	return info.Config, info.Created, nil
}

// request is bus.Request for who has a goroutine to wait with.
func request(ctx context.Context, b *bus.Bus, msg *nats.Msg) (*nats.Msg, error) {
	type answer struct {
		msg *nats.Msg
		err error
	}
	came := make(chan answer, 1)
	cancel := b.Request(msg, rotateWithin, func(m *nats.Msg, err error) { came <- answer{m, err} })
	select {
	case a := <-came:
		return a.msg, a.err
	case <-ctx.Done():
		cancel()
		return nil, context.Cause(ctx)
	}
}

// rotate gives the stream another epoch because its history is not the one we
// know, unless another gateway has done so. It returns how the stream stands
// then.
func (s *sequencer) rotate(ctx context.Context, known string) (standing, error) {
	if s.pace.jitter > 0 { // all gateways find out at the same moment
		select {
		case <-time.After(rand.N(s.pace.jitter)):
		case <-ctx.Done():
			return standing{}, ctx.Err()
		}
	}
	now, err := s.standing(ctx)
	if err != nil || now.epoch != known {
		return now, err
	}
	if _, err := rotate(ctx, s.bus, s.api, s.name); err != nil {
		return now, err
	}
	s.stats.rotations.Add(1)
	return s.standing(ctx)
}
