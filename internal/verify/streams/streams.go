// Package streams does to streams what operators and accidents do: purges them,
// deletes them and makes them anew, and puts an older copy in their place.
//
//	s := streams.Of(nc, "BELFRY_NOTIFICATIONS")
//	older, err := s.Copy(ctx)
//	...
//	err = s.Restore(ctx, older)
//
// A stream is gone for a moment while it is made anew or restored, as it is when
// an operator does so. Nothing but Restore repeats what failed: a publication that
// came between would be lost by it, as it is by Restore.
package streams

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"belfry/internal/backup"
)

// A Stream is one to do something to.
type Stream struct {
	nc   *nats.Conn
	name string
}

// Of is the stream of that name in NATS, of a JetStream without a domain.
func Of(nc *nats.Conn, name string) Stream { return Stream{nc, name} }

// A Copy is what a stream was at some moment. It is kept in memory.
type Copy struct {
	Head backup.Head
	text []byte
}

// Bytes is how large the copy is.
func (c Copy) Bytes() int { return len(c.text) }

// Purge deletes all messages. The stream's sequences go on.
func (s Stream) Purge(ctx context.Context) error {
	stream, err := s.stream(ctx)
	if err == nil {
		err = stream.Purge(ctx)
	}
	if err != nil {
		return fmt.Errorf("purge stream %s: %w", s.name, err)
	}
	return nil
}

// Delete deletes the stream and all that it has, and returns the settings that
// it had, for Create.
func (s Stream) Delete(ctx context.Context) (jetstream.StreamConfig, error) {
	stream, err := s.stream(ctx)
	if err != nil {
		return jetstream.StreamConfig{}, fmt.Errorf("delete stream %s: %w", s.name, err)
	}
	if err := backup.Delete(ctx, s.nc, "", s.name); err != nil {
		return jetstream.StreamConfig{}, err
	}
	return stream.CachedInfo().Config, nil
}

// Create makes a stream of that name with settings that Delete returned.
func (s Stream) Create(ctx context.Context, config jetstream.StreamConfig) error {
	js, err := jetstream.New(s.nc)
	if err == nil {
		_, err = js.CreateStream(ctx, config)
	}
	if err != nil {
		return fmt.Errorf("create stream %s: %w", s.name, err)
	}
	return nil
}

// Recreate deletes the stream and makes it anew with the same settings: it is
// empty, and its sequences begin with 1. Somebody who makes it in between, as a
// gateway may, has made it: that is no error where the settings are the same.
func (s Stream) Recreate(ctx context.Context) error {
	config, err := s.Delete(ctx)
	if err != nil {
		return err
	}
	return s.Create(ctx, config)
}

// Copy copies the stream.
func (s Stream) Copy(ctx context.Context) (Copy, error) {
	var text bytes.Buffer
	head, err := backup.Snapshot(ctx, s.nc, "", s.name, &text)
	if err != nil {
		return Copy{}, err
	}
	return Copy{head, text.Bytes()}, nil
}

// Restore puts a copy in the stream's place, which is deleted first where it is
// there. The copy's epoch is kept, as by who forgets to give it another one:
// sequences behind the copy's last are given out again.
func (s Stream) Restore(ctx context.Context, c Copy) error {
	if c.Head.Stream != s.name {
		return fmt.Errorf("restore stream %s: it is a copy of stream %q", s.name, c.Head.Stream)
	}
	_, err := backup.Replace(ctx, s.nc, "", s.name, func() io.Reader { return bytes.NewReader(c.text) }, backup.Change{})
	return err
}

func (s Stream) stream(ctx context.Context) (jetstream.Stream, error) {
	js, err := jetstream.New(s.nc)
	if err != nil {
		return nil, err
	}
	return js.Stream(ctx, s.name)
}
