"""The ledger's figures as metrics. Pure: what it counts anyway, so that a look costs the same at any number of files."""

from __future__ import annotations

from collections.abc import Iterator

from wharfinger.ledger import Counts
from wharfinger.model import State
from wharfinger.telemetry.metrics import Reading


def readings(counts: Counts, now: float) -> Iterator[Reading]:
    """The metrics that say what the ledger knows; `now` is epoch s."""
    yield from (Reading("wharf_files", n, (status,)) for status, n in counts.files.items())
    yield from (Reading("wharf_runs", n, (state,)) for state, n in counts.runs.items())
    yield Reading("wharf_arrived_bytes_total", counts.bytes)
    backlog = sum(runs[state] for runs in (counts.runs, counts.children) for state in (State.READY, State.LEASED))
    yield Reading("wharf_backlog", backlog)
    oldest = 0.0 if counts.oldest_ready is None else max(0.0, now - counts.oldest_ready)
    yield Reading("wharf_oldest_waiting_seconds", oldest)
    yield Reading("wharf_dead_letters", counts.runs[State.DEAD])
    yield Reading("wharf_incomplete_files", counts.incomplete)
    yield Reading("wharf_unrouted_files", counts.unrouted)
    yield Reading("wharf_held_files", counts.held)
    yield Reading("wharf_purged_files_total", counts.purged)
    yield Reading("wharf_purged_bytes_total", counts.purged_bytes)
    yield Reading("wharf_purging_files", counts.purging)
