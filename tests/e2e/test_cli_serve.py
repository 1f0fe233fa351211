"""`wharf serve` as a person or an init system runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from rig.command import Wharf
from rig.serving import children, unreaped
from rig.waiting import wait_until


@pytest.fixture
def key(wharf: Wharf) -> str:
    wharf("users", "add", "bob", "--customer", "acme", "--new-key", "keys/bob")
    return "keys/bob"


@contextmanager
def serving(wharf: Wharf, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = wharf.start("serve", *words)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=30)


def ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout
    told: dict[str, Any] = json.loads(process.stdout.readline())
    return told


def transferred(wharf: Wharf, count: int) -> Callable[[], bool]:
    return lambda: len(wharf("files", "--status", "transferred", "--json").json) == count


def test_a_file_goes_from_sftp_to_delivered_and_a_signal_ends_all(wharf: Wharf, key: str) -> None:
    with serving(wharf, "--json") as process:
        told = ready(process)
        assert re.fullmatch(r"SHA256:\S{43}", told["sftp"]["fingerprint"])
        assert told["workers"] == 2
        wharf.write("a.csv", "a,b\n1,2\n")
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-i", key, "-b", "-"]
        command = ["sftp", "-q", *options, "-P", str(told["sftp"]["port"]), f"bob@{told['sftp']['host']}"]
        subprocess.run(command, input="put a.csv inbound/", text=True, cwd=wharf.place, check=True, capture_output=True)
        wait_until("one file is transferred", transferred(wharf, 1))
        assert (wharf.place / "out/acme/inbound/a.csv").read_text() == "a,b\n1,2\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "stopped\n")


def test_a_person_is_told_where_it_listens_and_how_to_stop(wharf: Wharf, key: str) -> None:
    with serving(wharf) as process:
        assert process.stderr
        said = "".join(process.stderr.readline() for _ in range(4))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert re.search(r"SFTP on 127\.0\.0\.1:\d+", said)
    assert "host key SHA256:" in said
    assert "Ctrl-C" in said
    assert process.returncode == 0


def test_a_second_signal_ends_it_at_once(wharf: Wharf) -> None:
    with serving(wharf, "--json") as process:
        ready(process)
        stopped = children(process.pid)["worker-1"]
        os.kill(stopped, signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        wait_until("all others have ended", lambda: unreaped(process.pid) == [stopped])
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert err == (
        "worker-1: killed at the second signal\nstopped at once; what had begun is done again at the next start\n"
    )


def test_what_is_put_while_it_serves_is_worked_on_at_once(wharf: Wharf) -> None:
    with serving(wharf, "--json") as process:
        ready(process)
        wharf.write("a.csv", "a,b\n1,2\n")
        wharf("put", "a.csv", "--customer", "acme")
        wait_until("one file is transferred", transferred(wharf, 1))
        (record,) = wharf("files", "--json").json
    assert record["pipeline"] == "tables"


def test_a_worker_that_dies_is_told_and_started_again(wharf: Wharf) -> None:
    with serving(wharf, "--json") as process:
        ready(process)
        listed = subprocess.run(
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
        )
        worker = next(int(line.split()[0]) for line in listed.stdout.splitlines() if " worker" in line)
        os.kill(worker, signal.SIGKILL)
        assert process.stderr
        assert re.match(r"worker-\d ended \(.*\); it is started again", process.stderr.readline())
        wharf.write("a.csv", "a,b\n1,2\n")
        wharf("put", "a.csv", "--customer", "acme")
        wait_until("one file is transferred", transferred(wharf, 1))


def test_trouble_that_lasts_is_one_line_and_no_traceback(wharf: Wharf) -> None:
    wharf("files")
    with closing(sqlite3.connect(wharf.place / "data" / "ledger.db")) as ledger:
        ledger.execute("DROP TABLE name")
    listener = wharf.start("listen")
    assert listener.stderr
    told = listener.stderr.readline()
    time.sleep(2.5)  # more than two ticks
    listener.terminate()
    assert re.match(r"partial uploads cannot be looked after; .*: LEDGER_FAILED: .*no such table", told)
    assert listener.communicate(timeout=30) == ("", "")


def test_doctor_knows_its_own_server(wharf: Wharf) -> None:
    with serving(wharf, "--json") as process:
        port = ready(process)["sftp"]["port"]
        env = {"WHARF_LISTENERS__SFTP__PORT": str(port)}
        found = {f["part"]: f for f in wharf("doctor", "--json", env=env).json["findings"]}
    assert found["sftp"]["verdict"] == "ok"
    assert "wharf serves" in found["sftp"]["text"]


def test_doctor_tells_another_installation_by_its_host_key(wharf: Wharf, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with serving(wharf, "--json") as process:
        told = ready(process)["sftp"]
        other = Wharf(tmp_path / "other")
        other("init", "--port", str(told["port"]))
        found = {f["part"]: f for f in other("doctor", "--json").json["findings"]}
    assert found["sftp"]["verdict"] == "fail"
    assert f"another installation of wharf (its host key is {told['fingerprint']})" in found["sftp"]["text"]
    assert found["sftp"]["fix"]


def test_doctor_takes_a_wharf_that_is_slow_to_answer_for_no_stranger(wharf: Wharf) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy, ThreadPoolExecutor(1) as clerk:
        busy.settimeout(30)
        clerk.submit(greet, busy, times=2)
        env = {"WHARF_LISTENERS__SFTP__PORT": str(busy.getsockname()[1])}
        found = {f["part"]: f for f in wharf("doctor", "--json", env=env).json["findings"]}
    assert found["sftp"]["verdict"] == "warn"
    assert "shows no host key within 5 s" in found["sftp"]["text"]
    assert "wharf doctor" in found["sftp"]["fix"]


def greet(busy: socket.socket, times: int) -> None:
    """Greet so many clients as wharf does, and say no more until they have gone."""
    for _ in range(times):
        client, _address = busy.accept()
        with client:
            client.sendall(b"SSH-2.0-wharfinger\r\n")
            while client.recv(1 << 16):
                pass


def test_a_ledger_in_use_is_not_moved_aside(wharf: Wharf) -> None:
    wharf.write("a.csv", "a,b\n1,2\n")
    wharf("put", "a.csv", "--customer", "acme")
    with serving(wharf, "--json") as process:
        ready(process)
        said = wharf.refused("ledger", "rebuild", "--force", "--yes", code="LEDGER_BUSY", exit=1)
    assert "stop wharf serve" in said
    assert len(wharf("files", "--json").json) == 1


def test_one_serves_at_a_time_with_a_data_directory(wharf: Wharf) -> None:
    with serving(wharf, "--json") as process:
        ready(process)
        said = wharf.refused("serve", code="SERVES_ALREADY", exit=2)
        assert f"process {process.pid} serves" in said
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
    with serving(wharf, "--json") as process:
        assert "sftp" in ready(process)


def test_a_machine_that_neither_receives_nor_works_has_nothing_to_serve(wharf: Wharf) -> None:
    text = re.sub(r"^workers:.*\n", "", (wharf.place / "wharf.yaml").read_text(), flags=re.MULTILINE)
    wharf.write("wharf.yaml", f"{text}workers: {{count: 0}}\n")
    with serving(wharf, "--json") as process:
        assert ready(process)["workers"] == 0
    text = re.sub(r"^listeners:.*$", "listeners: {sftp: null}", text, flags=re.MULTILINE)
    wharf.write("wharf.yaml", f"{text}workers: {{count: 0}}\n")
    assert "nothing to serve" in wharf.refused("serve", code="USAGE", exit=2)


def test_a_certificate_that_cannot_be_used_ends_serve_at_once(wharf: Wharf) -> None:
    text = (wharf.place / "wharf.yaml").read_text()
    tls = "http: {host: 127.0.0.1, port: 0, certificate: ./cert.pem, key: ./key.pem}"
    wharf.write("wharf.yaml", text.replace("listeners: {", f"listeners: {{{tls}, "))
    wharf.write("cert.pem", "no certificate")
    wharf.write("key.pem", "no key")
    assert "cert.pem and its key cannot be used" in wharf.refused("serve", code="CONFIG_INVALID", exit=1)
