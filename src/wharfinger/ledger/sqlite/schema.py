"""The tables, and how a ledger of an earlier version gets them."""

from __future__ import annotations

from collections.abc import Sequence

from wharfinger.errors import Incompatible
from wharfinger.ledger.sqlite.connection import Connections

VERSION_1 = """
-- What landed: written once, never changed. The hash of its first event covers every column.
-- Times are microseconds since the epoch everywhere; ids begin with their time, so that rows are appended.
CREATE TABLE file (
  file_id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, version TEXT NOT NULL, size INTEGER NOT NULL,
  sha256 BLOB NOT NULL, customer TEXT NOT NULL, at INTEGER NOT NULL, media_type TEXT NOT NULL, source TEXT NOT NULL,
  user TEXT NOT NULL, session TEXT NOT NULL, cost INTEGER NOT NULL, mtime INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX file_at ON file(at);
CREATE INDEX file_customer ON file(customer, at);

-- What becomes of it: everything that changes. The parent run of an arrival has the file's id.
CREATE TABLE run (
  id TEXT PRIMARY KEY, at INTEGER NOT NULL, size INTEGER NOT NULL,
  state TEXT NOT NULL, status TEXT NOT NULL,
  lane INTEGER NOT NULL,  -- 0: claimed with others; 1: alone, it ran when a lease expired; 2: alone, it is large
  rank INTEGER NOT NULL,
  due INTEGER,  -- ready: when a retry may begin (null: now); leased: when the lease ends
  token INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0,
  solo INTEGER NOT NULL DEFAULT 0, owner TEXT, claimed INTEGER, checkpoint TEXT,
  revision INTEGER REFERENCES revision(n), error TEXT NOT NULL DEFAULT '', transferred INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX run_ready ON run(lane, rank, size) WHERE state = 'ready' AND due IS NULL;
CREATE INDEX run_due ON run(state, due) WHERE due IS NOT NULL;
CREATE INDEX run_status ON run(status, at) WHERE status <> 'transferred';

-- The history of each file, chained (see ledger.chain). What lies elsewhere is not kept twice: the data of `arrived` are the
-- row in `file`; where an event has a revision, "pipeline" and "revision" belong to its data.
CREATE TABLE event (
  file_id TEXT NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL,
  revision INTEGER REFERENCES revision(n), data TEXT, hash BLOB NOT NULL,
  PRIMARY KEY (file_id, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE revision (
  n INTEGER PRIMARY KEY, revision TEXT NOT NULL, pipeline TEXT NOT NULL, document TEXT, UNIQUE (revision, pipeline)
) STRICT;

-- Sums that would take a scan: runs and their files' status ("ready/uploaded"), "bytes", and the "turn" of fair rank.
CREATE TABLE figure (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE share (customer TEXT PRIMARY KEY, rank INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- The customers' tree. `parent` and `name` are in NFC; `shown` is the name as sent, where it differs. Neither file_id nor
-- staged: a directory. `staged`: an unfinished upload, which covers the file beneath (if any) until it arrives or is removed.
CREATE TABLE name (
  parent TEXT NOT NULL, name TEXT NOT NULL, shown TEXT, file_id TEXT, mtime INTEGER,
  staged TEXT, user TEXT, size INTEGER, written INTEGER,
  PRIMARY KEY (parent, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX name_partial ON name(written) WHERE staged IS NOT NULL;

CREATE TABLE account (
  name TEXT PRIMARY KEY, customer TEXT NOT NULL, home TEXT NOT NULL, keys TEXT NOT NULL, password_hash TEXT NOT NULL,
  disabled INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""

VERSION_2 = """
-- Runs that have ended and whose checkpoint still keeps objects.
CREATE INDEX run_spent ON run(id) WHERE checkpoint IS NOT NULL AND state <> 'ready' AND state <> 'leased';
"""

VERSION_3 = """
-- How often the run was started again from the beginning: what it keeps then has other names.
ALTER TABLE run ADD COLUMN replays INTEGER NOT NULL DEFAULT 0;
"""

VERSION_4 = """
-- Child runs. A child works on objects of its own (`input`) for a `file`; `call` is the call of its parent that made it, `output`
-- what it delivered. A parent `waits` for so many; until then nothing that its checkpoint keeps is spent.
ALTER TABLE run ADD COLUMN waits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN parent TEXT;
ALTER TABLE run ADD COLUMN file TEXT;
ALTER TABLE run ADD COLUMN call TEXT;
ALTER TABLE run ADD COLUMN input TEXT;
ALTER TABLE run ADD COLUMN output TEXT;
CREATE INDEX run_child ON run(parent, id) WHERE parent IS NOT NULL;
DROP INDEX run_spent;
CREATE INDEX run_spent ON run(id) WHERE checkpoint IS NOT NULL AND state <> 'ready' AND state <> 'leased' AND waits = 0;
"""

VERSION_5 = """
-- Signed checkpoints over the histories (see ledger.checkpoint), the heads that each covers, and the files whose last event none
-- covers yet: of a ledger that had no checkpoints, all.
CREATE TABLE audit_checkpoint (n INTEGER PRIMARY KEY, at INTEGER NOT NULL, signed TEXT NOT NULL) STRICT;
CREATE TABLE audit_leaf (
  checkpoint INTEGER NOT NULL, file_id TEXT NOT NULL, n INTEGER NOT NULL, hash BLOB NOT NULL,
  PRIMARY KEY (checkpoint, file_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_leaf_file ON audit_leaf(file_id, n);
CREATE TABLE audit_pending (file_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
INSERT INTO audit_pending SELECT file_id FROM file;
"""

VERSION_6 = """
-- Pipelines that somebody has paused, or has resumed since.
CREATE TABLE gate (pipeline TEXT PRIMARY KEY, paused INTEGER NOT NULL, at INTEGER NOT NULL, by TEXT NOT NULL) STRICT, WITHOUT ROWID;
-- Runs that wait because their pipeline is paused: they have not ended, and need what they keep.
CREATE INDEX run_held ON run(revision) WHERE state = 'waiting' AND status = 'queued';
DROP INDEX run_spent;
CREATE INDEX run_spent ON run(id)
  WHERE checkpoint IS NOT NULL AND state <> 'ready' AND state <> 'leased' AND waits = 0 AND status <> 'queued';
"""

VERSION_7 = """
-- The public keys of all who sign for this ledger, as JSON (see ledger.trust).
CREATE TABLE audit_key (n INTEGER PRIMARY KEY, document TEXT NOT NULL UNIQUE) STRICT;
"""

VERSION_8 = """
-- Since when the bytes of a file are given up: all that may change of what landed. Those whose bytes are kept are looked through
-- by their time; those whose bytes are given up and not known to be gone are few.
ALTER TABLE file ADD COLUMN purged INTEGER;
CREATE INDEX file_kept ON file(at) WHERE purged IS NULL;
CREATE TABLE purge_order (
  file_id TEXT PRIMARY KEY, at INTEGER NOT NULL, by TEXT NOT NULL, rule TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""

VERSION_9 = """
-- Cancelled runs some of whose children have not ended: these are to be cancelled as well.
CREATE INDEX run_forsaking ON run(id) WHERE state = 'cancelled' AND waits > 0;
"""

VERSION_10 = """
-- Groups of files that are worked on one after another (see ledger.group): whose `turn` it is, and whether a run that failed `hold`s.
ALTER TABLE run ADD COLUMN grp TEXT;
ALTER TABLE run ADD COLUMN turn INTEGER;
ALTER TABLE run ADD COLUMN hold INTEGER;
CREATE INDEX run_behind ON run(grp, turn) WHERE state = 'behind';
CREATE UNIQUE INDEX run_active ON run(grp)
  WHERE grp IS NOT NULL AND parent IS NULL AND (state = 'ready' OR state = 'leased' OR state = 'waiting' AND status <> 'uploaded');
CREATE INDEX run_kin ON run(grp)
  WHERE grp IS NOT NULL AND parent IS NOT NULL AND (state = 'ready' OR state = 'leased' OR state = 'waiting');
CREATE INDEX run_holds ON run(grp, turn) WHERE hold AND (state = 'dead' OR state = 'waiting' AND status = 'uploaded');
"""

VERSION_11 = """
-- Child runs that are not transferred, by their file.
CREATE INDEX run_unsettled ON run(status, at, file, id) WHERE status <> 'transferred' AND file IS NOT NULL;
"""

VERSION_12 = """
-- How many deliveries `output` is of: it names no more than a hundred.
ALTER TABLE run ADD COLUMN delivered INTEGER NOT NULL DEFAULT 0;
UPDATE run SET delivered = json_array_length(output) WHERE parent IS NOT NULL AND output IS NOT NULL;
"""

VERSION_13 = """
-- By which revisions child runs of a file were done.
CREATE INDEX run_called ON run(file, revision) WHERE file IS NOT NULL;
"""

VERSION_14 = """
-- Runs that nothing but their turn keeps from being claimed, by the time of their file.
CREATE INDEX run_queued ON run(at) WHERE state IN ('ready', 'behind');
"""

STEPS = (
    *(VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5, VERSION_6, VERSION_7, VERSION_8, VERSION_9, VERSION_10),
    VERSION_11,
    VERSION_12,
    VERSION_13,
    VERSION_14,
)
"""The step at index n leads from version n to n + 1. A step that was released is never edited."""


def migrate(connections: Connections, steps: Sequence[str] = STEPS) -> None:
    """Bring the database to the latest version, whoever opens it first; all steps or none. Raises Incompatible for a newer one."""
    with connections.reading() as db:
        if db.pragma("user_version") == len(steps):
            return
    with connections.writing() as db:
        found = db.pragma("user_version")
        refuse_newer(f"{connections.path}: the ledger", found, len(steps))
        for step in steps[found:]:
            db.execute(step)
        db.pragma("user_version", len(steps))


def refuse_newer(what: str, found: int, known: int) -> None:
    """Raise Incompatible for a version that is not known yet."""
    if found > known:
        raise Incompatible(
            f"{what} has version {found}; this program knows {known}",
            fix="use the newer wharfinger that wrote it, or restore a backup from before the upgrade",
        )
