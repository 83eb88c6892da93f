package app

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"

	"belfry/internal/config"
)

// A certificate can be read anew while it is in use.
type certificate struct {
	files config.TLS
	now   atomic.Pointer[tls.Certificate]
}

func loadCertificate(files config.TLS) (*certificate, error) {
	c := &certificate{files: files}
	return c, c.reload()
}

// reload reads the files. Where it fails the certificate stays as it was.
func (c *certificate) reload() error {
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return fmt.Errorf("public.tls: reading %q and %q: %w", c.files.Cert, c.files.Key, err)
	}
	c.now.Store(&pair)
	return nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.now.Load(), nil }
