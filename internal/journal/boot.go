package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"belfry/internal/config"
)

// markerName is a file in the data directory, there while the embedded store is
// in use: "<boot id> <how writes are synced> <process>". Found at a start, the
// last run did not end cleanly. If the boot id is another one the machine went
// down with it, and with it what the operating system had not written yet:
// sequences that were acknowledged may be given out again. If it is the same,
// only the process died, which loses nothing.
const markerName = "running"

const (
	syncedAlways = "always" // each write, before its ack
	syncedLater  = "later"
)

func (j *Journal) markerPath() string { return filepath.Join(j.o.Data, markerName) }

func (j *Journal) marker() string {
	synced := syncedLater
	if j.o.NATS.SyncInterval == config.SyncAlways {
		synced = syncedAlways
	}
	return fmt.Sprintf("%s %s %d\n", bootID(), synced, os.Getpid())
}

// settle rotates the epochs of an embedded store that the machine went down
// under, and marks it as in use.
func (j *Journal) settle(ctx context.Context) error {
	if j.settled || !j.bus.Embedded() {
		return nil
	}
	before, err := os.ReadFile(j.markerPath())
	switch {
	case errors.Is(err, fs.ErrNotExist): // the first run, or the last one ended cleanly
	case err != nil:
		return fmt.Errorf("read how the last run ended: %w", err)
	case lostWrites(string(before), bootID()):
		j.log.Warn("the machine went down while the store was in use: what was acknowledged last may be lost, so positions are not valid any more; nats.sync_interval: always avoids that")
		for _, s := range j.sequencers {
			if _, err := rotate(ctx, j.bus, s.api, s.name); err != nil {
				return err
			}
			s.stats.rotations.Add(1)
		}
	}
	if err := writeMarker(j.markerPath(), j.marker()); err != nil {
		return fmt.Errorf("mark the store as in use: %w", err)
	}
	j.settled = true
	return nil
}

// lostWrites tells from a marker that was found whether acknowledged writes may
// be lost. A boot id that can't be had is like no other.
func lostWrites(marker, boot string) bool {
	fields := strings.Fields(marker)
	if len(fields) < 2 {
		return true
	}
	return (fields[0] != boot || boot == noBootID) && fields[1] != syncedAlways
}

// writeMarker has the marker on disk when it returns, or, where it fails as on a
// full disk, what was there before: half a marker would tell of a loss of power.
func writeMarker(path, text string) error {
	next := path + ".next"
	if err := writeSynced(next, text); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeSynced(path, text string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
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

// Settled says that the embedded store has been closed, by a Close of the bus
// without an error: it is written to disk (the server itself leaves that to the
// operating system), and the next start finds that all is well. Without an
// embedded store it does nothing.
func (j *Journal) Settled() error {
	if !j.settled {
		return nil
	}
	syncStore(j.o.Data)
	// Somebody else may have locked the directory since, and marked it.
	if text, err := os.ReadFile(j.markerPath()); err != nil || string(text) != j.marker() {
		return err
	}
	if err := os.Remove(j.markerPath()); err != nil {
		return fmt.Errorf("mark the store as closed: %w", err)
	}
	return nil
}

// noBootID stands in the marker where the system has none.
const noBootID = "unknown"
