// Package ops is what operators see of a gateway: metrics, health, readiness
// and profiles. It knows none of the rooms that it reports on: whoever wires
// the gateway hands it functions that read them.
//
// On the public port are /healthz and /readyz, a status and one word. The
// internal port has both with details, /metrics and /debug/pprof.
package ops
