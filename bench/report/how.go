package report

import (
	"fmt"
	"slices"
	"strings"

	"belfry/bench/plan"
)

const howToRead = `## How to read this

* Servers, broker, publisher and receivers share %d cores and the loopback device. Clients take more of them than most of the servers: rates and latencies flat out say what the whole machine does, not what a server alone could.
* CPU is user and system time of the server's process, divided by what it delivered. That is the number to compare; it moves least from run to run.
* Compare within a table only: its rows were measured in turn, one round after another. Another day's absolute numbers differ by 10 to 20 %%, and by far more where the machine is shared: the last table says what it took for a system call and the like just then.
* "× the floor" divides a row by the bare event loop's, round by round, and the must by what that loop took on 25 November 2026, on a quieter machine. It is no more than a guide: a machine that is slow in other ways than that one is kinder to one of the two. The absolute must is for a machine left alone.
* "× Belfry" divides the first column by that of Belfry's first row of the same size, in the same round. Above 1 Belfry needs less. "× its smallest" divides it by that of the same server at its smallest size: 0.8 to 1.2 is what "flat" means here.
* Belfry stores each publication and acknowledges it, except where a row says live; the others deliver at most once and store nothing. Its gateway has NATS in its process, except where a row says that NATS is apart. For the others "with broker" adds their NATS process.
* What is lost or doubled is summed over the rounds. "Closed" counts connections that the server ended.

| server | what it is |
|---|---|
%s
`

// how explains, for the servers that are on this page.
func (r Results) how() string {
	var shown []string
	for _, s := range plan.Servers {
		if slices.ContainsFunc(r.Plan.Figures, func(f plan.Figure) bool {
			return slices.ContainsFunc(f.Rows, func(row plan.Row) bool { return row.Server == s.ID })
		}) {
			shown = append(shown, fmt.Sprintf("| %s | %s |", s.Name, s.About))
		}
	}
	return fmt.Sprintf(howToRead, r.Machine.Cores, strings.Join(shown, "\n")) + "\n"
}
