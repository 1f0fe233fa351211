from __future__ import annotations

from dataclasses import replace

from wharfinger.ledger import Counts
from wharfinger.ledger.gauge import readings
from wharfinger.model import State, Status
from wharfinger.telemetry.metrics import READ

COUNTS = Counts(
    files=dict.fromkeys(Status, 0) | {Status.FAILED: 3},
    bytes=1000,
    runs=dict.fromkeys(State, 0) | {State.READY: 5, State.LEASED: 2, State.DEAD: 3},
    children=dict.fromkeys(State, 0),
    unrouted=1,
    held=4,
    oldest_ready=100.0,
    oldest_lease=None,
    incomplete=6,
)


def test_every_figure_of_the_ledger_is_a_declared_metric_with_its_labels() -> None:
    declared = {metric.name: len(metric.labels) for metric in READ}
    for reading in readings(COUNTS, 160.0):
        assert len(reading.labels) == declared[reading.name]


def test_the_figures_are_those_of_the_ledger() -> None:
    found = {(reading.name, *reading.labels): reading.value for reading in readings(COUNTS, 160.0)}
    assert found["wharf_files", "failed"] == found["wharf_dead_letters",] == found["wharf_runs", "dead"] == 3
    assert (found["wharf_backlog",], found["wharf_arrived_bytes_total",], found["wharf_unrouted_files",]) == (
        7,
        1000,
        1,
    )
    assert (found["wharf_held_files",], found["wharf_incomplete_files",]) == (4, 6)
    assert found["wharf_oldest_waiting_seconds",] == 60.0


def test_nobody_in_line_has_waited_for_no_time() -> None:
    none = Counts(COUNTS.files, 0, COUNTS.runs, COUNTS.children, 0, 0, None, None)
    assert {r.value for r in readings(none, 160.0) if r.name == "wharf_oldest_waiting_seconds"} == {0.0}


def test_child_runs_are_work_as_well() -> None:
    children = {**COUNTS.children, State.READY: 7, State.LEASED: 2, State.WAITING: 4}
    before, found = (
        next(each.value for each in readings(counts, 0.0) if each.name == "wharf_backlog")
        for counts in (COUNTS, replace(COUNTS, children=children))
    )
    assert found - before == 9
