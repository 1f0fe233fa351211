"""The tables, and how a ledger of an earlier version gets them."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from wharfinger.errors import Incompatible
from wharfinger.ledger.postgres.connection import Connections, Transaction, first

VERSION_1 = """
-- The same tables as on SQLite (see ledger.sqlite.schema for what they mean). Text is compared by code points there and here.

-- What landed: written once, never changed.
CREATE TABLE file (
  file_id text COLLATE "C" PRIMARY KEY, bucket text NOT NULL, key text COLLATE "C" NOT NULL,
  version text COLLATE "C" NOT NULL, size bigint NOT NULL, sha256 bytea NOT NULL, customer text COLLATE "C" NOT NULL,
  at bigint NOT NULL, media_type text NOT NULL, source text NOT NULL, "user" text NOT NULL, session text NOT NULL,
  cost bigint NOT NULL, mtime bigint
);
CREATE INDEX file_at ON file(at, file_id);
CREATE INDEX file_customer ON file(customer, at, file_id);

-- What becomes of it: narrow, and with room in each page for the next version of its rows.
CREATE TABLE run (
  id text COLLATE "C" PRIMARY KEY, at bigint NOT NULL, size bigint NOT NULL,
  state text NOT NULL, status text NOT NULL, lane integer NOT NULL, rank bigint NOT NULL, due bigint,
  token bigint NOT NULL DEFAULT 0, tries integer NOT NULL DEFAULT 0, crashes integer NOT NULL DEFAULT 0,
  solo integer NOT NULL DEFAULT 0, replays integer NOT NULL DEFAULT 0, owner text, claimed bigint,
  checkpoint text, resumes boolean NOT NULL DEFAULT false,  -- whether the checkpoint is not void
  revision bigint, error text NOT NULL DEFAULT '', transferred bigint
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX run_ready ON run(lane, rank, size, id) WHERE state = 'ready' AND due IS NULL;
CREATE INDEX run_due ON run(state, due) WHERE due IS NOT NULL;
CREATE INDEX run_status ON run(status, at, id) WHERE status <> 'transferred';
CREATE INDEX run_spent ON run(id) WHERE checkpoint IS NOT NULL AND state <> 'ready' AND state <> 'leased';

CREATE TABLE event (
  file_id text COLLATE "C" NOT NULL, n integer NOT NULL, at bigint NOT NULL, kind text NOT NULL, revision bigint, data text,
  hash bytea NOT NULL, PRIMARY KEY (file_id, n)
);

CREATE TABLE revision (
  n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, revision text NOT NULL, pipeline text NOT NULL, document text,
  UNIQUE (revision, pipeline)
);

-- Sums in parts, so that two sessions seldom change the same row: the value is the sum over the slots (of "turn": the greatest).
CREATE TABLE figure (
  name text, slot integer, value bigint NOT NULL, PRIMARY KEY (name, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE share (customer text COLLATE "C" PRIMARY KEY, rank bigint NOT NULL)
  WITH (fillfactor = 50, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE name (
  parent text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL, shown text, file_id text COLLATE "C", mtime bigint,
  staged text, "user" text, size bigint, written bigint, PRIMARY KEY (parent, name)
);
CREATE INDEX name_partial ON name(written) WHERE staged IS NOT NULL;

CREATE TABLE account (
  name text COLLATE "C" PRIMARY KEY, customer text NOT NULL, home text NOT NULL, keys text NOT NULL,
  password_hash text NOT NULL, disabled boolean NOT NULL
);
"""

VERSION_2 = """
-- Child runs (see ledger.sqlite.schema).
ALTER TABLE run ADD COLUMN waits integer NOT NULL DEFAULT 0, ADD COLUMN parent text COLLATE "C",
  ADD COLUMN file text COLLATE "C", ADD COLUMN call text, ADD COLUMN input text, ADD COLUMN output text;
CREATE INDEX run_child ON run(parent, id) WHERE parent IS NOT NULL;
DROP INDEX run_spent;
CREATE INDEX run_spent ON run(id) WHERE checkpoint IS NOT NULL AND state <> 'ready' AND state <> 'leased' AND waits = 0;
"""

VERSION_3 = """
-- Signed checkpoints over the histories (see ledger.checkpoint), the heads that each covers, and the events that none covers yet. Those
-- are named one by one: of two transactions that add to a history one may commit after a checkpoint has taken the other's into account.
CREATE TABLE audit_checkpoint (n bigint PRIMARY KEY, at bigint NOT NULL, signed text NOT NULL);
CREATE TABLE audit_leaf (
  checkpoint bigint NOT NULL, file_id text COLLATE "C" NOT NULL, n integer NOT NULL, hash bytea NOT NULL,
  PRIMARY KEY (checkpoint, file_id)
);
CREATE INDEX audit_leaf_file ON audit_leaf(file_id, n);
CREATE TABLE audit_pending (file_id text COLLATE "C" NOT NULL, n integer NOT NULL, PRIMARY KEY (file_id, n))
  WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
INSERT INTO audit_pending SELECT file_id, max(n) FROM event GROUP BY file_id;
"""

VERSION_4 = """
CREATE TABLE gate (
  pipeline text COLLATE "C" PRIMARY KEY, paused boolean NOT NULL, at bigint NOT NULL, "by" text NOT NULL
);
CREATE INDEX run_held ON run(revision) WHERE state = 'waiting' AND status = 'queued';
DROP INDEX run_spent;
CREATE INDEX run_spent ON run(id)
  WHERE checkpoint IS NOT NULL AND state <> 'ready' AND state <> 'leased' AND waits = 0 AND status <> 'queued';
"""

VERSION_5 = """
-- One row, which a crash of the server takes away (and a standby never has): tells one life of the server from the next.
CREATE UNLOGGED TABLE life (one boolean PRIMARY KEY DEFAULT true CHECK (one), id uuid NOT NULL);
INSERT INTO life(id) VALUES (gen_random_uuid());
"""

VERSION_6 = """
CREATE TABLE audit_key (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, document text NOT NULL UNIQUE);
"""

VERSION_7 = """
-- Since when the bytes of a file are given up (see ledger.sqlite.schema).
ALTER TABLE file ADD COLUMN purged bigint;
CREATE INDEX file_kept ON file(at, file_id) WHERE purged IS NULL;
CREATE TABLE purge_order (
  file_id text COLLATE "C" PRIMARY KEY, at bigint NOT NULL, "by" text NOT NULL, rule text NOT NULL
);
"""

VERSION_8 = """
CREATE INDEX run_forsaking ON run(id) WHERE state = 'cancelled' AND waits > 0;
"""

VERSION_9 = """
-- Groups of files that are worked on one after another (see ledger.sqlite.schema).
ALTER TABLE run ADD COLUMN grp text COLLATE "C", ADD COLUMN turn bigint, ADD COLUMN hold boolean;
CREATE SEQUENCE turn OWNED BY run.turn;
CREATE INDEX run_behind ON run(grp, turn) WHERE state = 'behind';
CREATE UNIQUE INDEX run_active ON run(grp)
  WHERE grp IS NOT NULL AND parent IS NULL AND (state = 'ready' OR state = 'leased' OR state = 'waiting' AND status <> 'uploaded');
CREATE INDEX run_kin ON run(grp)
  WHERE grp IS NOT NULL AND parent IS NOT NULL AND (state = 'ready' OR state = 'leased' OR state = 'waiting');
CREATE INDEX run_holds ON run(grp, turn) WHERE hold AND (state = 'dead' OR state = 'waiting' AND status = 'uploaded');
"""

VERSION_10 = """
CREATE INDEX run_unsettled ON run(status, at, file, id) WHERE status <> 'transferred' AND file IS NOT NULL;
"""

VERSION_11 = """
-- How many deliveries `output` is of (see ledger.sqlite.schema).
ALTER TABLE run ADD COLUMN delivered bigint NOT NULL DEFAULT 0;
UPDATE run SET delivered = json_array_length(output::json) WHERE parent IS NOT NULL AND output IS NOT NULL;
"""

VERSION_12 = """
CREATE INDEX run_called ON run(file, revision) WHERE file IS NOT NULL;
"""

VERSION_13 = """
CREATE INDEX run_queued ON run(at) WHERE state IN ('ready', 'behind');
"""

STEPS = (
    *(VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5, VERSION_6, VERSION_7, VERSION_8, VERSION_9, VERSION_10),
    VERSION_11,
    VERSION_12,
    VERSION_13,
)
"""The step at index n leads from version n to n + 1. A step that was released is never edited."""

BEGIN = "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/migrate', 0))"
"""A transaction in which nobody else changes tables."""

_VERSIONS = "CREATE TABLE IF NOT EXISTS migration (version integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())"


def migrate(connections: Connections, steps: Sequence[str] = STEPS) -> None:
    """Bring the database to the latest version, whoever opens it first; all steps or none. Raises Incompatible for a newer one."""

    def bring_up(db: Transaction) -> None:
        fit(connections, db)
        if version(db) == len(steps):
            return
        db.execute(BEGIN, prepare=False)
        lift(connections, db, steps)
        db.execute("COMMIT")

    connections.read(bring_up)


def lift(connections: Connections, tx: Transaction, steps: Sequence[str]) -> None:
    """Within BEGIN, take the steps that were not taken yet. Raises Incompatible where more were taken."""
    tx.execute(_VERSIONS, prepare=False)
    found = version(tx)
    refuse_newer(f"{connections.name}: the ledger", found, len(steps))
    for n, step in enumerate(steps[found:], found + 1):
        tx.execute(step, prepare=False)
        tx.execute("INSERT INTO migration(version) VALUES (%s)", (n,))


def refuse_newer(what: str, found: int, known: int) -> None:
    """Raise Incompatible for a version that is not known yet."""
    if found > known:
        raise Incompatible(
            f"{what} has version {found}; this program knows {known}",
            fix="use the newer wharfinger that wrote it, or restore a backup from before the upgrade",
        )


def version(db: Transaction) -> int:
    """Of the tables; 0 where there are none."""
    try:
        found: int = first(db, "SELECT coalesce(max(version), 0) FROM migration")[0]
    except psycopg.errors.UndefinedTable:
        return 0
    return found


def fit(connections: Connections, db: Transaction) -> None:
    """Raise Incompatible where no ledger can be in this database."""
    encoding, schema = first(db, "SELECT current_setting('server_encoding'), current_schema()")
    if encoding != "UTF8":
        raise Incompatible(
            f"{connections.name}: its encoding is {encoding}", fix="make a database for the ledger with ENCODING 'UTF8'"
        )
    if schema is None:
        raise Incompatible(
            f"{connections.name}: the schema that its search_path names is not there", fix="CREATE SCHEMA it first"
        )
