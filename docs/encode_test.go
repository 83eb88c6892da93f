package docs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"belfry/internal/subject"
)

// The functions that backend.md shows spell ids as Belfry does.
func TestEncodingFunctions(t *testing.T) {
	need(t, "php", "php-cli")
	need(t, "node", "nodejs")
	ids := []string{"1", "user_7-A", "a.b@c.d", "a b", "ä", "日本", "?>~", "a\n", "*", ">", "a:b", strings.Repeat("x.", 40)}
	var want []string
	for _, id := range ids {
		token, err := subject.EncodeUser(id)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, token)
	}
	list, err := json.Marshal(ids)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, b := range blocks(t, "php", "js", "go") {
		if b.mark != "encode" {
			continue
		}
		seen[b.lang] = true
		out, err := encodeWith(t, b, string(list))
		if got := strings.Fields(out); err != nil || strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s, the function in %s: %v\n got %q\nwant %q", b.page, b.lang, err, got, want)
		}
	}
	if len(seen) != 3 {
		t.Errorf("backend.md should show PHP, JavaScript and Go, the test saw %v", seen)
	}
}

// encodeWith runs a function over a JSON list of ids and prints a token a line.
func encodeWith(t *testing.T, b block, ids string) (string, error) {
	t.Helper()
	var cmd *exec.Cmd
	switch b.lang {
	case "php":
		cmd = exec.Command("php", "-r", b.text+`foreach (json_decode($argv[1]) as $id) echo user_token($id), "\n";`, ids)
	case "js":
		cmd = exec.Command("node", "-e", b.text+`for (const id of JSON.parse(process.argv[1])) console.log(userToken(id));`, ids)
	case "go":
		file := filepath.Join(t.TempDir(), "main.go")
		program := fmt.Sprintf("package main\nimport (\"encoding/base64\"; \"encoding/json\"; \"fmt\"; \"os\"; \"strings\")\n%s\n"+
			"func main() { var ids []string; json.Unmarshal([]byte(os.Args[1]), &ids); for _, id := range ids { fmt.Println(userToken(id)) } }\n", b.text)
		if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd = exec.Command("go", "run", file, ids)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
