package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// check judges the options as they came together. It goes on after a mistake:
// a user shall see them all.
func (l *loading) check() {
	l.checkBounds()
	l.checkListen()
	l.checkExposure()
	l.checkPublic()
	l.checkChannels()
	l.checkReplay()
	l.checkNATS()
	l.checkCredentials()
	l.checkCluster()
	l.checkStreams()
	l.checkSubjects()
	l.checkLog()
	l.checkData()
}

// mistake adds a problem with key, unless it or one of the others that led to
// it could not even be read: then that is what there is to say.
func (l *loading) mistake(key, what, remedy string, others ...string) {
	for _, k := range append(others, key) {
		if l.bad[k] {
			return
		}
	}
	l.problems = append(l.problems, Problem{key, l.source(key), what, remedy})
}

func (l *loading) warn(key, what, remedy string) {
	if !l.bad[key] {
		l.Warnings = append(l.Warnings, Problem{key, l.source(key), what, remedy})
	}
}

func (l *loading) source(key string) string {
	if s := l.Sources[key]; s != "" {
		return s
	}
	return "default"
}

// readable checks that a file can be opened now; "" is no file.
func (l *loading) readable(key, path string) bool {
	if path == "" {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		l.mistake(key, "can't be read: "+unwrapped(err), "name a file that exists and that Belfry may read; a relative path begins where Belfry is started")
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		l.mistake(key, fmt.Sprintf("is %q, a directory", path), "name a file")
		return false
	}
	return true
}

// keyPair checks a certificate and its key: both or neither, and fitting.
func (l *loading) keyPair(certKey, cert, keyKey, key string) {
	switch {
	case cert == "" && key == "":
		return
	case cert == "":
		l.mistake(keyKey, "is set without "+certKey, "set both or neither", certKey)
		return
	case key == "":
		l.mistake(certKey, "is set without "+keyKey, "set both or neither", keyKey)
		return
	}
	certOK, keyOK := l.readable(certKey, cert), l.readable(keyKey, key)
	if !certOK || !keyOK {
		return
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		l.mistake(certKey, "and "+keyKey+" can't be used: "+oneLine(err), "name a PEM certificate (with its chain) and the PEM key that belongs to it", keyKey)
	}
}

// authorities checks a file of PEM certificates.
func (l *loading) authorities(key, path string) {
	if !l.readable(key, path) {
		return
	}
	pem, err := os.ReadFile(path)
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(pem) {
		l.mistake(key, fmt.Sprintf("is %q, which has no PEM certificate", path), "name the file of the authority that signed the NATS server's certificate")
	}
}
