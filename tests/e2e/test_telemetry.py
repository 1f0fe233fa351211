"""Logs and metrics of a real `wharf serve`, read by those who read them: a collector of JSON lines, promtool, Prometheus itself."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import paramiko
import pytest
from prometheus_client.parser import text_string_to_metric_families

from rig.clients import need
from rig.serving import CONFIG, Serving, free_port, prepare, sftp, wharf
from rig.waiting import wait_until
from wharfinger.telemetry.metrics import METRICS

ALARMS = Path(__file__).parents[2] / "docs" / "how-to" / "alarms.yml"

WATCHED = CONFIG + "metrics: {port: 0}\nlog: {level: debug, format: json}\n"
SECRET = "correct-horse-battery-staple"
CONTENT = b"the-content-of-a-file-is-nobodys-business"


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    prepare(tmp_path, WATCHED)
    with Serving(tmp_path) as serving:
        yield serving


def upload(serving: Serving, *names: str, content: bytes = CONTENT) -> None:
    for name in names:
        (serving.directory / name).write_bytes(content)
    done = sftp(serving.directory, serving.port, [f"put {name} inbound/{name}" for name in names])
    assert done.returncode == 0, done.stderr


def transferred(serving: Serving, count: int) -> Callable[[], bool]:
    return lambda: len(wharf(serving.directory, "files", "--status", "transferred")) == count


def records(serving: Serving) -> list[dict[str, Any]]:
    """Every line of the log; each is one JSON object."""
    return [json.loads(line) for line in serving.log().splitlines()]


def fetch(serving: Serving, accept: str = "") -> str:
    request = urllib.request.Request(serving.ready["metrics"], headers={"Accept": accept} if accept else {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def values(serving: Serving) -> dict[str, float]:
    families = [*text_string_to_metric_families(fetch(serving))]
    return {
        sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_each_delivered_file_has_one_line_with_its_id_and_the_word_transferred(serving: Serving) -> None:
    upload(serving, "a.csv", "b.csv")
    wait_until("both are transferred", transferred(serving, 2))
    ids = sorted(file["file_id"] for file in wharf(serving.directory, "files"))
    wait_until("both are told", lambda: serving.log().count("transferred") >= 2)
    assert sorted(r["file_id"] for r in records(serving) if r["message"] == "transferred") == ids


def test_no_log_has_a_secret_or_the_content_of_a_file(serving: Serving) -> None:
    key = (serving.directory / "key").read_text()
    upload(serving, "a.csv")
    wait_until("it is transferred", transferred(serving, 1))
    with paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        with pytest.raises(paramiko.AuthenticationException):
            client.connect("127.0.0.1", serving.port, "bob", SECRET, allow_agent=False, look_for_keys=False)
    serving.stop()
    log = serving.log()
    assert log
    assert SECRET not in log
    assert CONTENT.decode() not in log
    assert not any(line in log for line in key.splitlines()[1:-1])


def test_everything_that_serve_says_is_json(serving: Serving) -> None:
    os.kill(serving.children()["worker-1"], signal.SIGKILL)
    wait_until("it is told", lambda: "started again" in serving.log())
    serving.stop()
    said = [record["message"] for record in records(serving)]
    assert any("worker-1 ended" in message for message in said)
    assert said[-1] == "stopped"


def test_the_figures_are_those_of_the_ledger_and_of_the_workers(serving: Serving) -> None:
    upload(serving, "a.csv", "b.csv")
    wait_until("both are transferred", transferred(serving, 2))
    wait_until("both are counted", lambda: values(serving).get("wharf_settled_total transferred all") == 2)
    found = values(serving)
    assert found["wharf_files transferred"] == 2
    assert found["wharf_arrived_bytes_total"] == 2 * len(CONTENT)
    assert found["wharf_backlog"] == found["wharf_dead_letters"] == found["wharf_oldest_waiting_seconds"] == 0
    assert found["wharf_arrival_to_done_seconds_count all"] == 2
    assert found["wharf_step_seconds_count all compress"] == found["wharf_step_seconds_count all keep"] == 2
    assert any(name.startswith("wharf_free_bytes /") and value > 0 for name, value in found.items())


def test_who_is_signed_in_is_counted_until_they_leave(serving: Serving) -> None:
    command = ["sftp", "-q", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    command += ["-i", str(serving.directory / "key"), "-P", str(serving.port), "bob@127.0.0.1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as client:
        wait_until("somebody is signed in", lambda: values(serving).get("wharf_sftp_sessions") == 1)
        client.terminate()
    wait_until("nobody is", lambda: values(serving).get("wharf_sftp_sessions") == 0)


def test_who_signs_in_and_who_is_refused_is_told_and_counted(serving: Serving) -> None:
    upload(serving, "a.csv")
    for user in ("bob", "stranger"):
        with paramiko.SSHClient() as client:
            client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
            with pytest.raises(paramiko.AuthenticationException):
                client.connect("127.0.0.1", serving.port, user, SECRET, allow_agent=False, look_for_keys=False)

    def told() -> list[dict[str, Any]]:
        return [record for record in records(serving) if record["message"].startswith("sign-in")]

    wait_until("all are told", lambda: len(told()) == 3)
    accepted, wrong, unknown = told()
    assert (accepted["level"], accepted["user"], accepted["method"]) == ("info", "bob", "publickey")
    assert accepted["fingerprint"].startswith("SHA256:")
    assert (wrong["level"], wrong["method"], wrong["why"]) == ("warning", "password", "wrong password")
    assert (unknown["user"], unknown["why"]) == ("stranger", "no such user, or disabled")
    assert {each["address"] for each in told()} == {"127.0.0.1"}
    wait_until("they are counted", lambda: values(serving).get("wharf_sign_ins_total refused") == 2)
    assert values(serving)["wharf_sign_ins_total accepted"] == 1


def test_what_a_killed_worker_counted_stays(serving: Serving) -> None:
    upload(serving, "a.csv")
    wait_until("it is counted", lambda: values(serving).get("wharf_settled_total transferred all") == 1)
    for name, pid in serving.children().items():
        if name.startswith("worker"):
            os.kill(pid, signal.SIGKILL)
    upload(serving, "b.csv")
    wait_until("both are counted", lambda: values(serving).get("wharf_settled_total transferred all") == 2)


def test_the_endpoint_that_dies_is_started_again_on_its_port(serving: Serving) -> None:
    os.kill(serving.children()["metrics"], signal.SIGKILL)
    assert "wharf_backlog 0.0" in fetch(serving)  # the connection waits in the socket, which the supervisor holds


def test_a_ledger_that_cannot_be_read_is_no_ledger_of_noughts(serving: Serving) -> None:
    with closing(sqlite3.connect(serving.directory / "data" / "ledger.db")) as ledger:
        ledger.execute("DROP TABLE figure")
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(serving)
    with refused.value as answer:
        assert (answer.code, b"no such table" in answer.read()) == (503, False)  # that is for the log


def test_nothing_else_is_served(serving: Serving) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(serving.ready["metrics"].replace("/metrics", "/etc/passwd"), timeout=10)
    with refused.value as answer:
        assert answer.code == 404


def test_without_metrics_no_port_is_opened(tmp_path: Path) -> None:
    prepare(tmp_path)
    with Serving(tmp_path) as serving:
        assert serving.ready["metrics"] is None
        assert "metrics" not in serving.children()


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_promtool_finds_nothing_to_mend(serving: Serving, accept: str) -> None:
    upload(serving, "a.csv")
    wait_until("it is counted", lambda: "wharf_step_seconds_count" in fetch(serving))
    text = fetch(serving, accept)
    if not accept:
        checked = subprocess.run(
            [need("promtool"), "check", "metrics"], input=text, text=True, capture_output=True, timeout=60
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    assert {line.split()[2].removesuffix("_total") for line in text.splitlines() if line.startswith("# TYPE")} == {
        metric.name.removesuffix("_total") for metric in METRICS
    }


def test_prometheus_itself_scrapes_it_and_its_alarms_can_be_asked(serving: Serving, tmp_path: Path) -> None:
    port = free_port()
    address = urllib.parse.urlsplit(serving.ready["metrics"]).netloc
    config = {
        "global": {"scrape_interval": "1s"},
        "rule_files": [str(ALARMS)],
        "scrape_configs": [{"job_name": "wharf", "static_configs": [{"targets": [address]}]}],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    upload(serving, "a.csv")
    words = [f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
    command = [need("prometheus"), *words, f"--web.listen-address=127.0.0.1:{port}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as prometheus:
        try:
            query = "wharf_files{status='transferred'}"
            wait_until("prometheus knows of the file", lambda: _asked(port, query) == ["1"], seconds=40)
            assert _asked(port, "sum(wharf_step_seconds_count{pipeline='all',step='compress'})") == ["1"]
        finally:
            prometheus.terminate()


def _asked(port: int, query: str) -> list[str]:
    try:
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(url, timeout=5) as answer:
            return [each["value"][1] for each in json.load(answer)["data"]["result"]]
    except OSError:
        return []


def test_every_alarm_rings_when_it_should_and_no_other() -> None:
    tests = Path(__file__).with_name("alarms_test.yml")
    done = subprocess.run([need("promtool"), "test", "rules", str(tests)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
