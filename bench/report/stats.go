package report

import (
	"slices"

	"belfry/bench/plan"
)

// spreadOf sums numbers up. With an even count the median is the mean of the
// middle two; with none, all is 0.
func spreadOf(values []float64) spread {
	n := len(values)
	if n == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	return spread{
		median: (sorted[(n-1)/2] + sorted[n/2]) / 2,
		min:    sorted[0], max: sorted[n-1], n: n,
	}
}

// ratio is how many times Belfry's number a peer's is: the median over the
// rounds in which both were measured. Without one round of both it is none.
func ratio(peer, belfry map[int]float64) (float64, bool) {
	var ratios []float64
	for round, x := range peer {
		if own, both := belfry[round]; both && own > 0 {
			ratios = append(ratios, x/own)
		}
	}
	return spreadOf(ratios).median, len(ratios) > 0
}

// reference is the row that a row is compared with: Belfry's first of the same
// size. It is nil where there is none.
func reference(f plan.Figure, row plan.Row) *plan.Row {
	for i, r := range f.Rows {
		if plan.ByID(r.Server).Belfry && r.Size == row.Size {
			return &f.Rows[i]
		}
	}
	return nil
}

// smallest is the row of the same server that a growing row is compared with.
func smallest(f plan.Figure, row plan.Row) plan.Row {
	for _, r := range f.Rows {
		if r.Server == row.Server {
			return r
		}
	}
	return row
}
