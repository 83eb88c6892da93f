package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// settings are a stream's as the API has them: those that this Belfry has never
// heard of are passed back as they came.
type settings map[string]json.RawMessage

// Metadata returns what stands beside a stream's settings, and when the stream
// was created. ErrStreamNotFound, of the package jetstream, says that there is
// none.
func (b *Bus) Metadata(ctx context.Context, stream string) (map[string]string, time.Time, error) {
	config, created, err := b.streamInfo(ctx, "STREAM.INFO."+stream, nil)
	if err != nil {
		return nil, created, err
	}
	meta, err := config.metadata()
	return meta, created, err
}

// ChangeMetadata writes what change makes of a stream's metadata, and leaves
// everything else as it is, whatever stream.manage says. JetStream has no
// compare-and-set here: of two that change at the same time the later one counts,
// so who needs to know reads it back.
//
// It needs the right to publish to $JS.API.STREAM.INFO.<stream> and
// $JS.API.STREAM.UPDATE.<stream>.
func (b *Bus) ChangeMetadata(ctx context.Context, stream string, change func(meta map[string]string)) error {
	config, _, err := b.streamInfo(ctx, "STREAM.INFO."+stream, nil)
	if err != nil {
		return err
	}
	meta, err := config.metadata()
	if err != nil {
		return err
	}
	change(meta)
	if config["metadata"], err = json.Marshal(meta); err != nil {
		return err
	}
	update, err := json.Marshal(config)
	if err != nil {
		return err
	}
	if _, _, err := b.streamInfo(ctx, "STREAM.UPDATE."+stream, update); err != nil {
		return fmt.Errorf("update it: %w", err)
	}
	return nil
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

// streamInfo asks the API for a stream, or to change it.
func (b *Bus) streamInfo(ctx context.Context, what string, data []byte) (settings, time.Time, error) {
	reply, err := b.wait(ctx, &nats.Msg{Subject: apiPrefix(b.o.NATS.Domain) + what, Data: data})
	if err != nil {
		return nil, time.Time{}, err
	}
	var info struct {
		Error   *jetstream.APIError `json:"error"`
		Created time.Time           `json:"created"`
		Config  settings            `json:"config"`
	}
	switch err := json.Unmarshal(reply.Data, &info); {
	case err != nil:
		return nil, time.Time{}, fmt.Errorf("read JetStream's answer: %w", err)
	case info.Error != nil:
		return nil, time.Time{}, info.Error
	case info.Config == nil:
		return nil, time.Time{}, errors.New("JetStream's answer has no configuration")
	}
	return info.Config, info.Created, nil
}

// wait is Request for who has a goroutine to wait with.
func (b *Bus) wait(ctx context.Context, msg *nats.Msg) (*nats.Msg, error) {
	type answer struct {
		msg *nats.Msg
		err error
	}
	came := make(chan answer, 1)
	cancel := b.Request(msg, apiTimeout, func(m *nats.Msg, err error) { came <- answer{m, err} })
	select {
	case a := <-came:
		return a.msg, a.err
	case <-ctx.Done():
		cancel()
		return nil, context.Cause(ctx)
	}
}
