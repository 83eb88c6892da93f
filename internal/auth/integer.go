package auth

import (
	"errors"
	"strconv"
	"strings"
)

// maxInteger is up to where every language's numbers tell two integers apart.
const maxInteger = 1 << 53

var (
	errFraction = errors.New("it is a number, but not an integer")
	errRange    = errors.New("it is a number beyond 2^53")
)

// integer returns the digits of a JSON number whose value is an integer: "100"
// for 100, 100.0 and 1e2. It is exact, where a float64 would take
// 9007199254740993 for its neighbour, another user.
func integer(number string) (string, error) {
	number, negative := strings.CutPrefix(number, "-")
	mantissa, exponent := number, 0
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		var err error
		mantissa = number[:i]
		if exponent, err = strconv.Atoi(number[i+1:]); err != nil {
			return "", errRange
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	point := len(whole) + exponent // where it stands in digits
	if rest := digits[min(max(point, 0), len(digits)):]; strings.Trim(rest, "0") != "" {
		return "", errFraction
	}
	digits = strings.TrimLeft(digits[:min(max(point, 0), len(digits))], "0")
	if digits == "" {
		return "0", nil
	}
	zeros := max(0, point-len(whole)-len(fraction))
	const longest = 16 // digits of 2^53
	if len(digits) > longest || zeros > longest {
		return "", errRange
	}
	digits += strings.Repeat("0", zeros)
	value, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || value > maxInteger {
		return "", errRange
	}
	if negative {
		digits = "-" + digits
	}
	return digits, nil
}
