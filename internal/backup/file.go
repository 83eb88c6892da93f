package backup

import (
	"archive/tar"
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Format is the version of the file.
const Format = 1

const (
	manifestName  = "manifest.json"
	streamSuffix  = ".stream"
	blockBytes    = 512     // of tar
	manifestBytes = 1 << 20 // at most
)

var errAnother = errors.New("another stream's")

// A Manifest says what a file has. It is the last in it: a file without one was
// not finished.
type Manifest struct {
	Format  int       `json:"format"`
	Belfry  string    `json:"belfry"` // the version that wrote it
	NATS    string    `json:"nats"`   // the server's
	Created time.Time `json:"created"`
	Prefix  string    `json:"prefix"`
	Layout  int       `json:"layout"` // the highest of its streams
	Streams []Entry   `json:"streams"`
}

// An Entry is one stream's copy.
type Entry struct {
	Stream string `json:"stream"`
	Epoch  string `json:"epoch,omitempty"` // as it was; "" for a bucket
	State
	Size   int64  `json:"size"` // of the copy in the file, in bytes
	SHA256 string `json:"sha256"`
}

// A Writer writes a file under a temporary name: it has its own when it is
// whole and on disk.
type Writer struct {
	path    string
	f       *os.File
	entries []Entry
}

// Create begins a file; one that exists is not touched: fs.ErrExist.
func Create(path string) (*Writer, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*.unfinished")
	if err != nil {
		return nil, err
	}
	return &Writer{path: path, f: f}, nil
}

// Add adds a stream's copy, which copy writes. A tar says before a file how long
// it is, which is known behind it: so the head is written last.
func (w *Writer) Add(epoch string, copy func(io.Writer) (Head, error)) (Entry, error) {
	start, err := w.f.Seek(0, io.SeekEnd)
	if err != nil {
		return Entry{}, err
	}
	if _, err := w.f.Write(make([]byte, blockBytes)); err != nil {
		return Entry{}, err
	}
	sum := sha256.New()
	head, err := copy(io.MultiWriter(w.f, sum))
	if err != nil {
		return Entry{}, err
	}
	end, err := w.f.Seek(0, io.SeekCurrent)
	if err != nil {
		return Entry{}, err
	}
	size := end - start - blockBytes
	e := Entry{Stream: head.Stream, Epoch: epoch, State: head.State, Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))}
	if _, err := w.f.Write(make([]byte, (blockBytes-size%blockBytes)%blockBytes)); err != nil {
		return Entry{}, err
	}
	if _, err := w.f.Seek(start, io.SeekStart); err != nil {
		return Entry{}, err
	}
	if err := tar.NewWriter(w.f).WriteHeader(header(head.Stream+streamSuffix, size)); err != nil {
		return Entry{}, err
	}
	w.entries = append(w.entries, e)
	return e, nil
}

// header is one that takes one block, whatever the size.
func header(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: time.Now(), Format: tar.FormatGNU}
}

// Commit writes the manifest and gives the file its name, when all of it is on
// disk. It returns the manifest with what was added.
func (w *Writer) Commit(m Manifest) (Manifest, error) {
	m.Format, m.Streams = Format, w.entries
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return m, err
	}
	if _, err := w.f.Seek(0, io.SeekEnd); err != nil {
		return m, err
	}
	t := tar.NewWriter(w.f)
	if err := t.WriteHeader(header(manifestName, int64(len(text)))); err != nil {
		return m, err
	}
	if _, err := t.Write(text); err != nil {
		return m, err
	}
	if err := errors.Join(t.Close(), w.f.Sync(), w.f.Close()); err != nil {
		return m, err
	}
	// A link, unlike a renaming, never takes the place of a file that has come
	// there meanwhile.
	if err := os.Link(w.f.Name(), w.path); errors.Is(err, fs.ErrExist) {
		return m, err
	} else if err != nil { // a file system without links
		if err := os.Rename(w.f.Name(), w.path); err != nil {
			return m, err
		}
	}
	_ = os.Remove(w.f.Name())
	return m, syncDir(filepath.Dir(w.path))
}

// Discard removes what was written, unless it was committed.
func (w *Writer) Discard() {
	_ = w.f.Close()
	_ = os.Remove(w.f.Name())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	_ = d.Sync() // not every file system can
	return nil
}

// A File is a backup that was found to be whole.
type File struct {
	Manifest
	f    *os.File
	data map[string]*io.SectionReader // by stream
}

// Open opens a file and reads all of it: an error that wraps ErrFormat says what
// is wrong with it.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b := &File{f: f, data: map[string]*io.SectionReader{}}
	if err := b.verify(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// Close closes it.
func (b *File) Close() error { return b.f.Close() }

// Copy is a stream's copy, for Restore.
func (b *File) Copy(stream string) io.Reader {
	s := b.data[stream]
	return io.NewSectionReader(s, 0, s.Size())
}

// verify reads the file, first what there is, then whether it is what the
// manifest says.
func (b *File) verify() error {
	found := map[string]*io.SectionReader{}
	t := tar.NewReader(b.f)
	for {
		h, err := t.Next()
		if err != nil {
			return fmt.Errorf("%w: it ends before its %s, or is no backup: it is cut off, damaged, or was never finished (%w)", ErrFormat, manifestName, err)
		}
		if h.Name == manifestName {
			break
		}
		at, err := b.f.Seek(0, io.SeekCurrent) // tar reads no further than the head
		if err != nil {
			return err
		}
		found[h.Name] = io.NewSectionReader(b.f, at, h.Size)
	}
	text, err := io.ReadAll(io.LimitReader(t, manifestBytes))
	if err != nil {
		return fmt.Errorf("%w: its %s is cut off: %w", ErrFormat, manifestName, err)
	}
	if err := b.readManifest(text); err != nil {
		return err
	}
	for _, e := range b.Streams {
		data := found[e.Stream+streamSuffix]
		if data == nil {
			return fmt.Errorf("%w: the copy of stream %s, which its manifest names, is not in it", ErrFormat, e.Stream)
		}
		if err := e.verify(data); err != nil {
			return err
		}
		b.data[e.Stream] = data
	}
	return nil
}

func (b *File) readManifest(text []byte) error {
	var version struct{ Format int }
	if err := json.Unmarshal(text, &version); err != nil {
		return fmt.Errorf("%w: its %s is damaged: %w", ErrFormat, manifestName, err)
	}
	if version.Format > Format {
		return fmt.Errorf("%w: it has format %d and this Belfry reads %d: a newer Belfry has written it, so restore with that version or a later one", ErrFormat, version.Format, Format)
	}
	if err := json.Unmarshal(text, &b.Manifest); err != nil || version.Format < 1 || len(b.Streams) == 0 {
		return fmt.Errorf("%w: its %s has no format or no streams", ErrFormat, manifestName)
	}
	return nil
}

// verify reads a copy and compares it with its entry.
func (e Entry) verify(data *io.SectionReader) error {
	sum := sha256.New()
	n, err := io.Copy(sum, io.NewSectionReader(data, 0, data.Size()))
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != e.Size || got != e.SHA256 {
		return fmt.Errorf("%w: the copy of stream %s is damaged: it has %d bytes with the SHA-256 %s, and should have %d with %s", ErrFormat, e.Stream, n, got, e.Size, e.SHA256)
	}
	head, err := readHead(bufio.NewReaderSize(io.NewSectionReader(data, 0, data.Size()), headBytes))
	if err != nil || head.Stream != e.Stream {
		return fmt.Errorf("%w: the copy of stream %s is one of %q: %w", ErrFormat, e.Stream, head.Stream, cmp.Or(err, errAnother))
	}
	return nil
}
