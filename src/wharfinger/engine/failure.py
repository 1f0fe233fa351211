"""The failure table: what becomes of a run that did not succeed."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from wharfinger.config.entry import Retry
from wharfinger.engine import retry
from wharfinger.errors import Busy, NameRefused, NoSpace, Rejected, StoreError, Transient, Unreachable, WharfingerError
from wharfinger.model import Clash, Failure, Family, State, Status
from wharfinger.names import shown

LENGTH = 500
"""Characters kept of a message."""

RESPITE_S = 30.0
"""A run that our own full disk, ledger or store stopped comes back after rand(0, RESPITE_S) seconds, as often as it takes."""

Kind = Literal["rejected", "transient", "error", "final"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a run stopped. `counts` is False where we are at fault and the file must not pay for it with one of its tries."""

    kind: Kind
    failure: Failure
    counts: bool = True

    @classmethod
    def of(cls, error: BaseException, step: str) -> Fault:
        """What `error`, raised in this step, means for the file."""
        return cls(_kind(error), _failure(error, step), not _is_ours(error))

    @classmethod
    def of_children(cls, family: Family, step: str) -> Fault:
        """What it means that children failed whom this step had called: they had tries of their own, so that another helps nobody."""
        whose = "; ".join(f"{who}: {error}" for who, _, error in family.troubles)
        bad = family.failed + family.quarantined
        said = f"{bad:,} of {family.count:,} child {'run' if family.count == 1 else 'runs'} did not succeed: {whose}"
        return cls("final" if family.failed else "rejected", Failure("CHILD_FAILED", _cut(said), step))

    @classmethod
    def of_clash(cls, clash: Clash, step: str) -> Fault:
        """What it means that children have delivered under one name, by which nobody can tell them apart."""
        said = f"{shown(clash.one)} and {shown(clash.other)} were both delivered as {shown(clash.key)}, where one has replaced the other"
        fix = "deliver them by a pipeline whose key tells them apart, by {member}; then wharf replay delivers both"
        return cls("rejected", Failure("NAME_REPEATED", _cut(f"{said}; {fix}"), step))


def shortfall(family: Family, noun: str) -> str:
    """
    What a file goes on without, where that is allowed: "1 of 3 members quarantined: b.gz: CORRUPT: ..."; "" where nothing is amiss.
    Its sender is told this: of what failed no more than the code, since the rest may tell of the server's places.
    """
    counts = {"failed": family.failed, "quarantined": family.quarantined, "incomplete": family.incomplete}
    counts = {end: n for end, n in counts.items() if n}
    whose = "; ".join(
        f"{who}: {error.partition(': ')[0] if status is Status.FAILED else error}"
        for who, status, error in family.troubles
    )
    nouns = noun if family.count == 1 else f"{noun}s"
    match [*counts.items()]:
        case []:
            return ""
        case [(end, n)]:
            said = f"{n:,} of {family.count:,} {nouns} {end}"
        case _:
            said = f"of {family.count:,} {nouns} {', '.join(f'{n:,} {end}' for end, n in counts.items())}"
    return f"{said}: {whose}"


def incomplete(shortfalls: Mapping[str, str]) -> Failure | None:
    """What is told of a run that went on without children that did not succeed, by the steps that had called them."""
    if not shortfalls:
        return None
    return Failure("INCOMPLETE", _cut("; ".join(shortfalls.values())), next(iter(shortfalls)))


@dataclass(frozen=True, slots=True)
class Fate:
    """Where a run and its file go from here; `due` (epoch s) is the time of the next try."""

    state: State
    status: Status
    due: float | None = None


def fate(fault: Fault, tries: int, policy: Retry, *, now: float, rand: Callable[[], float]) -> Fate:
    """The row of the table for a run that has failed `tries` times before."""
    if fault.kind == "rejected":
        return Fate(State.DEAD, Status.QUARANTINED)
    if fault.kind == "final":
        return Fate(State.DEAD, Status.FAILED)
    if not fault.counts:
        return Fate(State.READY, Status.PROCESSING, now + rand() * RESPITE_S)
    if tries + 1 >= policy.tries:
        return Fate(State.DEAD, Status.FAILED)
    wait = retry.delay(tries, rand=rand, base_s=policy.base_s, cap_s=policy.cap_s)
    return Fate(State.READY, Status.PROCESSING, now + wait)


def _kind(error: BaseException) -> Kind:
    if isinstance(error, Rejected | NameRefused):
        return "rejected"
    return "transient" if isinstance(error, Transient | StoreError | Busy) or _is_ours(error) else "error"


def _is_ours(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, NoSpace | Busy | Unreachable)


def _failure(error: BaseException, step: str) -> Failure:
    if isinstance(error, WharfingerError):
        return Failure(error.code, _cut("; ".join(filter(None, (str(error), error.fix)))), step)
    if _is_ours(error):
        return Failure(NoSpace.code, _cut(_plain(error)), step)
    return Failure("STEP_ERROR", _cut(f"{_plain(error)}, at {_place(error.__traceback__)}"), step)


def _plain(error: BaseException) -> str:
    """What may be told of any exception: other words than the system's may quote the file, or a secret."""
    name = type(error).__name__
    return f"{name}: {error.strerror}" if isinstance(error, OSError) and error.strerror else name


def _place(trace: TracebackType | None) -> str:
    """Where it was raised: "decoder.py:355"."""
    if trace is None:
        return "an unknown place"
    while trace.tb_next:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def _cut(text: str) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= LENGTH else line[: LENGTH - 1] + "…"
