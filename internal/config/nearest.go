package config

// Nearest returns the known name that an unknown one was probably meant to be,
// or "" where none is near.
func Nearest(unknown string, known []string) string {
	best, least := "", len(unknown)/3+1
	for _, name := range known {
		if d := distance(unknown, name); d < least || d == least && best == "" {
			best, least = name, d
		}
	}
	return best
}

// distance is how many bytes to insert, delete or replace (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j+1]+1, row[j]+1, cost)
		}
	}
	return row[len(b)]
}
