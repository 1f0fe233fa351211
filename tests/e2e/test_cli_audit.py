"""`audit` and `evidence`: the real command finds what somebody changed, and what it hands out convinces others."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import apsw
import pytest

from rig.command import Wharf
from rig.serving import CONFIG, Serving, prepare, sftp
from rig.serving import wharf as ask
from rig.waiting import wait_until

TABLE = "a,b\n1,2\n"


def put(wharf: Wharf, *names: str) -> list[str]:
    for name in names:
        wharf.write(name, TABLE)
    return [row["file_id"] for row in wharf("put", *names, "--customer", "acme", "--json").json]


def tamper(place: Path, sql: str) -> None:
    db = apsw.Connection(str(place / "data/ledger.db"))
    db.execute(sql)
    db.close()


def verified(bundle: Path, key: str) -> str:
    """What the script of the bundle says, where there is nothing else."""
    with zipfile.ZipFile(bundle) as archive:
        script = archive.extract("verify.py", bundle.parent / "elsewhere")
    command = [sys.executable, "-I", "-S", script, str(bundle), "--key", key]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == ("NOT" in done.stdout), done.stdout + done.stderr
    return done.stdout


def test_a_checkpoint_is_printed_and_must_be_there_later(wharf: Wharf) -> None:
    wharf.refused("audit", "checkpoint", code="USAGE", exit=2)
    put(wharf, "a.csv", "b.csv")
    assert "no checkpoint is there" in wharf("audit", "verify").err
    line = wharf("audit", "checkpoint").out
    assert line.count("\n") == 1
    assert wharf("audit", "checkpoint").out == line
    (wharf.place / "kept").write_text(line)
    said = wharf("audit", "verify", "--kept", "kept", "--json")
    assert (said.code, said.json) == (0, {"findings": [], "checkpoints": 1, "files": 2, "events": 2})
    tamper(
        wharf.place,
        "DELETE FROM audit_leaf; DELETE FROM audit_checkpoint; INSERT INTO audit_pending SELECT file_id FROM file",
    )
    assert wharf("audit", "verify").code == 0
    said = wharf("audit", "verify", "--kept", "kept")
    assert (said.code, "was kept" in said.err) == (1, True)


def test_what_was_changed_is_named(wharf: Wharf) -> None:
    one, other = put(wharf, "a.csv", "b.csv")
    wharf("audit", "checkpoint")
    tamper(wharf.place, f"UPDATE file SET size = 7 WHERE file_id = '{one}'")
    said = wharf("audit", "verify", "--json")
    assert said.code == 1
    assert {finding["file_id"] for finding in said.json["findings"]} == {one}
    said = wharf("audit", "verify")
    assert (said.code, f"wharf file {one}" in said.err, other in said.err) == (1, True, False)


def test_a_stranger_signs_no_checkpoint_that_counts_as_kept(
    wharf: Wharf, empty: Wharf, tmp_path_factory: pytest.TempPathFactory
) -> None:
    put(wharf, "a.csv")
    line = wharf("audit", "checkpoint").out
    (wharf.place / "kept").write_text(line.replace('"leaves":1', '"leaves":2'))
    wharf.refused("audit", "verify", "--kept", "kept", code="UNPROVEN", exit=1)


def test_evidence_of_a_file_is_verified_elsewhere(wharf: Wharf) -> None:
    (file_id,) = put(wharf, "a.csv")
    said = wharf("evidence", file_id, "-o", "e.zip", "--json").json
    assert (said["file_id"], said["events"]) == (file_id, 1)
    assert "VERIFIED" in verified(wharf.place / "e.zip", said["key"])
    first = (wharf.place / "e.zip").read_bytes()
    wharf("evidence", file_id, "-o", "e.zip")
    assert (wharf.place / "e.zip").read_bytes() == first
    assert wharf("evidence", file_id.lower()[:20]).code == 0
    assert (wharf.place / f"evidence-{file_id}.zip").read_bytes() == first


def test_no_bundle_is_written_that_would_not_verify(wharf: Wharf) -> None:
    (file_id,) = put(wharf, "a.csv")
    tamper(wharf.place, f"UPDATE file SET size = 7 WHERE file_id = '{file_id}'")
    wharf.refused("evidence", file_id, "-o", "e.zip", code="UNPROVEN", exit=1)
    assert not (wharf.place / "e.zip").exists()


def test_there_is_no_evidence_of_a_history_that_no_checkpoint_will_cover(wharf: Wharf) -> None:
    (file_id,) = put(wharf, "a.csv")
    tamper(wharf.place, "DELETE FROM audit_pending")
    wharf.refused("evidence", file_id, code="UNPROVEN", exit=1)
    wharf.refused("evidence", "01KA0000000000000000000000", code="NOT_FOUND", exit=3)


@pytest.mark.slow
def test_workers_make_checkpoints_and_evidence_tells_the_whole_way(tmp_path: Path) -> None:
    prepare(tmp_path, CONFIG.replace("lease_s: 2", "lease_s: 2, checkpoint_s: 0.5"))
    (tmp_path / "a.csv").write_text(TABLE * 1000)
    with Serving(tmp_path) as serving:
        sftp(tmp_path, serving.port, ["put a.csv inbound/a.csv"])
        wait_until("it ended", lambda: ask(tmp_path, "files")[0]["status"] == "transferred")
        (record,) = ask(tmp_path, "files")
        wait_until("a checkpoint covers it", lambda: ask(tmp_path, "audit", "verify")["checkpoints"])
        old = ask(tmp_path, "signing", "list")[-1]["public"]
        ask(tmp_path, "signing", "rotate", "--yes")
        ask(tmp_path, "replay", record["file_id"], "--yes")
        wait_until("it ended again", lambda: ask(tmp_path, "files")[0]["status"] == "transferred")
        walked = ask(tmp_path, "audit", "verify")
        assert (walked["findings"], walked["files"]) == ([], 1)
    ask(tmp_path, "evidence", record["file_id"], "-o", str(tmp_path / "e.zip"))
    said = verified(tmp_path / "e.zip", old)
    assert said.endswith("VERIFIED\n")
    assert "acme/inbound/a.csv" in said
    changed = bytearray((tmp_path / "e.zip").read_bytes())
    changed[changed.index(b',"arrived",') + 3] ^= 1
    (tmp_path / "e.zip").write_bytes(changed)
    assert verified(tmp_path / "e.zip", old).startswith("NOT VERIFIED")
