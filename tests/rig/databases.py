"""Ledgers under test. A further backend is one more line in `DATABASES`; the suites in tests/contract then hold for it too."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rig import postgres
from wharfinger.ledger import Database, Ledger
from wharfinger.ledger.postgres import PostgresDatabase
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import (
    Arrival,
    Call,
    Child,
    Delivered,
    Failure,
    Group,
    Lease,
    ObjectRef,
    Outcome,
    Run,
    State,
    Status,
    StepRecord,
    ulid,
)

Open = Callable[..., Database]

DATABASES: dict[str, Open] = {
    "sqlite": lambda root, **how: SqliteDatabase(root / "ledger.db", **how),
    "postgres": lambda root, **how: PostgresDatabase(postgres.schema(root), **how),
}

START = 1_750_000_000.0
SHA256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"

_count = itertools.count(1)


class Clock:
    """Epoch seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


def an_arrival(key: str = "", *, customer: str = "acme", at: float = START, **more: Any) -> Arrival:
    n = next(_count)
    version = more.pop("version", "") or ulid(at, n)
    defaults = {"bucket": "inbox", "size": 1000, "sha256": SHA256, "cost": 0.001}
    return Arrival(
        key=key or f"{customer}/inbound/{n}.csv", version=version, customer=customer, at=at, **defaults | more
    )


def arrived(ledger: Ledger, n: int = 1, **more: Any) -> list[Arrival]:
    """So many new files, as they arrived."""
    arrivals = [an_arrival(**more) for _ in range(n)]
    for start in range(0, n, 100):
        assert all(ledger.arrive(arrivals[start : start + 100]))
    return arrivals


def claimed(ledger: Ledger, *, owner: str = "worker", lease_s: float = 30) -> Run:
    """The next run, alone."""
    [run] = ledger.claim(owner, 1, lease_s)
    return run


def lease(run: Run, **more: Any) -> Lease:
    return Lease(run.id, run.token, **more)


def transferred(run: Run) -> Outcome:
    delivery = Delivered("archive", "delivered", run.arrival.key, "V1", 2000, SHA256, START + 5)
    steps = (StepRecord("unpack", "decompress@1", 0.25, "ok"),)
    return Outcome(
        run.id, run.token, State.DONE, Status.TRANSFERRED, "claims", "f" * 64, steps=steps, delivered=(delivery,)
    )


def quarantined(run: Run) -> Outcome:
    failure = Failure("MALFORMED", "not gzip", "unpack")
    return Outcome(run.id, run.token, State.DEAD, Status.QUARANTINED, "claims", "f" * 64, failure)


def retried(run: Run, due: float, **more: Any) -> Outcome:
    failure = Failure("UNREACHABLE", "no route to host", "deliver")
    return Outcome(run.id, run.token, State.READY, Status.PROCESSING, "claims", "f" * 64, failure, due, **more)


def failed(run: Run) -> Outcome:
    failure = Failure("UNREACHABLE", "no route to host", "deliver")
    return Outcome(run.id, run.token, State.DEAD, Status.FAILED, "claims", "f" * 64, failure)


def held(run: Run, pipeline: str = "claims") -> Outcome:
    """Put aside, since the pipeline is paused."""
    return Outcome(run.id, run.token, State.WAITING, Status.QUEUED, pipeline, "f" * 64)


def unrouted(run: Run) -> Outcome:
    return Outcome(
        run.id, run.token, State.WAITING, Status.UPLOADED, failure=Failure("UNROUTED", "no pipeline takes it")
    )


def waiting(run: Run) -> Outcome:
    """What is settled when a run has called its children."""
    return Outcome(run.id, run.token, State.WAITING, Status.PROCESSING, "claims", "f" * 64)


def a_child(
    member: str = "", *, pipeline: str = "rows", step: str = "each", size: int = 500, kept: bool = False
) -> Child:
    ref = ObjectRef("checkpoints", f"of/{member}", "V1", size, SHA256)
    return Child(pipeline, "e" * 64, step, member, ((ref, member or "a.csv", "text/csv"),), (ref,) if kept else ())


def a_call(run: Run, *children: Child, id: str = "CALL") -> Call:
    return Call(run.id, run.token, id, children or (a_child(),))


def parent_of(ledger: Ledger, *children: Child, owner: str = "worker") -> Run:
    """The next run: it has called these children, and waits."""
    run = claimed(ledger, owner=owner)
    assert ledger.spawn([a_call(run, *children)]) == [[True] * max(len(children), 1)]
    assert ledger.settle([waiting(run)]) == [True]
    return run


def work_off(backend: str, root: Path, owner: str, patience_s: float, tokens: str) -> None:
    """
    In a process of its own: claim and settle until nothing comes for `patience_s`. Every claim is noted as "id token" in
    the file `tokens`.
    """
    database = DATABASES[backend](root)
    idle_since = time.monotonic()
    with open(tokens, "w") as notes:
        while time.monotonic() - idle_since < patience_s:
            runs = database.ledger.claim(owner, 10, 30)
            notes.writelines(f"{run.id} {run.token}\n" for run in runs)
            if runs:
                idle_since = time.monotonic()
                assert all(database.ledger.settle([transferred(run) for run in runs]))
    database.close()


def arrive_in(backend: str, root: Path, keys: Sequence[str]) -> None:
    """In a process of its own: let these files arrive in one call, claim them and settle them in one call."""
    database = DATABASES[backend](root)
    database.ledger.arrive([an_arrival(key, version=ulid(START, n), at=START) for n, key in enumerate(keys)])
    database.ledger.settle([transferred(run) for run in database.ledger.claim("doomed", 100, 30)])
    database.close()


def a_lot(n: int) -> list[Arrival]:
    """The same 20 files for everybody who asks for lot `n`."""
    files = range(20 * n, 20 * n + 20)
    return [an_arrival(f"acme/inbound/{each}.csv", version=ulid(START, each), at=START) for each in files]


def work_without_end(backend: str, root: Path) -> None:
    """In a process of its own, until it is killed: one lot after the other arrives, is claimed and settled."""
    ledger = DATABASES[backend](root).ledger
    for n in itertools.count():
        ledger.arrive(a_lot(n))
        ledger.settle([transferred(run) for run in ledger.claim("doomed", 100, 30)])


def work_in_groups(backend: str, root: Path) -> None:
    """In a process of its own: let the same 40 files of four groups arrive, then claim and settle until nothing is ready."""
    database = DATABASES[backend](root)
    files = [an_arrival(f"acme/{n}", version=ulid(START + n, n), group=Group(f"acme/{n % 4}")) for n in range(40)]
    database.ledger.arrive(files[:20])
    database.ledger.arrive(files[20:])
    while runs := database.ledger.claim("doomed", 100, 30):
        database.ledger.settle([transferred(run) for run in runs])
    database.close()
