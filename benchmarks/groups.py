"""
Files in order: what groups cost, and whom.

Arrive, claim and settle in batches of 64: files of no group, of a group each, and all of one group; then files of no group again,
beside a group in which 100,000 stand behind one that a worker has. No bytes are moved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from itertools import count

from stand.backlog_process import BATCH, LEASE_S, opened
from stand.facts import arrivals, transferred
from stand.measure import Spread, interleave, ratio, spread
from stand.postgres import postgres
from stand.run import Bench, bench
from wharfinger.ledger import MANY, Database
from wharfinger.model import Arrival, Group, State

VERBS = ("arrive", "claim", "settle")
Sample = tuple[float, float, float]  # µs a file for each verb
Grouped = Callable[[Arrival], Group | None]

NAMES = ("plain", "crowded")
NUMBERS = count()

ONE = Group("one")
WAITING = Group("waiting")


def main() -> None:
    """Both questions, one report."""
    with bench("groups", __doc__, rounds=5, ledgers=True) as b, ExitStack() as servers:
        places = [str(b.work / f"{name}.db") for name in NAMES]
        if b.ledger == "postgres":
            server = servers.enter_context(postgres(b.work, b.env))
            b.report.machine["postgres"] = server.version
            places = [server.made(name) for name in NAMES]
        plain, crowded = (servers.enter_context(closing(opened(place))) for place in places)
        compare(b, plain, crowded)


def compare(b: Bench, plain: Database, crowded: Database) -> None:
    """What a file takes by itself and in groups, and by itself in a ledger where others have lined up."""
    files, behind = b.size(6_400, 128), b.size(100_000, 300)
    subjects = {
        "no group": partial(measure, plain, lambda _: None, files),
        "a group each": partial(measure, plain, lambda a: Group(a.key), files),
        f"no group, beside {behind:,} in line": partial(measure, crowded, lambda _: None, files),
        "one group": partial(measure, plain, lambda _: ONE, files // 16),
    }
    for start in range(0, behind, MANY):
        crowded.ledger.arrive([replace(a, group=WAITING) for a in arrivals(next(NUMBERS) * MANY, MANY)])
        b.count("lining up", start, behind)
    if len(crowded.ledger.claim("slow", 2, 3600.0)) != 1:
        raise RuntimeError("of one group one file is claimed")
    samples = interleave(subjects, b.rounds, b.tell)
    begun = time.perf_counter()
    counts = crowded.catalog.counts()
    counting_ms = (time.perf_counter() - begun) * 1e3
    b.report.counts |= {"behind": counts.runs[State.BEHIND], "leased": counts.runs[State.LEASED]}
    tell(b, samples, behind, counting_ms)


def measure(database: Database, group: Grouped, files: int, _round: int) -> Sample:
    """Mean µs a file for each verb; what is not claimed at once has its turn when the one before has ended."""
    ledger, spent = database.ledger, dict.fromkeys(VERBS, 0.0)
    for _ in range(0, files, BATCH):
        new = [replace(a, group=group(a)) for a in arrivals(next(NUMBERS) * MANY, BATCH)]
        begun = time.perf_counter()
        ledger.arrive(new)
        spent["arrive"] += time.perf_counter() - begun
        left = BATCH
        while left:
            begun = time.perf_counter()
            runs = ledger.claim("bench", BATCH, LEASE_S)
            claimed = time.perf_counter()
            outcomes = transferred(runs)
            settling = time.perf_counter()
            if not runs or not all(ledger.settle(outcomes)):
                raise RuntimeError(f"{left} of {BATCH} were not claimed, or not settled")
            spent["claim"] += claimed - begun
            spent["settle"] += time.perf_counter() - settling
            left -= len(runs)
    arrive, claim, settle = (seconds * 1e6 / files for seconds in spent.values())
    return arrive, claim, settle


def tell(b: Bench, samples: dict[str, list[Sample]], behind: int, counting_ms: float) -> None:
    """The report."""
    totals = {name: [sum(sample) for sample in got] for name, got in samples.items()}
    rows: list[Sequence[str | float | Spread]] = [
        [name, *(spread(verb) for verb in zip(*samples[name])), spread(total), 1e6 / spread(total).median]
        for name, total in totals.items()
    ]
    note = "µs a file: median of the rounds (least-greatest). Of one group each file is claimed and settled by itself."
    b.report.table("Arrive, claim, settle", ["files", *VERBS, "all three", "files/s"], rows, note)
    b.report.samples("us per file", totals)
    b.report.table(
        "Counts",
        ["in line", "ms to count all"],
        [[f"{behind:,}", counting_ms]],
        "`wharf status` and each scrape do so.",
    )
    each = ratio(totals["a group each"], totals["no group"])
    b.report.aim("a group for each file against none", each.median, "<=", 1.5, "times")
    slower = ratio(totals[f"no group, beside {behind:,} in line"], totals["no group"])
    b.report.aim(f"others beside {behind:,} in line", slower.median, "<=", 1.2, "times")


if __name__ == "__main__":
    main()
