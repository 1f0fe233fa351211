from __future__ import annotations

from typing import Any

from rig.records import NOW
from wharfinger.cli.timeline import timeline
from wharfinger.cli.words import stamp
from wharfinger.model import Event


def event(n: int, at: float, kind: str, **data: Any) -> Event:
    return Event("01KJMQ6Z6R0123456789ABCDEF", n, at, kind, data, "")


def test_a_history_tells_each_step_with_its_time_between_claim_and_end() -> None:
    told = list(
        timeline(
            [
                event(1, NOW, "arrived", source="sftp", user="bob"),
                event(
                    2,
                    NOW + 0.5,
                    "transferred",
                    claimed=NOW + 0.25,
                    owner="worker-1",
                    pipeline="claims",
                    steps=[{"name": "unzip", "uses": "decompress@1", "seconds": 0.2, "outcome": "ok"}],
                    delivered=[{"destination": "out", "key": "a.csv"}],
                ),
            ],
            stamp,
        )
    )
    assert [line.event.strip() for line in told] == ["arrived", "claimed", "unzip", "transferred"]
    assert [line.took for line in told] == ["", "+250 ms", "200 ms", "+250 ms"]
    assert told[0].text == ("by sftp, user bob",)
    assert told[1].text == ("by worker-1",)
    assert told[3].text == ("pipeline claims", "delivered to out: a.csv")


def test_a_failure_tells_its_code_its_step_and_the_next_try() -> None:
    error = {"code": "TRANSIENT", "message": "host is down", "step": "deliver"}
    (line,) = timeline([event(1, NOW, "retry", error=error, due=NOW + 5)], stamp)
    assert line.text[0] == "TRANSIENT in deliver: host is down"
    assert line.text[1] == f"next try at {stamp(NOW + 5)}"


def test_an_event_of_an_unknown_kind_is_shown_by_its_name() -> None:
    (line,) = timeline([event(1, NOW, "teleported", strange={"deep": 1})], stamp)
    assert (line.event, line.text) == ("teleported", ())


def test_what_happened_to_a_child_says_whose_it_is() -> None:
    whose = {"run": "01KJMQ", "child": "rows", "member": "2026/a.csv"}
    told = [*timeline([event(1, NOW, "child.transferred", claimed=NOW, owner="w", pipeline="rows", **whose)], stamp)]
    assert [line.event for line in told] == ["child.claimed", "child.transferred"]
    assert [line.text for line in told] == [
        ("by w", "rows of 2026/a.csv, run 01KJMQ"),
        ("rows of 2026/a.csv, run 01KJMQ",),
    ]


def test_a_claim_is_told_before_what_happened_under_it() -> None:
    spawned = event(2, NOW + 2, "spawned", step="each", children=["A", "B"])
    waiting = event(3, NOW + 3, "waiting", claimed=NOW + 1, owner="w")
    told = [*timeline([event(1, NOW, "arrived"), spawned, waiting], stamp)]
    assert [(line.event, line.took) for line in told] == [
        ("arrived", ""),
        ("claimed", "+1 s"),
        ("spawned", "+1 s"),
        ("waiting", "+1 s"),
    ]


def test_children_that_were_made_are_counted() -> None:
    (line,) = timeline([event(1, NOW, "spawned", step="each", children=["A", "B"])], stamp)
    assert line.text == ("2 child runs by each",)
