"""A file's arrival: its row, its run, its first event and its place in the customers' tree."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from wharfinger.ledger import row
from wharfinger.ledger.figure import Tally
from wharfinger.ledger.group import RUN, Turn, as_row
from wharfinger.ledger.purge import Past, past
from wharfinger.ledger.run import UPLOADED
from wharfinger.ledger.sqlite import figure, group, history, purge, rank, tree
from wharfinger.ledger.sqlite.connection import insert, many, rows
from wharfinger.model import Arrival

_FILE = f"file(file_id, {row.ARRIVAL})"
_KNOWN = "SELECT file_id, sha256 FROM file WHERE file_id IN (SELECT value FROM json_each(?))"


def arrive(tx: apsw.Connection, arrivals: Sequence[Arrival], bucket: str, now_us: int) -> set[str]:
    """Record those that are not known; the ones in `bucket` appear in the tree. The ids of the new files."""
    recorded = known(tx, [a.file_id for a in arrivals])
    new = {a.file_id: a for a in arrivals if a.file_id not in recorded}
    if new:
        _record(tx, [*new.values()], now_us)
        tree.place(tx, [a for a in new.values() if a.bucket == bucket and not a.purge], now_us)
    return set(new)


def known(tx: apsw.Connection, files: Sequence[str]) -> dict[str, str]:
    """Those of these ids that are recorded, and the SHA-256 of each, in hex."""
    return {id: digest.hex() for id, digest in rows(tx, _KNOWN, many(files))}


def _record(tx: apsw.Connection, arrivals: Sequence[Arrival], now_us: int) -> None:
    files = [row.from_arrival(a) for a in arrivals]
    insert(tx, _FILE, files)
    history.begin(tx, files)
    tally = Tally()
    pasts = {a.file_id: past(a) for a in arrivals}
    standing = [*zip(arrivals, group.enter(tx, arrivals, now_us))]
    _enqueue(tx, [(a, turn) for a, turn in standing if pasts[a.file_id] is None], tally)
    for a, turn in standing:
        if known := pasts[a.file_id]:
            _restore(tx, a, turn, known, tally)
    figure.write(tx, tally)


def _enqueue(tx: apsw.Connection, arrivals: Sequence[tuple[Arrival, Turn]], tally: Tally) -> None:
    ready = [a for a, turn in arrivals if turn.place == UPLOADED]
    work = [(a.customer, row.micros(a.cost)) for a in ready]
    ranks = dict(zip([a.file_id for a in ready], rank.enter(tx, work))) if work else {}
    insert(tx, RUN, [as_row(a, turn, ranks.get(a.file_id, 0), (*turn.place, 0, None)) for a, turn in arrivals])
    for a, turn in arrivals:
        tally.born(turn.place, a.size)


def _restore(tx: apsw.Connection, a: Arrival, turn: Turn, known: Past, tally: Tally) -> None:
    """A file that had ended before the ledger was lost."""
    insert(tx, RUN, [as_row(a, turn, 0, (*known.place, 1, known.transferred))])
    tx.execute("UPDATE run SET error = ? WHERE id = ?", (known.error, a.file_id))
    history.append(tx, known.at, [known.told])
    tally.born(known.place, a.size)
    if a.purge:
        purge.restore(tx, a, a.purge, tally)
    else:
        tally.incomplete(known.is_incomplete)
