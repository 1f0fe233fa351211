"""Sources as a person sets them up, watches and reconciles them."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from rig.command import CONFIG, Wharf
from rig.waiting import wait_until

SOURCES = """\
sources:
  scans: {directory: ./drop, customer: acme, complete: rename, original: delete, scan_s: 0.5}
  letters: {directory: ./letters, customer: globex, complete: stable, stable_s: 0.5}
"""


@pytest.fixture
def sourced(wharf: Wharf) -> Wharf:
    wharf.write("wharf.yaml", CONFIG + SOURCES)
    for name in ("drop", "letters"):
        (wharf.place / name).mkdir()
    return wharf


def test_files_that_are_dropped_while_it_serves_are_delivered(sourced: Wharf) -> None:
    sourced.write("drop/before.csv", "a,b\n1,2\n")
    process = sourced.start("serve", "--json")
    try:
        assert process.stdout
        assert json.loads(process.stdout.readline())["sources"] == ["scans", "letters"]
        sourced.write("drop/sub/after.csv.tmp", "a,b\n3,4\n")
        os.rename(sourced.place / "drop/sub/after.csv.tmp", sourced.place / "drop/sub/after.csv")
        sourced.write("letters/letter", "dear")
        delivered = [sourced.place / "out/acme/inbound" / name for name in ("before.csv", "sub/after.csv")]
        wait_until("two are delivered", lambda: all(path.exists() for path in delivered))
        wait_until("all three are done", lambda: len(sourced("files", "--status", "transferred", "--json").json) == 3)
        wait_until("the originals are gone", lambda: not list((sourced.place / "drop").rglob("*.csv")))
        status = wait_until("it is told", lambda: settled(sourced))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "stopped\n")
    assert status["unaccounted"] == 0
    assert {each["source"]: each["listed"] for each in status["sources"]} == {"letters": 1, "scans": 0}
    assert (sourced.place / "letters/letter").exists()


def test_a_name_that_is_no_text_is_told_and_holds_up_no_other(sourced: Wharf) -> None:
    odd = os.fsencode(sourced.place) + b"/drop/caf\xe9.csv"
    with open(odd, "wb") as file:
        file.write(b"a,b\n1,2\n")
    process = sourced.start("serve", "--json")
    try:
        wait_until("it is told", lambda: "scans" in unaccounted(sourced))
        sourced.write("drop/after.csv", "a,b\n3,4\n")
        wait_until("the next is delivered", (sourced.place / "out/acme/inbound/after.csv").exists)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert "NAME_UNSAFE: 'caf\\udce9.csv' is not valid Unicode" in err
    assert "could not be passed on" not in err
    said = sourced("reconcile", "scans", "--json")
    assert (said.code, said.json["unaccounted"]) == (5, 1)
    assert os.path.exists(odd)


def unaccounted(wharf: Wharf) -> list[str]:
    return [each["source"] for each in wharf("status", "--json").json["sources"] if each["unaccounted"]]


def settled(wharf: Wharf) -> Any:
    status = wharf("status", "--json").json
    listed = {each["source"]: (each["listed"], each["in_custody"]) for each in status["sources"]}
    return listed == {"letters": (1, 1), "scans": (0, 0)} and status


def test_reconcile_takes_what_lies_there(sourced: Wharf) -> None:
    sourced.write("drop/a.csv", "a,b\n1,2\n")
    sourced.write("letters/letter", "dear")
    said = sourced("reconcile", "--wait", "20", "--json")
    assert said.code == 0, said
    assert said.json["unaccounted"] == 0
    assert {each["source"]: each["landed"] for each in said.json["sources"]} == {"scans": 1, "letters": 1}
    assert len(sourced("files", "--json").json) == 2
    assert sourced("reconcile", "scans", "--json").json["sources"][0]["listed"] == 0


def test_a_dry_run_only_tells(sourced: Wharf) -> None:
    path = sourced.write("drop/a.csv", "a,b\n1,2\n")
    os.utime(path)
    wait_until("it is whole", lambda: sourced("reconcile", "--dry-run", "--json").json["unaccounted"] == 1)
    assert sourced("files", "--json").json == []
    assert path.exists()


def test_what_is_unaccounted_for_is_told_with_a_fix_and_an_exit_status(sourced: Wharf) -> None:
    (sourced.place / "drop/link").symlink_to("/etc/passwd")
    said = sourced("reconcile", "scans")
    assert said.code == 5
    assert "error: NAME_UNSAFE: 'link' is a symbolic link, which is not followed" in said.err
    assert "fix: " in said.err
    assert said.rows[0]["unaccounted"] == "1"
    assert "1 file unaccounted for" in said.err


def test_a_folder_that_is_not_there_is_an_error_with_a_fix(sourced: Wharf) -> None:
    (sourced.place / "drop").rmdir()
    said = sourced.refused("reconcile", "scans", code="SOURCE_FAILED", exit=1)
    assert f"fix: mkdir -p {sourced.place}/drop" in said
    findings = {each["part"]: each for each in sourced("doctor", "--json").json["findings"]}
    assert findings["source scans"]["verdict"] == "fail"
    assert findings["source letters"]["verdict"] == "ok"


def test_a_source_that_is_not_there_is_refused(sourced: Wharf) -> None:
    assert "scans, letters" in sourced.refused("reconcile", "nothing", code="USAGE", exit=2)


def test_without_sources_there_is_nothing_to_reconcile(wharf: Wharf) -> None:
    wharf.refused("reconcile", code="USAGE", exit=2)
    assert wharf("status", "--json").json["unaccounted"] == 0


def test_a_source_of_an_unknown_customer_is_a_mistake(wharf: Wharf) -> None:
    wharf.write("wharf.yaml", CONFIG + "sources: {scans: {directory: drop, customer: acne}}\n")
    said = wharf.refused("check", code="CONFIG_INVALID", exit=1)
    assert "sources.scans.customer: no customer 'acne'; did you mean 'acme'?" in said
