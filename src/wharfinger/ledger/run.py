"""Runs as the verbs of a queue find them, and where they may stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wharfinger.ledger import LARGE, POISON_CRASHES, row
from wharfinger.ledger.figure import Place, Tally
from wharfinger.ledger.history import Told
from wharfinger.model import ENDED, MOVES, Lease, State, Status

UPLOADED: Place = (State.READY, Status.UPLOADED)
QUEUED: Place = (State.READY, Status.QUEUED)
RETRIED: Place = (State.READY, Status.PROCESSING)
UNROUTED: Place = (State.WAITING, Status.UPLOADED)
HELD: Place = (State.WAITING, Status.QUEUED)
PROCESSING: Place = (State.LEASED, Status.PROCESSING)
WAITING: Place = (State.WAITING, Status.PROCESSING)
BEHIND: tuple[Place, Place] = ((State.BEHIND, Status.UPLOADED), (State.BEHIND, Status.QUEUED))
TRANSFERRED: Place = (State.DONE, Status.TRANSFERRED)
POISONED: Place = (State.DEAD, Status.QUARANTINED)

TOGETHER, ALONE, LARGE_ALONE = 0, 1, 2
"""The lanes of the queue: claimed with others; alone, because it ran when a lease expired; alone, because it is large."""

CANCELLED = "CANCELLED"
"""The code of a file that somebody has cancelled."""

POISON = f"it ended the process that worked on it {POISON_CRASHES} times while it ran alone"


@dataclass(slots=True)
class Found:
    """A run as it stands now."""

    id: str
    state: State
    status: Status
    token: int
    tries: int
    crashes: int
    solo: int
    size: int  # bytes
    due: int | None  # µs
    owner: str | None
    claimed: int | None  # µs
    has_checkpoint: int  # that is not void
    waits: int  # for so many children
    parent: str | None
    file: str | None  # of a child
    pipeline: str | None  # of a child
    member: str | None  # of a child
    is_incomplete: int  # it is done, without children that did not succeed
    group: str | None
    holds: int | None  # whether it keeps its group waiting should it fail

    @property
    def history(self) -> str:
        """Whose events are its own: the file's."""
        return self.file or self.id

    def told(self, kind: str, data: Mapping[str, Any], revision: int | None = None) -> Told:
        """A fact for the history of its file; of a child it says whose it is."""
        if self.file is None:
            return Told(self.id, kind, data, revision)
        whose = {"run": self.id, "child": self.pipeline} | ({"member": self.member} if self.member else {})
        return Told(self.file, f"child.{kind}", {**data, **whose}, revision)

    def move(self, place: Place, tally: Tally) -> None:
        """Count it where it stands now."""
        tally.moved(self.place, place, is_child=self.parent is not None)

    @property
    def place(self) -> Place:
        """Where it stands."""
        return self.state, self.status

    @property
    def claim(self) -> dict[str, Any]:
        """Who holds it, as events tell it."""
        return {"owner": self.owner, "token": self.token, "claimed": row.seconds(self.claimed)}

    @property
    def is_at_rest(self) -> bool:
        """Whether a file may be played again by it: nobody works on it, or on anything that it called."""
        return self.state != State.LEASED and not self.waits and self.parent is None

    @property
    def is_fresh(self) -> bool:
        """Whether it stands in the queue and nothing of it has begun."""
        has_begun = self.tries or self.crashes or self.solo or self.has_checkpoint
        return self.place in (UPLOADED, QUEUED, *BEHIND) and not has_begun


@dataclass(frozen=True, slots=True)
class Lost:
    """What becomes of a run whose worker is gone: it is ready, or where it ended workers too often, dead."""

    place: Place
    crashes: int
    error: str | None
    told: tuple[Told, ...]


def lose(found: Found, cause: str) -> Lost:
    """The run is to be claimed alone from now on; one that was alone already has crashed, and may do so only so often."""
    crashes = found.crashes + found.solo
    expired = found.told("expired", {**found.claim, "cause": cause, "alone": bool(found.solo)})
    if crashes < POISON_CRASHES:
        return Lost(QUEUED, crashes, None, (expired,))
    failure = {"code": "POISON", "message": POISON, "step": ""}
    told = expired, found.told("quarantined", {"error": failure})
    return Lost(POISONED, crashes, f"POISON: {POISON}", told)


@dataclass(frozen=True, slots=True)
class Ended:
    """What becomes of a run that somebody cancels."""

    place: Place
    error: str | None
    told: Told


def cancel(found: Found, by: str) -> Ended | None:
    """
    The file is failed, a dead letter stays what it was; None where the run has ended well or is cancelled already, and for a child: it
    goes with its file.
    """
    if State.CANCELLED not in MOVES[found.state] or found.parent is not None:
        return None
    if found.state == State.DEAD:
        return Ended((State.CANCELLED, found.status), None, found.told("dismissed", {"after": found.state, "by": by}))
    return _cancelled(found, f"by {by}", by=by)


def cancel_child(found: Found) -> Ended | None:
    """Of a run that is called by a cancelled one; None where it has ended by itself."""
    return None if found.state in ENDED else _cancelled(found, "with what called it")


def _cancelled(found: Found, why: str, **more: str) -> Ended:
    claim = found.claim if found.state == State.LEASED else {}
    story = {**claim, "after": found.state, **more, "error": {"code": CANCELLED, "message": why, "step": ""}}
    return Ended((State.CANCELLED, Status.FAILED), f"{CANCELLED}: {why}", found.told("cancelled", story))


def restarted(found: Found) -> Place:
    """Where a run stands that starts again: in a group it is behind, until it is its turn."""
    return QUEUED if found.group is None else BEHIND[1]


def replayed(found: Found, by: str) -> Told:
    """The event of a run that starts again."""
    return found.told("replayed", {"after": found.status, **({"by": by} if by else {})})


def is_held(runs: Mapping[str, Found], lease: Lease) -> bool:
    """Whether nobody took the run over since it was claimed under this lease."""
    found = runs.get(lease.run)
    return found is not None and found.state == State.LEASED and found.token == lease.token


def lane(size: int) -> int:
    """The lane of a run that never crashed."""
    return LARGE_ALONE if size > LARGE else TOGETHER
