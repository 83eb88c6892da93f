package wire

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"
)

// dialWithin is how long all of Dial may take.
const dialWithin = 10 * time.Second

// Dial connects to the server that nc is connected to, with its credentials and
// its TLS.
func Dial(nc *nats.Conn) (*Conn, error) {
	u, err := url.Parse(nc.ConnectedUrl())
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("connect to NATS once more: the first connection is %s", nc.Status())
	}
	if u.Scheme == "ws" || u.Scheme == "wss" {
		return nil, fmt.Errorf("connect to NATS at %s once more: the load generator does not publish over %s: name the server's address for clients, like nats://host:4222", u.Host, u.Scheme)
	}
	c, err := dial(nc, u)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s once more, to publish: %w", u.Host, err)
	}
	return c, nil
}

func dial(nc *nats.Conn, u *url.URL) (c *Conn, err error) {
	tcp, err := net.DialTimeout("tcp", u.Host, dialWithin)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = tcp.Close()
		}
	}()
	s, err := newSocket(tcp)
	if err != nil {
		return nil, err
	}
	c = &Conn{conn: s, socket: s, at: u.Host, in: make([]byte, readBuffer)}
	if err := tcp.SetDeadline(time.Now().Add(dialWithin)); err != nil {
		return nil, err
	}
	if nc.Opts.TLSHandshakeFirst {
		if err := c.secure(nc, u); err != nil {
			return nil, err
		}
	}
	if err := c.greet(nc, u); err != nil {
		return nil, err
	}
	s.waits = false
	return c, c.Sync(context.Background(), dialWithin)
}

// info is what the client wants to know of INFO.
type info struct {
	TLSRequired bool   `json:"tls_required"`
	Headers     bool   `json:"headers"`
	Nonce       string `json:"nonce"`
}

// greet reads INFO, goes over to TLS where that is behind it, and says CONNECT.
func (c *Conn) greet(nc *nats.Conn, u *url.URL) error {
	line, err := c.line()
	if err != nil {
		return fmt.Errorf("read what it is: %w", err)
	}
	var i info
	if err := json.Unmarshal(line, &i); err != nil {
		return fmt.Errorf("read what it is, %.100q: %w", line, err)
	}
	if c.conn == net.Conn(c.socket) && (i.TLSRequired || nc.Opts.Secure) {
		if err := c.secure(nc, u); err != nil {
			return err
		}
	}
	hello, err := connect(nc.Opts, u.User, i)
	if err != nil {
		return err
	}
	text, err := json.Marshal(hello)
	if err != nil {
		return err
	}
	c.out = append(append(append(c.out, "CONNECT "...), text...), "\r\n"...)
	return nil
}

// line reads INFO's JSON, byte for byte: TLS may begin behind it.
func (c *Conn) line() ([]byte, error) {
	var line []byte
	for one := make([]byte, 1); ; {
		if _, err := c.conn.Read(one); err != nil {
			return nil, err
		}
		if one[0] == '\n' {
			break
		}
		if line = append(line, one[0]); len(line) > readBuffer {
			return nil, fmt.Errorf("its first line has more than %d bytes", readBuffer)
		}
	}
	if len(line) < 5 || string(line[:5]) != "INFO " {
		return nil, fmt.Errorf("it begins with %.40q and not with INFO: is it NATS?", line)
	}
	return line[5:], nil
}

// secure goes over to TLS.
func (c *Conn) secure(nc *nats.Conn, u *url.URL) (err error) {
	o := &tls.Config{MinVersion: tls.VersionTLS12}
	if nc.Opts.TLSConfig != nil {
		o = nc.Opts.TLSConfig.Clone()
	}
	if nc.Opts.TLSCertCB != nil {
		cert, err := nc.Opts.TLSCertCB()
		if err != nil {
			return err
		}
		o.Certificates = []tls.Certificate{cert}
	}
	if nc.Opts.RootCAsCB != nil {
		if o.RootCAs, err = nc.Opts.RootCAsCB(); err != nil {
			return err
		}
	}
	first, _ := nc.TLSConnectionState() // a server that others told of has the name of the first one
	o.ServerName = cmp.Or(o.ServerName, first.ServerName, u.Hostname())
	t := tls.Client(c.socket, o)
	if err := t.Handshake(); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	c.conn = t
	return nil
}

// A hello is CONNECT's JSON.
type hello struct {
	Verbose      bool   `json:"verbose"`
	Pedantic     bool   `json:"pedantic"`
	TLS          bool   `json:"tls_required"`
	JWT          string `json:"jwt,omitempty"`
	NKey         string `json:"nkey,omitempty"`
	Signature    string `json:"sig,omitempty"`
	User         string `json:"user,omitempty"`
	Password     string `json:"pass,omitempty"`
	Token        string `json:"auth_token,omitempty"`
	Name         string `json:"name"`
	Lang         string `json:"lang"`
	Version      string `json:"version"`
	Protocol     int    `json:"protocol"`
	Headers      bool   `json:"headers"`
	NoResponders bool   `json:"no_responders"`
}

// connect takes the credentials where the library takes them: a URL's go before
// those of the options, and a name without a password is a token.
func connect(o nats.Options, user *url.Userinfo, i info) (hello, error) {
	h := hello{TLS: o.Secure, Name: o.Name, Lang: "go", Version: "belfry-bench", Protocol: 1, Headers: i.Headers, NoResponders: i.Headers}
	if user != nil {
		var set bool
		h.User = user.Username()
		if h.Password, set = user.Password(); !set {
			h.User, h.Token = "", h.User
		}
	} else {
		h.User, h.Password, h.Token, h.NKey = o.User, o.Password, o.Token, o.Nkey
		if o.UserInfo != nil {
			h.User, h.Password = o.UserInfo()
		}
	}
	if o.TokenHandler != nil {
		h.Token = o.TokenHandler()
	}
	var err error
	if o.UserJWT != nil {
		if h.JWT, err = o.UserJWT(); err != nil {
			return h, fmt.Errorf("read the user's JWT: %w", err)
		}
	}
	if (h.JWT != "" || h.NKey != "") && o.SignatureCB != nil {
		sig, err := o.SignatureCB([]byte(i.Nonce))
		if err != nil {
			return h, fmt.Errorf("sign for the user: %w", err)
		}
		h.Signature = base64.RawURLEncoding.EncodeToString(sig)
	}
	return h, nil
}
