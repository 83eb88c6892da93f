package load_test

import (
	"flag"
	"os"
	"testing"
)

// Most of what these tests do is wait: there is room for more of them at a time
// than there are cores.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
