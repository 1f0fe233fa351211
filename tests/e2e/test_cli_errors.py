"""Bad input gets what, why and the next command. `Wharf` fails wherever a traceback shows."""

from __future__ import annotations

import re
import socket

import asyncssh
import pytest

from rig.command import CONFIG, Wharf


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (("customers: {acme: {}, globex: {}}", "customres: {acme: {}}"), "customers"),
        (("port: 0", "port: 99999"), "listeners.sftp.port"),
        (("port: 0", "port: '2222'"), "listeners.sftp.port"),
        (("uses: deliver, with: {to: out}", "uses: delivr, with: {to: out}"), "deliver"),
        (("uses: deliver, with: {to: out}", "uses: deliver, with: {to: owt}"), "out"),
        (("uses: deliver, with: {to: out}", "uses: deliver, with: {too: out}"), "pipelines.tables.steps"),
        (("min_free: 1048576", "min_free: 1048576\nmin_free: 2"), "min_free"),
        (("data: ./data", "data: [unclosed"), "wharf.yaml:"),
    ],
)
def test_every_mistake_in_the_configuration_is_told_with_its_place(
    wharf: Wharf, mistake: tuple[str, str], told: str
) -> None:
    assert mistake[0] in CONFIG
    wharf.write("wharf.yaml", CONFIG.replace(*mistake, 1))
    said = wharf.refused("check", code="CONFIG_INVALID", exit=1)
    assert re.search(r"wharf\.yaml:\d+:\d+: ", said)
    assert told in said
    assert "fix: " in said


def test_serve_does_not_start_on_a_mistake(wharf: Wharf) -> None:
    wharf.write("wharf.yaml", CONFIG.replace("uses: deliver", "uses: delivr"))
    wharf.refused("serve", code="CONFIG_INVALID", exit=1)


@pytest.mark.parametrize("passphrase", [None, "", "locked"], ids=["missing", "no key", "passphrase"])
def test_serve_does_not_start_with_a_host_key_that_it_cannot_use(wharf: Wharf, passphrase: str | None) -> None:
    wharf.write("wharf.yaml", CONFIG.replace("port: 0", "port: 0, host_keys: ./mine"))
    if passphrase:
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(wharf.place / "mine", passphrase=passphrase)
    elif passphrase is not None:
        wharf.write("mine", "no key")
    said = wharf.refused("serve", code="CONFIG_INVALID", exit=1)
    assert "listeners.sftp.host_keys" in said
    assert str(wharf.place / "mine") in said


def test_a_mistake_in_a_pipeline_hides_no_file(wharf: Wharf) -> None:
    wharf.write("a.csv", "a,b\n1,2\n")
    wharf("put", "a.csv", "--customer", "acme")
    wharf.write("wharf.yaml", CONFIG.replace("uses: deliver", "uses: delivr"))
    assert [row["key"] for row in wharf("files", "--json").json] == ["acme/inbound/a.csv"]


def test_a_mistake_in_where_things_are_never_shows_another_ledger(wharf: Wharf) -> None:
    wharf.write("wharf.yaml", CONFIG.replace("data: ./data", "dta: ./data"))
    assert "data" in wharf.refused("status", code="CONFIG_INVALID", exit=1)
    assert not (wharf.place / "wharf-data").exists()


def test_several_mistakes_are_told_at_once(wharf: Wharf) -> None:
    wharf.write("wharf.yaml", CONFIG.replace("port: 0", "port: -1").replace("to: kept", "to: nowhere"))
    said = wharf.refused("check", code="CONFIG_INVALID", exit=1)
    assert "CONFIG_INVALID: 2 mistakes:\n" in said
    assert "listeners.sftp.port" in said
    assert "nowhere" in said


def test_lines_that_show_a_mistake_count_as_none(wharf: Wharf) -> None:
    broken = CONFIG.replace("customer: globex", "when: 'file.size >'")
    wharf.write("wharf.yaml", broken)
    told = wharf.refused("check", code="CONFIG_INVALID", exit=1)
    assert "CONFIG_INVALID: wharf.yaml:" in told
    assert "^" in told
    wharf.write("wharf.yaml", broken.replace("port: 0", "port: -1"))
    assert "CONFIG_INVALID: 2 mistakes:\n" in wharf.refused("check", code="CONFIG_INVALID", exit=1)


def test_without_a_configuration_the_next_command_is_init(empty: Wharf) -> None:
    for verb in ("status", "serve", "check"):
        assert "wharf init" in empty.refused(verb, code="CONFIG_INVALID", exit=1)


def test_an_unknown_user_is_answered_with_the_nearest(wharf: Wharf) -> None:
    wharf("users", "add", "robert", "--customer", "acme", "--password", stdin="correct horse battery\n")
    said = wharf.refused("users", "passwd", "robret", code="NOT_FOUND", exit=3, stdin="x\n")
    assert "did you mean 'robert'?" in said
    assert "wharf users list" in said


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "inbound/../../x", "inbound/a\\b", "inbound/\x07bell", "inbound//x", "inbound/" + "x" * 300],
)
def test_a_refused_name_says_what_is_wrong_with_it(wharf: Wharf, name: str) -> None:
    wharf.write("a.csv", "a\n")
    said = wharf.refused("put", "a.csv", "--customer", "acme", "--to", name, code="NAME_UNSAFE", exit=4)
    assert "\x07" not in said
    assert wharf("files", "--json").json == []


def test_a_full_disk_says_how_much_is_missing_and_leaves_nothing(wharf: Wharf) -> None:
    wharf.write("wharf.yaml", CONFIG.replace("min_free: 1048576", f"min_free: {1 << 60}"))
    wharf.write("a.csv", "a\n")
    said = wharf.refused("put", "a.csv", "--customer", "acme", code="NO_SPACE", exit=1)
    assert "free" in said
    assert wharf("files", "--json").json == []
    assert "broken" in wharf("doctor").err


def test_a_busy_port_names_it_and_the_way_out(wharf: Wharf) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        wharf.write("wharf.yaml", CONFIG.replace("port: 0", f"port: {port}"))
        said = wharf.refused("serve", code="PORT_BUSY", exit=1)
    assert f"127.0.0.1:{port}" in said


def test_a_data_directory_that_is_a_file_is_told(wharf: Wharf) -> None:
    wharf.write("data", "oops")
    said = wharf("status")
    assert said.code != 0
    assert re.search(r"^error: [A-Z_]+: .*data", said.err)
    assert "fix: " in said.err


@pytest.mark.parametrize(
    "words",
    [
        ("file", "01KJMQ6Z6R0123456789ABCDEF"),
        ("replay", "01KJMQ6Z6R0123456789ABCDEF"),
        ("users", "keys", "nobody"),
        ("users", "remove", "nobody", "--yes"),
        ("users", "add", "bob", "--customer", "nobody", "--password"),
        ("steps", "show", "teleport"),
        ("store", "cat", "inbox/acme/x#1"),
        ("store", "cat", "nothing"),
        ("put", "nothing.csv", "--customer", "acme"),
        ("put", "wharf.yaml", "--customer", "nobody"),
        ("route", "explain", "nothing", "--customer", "acme"),
        ("files", "--after", "01KJMQ6Z6R0123456789ABCDEF"),
    ],
)
def test_what_is_not_there_ends_with_3(wharf: Wharf, words: tuple[str, ...]) -> None:
    wharf.refused(*words, code="NOT_FOUND", exit=3, stdin="correct horse battery\n")


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (("replay",), "--dead"),
        (("replay", "--status", "partial"), "sender"),
        (("replay", "01KJMQ6Z6R0123456789ABCDEF", "--dead"), "wharf replay --help"),
        (("put", "wharf.yaml"), "--customer"),
        (("put", "wharf.yaml", "wharf.yaml", "--customer", "acme", "--to", "x"), "--to x/"),
        (("files", "--since", "yesterday-ish"), "wharf files --help"),
        (("users", "add", "bob", "--customer", "acme"), "--key"),
    ],
)
def test_what_cannot_be_asked_ends_with_2(wharf: Wharf, words: tuple[str, ...], fix: str) -> None:
    assert fix in wharf.refused(*words, code="USAGE", exit=2)


@pytest.mark.parametrize(
    "line",
    [
        "ledger: postgresql://wharf:secret@db.example/wharf",
        "ledger: mysql://db/wharf",
        "store: s3://key:secret@files",
        "store: file://srv",
    ],
)
def test_check_reads_urls_as_what_opens_them_does(wharf: Wharf, line: str) -> None:
    wharf.write("wharf.yaml", f"{CONFIG}{line}\n")
    assert "secret" not in wharf.refused("check", code="CONFIG_INVALID", exit=1)


@pytest.mark.parametrize(
    ("url", "said"), [("s3://a/daily", "is no name of a bucket"), ("s3://", "sources.daily.bucket: ")]
)
@pytest.mark.parametrize("verb", ["check", "serve"])
def test_a_source_whose_bucket_cannot_be_is_refused_before_anything_starts(
    wharf: Wharf, verb: str, url: str, said: str
) -> None:
    wharf.write("wharf.yaml", f"{CONFIG}sources: {{daily: {{bucket: '{url}', customer: acme}}}}\n")
    assert said in wharf.refused(verb, code="CONFIG_INVALID", exit=1)


def test_who_cannot_look_first_is_not_told_to(wharf: Wharf) -> None:
    assert "--dry-run" not in wharf.refused("signing", "rotate", code="USAGE", exit=2)


def test_check_takes_a_step_for_no_pipeline_of_its_name(wharf: Wharf) -> None:
    steps = "{checksum: {steps: [{uses: deliver, with: {to: out}}]}, idle: {steps: [checksum]}, more: {steps: [{copies: [out, kept]}]}}"
    wharf.write("wharf.yaml", f"{CONFIG.partition('pipelines:')[0]}pipelines: {steps}\n")
    rows = {row["pipeline"]: row["delivers"] for row in wharf("check", "--json").json["pipelines"]}
    assert (rows["checksum"], rows["idle"], rows["more"]) == (True, False, True)


def test_check_tells_which_pipeline_delivers_nothing(wharf: Wharf) -> None:
    wharf.write(
        "wharf.yaml",
        f"{CONFIG}  sums:\n    steps: [checksum]\n  calls:\n    steps: [{{pipeline: tables}}]\n  idle:\n    steps: [{{pipeline: sums}}]\n",
    )
    said = wharf("check")
    assert said.code == 0, said.err
    assert [line.split("'")[1] for line in said.err.splitlines() if "delivers nothing" in line] == ["sums", "idle"]
    assert [row["delivers"] for row in wharf("check", "--json").json["pipelines"]] == [True, True, False, True, False]
