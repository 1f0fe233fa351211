"""Whether the histories are as they were written: every checkpoint, every chain and every record, held against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from wharfinger.errors import Unproven
from wharfinger.ledger import (
    MANY,
    Audit,
    AuditCheckpoint,
    Catalog,
    Filter,
    Leaf,
    chain,
    checkpoint,
    merkle,
    receipt,
    signature,
)
from wharfinger.ledger.signature import Signed
from wharfinger.model import Event, FileRecord, Status

Kind = Literal["checkpoint", "event", "record"]

_OPEN = frozenset(status for status in Status if not status.is_final)

AFTER: Mapping[str, frozenset[Status]] = {
    **dict.fromkeys(("arrived", "replayed", "retry", "released", "expired", "unrouted"), _OPEN),
    **dict.fromkeys(("spawned", "waiting", "resumed", "held", "woken"), _OPEN),
    **{status: frozenset({status}) for status in Status if status.is_final},
    "cancelled": frozenset({Status.FAILED}),
}
"""Which status a record may have when this is the last event that speaks of one."""

SILENT = ("stale", "renamed", "removed", "dismissed", "purged", "child.")
"""How those begin that speak of none."""

LOOKS = 3
"""How often a record that contradicts its history is read again: both may be changing just now."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One contradiction. `file_id` is "" and `checkpoint` 0 where it is about none."""

    kind: Kind
    message: str
    file_id: str = ""
    checkpoint: int = 0


class Inspection:
    """
    One walk over all checkpoints and all files; iterate over it once for the findings. `holds` says whether a trusted key signed
    something; `kept` is a checkpoint that somebody has kept elsewhere and that must still be there; `advance` hears of each file.
    The ledger may be in use meanwhile. Memory does not grow with it.
    """

    def __init__(
        self,
        catalog: Catalog,
        audit: Audit,
        holds: Callable[[Signed], bool],
        *,
        kept: Signed | None = None,
        advance: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._catalog, self._audit, self._holds, self._kept, self._advance = catalog, audit, holds, kept, advance
        self.checkpoints = self.files = self.events = 0

    def __iter__(self) -> Iterator[Finding]:
        yield from self._walk_checkpoints()
        yield from self._walk_files()

    def _walk_checkpoints(self) -> Iterator[Finding]:
        before, last, is_there = "", 0, self._kept is None
        for each in _checkpoints(self._audit):
            self.checkpoints += 1
            if each.n != last + 1:
                yield Finding(
                    "checkpoint", f"checkpoint {last + 1} is missing: {each.n} comes next", checkpoint=last + 1
                )
            last = each.n
            try:
                signed = signature.read(each.signed)
            except Unproven as exc:
                yield Finding("checkpoint", f"checkpoint {each.n} was changed: {exc}", checkpoint=each.n)
                before = ""
                continue
            for message in self._contradictions(each, signed, before):
                yield Finding("checkpoint", f"checkpoint {each.n} {message}", checkpoint=each.n)
            yield from self._walk_leaves(each, signed)
            before = signature.digest(signed.statement)
            is_there |= signed.statement == self._kept_statement
        if not is_there:
            yield Finding(
                "checkpoint", f"checkpoint {self._kept_statement.get('n')}, which was kept, is not in the ledger"
            )

    @property
    def _kept_statement(self) -> Mapping[str, object]:
        return self._kept.statement if self._kept else {}

    def _contradictions(self, each: AuditCheckpoint, signed: Signed, before: str) -> Iterator[str]:
        stated = signed.statement
        if not self._holds(signed):
            yield f"is not signed by a trusted key ({signed.key})"
        if stated["type"] != checkpoint.TYPE or stated.get("n") != each.n:
            yield "is another statement"
        if (before or each.n == 1) and stated.get("previous") != before:
            yield "does not follow the one before it"

    def _walk_leaves(self, each: AuditCheckpoint, signed: Signed) -> Iterator[Finding]:
        leaves = self._audit.leaves(each.n)
        if not _is_root(leaves, signed.statement.get("root")):
            yield Finding("checkpoint", f"checkpoint {each.n} does not cover what its leaves say", checkpoint=each.n)
        for leaf in leaves:
            if leaf.now != leaf.head.hash:
                happened = "was changed after it was covered" if leaf.now else "is gone"
                message = f"{leaf.head.file_id}: event {leaf.head.n} {happened} (checkpoint {each.n})"
                yield Finding("event", message, leaf.head.file_id, each.n)

    def _walk_files(self) -> Iterator[Finding]:
        after = ""
        while page := self._catalog.files(Filter(), limit=MANY, after=after):
            after = page[-1].file_id
            histories = [self._history(record) for record in page]
            covered = self._audit.coverage([record.file_id for record in page])  # after the histories: they only grow
            for record, history, coverage in zip(page, histories, covered):
                yield from (Finding("event", message, record.file_id) for message in _broken(record, history))
                if history and coverage.n < history[-1].n and not coverage.awaits:
                    said = f"{record.file_id}: event {history[-1].n} ({history[-1].kind}) is under no checkpoint, and none is to cover it"
                    yield Finding("event", said, record.file_id)
                if history and not self._agree(record, history):
                    said = f"{record.file_id}: the record says {record.status}, its history does not"
                    yield Finding("record", said, record.file_id)
                self.files += 1
                self.events += len(history)
                self._advance(1)

    def _history(self, record: FileRecord) -> list[Event]:
        try:
            return self._catalog.events(record.file_id)
        except (ValueError, TypeError, KeyError):  # what was written there is no history any more
            return []

    def _agree(self, record: FileRecord, history: Sequence[Event], looks: int = LOOKS) -> bool:
        if record.status in _possible(history) and _says(record) == _told(record, history):
            return True
        again = self._catalog.file(record.file_id)
        return bool(looks and again) and self._agree(again, self._history(again), looks - 1)  # type: ignore[arg-type]


def _checkpoints(audit: Audit) -> Iterator[AuditCheckpoint]:
    after = 0
    while page := audit.checkpoints(after=after):
        yield from page
        after = page[-1].n


def _is_root(leaves: Sequence[Leaf], root: object) -> bool:
    return bool(leaves) and merkle.root([checkpoint.leaf(leaf.head) for leaf in leaves]).hex() == root


def _broken(record: FileRecord, history: Sequence[Event]) -> list[str]:
    return chain.verify(history) if history else [f"{record.file_id}: its history is gone, or cannot be read"]


def _possible(history: Sequence[Event]) -> frozenset[Status]:
    """The statuses that a file with this history may have; all, where its last word is not known here."""
    for event in reversed(history):
        if event.kind in AFTER:
            return AFTER[event.kind]
        if not event.kind.startswith(SILENT):
            break
    return frozenset(Status)


def _says(record: FileRecord) -> tuple[float, float | None, str]:
    """When the file came, when it was transferred and, where it has ended, the error."""
    error = record.error_message if record.status.is_final else ""
    return record.upload_timestamp, record.transfer_timestamp, error


def _told(record: FileRecord, history: Sequence[Event]) -> tuple[float, float | None, str]:
    """The same, as the history tells it."""
    end = receipt.ended(history) if record.status.is_final else None
    error = end.data.get("error") if end else None
    transferred = end.at if end and record.status is Status.TRANSFERRED else None
    return history[0].at, transferred, f"{error['code']}: {error['message']}" if error else ""
