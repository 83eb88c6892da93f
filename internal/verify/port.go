package verify

import "net"

// freePort is a port of 127.0.0.1 that nobody listens at. Another process may
// take it before ours does: then ours says so and ends.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
