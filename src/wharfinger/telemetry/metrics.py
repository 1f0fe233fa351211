"""
Every metric, declared once, and how the processes of one `wharf serve` bring their figures together.

Two kinds. What the ledger knows is read from it when somebody asks (`Reading`). What only passes by (how long a step took, who is
connected) each process counts in a file of its own in one directory, by prometheus_client's multiprocess mode: the counts of a
process that was killed stay, since the file does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from wharfinger.telemetry.meter import Meter

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client reads this variable once, when it is imported."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, as the reference tells it."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()  # upper bounds, s


class Reading(NamedTuple):
    """A value of a metric, read when it was asked for."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


Read = Callable[[], Iterable[Reading]]

_STEP_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
_WAY_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)

SETTLED = Metric(
    "wharf_settled_total",
    "counter",
    "Times that a worker was done with a file: transferred, failed, quarantined, retry, unrouted, held, waiting; child.* of child runs.",
    ("pipeline", "became"),
)
STEP = Metric(
    "wharf_step_seconds", "histogram", "How long a step took on one file.", ("pipeline", "step"), buckets=_STEP_S
)
DONE = Metric(
    "wharf_arrival_to_done_seconds",
    "histogram",
    "From a file's arrival in custody to its last delivery.",
    ("pipeline",),
    buckets=_WAY_S,
)
SESSIONS = Metric("wharf_sftp_sessions", "gauge", "Clients that are signed in by SFTP.")

SIGN_INS = Metric(
    "wharf_sign_ins_total",
    "counter",
    "Connections by SFTP that signed in, or ended without: accepted, refused.",
    ("result",),
)

COUNTED = (SETTLED, STEP, DONE, SESSIONS, SIGN_INS)
"""By the processes, as things happen."""

READ = (
    Metric("wharf_files", "gauge", "Files in the ledger by status.", ("status",)),
    Metric("wharf_arrived_bytes_total", "counter", "Bytes of all files that ever arrived."),
    Metric("wharf_runs", "gauge", "Runs by state: ready, leased, waiting, behind, done, dead, cancelled.", ("state",)),
    Metric("wharf_backlog", "gauge", "Runs that a worker has or that are in line for one."),
    Metric("wharf_oldest_waiting_seconds", "gauge", "Age of the oldest file in line; 0 where none is."),
    Metric("wharf_dead_letters", "gauge", "Files that failed for good or are quarantined, until they are replayed."),
    Metric(
        "wharf_incomplete_files",
        "gauge",
        "Files that were transferred without some of the child runs they called, until they are replayed or purged.",
    ),
    Metric("wharf_unrouted_files", "gauge", "Files that no pipeline takes."),
    Metric("wharf_held_files", "gauge", "Runs of files, and child runs, that wait because their pipeline is paused."),
    Metric("wharf_purged_files_total", "counter", "Files whose bytes were removed for good."),
    Metric("wharf_purged_bytes_total", "counter", "Bytes of these files."),
    Metric("wharf_purging_files", "gauge", "Files whose bytes are about to be removed; soon 0 again."),
    Metric(
        "wharf_checkpoint_age_seconds",
        "gauge",
        "Age of the last signed checkpoint while something awaits the next; 0 where all is covered.",
    ),
    Metric(
        "wharf_unaccounted_files", "gauge", "Files that lie in a source and are not in custody; 0 is good.", ("source",)
    ),
    Metric(
        "wharf_source_up",
        "gauge",
        "1 where the last look at a source could be had, and was no longer than 10 times its scan_s ago; else 0.",
        ("source",),
    ),
    Metric(
        "wharf_source_look_age_seconds",
        "gauge",
        "Since when nothing has looked at a source: since its last look, or since the metrics are served.",
        ("source",),
    ),
    Metric(
        "wharf_unaccounted_deliveries",
        "gauge",
        "Names at a destination that were missing, altered or unexpected when `wharf reconcile --delivered` last looked; 0 is good.",
        ("destination",),
    ),
    Metric("wharf_free_bytes", "gauge", "Room on the disks.", ("path",)),
    Metric("wharf_min_free_bytes", "gauge", "Uploads are refused when the store's disk has less room."),
)
"""From the ledger and the disks, at every scrape."""

METRICS = (*READ, *COUNTED)


class Instruments:
    """The Meter of one process: a few memory-mapped numbers in a directory that all processes share."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        none = CollectorRegistry()
        self._settled = Counter(SETTLED.name, SETTLED.help, SETTLED.labels, registry=none)
        self._step = Histogram(STEP.name, STEP.help, STEP.labels, registry=none, buckets=STEP.buckets)
        self._done = Histogram(DONE.name, DONE.help, DONE.labels, registry=none, buckets=DONE.buckets)
        self._sessions = Gauge(SESSIONS.name, SESSIONS.help, registry=none, multiprocess_mode="livesum")
        self._sign_ins = Counter(SIGN_INS.name, SIGN_INS.help, SIGN_INS.labels, registry=none)

    def settled(self, pipeline: str, became: str, seconds: float) -> None:
        """See Meter."""
        self._settled.labels(pipeline, became).inc()
        if became == "transferred":
            self._done.labels(pipeline).observe(seconds)

    def stepped(self, pipeline: str, step: str, seconds: float) -> None:
        """See Meter."""
        self._step.labels(pipeline, step).observe(seconds)

    def sessions(self, count: int) -> None:
        """See Meter."""
        self._sessions.set(count)

    def signed_in(self, result: str) -> None:
        """See Meter."""
        self._sign_ins.labels(result).inc()


def instruments(directory: Path) -> Meter:
    """The Meter of this process, which shares its figures through `directory`. Once in a process, before anything is counted."""
    _make(directory)
    os.environ[DIRECTORY] = str(directory)
    return Instruments()


def _make(directory: Path) -> None:
    for each in (directory.parent, directory):
        each.mkdir(mode=0o700, exist_ok=True)


_OWN = re.compile(r"(?P<kind>\w+?)_(?P<pid>\d+)\.db")  # as prometheus_client names a process's file


def forget_dead(directory: Path, *, counts: bool = False) -> None:
    """
    Remove what dead processes say of the present, such as who is connected to them; with `counts`, also what they have counted:
    that belongs to a `wharf serve` which is over.
    """
    for path in directory.glob("*.db"):
        own = _OWN.fullmatch(path.name)
        if own and (counts or own["kind"].startswith("gauge_live")) and not _is_alive(int(own["pid"])):
            with suppress(OSError):
                path.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Exposition:
    """All figures in the format that the asker accepts: Prometheus' text, or OpenMetrics."""

    def __init__(self, directory: Path, read: Read) -> None:
        from prometheus_client import CollectorRegistry
        from prometheus_client.multiprocess import MultiProcessCollector

        _make(directory)
        self._directory = directory
        self._registry = CollectorRegistry(auto_describe=False)
        MultiProcessCollector(self._registry, str(directory))  # type: ignore[no-untyped-call]
        self._registry.register(_Readings(read))

    def __call__(self, accept: str) -> tuple[bytes, str]:
        """The text and its content type. Raises what `read` raises."""
        from prometheus_client.exposition import choose_encoder

        forget_dead(self._directory)
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _Readings:
    """prometheus_client's Collector over a `Read`."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def describe(self) -> list[Family]:
        return []

    def collect(self) -> Iterator[Family]:
        found: Mapping[str, list[Reading]] = {metric.name: [] for metric in READ}
        for reading in self._read():
            found[reading.name].append(reading)
        return (_family(metric, found[metric.name]) for metric in READ)


def _family(metric: Metric, readings: Iterable[Reading]) -> Family:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for reading in readings:
        family.add_metric(reading.labels, reading.value)
    return family
