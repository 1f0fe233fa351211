"""Facts such as a day's traffic leaves in the ledger: arrivals of many customers, and the outcomes of their runs."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from wharfinger.model import Arrival, Delivered, Outcome, Run, State, Status, StepRecord, derive, ulid

BUCKET = "landing"
CUSTOMERS = 100
REVISION = "5f" * 32  # of a pipeline with one step


def arrivals(first: int, count: int) -> list[Arrival]:
    """Files number `first` and on, one customer after the other, as SFTP would land them now."""
    now = time.time()
    return [_arrival(first + n, now) for n in range(count)]


def _arrival(number: int, now: float) -> Arrival:
    customer = f"customer{number % CUSTOMERS:03}"
    return Arrival(
        bucket=BUCKET,
        key=f"{customer}/inbound/claims_{number:09}.csv",
        version=ulid(now, int.from_bytes(os.urandom(10))),
        size=10_240,
        sha256=os.urandom(32).hex(),
        customer=customer,
        at=now,
        media_type="text/csv",
        source="sftp",
        user=customer,
        session=f"{number // 1000:016x}",
        mtime=now - 60,
    )


def transferred(runs: Sequence[Run]) -> list[Outcome]:
    """What a worker settles when one step has delivered each file."""
    now = time.time()
    return [_outcome(run, now) for run in runs]


def _outcome(run: Run, now: float) -> Outcome:
    a = run.arrival
    version = derive(a.version, run.id, "deliver")
    return Outcome(
        run=run.id,
        token=run.token,
        state=State.DONE,
        status=Status.TRANSFERRED,
        pipeline="claims",
        revision=REVISION,
        steps=(StepRecord("deliver", "deliver@1", 0.0004, "ok"),),
        delivered=(Delivered("lake", "delivered", a.key, version, a.size, a.sha256, now),),
    )
