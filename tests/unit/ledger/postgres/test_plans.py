"""Each statement has one plan, by index, whatever the planner thinks of the tables: here it has seen them empty."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import pytest

from rig import postgres as server
from wharfinger.ledger import Filter, account, child, postgres, record, row, tree
from wharfinger.ledger.group import IS_HOLDER
from wharfinger.ledger.postgres import (
    PostgresDatabase,
    accounts,
    arrive,
    audit,
    catalog,
    connection,
    figure,
    gate,
    group,
    history,
    lease,
    namespace,
    purge,
    queue,
    rank,
    recover,
    run,
    settle,
)
from wharfinger.ledger.postgres import aside as tables
from wharfinger.ledger.postgres import child as calling
from wharfinger.ledger.postgres import tree as trees
from wharfinger.ledger.postgres.connection import Connections
from wharfinger.model import State, Status

SMALL = {"figure", "turn", "revision", "gate", "audit_key", "migration", "life"}
"""A few hundred rows at most."""

WHOLE: Mapping[str, str] = {f"SELECT {account.COLUMNS} FROM account ORDER BY name": "somebody wants to see every user"}
"""Statements that may read a table from end to end, and why."""

SQL = re.compile(r"[\s(]*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
TABLE = re.compile(rf"\b(FROM|INTO|JOIN|UPDATE|USING)\s+({'|'.join(tables.TABLES)})\b")
CAST = re.compile(r"%s(?:::(\w+)\[\])?")
EACH: Mapping[str, Any] = {"text": "R", "bigint": 1, "integer": 1, "boolean": True, "bytea": b"R"}

HOW = {"owner": "o", "now": 1, "deadline": 2, "size": 3, "lane": 0, "limit": 4}
BELOW = {"top": "a", "to": "b"}


def _numbered(asked: tuple[str, list[Any]]) -> tuple[str, tuple[Any, ...]]:
    return asked[0].replace("?", "%s"), tuple(asked[1])


def _of_postgres(sql: str) -> str:
    """What both ledgers share, as it is sent to this one."""
    return sql.replace("IN (?)", "= ANY(%s::text[])").replace("?", "%s")


def _of_lists(sql: str) -> tuple[str, tuple[Any, ...]]:
    """A statement all of whose values are lists of one."""
    return sql, tuple([EACH[kind]] for kind in CAST.findall(sql))


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
    "too many below": (namespace._TOO_MANY_BELOW, BELOW),
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
    "checkpoints": (f"{audit._CHECKPOINTS} WHERE n > %s ORDER BY n LIMIT %s", (1, 10)),
    "waits since": (audit.WAITS_SINCE, ()),
    "cover": _of_lists(audit._COVER),
    "checkpoints of a file": ("SELECT checkpoint FROM audit_leaf WHERE file_id = %s ORDER BY n", ("F",)),
    "make a checkpoint": ("INSERT INTO audit_checkpoint(n, at, signed) VALUES (%s, %s, %s)", (1, 1, "")),
    "publish keys": _of_lists("INSERT INTO audit_key(document) SELECT * FROM unnest(%s::text[])"),
    "keys": ("SELECT document FROM audit_key ORDER BY n", ()),
    "settle": _of_lists(settle._SETTLE),
    "extend": (lease._EXTEND, (1, ["R"])),
    "keep checkpoints": _of_lists(lease._KEEP),
    "release": _of_lists(lease._RELEASE),
    "pause": (gate._SET, ("p", True, 1, "o")),
    "paused": (gate._PAUSED, ()),
    "gates": (gate._GATES, ()),
    "resumed": (gate._RESUMED, ()),
    "wake": _of_lists(gate._WAKE),
    "new children": _of_lists(calling._NEW),
    "children again": _of_lists(calling._AGAIN),
    "calls of children": _of_lists(calling._CALLS),
    "adopt": (calling._ADOPT, ("C", ["R"])),
    "new files": _of_lists(arrive._FILE),
    "new runs": _of_lists(arrive._RUN),
    "doubt": _of_lists(arrive._DOUBT),
    "errors of the past": ("UPDATE run SET error = %s WHERE id = %s", ("", "R")),
    "shares": _of_lists(rank._ENTER),
    "sums": _of_lists(figure._ADD),
    "serve": (figure._SERVE, (1,)),
    "all sums": ("SELECT name, sum(value)::bigint FROM figure WHERE name <> 'turn' GROUP BY name", ()),
    "own a history": _of_lists(history._OWN),
    "arrival": (f"SELECT file_id, {row.ARRIVAL} FROM file WHERE file_id = %s", ("F",)),
    "file by its id's beginning": (
        f"{record.COLUMNS} {catalog._BY_TIME} WHERE f.file_id BETWEEN %s AND %s LIMIT 2",
        ("F", "G"),
    ),
    "document": ("SELECT document FROM revision WHERE revision = %s AND document IS NOT NULL LIMIT 1", ("r",)),
    "order a purge": (purge._ORDER, (1, "o", "", ["F"])),
    "intern": _of_lists(queue._INTERN),
    "register": (queue._REGISTER, ("r", "p", "")),
    "revisions": ("SELECT revision, pipeline, n FROM revision", ()),
    "add directories": _of_lists(trees._ADD),
    "place files": _of_lists(trees._ARRIVE),
    "kind of a name": (namespace._KIND, ("a", "b")),
    "make a directory": (namespace._MAKE, ("a", "b", None, 1)),
    "keep a partial": (namespace._KEEP_PARTIAL, ("a", "b", None, "s", "u", 1, 1)),
    "give up a partial": (namespace._UNCOVER, ("a", "b")),
    "touch": ("UPDATE name SET mtime = %s WHERE parent = %s AND name = %s RETURNING name", (1, "a", "b")),
    "rename": (
        "UPDATE name SET parent = %s, name = %s, shown = %s WHERE parent = %s AND name = %s",
        ("a", "c", None, "a", "b"),
    ),
    "remove": ("DELETE FROM name WHERE parent = %s AND name = %s", ("a", "b")),
    "has children": ("SELECT 1 FROM name WHERE parent = %s LIMIT 1", ("a",)),
    "partials": (f"{tree.ENTRY} WHERE n.staged IS NOT NULL AND n.written < %s ORDER BY n.written", (1,)),
    "user": (f"{accounts._FIND} FOR UPDATE", ("u",)),
    "add a user": (f"{accounts._ADD} NOTHING RETURNING name", ("u", "c", "h", "", "", False)),
    "keep a user": (accounts._KEEP, ("u", "c", "h", "", "", False)),
    "forget a user": ("DELETE FROM account WHERE name = %s RETURNING name", ("u",)),
    "life": (connection._NUMBER, ()),
    "commit's end": (connection._STATUS, ("L", "1")),
    "migrate": ("INSERT INTO migration(version) VALUES (%s)", (1,)),
    "version": ("SELECT coalesce(max(version), 0) FROM migration", ()),
}


def plan(connections: Connections, sql: str, values: object) -> str:
    return "\n".join(
        line for (line,) in connections.read(lambda db: db.execute(f"EXPLAIN {sql}", values, prepare=False).fetchall())
    )  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connections]:
    """One for all: nothing is written to it."""
    url = server.schema(tmp_path_factory.mktemp("ledger"))
    PostgresDatabase(url).close()
    opened = Connections(url, 5.0)
    yield opened
    opened.close()


def scanned(lines: str) -> set[str]:
    return {line.partition("Seq Scan on ")[2].split()[0] for line in lines.splitlines() if "Seq Scan" in line}


def written(module: ModuleType) -> Iterator[str]:
    """The texts of a module, those within its functions too, and its constants; but none that a function makes of what it is given."""
    yield from (text for text in vars(module).values() if isinstance(text, str))
    parts: set[ast.AST] = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.JoinedStr):
            parts |= {*node.values}
        if isinstance(node, ast.Constant | ast.JoinedStr) and node not in parts:
            try:
                yield str(eval(compile(ast.Expression(node), "", "eval"), vars(module)))
            except NameError:
                continue


def test_every_statement_is_explained_here() -> None:
    names = [f"{postgres.__name__}.{each.name}" for each in pkgutil.iter_modules(postgres.__path__)]
    texts = {text for name in names for text in written(importlib.import_module(name)) if SQL.match(text)}
    statements = {_of_postgres(text).strip() for text in texts if TABLE.search(text)}
    explained = [*(sql for sql, _ in STATEMENTS.values()), *WHOLE]
    assert [each for each in sorted(statements) if not any(each in sql for sql in explained)] == []


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


def test_the_oldest_that_waits_is_the_first_row_of_an_index(ledger: Connections) -> None:
    lines = plan(ledger, *STATEMENTS["oldest"])
    assert ("run_queued" in lines, "run_due" in lines, "Limit" in lines) == (True, True, True), lines
    assert "Filter" not in lines, lines
    assert "Sort" not in lines, lines
