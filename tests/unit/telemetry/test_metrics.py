from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from wharfinger.errors import LedgerError
from wharfinger.telemetry.metrics import COUNTED, METRICS, READ, Exposition, Reading, forget_dead

COUNTING = """
import sys
from pathlib import Path
from wharfinger.telemetry.metrics import instruments
meter = instruments(Path(sys.argv[1]))
meter.settled("claims", "transferred", 0.2)
meter.settled("claims", "retry", 9.0)
meter.stepped("claims", "unpack", 0.003)
meter.sessions(3)
print("done", flush=True)
sys.stdin.read()
"""


def counting(directory: Path) -> subprocess.Popen[str]:
    """A process that has counted, and lives on until it is killed."""
    words = [sys.executable, "-c", COUNTING, str(directory)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "done\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def values(directory: Path, *readings: Reading) -> dict[str, float]:
    body, _ = Exposition(directory, lambda: readings)("text/plain")
    families = text_string_to_metric_families(body.decode())
    return {
        sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_counts_of_several_processes_are_added(tmp_path: Path) -> None:
    one, two = counting(tmp_path / "m"), counting(tmp_path / "m")
    found = values(tmp_path / "m")
    assert found["wharf_settled_total transferred claims"] == 2
    assert found["wharf_settled_total retry claims"] == 2
    assert found["wharf_arrival_to_done_seconds_count claims"] == 2
    assert found["wharf_step_seconds_bucket 0.0025 claims unpack"] == 0
    assert found["wharf_step_seconds_bucket 0.005 claims unpack"] == 2
    assert found["wharf_sftp_sessions"] == 6
    kill(one)
    kill(two)


def test_a_killed_process_leaves_its_counts_but_nobody_signed_in(tmp_path: Path) -> None:
    one, two = counting(tmp_path / "m"), counting(tmp_path / "m")
    kill(one)
    found = values(tmp_path / "m")
    assert (found["wharf_settled_total transferred claims"], found["wharf_sftp_sessions"]) == (2, 3)
    kill(two)


def test_a_new_beginning_forgets_the_counts_of_the_dead_alone(tmp_path: Path) -> None:
    one, two = counting(tmp_path / "m"), counting(tmp_path / "m")
    kill(one)
    forget_dead(tmp_path / "m", counts=True)
    assert values(tmp_path / "m")["wharf_settled_total transferred claims"] == 1
    kill(two)


def test_where_nothing_was_counted_there_is_nothing_to_forget(tmp_path: Path) -> None:
    forget_dead(tmp_path / "never made", counts=True)


def test_readings_are_told_under_their_labels(tmp_path: Path) -> None:
    found = values(tmp_path / "m", Reading("wharf_files", 7, ("failed",)), Reading("wharf_arrived_bytes_total", 1e12))
    assert found == {"wharf_files failed": 7, "wharf_arrived_bytes_total": 1e12}


def test_what_cannot_be_read_is_not_told_as_nought(tmp_path: Path) -> None:
    def broken() -> list[Reading]:
        raise LedgerError("no such table")

    with pytest.raises(LedgerError):
        Exposition(tmp_path / "m", broken)("text/plain")


def test_names_follow_the_conventions_of_prometheus() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS) == len(READ) + len(COUNTED)
    for metric in METRICS:
        assert metric.name.startswith("wharf_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert metric.help.endswith(".")


def test_the_figures_of_a_process_are_for_its_owner_alone(tmp_path: Path) -> None:
    Exposition(tmp_path / "run" / "m", list)
    assert os.stat(tmp_path / "run").st_mode & 0o077 == 0
