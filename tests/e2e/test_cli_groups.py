"""Files that are worked on one after another, as an operator sees them."""

from __future__ import annotations

import pytest

from rig.command import CONFIG, Wharf
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import Failure, Outcome, State, Status

ORDER = "order:\n  - {key: 'inbound/**'}\n"


@pytest.fixture
def wharf(wharf: Wharf) -> Wharf:
    wharf.write("wharf.yaml", CONFIG + ORDER)
    return wharf


def put(wharf: Wharf, *names: str) -> list[str]:
    for name in names:
        wharf.write(name, "a,b\n1,2\n")
    return [row["file_id"] for row in wharf("put", *names, "--customer", "acme", "--json").json]


def fail_next(wharf: Wharf) -> str:
    database = SqliteDatabase(wharf.place / "data" / "ledger.db")
    [run] = database.ledger.claim("worker-1", 100, 30.0)
    failure = Failure("HOST_DOWN", "the host is down", "deliver")
    outcome = Outcome(run.id, run.token, State.DEAD, Status.FAILED, "tables", "ab" * 32, failure)
    assert database.ledger.settle([outcome]) == [True]
    database.close()
    return run.id


def test_a_file_tells_whom_it_waits_for(wharf: Wharf) -> None:
    first, second = put(wharf, "1.csv", "2.csv")
    found = wharf("file", second, "--json").json
    assert (found["state"], found["group"], found["behind"]) == ("behind", "acme/inbound", first)
    assert found["waits"] == f"its turn in the group acme/inbound: {first} is before it"
    assert f"next: wharf file {first}" in wharf("file", second).err
    assert wharf("status", "--json").json["behind"] == 1
    assert "1 file behind others" in wharf("status").out
    assert [row["file_id"] for row in wharf("runs", "--state", "behind", "--json").json] == [second]


def test_whoever_holds_up_a_group_is_told_with_what_helps(wharf: Wharf) -> None:
    first, second, third = put(wharf, "1.csv", "2.csv", "3.csv")
    assert fail_next(wharf) == first
    fix = f"wharf replay {first}"
    assert f"acme/inbound/1.csv is failed and holds up its group acme/inbound: {fix}" in wharf("status").err
    [finding] = [each for each in wharf("doctor", "--json").json["findings"] if each["part"] == "groups"]
    assert (finding["verdict"], fix in finding["fix"]) == ("warn", True)
    assert wharf("cancel", first).code == 0
    assert [wharf("file", each, "--json").json["state"] for each in (second, third)] == ["ready", "behind"]
    assert wharf("status", "--json").json["holders"] == []


def test_a_rebuilt_ledger_has_the_same_groups_in_the_same_order(wharf: Wharf) -> None:
    files = put(wharf, *(f"{n}.csv" for n in range(5)))
    assert wharf("ledger", "rebuild", "--force", "--yes").code == 0
    for n in range(5):
        assert [wharf("file", each, "--json").json["state"] for each in files[n:]] == ["ready"] + ["behind"] * (4 - n)
        assert wharf("cancel", files[n]).code == 0


def test_a_mistake_in_an_order_is_told(wharf: Wharf) -> None:
    wharf.write("wharf.yaml", CONFIG + "order:\n  - {by: '{dir}', after_failure: stop}\n")
    said = wharf("check")
    assert said.code != 0
    assert "order[0].by: no variable 'dir' here" in said.err
    assert "order[0].after_failure: expected 'hold' or 'go_on', found the text 'stop'" in said.err
