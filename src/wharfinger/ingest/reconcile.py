"""
The reconciler: holds what lies in a source against the ledger, and lands what the ledger does not know.

There is no other way from a source into custody. An event, a timer and a person can only ask for a look; lost, doubled, late or
reordered, they change nothing, for each file has the same file_id at every look.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import ExitStack
from dataclasses import dataclass, field

from wharfinger.errors import NameRefused, NoSpace, SourceError, WharfingerError
from wharfinger.ingest import Land, Upload
from wharfinger.ingest.account import Account, Problem
from wharfinger.ingest.name import refuse_clash
from wharfinger.ingest.source import Found, Source
from wharfinger.ledger import MANY, Catalog, Database, Ledger
from wharfinger.model import Arrival, file_id
from wharfinger.names import readable, shown
from wharfinger.store import Store
from wharfinger.store.staging import Staged, Staging
from wharfinger.telemetry import crash

GROUP = 64
"""Files that are landed together, at most."""

GROUP_BYTES = 64 << 20
"""Bytes beyond which a group takes no more files."""

TELL_S = 5.0
"""How often a look that takes long tells how far it has come."""


@dataclass(slots=True)
class _Look:
    """One look, as far as it has come."""

    listed: Mapping[str, Found]  # by file_id, or by name for what has a fault
    seen: Callable[[Account], object]
    told: float  # when `seen` heard last; epoch s
    left: int = 0  # whole files that it has not come to
    waiting: int = 0
    landed: int = 0
    late: int = 0
    problems: dict[str, Problem] = field(default_factory=dict)  # by name
    outside: set[str] = field(default_factory=set)  # names of what is not in custody, and ought to be

    def object(self, found: Found, error: WharfingerError, *, is_outside: bool = True) -> None:
        """Note what stands against a file."""
        told = map(readable, (found.name, error.code, str(error), error.fix))
        self.problems[found.name] = Problem(*told)
        if is_outside:
            self.outside.add(found.name)


class Reconciler:
    """Of one source; for one thread. `hint` is told the ids that landed."""

    def __init__(
        self,
        source: Source,
        *,
        customer: str,
        weight: float,
        bucket: str,
        database: Database,
        store: Store,
        land: Land,
        min_free: int,
        late_s: float,
        hint: Callable[[Sequence[str]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.source = source
        self._customer, self._weight, self._bucket = customer, weight, bucket
        self._database = database
        self._ledger: Ledger = database.ledger
        self._catalog: Catalog = database.catalog
        self._room, self._staging = store.staging, Staging(store.staging)
        self._land, self._hint = land, hint
        self._min_free = min_free  # bytes
        self._late_s, self._clock = late_s, clock
        self._known: set[str] = set()  # ids of what was in custody at the last look
        self._stop = False

    def stop(self) -> None:
        """End a look that is under way after the file that it is at."""
        self._stop = True

    def look(self, *, dry: bool = False, seen: Callable[[Account], object] = lambda _: None) -> Account:
        """
        Look once: land what is whole and unknown, release what is in custody; or, `dry`, only tell. `seen` hears now and then how far it
        has come. Raises SourceError where the source cannot be looked at, and LedgerError. Safe to repeat, also after a crash halfway, and
        by several at a time.
        """
        found = list(self.source.listing())
        listed = {
            file_id(self._bucket, each.key, each.version) if not each.fault else each.name: each for each in found
        }
        look = _Look(listed, seen, self._clock())
        self._find_known(look)
        whole = []
        for id, each in look.listed.items():
            if id in self._known:
                if not dry:
                    self._release(id, each, look)
            elif each.fault:
                look.object(each, NameRefused(f"{shown(each.name)} {each.fault}", fix=_LEAVE))
            elif each.is_aside:
                look.object(each, _unknown_original(each))
            elif self._is_whole(each, look):
                whole.append(each)
        if dry:
            look.outside.update(each.name for each in whole)
        else:
            self._take(sorted(whole, key=lambda each: (each.version, each.name)), look)
        return self._account(look)

    def _find_known(self, look: _Look) -> None:
        asked = [id for id, each in look.listed.items() if not each.fault and id not in self._known]
        self._known &= look.listed.keys()
        for n in range(0, len(asked), MANY):
            ids = asked[n : n + MANY]
            self._known.update(id for id, is_known in zip(ids, self._ledger.knows(ids)) if is_known)

    def _is_whole(self, found: Found, look: _Look) -> bool:
        try:
            if self.source.is_whole(found):
                return True
        except SourceError as error:
            look.object(found, error)
            return False
        if self._clock() - found.at > self._late_s:
            look.object(found, _late(found))
        else:
            look.waiting += 1
        return False

    def _release(self, id: str, found: Found, look: _Look) -> None:
        """A look or a process before this one took it."""
        if self.source.keeps:
            return
        self._tell(look)
        record = self._catalog.file(id)
        if record:
            self._let_go(found, record.sha256, look)

    def _let_go(self, found: Found, sha256: str, look: _Look) -> None:
        try:
            self.source.release(found, sha256)
        except SourceError as error:
            look.object(found, error, is_outside=False)

    def _take(self, whole: Sequence[Found], look: _Look) -> None:
        look.left = len(whole)
        for group in _groups(whole):
            if self._stop:
                return
            with ExitStack() as undo:
                uploads = {each: upload for each in group if (upload := self._stage(each, look, undo))}
                answers = self._land([*uploads.values()]) if uploads else ()
            crash.point("source.landed")
            taken = [(each, answer) for each, answer in zip(uploads, answers) if isinstance(answer, Arrival)]
            self._hint([arrival.file_id for _, arrival in taken])
            look.landed += len(taken)
            self._known.update(arrival.file_id for _, arrival in taken)
            for each, answer in zip(uploads, answers):
                if isinstance(answer, WharfingerError):
                    look.object(each, answer)
            for each, arrival in taken:
                self._let_go(each, arrival.sha256, look)
            look.left -= len(group)

    def _stage(self, found: Found, look: _Look, undo: ExitStack) -> Upload | None:
        """A copy of its bytes, ready to land; None where it cannot be taken now, or need not."""
        try:
            self._admit(found)
            staged = self._staging.create()
            undo.callback(self._discard, staged)
            for piece in self.source.read(found):
                staged.write(staged.size, piece)
                if backlog := staged.backlog:
                    wait([backlog])
                self._tell(look)
            size, sha256 = staged.finish()
        except WharfingerError as error:
            look.object(found, error)
            return None
        if self._is_there(found, sha256):
            self._known.add(file_id(self._bucket, found.key, found.version))
            return None
        return Upload(
            path=staged.path,
            key=found.key,
            version=found.version,
            size=size,
            sha256=sha256,
            customer=self._customer,
            weight=self._weight,
            source=self.source.kind,
            session=self.source.name,
            mtime=found.mtime,
            fd=staged.fd,
            is_repeated=True,
        )

    def _discard(self, staged: Staged) -> None:
        """What landed is gone from there."""
        staged.close()
        self._staging.discard(staged.id)

    def _admit(self, found: Found) -> None:
        refuse_clash(self._database, found.key)
        free = shutil.disk_usage(self._room).free
        if free - found.size < self._min_free:
            raise NoSpace(
                f"{shown(found.name)} waits: {free} bytes are free, and {self._min_free} must stay so",
                fix="make room, or lower min_free",
            )

    def _is_there(self, found: Found, sha256: str) -> bool:
        """Whether what stays in its place has only changed outwardly (its permissions, a further name) since it was landed."""
        if not self.source.keeps:
            return False
        [entry] = self._database.namespace.look([found.key])
        return (
            entry is not None
            and (entry.kind, entry.sha256) == ("file", sha256)
            and found.mtime is not None
            and abs(entry.mtime - found.mtime) < 1e-3
        )

    def _tell(self, look: _Look) -> None:
        if self._clock() - look.told >= TELL_S:
            look.told = self._clock()
            look.seen(self._account(look))

    def _account(self, look: _Look) -> Account:
        return Account(
            source=self.source.name,
            at=self._clock(),
            listed=len(look.listed),
            in_custody=len(self._known & look.listed.keys()),
            landed=look.landed,
            waiting=look.waiting + look.left,
            unaccounted=len(look.outside),
            problems=tuple(look.problems.values()),
        )


def _groups(whole: Sequence[Found]) -> Iterator[list[Found]]:
    group: list[Found] = []
    for each in whole:
        if group and (len(group) == GROUP or sum(one.size for one in group) + each.size > GROUP_BYTES):
            yield group
            group = []
        group.append(each)
    if group:
        yield group


_LEAVE = "rename or remove it, or name it in the source's `ignore`"


def _late(found: Found) -> SourceError:
    return SourceError(
        f"{shown(found.name)} is not whole, by the rule of its source",
        code="LATE",
        fix="ask its sender, or look at the source's `complete`",
    )


def _unknown_original(found: Found) -> SourceError:
    return SourceError(
        f"the ledger does not know {shown(found.name)}, which was about to be removed since it was in custody",
        code="UNKNOWN_ORIGINAL",
        fix="if the ledger was lost, wharf ledger rebuild; else move it back out of its .wharf-taken-... directory",
    )
