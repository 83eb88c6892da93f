package backup

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// plainCopy is a copy as Snapshot writes it, of nothing a server would take.
func plainCopy(stream string, body []byte) func(io.Writer) (Head, error) {
	head := Head{Stream: stream, Config: Settings{"name": json.RawMessage(`"` + stream + `"`)}, state: json.RawMessage(`{"messages":1,"last_seq":7}`)}
	head.State = State{Messages: 1, Last: 7}
	return func(w io.Writer) (Head, error) {
		if err := head.write(w); err != nil {
			return head, err
		}
		_, err := w.Write(body)
		return head, err
	}
}

func writeFile(t *testing.T, path string) Manifest {
	t.Helper()
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Discard()
	for name, size := range map[string]int{"A": 5000, "B": 0} {
		if _, err := w.Add("e1", plainCopy(name, bytes.Repeat([]byte("x"), size))); err != nil {
			t.Fatal(err)
		}
	}
	m, err := w.Commit(Manifest{Belfry: "test", Layout: 1})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "copy.tar")
	writeFile(t, path)
	if got := names(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("the directory has %v", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, e := range f.Streams {
		var want bytes.Buffer
		if _, err := plainCopy(e.Stream, bytes.Repeat([]byte("x"), map[string]int{"A": 5000}[e.Stream]))(&want); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f.Copy(e.Stream))
		if err != nil || !bytes.Equal(got, want.Bytes()) || e.Last != 7 || e.Epoch != "e1" {
			t.Errorf("%+v: %d bytes, %v", e, len(got), err)
		}
	}
	if _, err := Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file that is there: %v", err)
	}
}

// TestFileIsATar: any tar can say what is in it.
func TestFileIsATar(t *testing.T) {
	path := filepath.Join(t.TempDir(), "copy.tar")
	writeFile(t, path)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var found []string
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, h.Name)
	}
	if len(found) != 3 || found[2] != manifestName {
		t.Errorf("it has %v", found)
	}
}

// TestUnfinished: what failed leaves no file, and what comes there meanwhile is
// not overwritten.
func TestUnfinished(t *testing.T) {
	path := filepath.Join(t.TempDir(), "copy.tar")
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if _, err := w.Add("", func(io.Writer) (Head, error) { return Head{}, broken }); !errors.Is(err, broken) {
		t.Errorf("a copy that fails: %v", err)
	}
	w.Discard()
	if got := names(t, filepath.Dir(path)); len(got) != 0 {
		t.Errorf("the directory has %v", got)
	}
	if w, err = Create(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(Manifest{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file that has come: %v", err)
	}
	w.Discard()
	if text, err := os.ReadFile(path); string(text) != "mine" || len(names(t, filepath.Dir(path))) != 1 {
		t.Errorf("it has %q, %v, beside %v", text, err, names(t, filepath.Dir(path)))
	}
}

// TestDamage: each cut and each flipped bit that matters is found.
func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "copy.tar")
	writeFile(t, path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := Open(path); err != nil {
		t.Fatal(err)
	} else {
		f.Close()
	}
	opens := func(text []byte) error {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err == nil {
			f.Close()
		} else if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), path) {
			t.Errorf("the error is %v", err)
		}
		return err
	}
	end := bytes.LastIndexByte(whole, '}') // of the manifest
	for n := 0; n <= end; n += 97 {
		if opens(whole[:n]) == nil {
			t.Fatalf("cut off after %d of %d bytes, it opens", n, len(whole))
		}
	}
	for _, at := range []int{blockBytes, blockBytes + 40, bytes.Index(whole, []byte("xxxx")) + 3} {
		text := bytes.Clone(whole)
		text[at] ^= 1
		if opens(text) == nil {
			t.Errorf("with byte %d changed, it opens", at)
		}
	}
	for old, new := range map[string]string{`"format": 1`: `"format": 2`, `"stream": "A"`: `"stream": "C"`, `"sha256": "`: `"sha257": "`, `"streams"`: `"streamz"`} {
		err := opens(bytes.Replace(whole, []byte(old), []byte(new), 1))
		if err == nil || old == `"format": 1` && !strings.Contains(err.Error(), "newer Belfry") {
			t.Errorf("%s for %s: %v", new, old, err)
		}
	}
	if opens(nil) == nil || opens([]byte("hello, this is no backup")) == nil {
		t.Error("what is no backup opens")
	}
}
