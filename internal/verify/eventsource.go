package verify

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"belfry/internal/position"
	"belfry/internal/verify/judge"
)

// eventSource is a connection to /events. It reads the stream by itself: what a
// block means is docs/eventsource.md's to say, and not the gateway's code's.
func eventSource(ctx context.Context, c *client, to target, conn *judge.Conn) string {
	line, abort, err := dial(ctx, to)
	if err != nil {
		return "dialling: " + err.Error()
	}
	defer abort()
	plan := c.plan()
	closed := func() { _ = line.Close() }
	ours, stop := c.breakOff(ctx, plan, closed, closed, abort)
	defer stop()
	s := &stream{client: c, conn: conn, personal: c.history.Channels[0]}
	_ = line.SetDeadline(time.Now().Add(silence))
	if _, err := line.Write(c.request(to, conn)); err != nil {
		return "asking: " + err.Error()
	}
	in := bufio.NewReader(line)
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		return "the answer: " + err.Error()
	}
	if response.StatusCode != http.StatusOK {
		return "the answer: " + response.Status
	}
	body, begun := bufio.NewReader(response.Body), time.Now()
	for {
		_ = line.SetReadDeadline(time.Now().Add(silence))
		text, err := body.ReadString('\n')
		if err != nil {
			if ours.Load() {
				return "broken off by the client"
			}
			return err.Error()
		}
		if over := s.line(strings.TrimSuffix(text, "\n")); over != "" {
			return over
		}
		c.nap(ctx, &plan, begun)
	}
}

// request asks for the stream, behind what the client has.
func (c *client) request(to target, conn *judge.Conn) []byte {
	q := "token=" + url.QueryEscape(c.token)
	header := ""
	switch at := conn.Brought.String(); {
	case at == "":
		q += "&start=now"
	case c.rng.IntN(2) == 0:
		q += "&since=" + url.QueryEscape(at)
	default:
		header = "Last-Event-ID: " + at + "\r\n"
	}
	return fmt.Appendf(nil, "GET /events?%s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n%s\r\n", q, to.url.Host, header)
}

// A stream is server-sent events, as they are read line by line.
type stream struct {
	client   *client
	conn     *judge.Conn
	personal string

	event, id string
	data      []string
}

// line takes a line; a block ends with an empty one. It returns why the stream
// is over, if it is.
func (s *stream) line(text string) string {
	if text == "" {
		defer func() { s.event, s.id, s.data = "", "", nil }()
		if len(s.data) == 0 {
			return ""
		}
		return s.block(strings.Join(s.data, "\n"))
	}
	field, value, _ := strings.Cut(text, ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "event":
		s.event = value
	case "id":
		s.id = value
	case "data":
		s.data = append(s.data, value)
	}
	return ""
}

func (s *stream) block(data string) string {
	e := judge.Event{What: judge.Got}
	if s.id != "" {
		at, err := position.Parse(s.id)
		if err != nil {
			return fmt.Sprintf("a position that can't be read: %v", err)
		}
		e.Position = at
	}
	kind, channel, named := strings.Cut(s.event, ".")
	switch {
	case kind == "position":
		e.What = judge.Told
	case kind == "reset":
		e.What, e.Reason = judge.Reset, reasonOf(data)
	case kind == "" || kind == "channel" && named || kind == "binary":
		e.Channel = s.personal
		if named {
			e.Channel = channel
		}
		payload := []byte(data)
		if kind == "binary" {
			var err error
			if payload, err = base64.StdEncoding.DecodeString(data); err != nil {
				return "a binary event that is not base64"
			}
		}
		e.ID = idOf(payload)
	default: // unavailable, expired, denied
		return "the gateway says " + kind + " " + reasonOf(data)
	}
	s.client.event(s.conn, e)
	return ""
}

func reasonOf(data string) string {
	var v struct{ Reason string }
	if json.Unmarshal([]byte(data), &v) != nil {
		return data
	}
	return v.Reason
}
