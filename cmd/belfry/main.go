// Command belfry is a gateway for real-time notifications: clients hold a
// connection to it, backends publish on NATS. Each command is a file: it reads
// flags and makes one call into internal/app.
package main

import "os"

func main() { os.Exit(run(os.Args[1:])) }
