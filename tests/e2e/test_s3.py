"""`wharf serve` with its store in a bucket, and the commands that work from the bucket alone."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from rig import buckets
from rig.clients import need
from rig.proxy import proxied
from rig.serving import CONFIG, Serving, prepare, put, sftp, wharf
from rig.waiting import wait_until

pytestmark = pytest.mark.slow

HTTP = ("listeners: {", "listeners: {http: {port: 0}, ")


def configure(directory: Path, *, shared: Path | None = None, landing: str = "inbox") -> None:
    """A `wharf` in this directory, its store in the bucket of `shared`."""
    store = f"data: ./data\nbucket: {landing}\nstore: {buckets.url(shared or directory)}\n"
    directory.mkdir(exist_ok=True)
    prepare(directory, CONFIG.replace("data: ./data\n", store))


def settled(directory: Path, count: int) -> list[dict[str, str]]:
    """The files, as soon as so many are transferred."""

    def done() -> list[dict[str, str]]:
        files: list[dict[str, str]] = wharf(directory, "files")
        return files if [file["status"] for file in files] == ["transferred"] * count else []

    found: list[dict[str, str]] = wait_until("all are transferred", done)
    return found


def cat(directory: Path, what: str) -> bytes:
    command = [sys.executable, "-m", "wharfinger", "--config", str(directory / "wharf.yaml"), "store", "cat", what]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


def objects(directory: Path, bucket: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = wharf(directory, "store", "ls", "--bucket", bucket)
    return found


def test_a_partners_file_is_received_kept_in_the_bucket_delivered_and_given_back(tmp_path: Path) -> None:
    need("sftp")
    configure(tmp_path)
    data = b"a,b\n1,2\n" * 1_500_000  # so large that it is sent ahead of its group
    (tmp_path / "claims.csv").write_bytes(data)
    with Serving(tmp_path) as serving:
        done = sftp(tmp_path, serving.port, ["put claims.csv inbound/claims.csv", "get inbound/claims.csv back.csv"])
        assert done.returncode == 0, done.stderr
        [file] = settled(tmp_path, 1)
        (tmp_path / "more.csv").write_bytes(data + b"3,4\n")
        done = sftp(
            tmp_path, serving.port, ["reput more.csv inbound/claims.csv"]
        )  # goes on where the older version ends
        assert done.returncode == 0, done.stderr
        settled(tmp_path, 2)
    assert (tmp_path / "back.csv").read_bytes() == data
    assert not (tmp_path / "data" / "store").exists()
    [first, second] = objects(tmp_path, "inbox")
    assert first["sha256"] == file["sha256"]
    assert cat(tmp_path, file["file_id"]) == cat(tmp_path, first["ref"]) == data
    assert cat(tmp_path, second["ref"]) == data + b"3,4\n"
    assert len(objects(tmp_path, "kept")) == 2
    assert objects(tmp_path, "checkpoints") == []
    assert wharf(tmp_path, "store", "verify")["problems"] == []
    assert [*buckets.a_store(tmp_path)._client.list("again")] == []
    assert wharf(tmp_path, "doctor")


def test_nobody_waits_while_a_large_upload_by_url_is_sent_to_the_bucket(tmp_path: Path) -> None:
    """Not even where its URL is used twice at the same time."""
    large = random.Random(7).randbytes(20 << 20)
    (tmp_path / "large").write_bytes(large)
    (tmp_path / "small").write_bytes(b"small")
    is_open = threading.Event()
    with proxied(buckets.moto()) as proxy, ExitStack() as stack:
        store = f"store: {buckets.url(tmp_path, endpoint=proxy.endpoint)}\n"
        prepare(tmp_path, CONFIG.replace("data: ./data\n", "data: ./data\n" + store).replace(*HTTP))
        base = stack.enter_context(Serving(tmp_path)).ready["http"]["url"]
        urls = [wharf(tmp_path, "sign", "put", f"inbound/{name}", "--base", base)["url"] for name in ("large", "small")]
        proxy.harm = lambda asked: "" if "partNumber" not in asked.path or is_open.wait(60) else "drop"
        sending = [curl(tmp_path / "large", urls[0]) for _ in range(2)]
        try:
            wait_until("it is on its way", lambda: any("partNumber" in asked.path for asked in proxy.asked))
            assert curl(tmp_path / "small", urls[1]).communicate(timeout=30)[0] == "201"
            assert [each.poll() for each in sending] == [None, None]
        finally:
            is_open.set()
        assert {each.communicate(timeout=60)[0] for each in sending} <= {"200", "201"}
        sizes = {file["key"]: file["size"] for file in settled(tmp_path, 2)}
        assert sizes == {"acme/inbound/large": len(large), "acme/inbound/small": 5}
        assert len(objects(tmp_path, "inbox")) == 2
        assert wharf(tmp_path, "store", "verify")["problems"] == []


def test_of_two_large_bodies_for_one_url_the_first_is_kept_and_the_other_refused(tmp_path: Path) -> None:
    bodies = {name: random.Random(name).randbytes(9 << 20) for name in ("one", "two")}
    for name, body in bodies.items():
        (tmp_path / name).write_bytes(body)
    with proxied(buckets.moto()) as proxy, ExitStack() as stack:
        store = f"store: {buckets.url(tmp_path, endpoint=proxy.endpoint)}\n"
        prepare(tmp_path, CONFIG.replace("data: ./data\n", "data: ./data\n" + store).replace(*HTTP))
        base = stack.enter_context(Serving(tmp_path)).ready["http"]["url"]
        url = wharf(tmp_path, "sign", "put", "inbound/large", "--base", base)["url"]
        is_open = threading.Event()
        proxy.harm = lambda asked: "" if "partNumber" not in asked.path or is_open.wait(60) else "drop"
        sending = {name: curl(tmp_path / name, url) for name in bodies}
        with suppress(AssertionError):
            wait_until("both are on their way", lambda: str(proxy.asked).count("?uploads") > 1, seconds=5)
        is_open.set()
        said = {each.communicate(timeout=60)[0]: name for name, each in sending.items()}
        assert sorted(said) == ["201", "409"]
        [file] = settled(tmp_path, 1)
        assert cat(tmp_path, file["file_id"]) == bodies[said["201"]]
        assert wharf(tmp_path, "store", "verify")["problems"] == []


def curl(body: Path, url: str) -> subprocess.Popen[str]:
    command = [need("curl"), "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-T", str(body), url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_ledger_is_rebuilt_from_the_bucket_alone(tmp_path: Path) -> None:
    configure(tmp_path)
    put(tmp_path, {f"{n}.csv": b"%d" % n for n in range(12)})
    with Serving(tmp_path):
        before = settled(tmp_path, 12)
    shutil.rmtree(tmp_path / "data")
    wharf(tmp_path, "ledger", "rebuild")
    after = wharf(tmp_path, "files")
    facts = ("file_id", "key", "version", "sha256", "size", "status")
    assert [[file[fact] for fact in facts] for file in after] == [[file[fact] for fact in facts] for file in before]
    assert wharf(tmp_path, "store", "verify")["problems"] == []


def test_two_data_directories_share_a_bucket(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for directory in (here, there):
        configure(directory, shared=tmp_path, landing=directory.name)
        put(directory, {f"{directory.name}-{n}.csv": b"%d" % n * 5000 for n in range(20)})
    with Serving(here), Serving(there):
        files = {directory: settled(directory, 20) for directory in (here, there)}
        for directory in (here, there):
            put(directory, {f"{directory.name}-later.csv": b"later"})
        files = {directory: settled(directory, 21) for directory in (here, there)}
    for directory in (here, there):
        assert {o["about"]["file_id"] for o in objects(directory, directory.name)} == {  # type: ignore[index]
            file["file_id"] for file in files[directory]
        }
        assert len(objects(directory, "kept")) == 42
        assert wharf(directory, "store", "verify")["problems"] == []


def test_a_wharf_whose_bucket_is_missing_says_so(tmp_path: Path) -> None:
    (tmp_path / "wharf.yaml").write_text(
        CONFIG.replace("data: ./data\n", f"data: ./data\nstore: s3://not-there?endpoint={buckets.moto()}\n")
    )
    command = [sys.executable, "-m", "wharfinger", "--config", str(tmp_path / "wharf.yaml"), "store", "ls"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "NO_BUCKET" in done.stderr
    assert "create it" in done.stderr
