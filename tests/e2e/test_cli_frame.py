from __future__ import annotations

import os
import re
import signal
import subprocess

import pytest

from rig.command import Wharf, command, environment

VERBS = [
    "init",
    "check",
    "serve",
    "worker",
    "doctor",
    "put",
    "status",
    "files",
    "file",
    "replay",
    "route",
    "users",
    "steps",
    "store",
    "ledger",
]


def test_help_names_every_verb_with_a_sentence(empty: Wharf) -> None:
    said = empty("--help")
    assert said.code == 0
    assert [verb for verb in VERBS if not re.search(rf"^  {verb} +\S", said.out, re.MULTILINE)] == []


@pytest.mark.parametrize("words", [("--help",), *((verb, "--help") for verb in VERBS)])
def test_help_needs_no_configuration(empty: Wharf, words: tuple[str, ...]) -> None:
    assert empty(*words).code == 0


@pytest.mark.parametrize("words", [(), ("users",), ("steps",), ("store",), ("ledger",), ("route",)])
def test_a_bare_command_shows_its_help_as_it_is(empty: Wharf, words: tuple[str, ...]) -> None:
    said = empty(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err == empty(*words, "--help").out


def test_the_version_is_told(empty: Wharf) -> None:
    assert re.fullmatch(r"wharf \d+\.\d+\.\d+\S*\n", empty("--version").out)


def test_an_unknown_verb_is_answered_with_the_nearest(empty: Wharf) -> None:
    assert "did you mean 'status'?" in empty.refused("statsu", code="USAGE", exit=2)
    assert "did you mean 'list'?" in empty.refused("users", "lst", code="USAGE", exit=2)


def test_an_unknown_option_is_a_usage_error_with_the_help_to_read(empty: Wharf) -> None:
    assert "fix: wharf files --help" in empty.refused("files", "--colour", code="USAGE", exit=2)


def test_json_and_config_may_stand_before_or_after_the_verb(wharf: Wharf) -> None:
    path = str(wharf.place / "wharf.yaml")
    assert wharf("--json", "--config", path, "files").json == []
    assert wharf("files", "--json", "--config", path).json == []


def test_the_configuration_is_found_by_the_environment(wharf: Wharf) -> None:
    (wharf.place / "wharf.yaml").rename(wharf.place / "other.yaml")
    assert wharf("check", env={"WHARF_CONFIG": "other.yaml"}).code == 0


def test_in_a_pipe_a_list_is_tab_separated_whole_and_uncoloured(wharf: Wharf) -> None:
    wharf("put", str(wharf.write("a\tb.csv", "a,b\n1,2\n").name), "--customer", "acme", "--to", "inbound/a b.csv")
    said = wharf("files")
    (row,) = said.rows
    assert len(row["file_id"]) == 26
    assert (row["size"], row["key"]) == ("8", "acme/inbound/a b.csv")
    assert "\x1b" not in said.out


def test_at_a_terminal_a_list_is_a_table_with_colours_unless_they_are_unwanted(wharf: Wharf) -> None:
    wharf("put", wharf.write("a.csv", "a,b\n1,2\n").name, "--customer", "acme")
    assert "\x1b[" in wharf.at_terminal("files").out
    plain = wharf.at_terminal("files", env={"NO_COLOR": "1"}).out
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", plain)
    assert "8 B" in plain


def test_a_table_fits_the_terminal(wharf: Wharf) -> None:
    wharf("put", wharf.write("a.csv", "a,b\n1,2\n").name, "--customer", "acme", "--to", f"inbound/{'long-' * 20}.csv")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", wharf.at_terminal("files", width=90).out)
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 90


@pytest.mark.parametrize("verb", ["store cat {id}", "files", "files --json"])
def test_a_closed_pipe_ends_quietly(wharf: Wharf, verb: str) -> None:
    wharf.write("a.csv", "a,b\n1,2\n")
    (row,) = wharf("put", "a.csv", "--customer", "acme", "--json").json
    line = f"{' '.join(command(*verb.format(id=row['file_id']).split()))} | exec <&-; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=wharf.place, env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (141, "")


def test_an_interrupt_ends_with_a_word_and_no_traceback(wharf: Wharf) -> None:
    os.mkfifo(wharf.place / "slow")
    process = wharf.start("put", "slow", "--customer", "acme")
    with open(wharf.place / "slow", "wb"):  # opens when the command reads
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.strip() == "stopped"


def test_an_interrupt_while_the_command_loads_ends_with_a_word_too(wharf: Wharf) -> None:
    wharf.write("site/click.py", "raise KeyboardInterrupt\n")
    path = os.pathsep.join([str(wharf.place / "site"), os.environ.get("PYTHONPATH", "")])
    said = wharf("status", env={"PYTHONPATH": path})
    assert (said.code, said.err) == (130, "stopped\n")


def test_a_fault_of_ours_is_one_line_and_shows_its_place_on_request(wharf: Wharf) -> None:
    wharf.write(
        "site/sitecustomize.py",
        "import shutil\ndef broken(_): raise ZeroDivisionError('oh')\nshutil.disk_usage = broken\n",
    )
    env = {"PYTHONPATH": str(wharf.place / "site")}
    said = wharf.refused("status", code="INTERNAL", exit=1, env=env)
    assert "ZeroDivisionError: oh" in said
    assert "WHARF_DEBUG=1" in said
    shown = subprocess.run(
        command("status"),
        cwd=wharf.place,
        env=environment({**env, "WHARF_DEBUG": "1"}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" in shown.stderr


@pytest.mark.parametrize("verb", ["status", "files", "users list"])
def test_looking_loads_no_server(wharf: Wharf, verb: str) -> None:
    code = "import sys; from wharfinger.cli.frame import run; run(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [command()[0], "-c", code, *verb.split()],
        cwd=wharf.place,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stderr.split())
    assert (
        loaded
        & {
            "asyncio",
            "pydantic",
            "asyncssh",
            "cryptography",
            "uvloop",
            "argon2",
            "rich",
            "wharfinger.ingest.sftp",
            "wharfinger.engine.worker",
        }
        == set()
    )


def test_completion_offers_the_verbs(empty: Wharf) -> None:
    env = {"_WHARF_COMPLETE": "bash_complete", "COMP_WORDS": "wharf sta", "COMP_CWORD": "1"}
    assert "plain,status" in empty(env=env).out
