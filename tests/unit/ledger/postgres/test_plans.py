"""Each statement has one plan, by index, whatever the planner thinks of the tables: here it has seen them empty."""

from __future__ import annotations

import re
from typing import Any

import pytest

from wharfinger.ledger import Filter, child, record, tree
from wharfinger.ledger.group import IS_HOLDER
from wharfinger.ledger.postgres import (
    PostgresDatabase,
    arrive,
    audit,
    catalog,
    group,
    history,
    lease,
    namespace,
    purge,
    rank,
    recover,
    run,
)
from wharfinger.ledger.postgres import child as calling
from wharfinger.ledger.postgres.connection import Connections
from wharfinger.model import State, Status

SMALL = {"figure", "turn", "revision"}
"""A few hundred rows at most."""

HOW = {"owner": "o", "now": 1, "deadline": 2, "size": 3, "lane": 0, "limit": 4}
BELOW = {"top": "a", "to": "b"}


def _numbered(asked: tuple[str, list[Any]]) -> tuple[str, tuple[Any, ...]]:
    return asked[0].replace("?", "%s"), tuple(asked[1])


STATEMENTS = {
    "heads": (lease._HEADS, HOW),
    "lease": (lease._LEASE, HOW),
    "promote": (lease._PROMOTE, (1,)),
    "find": (run._FIND + run.NAMED, (["R"],)),
    "expired": (run._FIND + recover._EXPIRED, (1,)),
    "owned": (run._FIND + recover._OWNED, ("o",)),
    "kin": (run._FIND + run.KIN, (["R"], ["R"])),
    "children of": (child.CHILDREN.replace("?", "%s"), ("R", "", 10)),
    "child": (child.ONE.replace("?", "%s"), ("R", "S")),
    "child runs": _numbered(child.unsettled(Filter(status=Status.FAILED), State.DEAD, 10, "R", name="", error="")),
    "family": (child.COUNTS.replace("?", "%s"), ("R", "C")),
    "dead children": (child.TROUBLED.replace("?", "%s"), ("R", "C")),
    "clash": (calling.CLASH.replace("?", "%s"), ("R", "C")),
    "outputs": (child.OUTPUTS.replace("?", "%s"), ("R", "C")),
    "fewer": (calling._FEWER, (["R"], [0], [None], [None])),
    "more": (calling._MORE, (["R"], [1])),
    "files of calls": (calling._FILES, (["R"],)),
    "take back": (recover._TAKE_BACK, (["R"], ["ready"], ["queued"], [0], [None])),
    "replay": (recover._REPLAY, (["R"], [None], ["ready"], ["queued"], [0])),
    "cancel": (recover._CANCEL, (["R"], [None], ["cancelled"], ["failed"], [None])),
    "groups taken": (group._TAKEN, (["G"],)),
    "ghosts of groups": (group._GHOSTS, (1, ["G"])),
    "groups of runs": (group._LOCK, (["R"],)),
    "next of groups": (group._NEXT, (["G"],)),
    "next is ready": (group._ADVANCE, (["R"], [None])),
    "record": (f"{record.COLUMNS} {catalog._BY_TIME} WHERE f.file_id = %s", ("F",)),
    "holders": (f"{record.COLUMNS} {catalog._BY_RUN} WHERE {IS_HOLDER} ORDER BY r.grp, r.turn LIMIT %s", (20,)),
    "obsolete": (recover._OBSOLETE, ("R",)),
    "drop": (recover._DROP, (["R"], [1])),
    "forsaken": (recover._FORSAKEN, ()),
    "kept": (purge._KEPT, (["F"],)),
    "give up": (purge._GIVE_UP, (1, ["F"])),
    "given up": (purge._GIVEN_UP, (["F"],)),
    "dismiss": (purge._DISMISS, (["R"], ["cancelled"])),
    "uncover": (purge._UNCOVER, (["a"], ["b"], ["F"])),
    "hide": (purge._HIDE, (["a"], ["b"], ["F"])),
    "orders to purge": (purge._ORDERED, ("F",)),
    "confirm a purge": (purge._CONFIRM, (["F"],)),
    "known": (arrive._KNOWN, (["R"],)),
    "cost": (rank._COST, (["R"],)),
    "rank": (rank._GIVE, (["R"], [1])),
    "last events": (history._HEADS, (["R"],)),
    "history": (history._READ, ("R",)),
    "look": (namespace._LOOK, (["a"], ["b"])),
    "children": (f"{tree.ENTRY} WHERE n.parent = %s AND n.name > %s ORDER BY n.name LIMIT %s", ("a", "", 10)),
    "below": (namespace._FILES_BELOW, BELOW),
    "move below": (namespace._MOVE_BELOW, BELOW),
    "newest": (record.NEWEST, ()),
    "oldest": (record.OLDEST, ()),
    "tell": (history._INTO, (["F"], [1], [1], ["arrived"], [None], [None], [b""])),
    "uncovered heads": (audit._HEADS, (10,)),
    "waiting": (audit._WAITING, (10,)),
    "covered": (audit._COVERED, (["F"], [1])),
    "leaves": (audit._LEAVES, (1,)),
    "coverage": (audit._COVERAGE, (["F"],)),
    "last checkpoint": (f"{audit._CHECKPOINTS} ORDER BY n DESC LIMIT 1", ()),
}


def plan(connections: Connections, sql: str, values: object) -> str:
    return "\n".join(
        line for (line,) in connections.read(lambda db: db.execute(f"EXPLAIN {sql}", values, prepare=False).fetchall())
    )  # type: ignore[arg-type]


@pytest.fixture
def ledger(connections: Connections, url: str) -> Connections:
    PostgresDatabase(url).close()
    return connections


def scanned(lines: str) -> set[str]:
    return {line.partition("Seq Scan on ")[2].split()[0] for line in lines.splitlines() if "Seq Scan" in line}


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_reads_a_table_from_end_to_end(ledger: Connections, name: str) -> None:
    lines = plan(ledger, *STATEMENTS[name])
    assert scanned(lines) <= SMALL, lines


def test_a_claim_reads_the_queue_in_its_order(ledger: Connections) -> None:
    lines = plan(ledger, *STATEMENTS["lease"])
    head = lines[lines.index("CTE head") : lines.index("CTE leased")]
    assert "run_ready" in head
    assert "Sort" not in head


@pytest.mark.parametrize(
    ("name", "indexes"),
    [
        ("groups taken", ["run_active", "run_kin", "run_holds"]),
        ("ghosts of groups", ["run_due"]),
        ("next of groups", ["run_behind", "run_active", "run_kin", "run_holds"]),
        ("record", ["run_active", "run_kin", "run_holds"]),
        ("holders", ["run_holds", "run_behind"]),
    ],
)
def test_whoever_stands_behind_is_found_by_an_index_and_passed_over_by_all_others(
    ledger: Connections, name: str, indexes: list[str]
) -> None:
    lines = plan(ledger, *STATEMENTS[name])
    assert [index for index in indexes if f"using {index} on run" not in lines] == [], lines


@pytest.mark.parametrize("after", ["", "01JXT21Q00DF7R2M55TRJ6Y734"])
@pytest.mark.parametrize("more", [{}, {"customer": "acme"}, {"since": 1.0, "until": 2.0}])
def test_a_page_of_child_runs_is_read_in_the_order_of_its_index(
    ledger: Connections, more: dict[str, Any], after: str
) -> None:
    filter = Filter(status=Status.FAILED, **more)
    lines = plan(ledger, *_numbered(child.unsettled(filter, State.DEAD, 10, after, name="", error="")))
    assert "using run_unsettled on run" in lines
    assert "Sort" not in lines
    if after:
        assert re.search(r"Index Cond: .*ROW\(at, .*file.*, .*id.*\) < ROW", lines), lines


@pytest.mark.parametrize("after", ["", "01JXT21Q00DF7R2M55TRJ6Y734"])
@pytest.mark.parametrize(
    ("filter", "index"),
    [
        (Filter(), "file_at"),
        (Filter(since=1.0, until=2.0), "file_at"),
        (Filter(name="*.csv"), "file_at"),
        (Filter(pipeline="inner", revision="abc"), "file_at"),
        (Filter(customer="acme"), "file_customer"),
        (Filter(customer="acme", since=1.0, until=2.0), "file_customer"),
        (Filter(customer="acme", status=Status.TRANSFERRED), "file_customer"),
        (Filter(status=Status.FAILED), "run_status"),
        (Filter(status=Status.QUEUED, customer="acme"), "run_status"),
        (Filter(status=Status.PROCESSING, since=1.0, until=2.0), "run_status"),
        (Filter(until=2.0, is_kept=True), "file_kept"),
    ],
)
def test_a_page_is_led_by_an_index(ledger: Connections, filter: Filter, index: str, after: str) -> None:
    lines = plan(ledger, *catalog.query(filter, 100, after))
    assert index in lines
    assert ("run_called" in lines) == bool(filter.pipeline), lines
    assert scanned(lines) <= SMALL, lines
    assert "  Sort" not in lines.partition("SubPlan")[0], lines
