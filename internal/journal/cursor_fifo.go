package journal

// A cursorFIFO is a line: what was pushed first is popped first.
type cursorFIFO[T any] struct {
	items []T
	head  int
}

func (f *cursorFIFO[T]) len() int { return len(f.items) - f.head }

func (f *cursorFIFO[T]) push(item T) { f.items = append(f.items, item) }

func (f *cursorFIFO[T]) peek() (item T, ok bool) {
	if f.len() == 0 {
		return item, false
	}
	return f.items[f.head], true
}

// pop gives memory back once a quarter of it is in use.
func (f *cursorFIFO[T]) pop() (item T, ok bool) {
	if item, ok = f.peek(); !ok {
		return item, false
	}
	var none T
	f.items[f.head] = none
	f.head++
	switch {
	case f.len() == 0 && cap(f.items) <= 64:
		f.items, f.head = f.items[:0], 0
	case f.len() == 0:
		f.items, f.head = nil, 0
	case f.head >= 64 && f.head >= 3*f.len():
		f.items, f.head = append(make([]T, 0, 2*f.len()), f.items[f.head:]...), 0
	}
	return item, true
}
