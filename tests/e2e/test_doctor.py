"""`wharf doctor` over installations with one thing broken, on real servers: it names that part, why, and what mends it, and no other."""

from __future__ import annotations

import json
import os
import signal
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import boto3
import psycopg
import pytest

from rig import buckets, postgres
from rig.certificates import certificate
from rig.command import CONFIG, Said, Wharf
from rig.proxy import proxied
from rig.serving import free_port
from rig.waiting import wait_until

pytestmark = pytest.mark.slow

SERVED = CONFIG.replace("min_free: 1048576\n", "min_free: 1048576\nworkers: {lease_s: 0.5}\n")
TABLE = "a,b\n1,2\n"


@dataclass
class House:
    """A sound installation, until a test has broken something. What it starts ends with `stack`."""

    wharf: Wharf
    stack: ExitStack
    config: str = SERVED
    env: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.wharf.place

    def put(self, *names: str) -> None:
        self.write()
        for name in names:
            self.wharf.write(name, TABLE)
        assert self.wharf("put", *names, "--customer", "acme", env=self.env).code == 0

    def write(self) -> None:
        self.wharf.write("wharf.yaml", self.config)

    def doctor(self, *words: str) -> Said:
        self.write()
        return self.wharf("doctor", *words, env=self.env)

    def taken(self) -> int:
        """A port on which somebody listens who never says anything of use."""
        return int(self.stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1])

    def small(self, *, options: str) -> Path:
        """A filesystem of its own for the data directory, which needs the right to mount one."""
        path = self.root / "small"
        path.mkdir()
        self.mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path))
        self.stack.callback(subprocess.run, ["umount", "-l", str(path)], check=True)
        self.config = self.config.replace("data: ./data", "data: ./small/data").replace("1048576", "1")
        self.put("a.csv")
        if options:
            self.mount("-o", f"remount,{options}", str(path))
        return path

    def mount(self, *words: str) -> None:
        done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"needs a small filesystem of its own: {done.stderr.strip()}")


@pytest.fixture
def house(wharf: Wharf) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(wharf, stack)


def no_configuration(house: House) -> None:
    house.config = house.config.replace("customers:", "costumers:")


def data_is_a_file(house: House) -> None:
    house.wharf.write("data", "")


def data_cannot_be_written(house: House) -> None:
    house.small(options="ro")


def data_is_full(house: House) -> None:
    disk = house.small(options="")
    with (disk / "ballast").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 12)):
                pass
        except OSError:
            return


def too_little_room(house: House) -> None:
    house.config = house.config.replace("1048576", str(1 << 60))


def ledger(house: House, url: str) -> None:
    house.config += f"ledger: {url}\n"


def postgres_is_down(house: House) -> None:
    ledger(house, f"postgresql://wharf@127.0.0.1:{free_port()}/postgres")


def postgres_wants_another_password(house: House) -> None:
    with psycopg.connect(postgres.shared(), autocommit=True) as db:
        db.execute(f"DROP ROLE IF EXISTS {postgres.LOCKED}")
        db.execute(f"CREATE ROLE {postgres.LOCKED} LOGIN PASSWORD 'right'")
    house.env["PGPASSWORD"] = "wrong"
    ledger(house, postgres.shared().replace("wharf@", f"{postgres.LOCKED}@"))


def schema_is_newer(house: House) -> None:
    url = postgres.schema(house.root)
    ledger(house, url)
    house.put("a.csv")
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("INSERT INTO migration(version) VALUES (999)")


def clocks_differ(house: House) -> None:
    """The server's own function is hidden behind one that is 100 s ahead."""
    url = postgres.schema(house.root)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(
            "CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql AS "
            "$$ SELECT pg_catalog.clock_timestamp() + interval '100 s' $$"
        )
    ledger(house, f"{url},pg_catalog")
    house.put("a.csv")


def ledger_is_lost(house: House) -> None:
    house.put("a.csv")
    for path in (house.root / "data").glob("ledger.db*"):
        path.unlink()


def bucket(house: House, url: str) -> None:
    house.config += f"store: {url}\n"


def bucket_is_missing(house: House) -> None:
    bucket(house, f"s3://not-there?endpoint={buckets.moto()}&region=us-east-1")


def bucket_is_forbidden(house: House) -> None:
    proxy = house.stack.enter_context(proxied(buckets.moto()))
    bucket(house, buckets.url(house.root, endpoint=proxy.endpoint))
    proxy.harm = lambda _: "denied"


def endpoint_is_wrong(house: House) -> None:
    bucket(house, f"s3://some?endpoint=http://127.0.0.1:{free_port()}&region=us-east-1")


def an_object_is_lost(house: House) -> None:
    house.put("a.csv")
    next(path for path in (house.root / "data/store/objects").rglob("*") if path.is_file()).unlink()


def signing_key(house: House) -> Path:
    house.write()
    house.wharf("signing", "list")
    path = house.root / "data/signing-keys.json"
    assert path.exists()
    return path


def signing_keys_are_missing(house: House) -> None:
    signing_key(house).unlink()


def signing_keys_cannot_be_read(house: House) -> None:
    path = signing_key(house)
    path.unlink()
    path.mkdir()


def host_key_is_unusable(house: House) -> None:
    house.wharf.write("mine", "no key").chmod(0o600)
    house.config = house.config.replace("port: 0", "port: 0, host_keys: ./mine")


def sftp_port_is_taken(house: House) -> None:
    house.config = house.config.replace("port: 0", f"port: {house.taken()}")


def http(house: House, text: str) -> None:
    house.config = house.config.replace("listeners: {", f"listeners: {{http: {{{text}}}, ")


def http_port_is_taken(house: House) -> None:
    http(house, f"port: {house.taken()}")


def http_has_no_certificate(house: House) -> None:
    http(house, f"port: {free_port()}, certificate: ./gone.pem, key: ./gone.key")


def http_key_has_a_passphrase(house: House) -> None:
    certificate(house.root, passphrase="secret")
    http(house, f"port: {free_port()}, certificate: ./cert.pem, key: ./key.pem")


def http_has_no_secret(house: House) -> None:
    http(house, f"port: {free_port()}, secret: ./gone")


def metrics_port_is_taken(house: House) -> None:
    house.config += f"metrics: {{port: {house.taken()}}}\n"


def metrics_port_tells_without_end(house: House) -> None:
    class Endless(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    self.request.sendall(b"wharf\n")
                    time.sleep(0.1)

    server = house.stack.enter_context(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Endless))
    server.daemon_threads = True
    house.stack.callback(server.shutdown)
    threading.Thread(target=server.serve_forever, args=[0.05]).start()
    house.config += f"metrics: {{port: {server.server_address[1]}}}\n"


def source(house: House, **how: object) -> None:
    house.config += f"sources:\n  drop: {json.dumps({'customer': 'acme', **how})}\n"


def folder_is_missing(house: House) -> None:
    source(house, directory="./gone")


def nobody_looks_at_the_folder(house: House) -> None:
    (house.root / "drop").mkdir()
    source(house, directory="./drop", scan_s=0.3)
    house.write()
    serve = serving(house)
    wait_until("it was looked at", (house.root / "data/run/sources/drop.json").exists)
    [pid] = [int(pid) for pid in _children(serve.pid) if "watch" in _words(pid)]
    os.kill(pid, signal.SIGSTOP)
    house.stack.callback(os.kill, pid, signal.SIGCONT)
    time.sleep(10 * 0.3 + 1)


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _words(pid: str) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def partners_bucket_is_missing(house: House) -> None:
    source(house, bucket=f"s3://not-there-either?endpoint={buckets.moto()}&region=us-east-1")


def queue_is_missing(house: House) -> None:
    house.env.update(AWS_ENDPOINT_URL_SQS=buckets.moto(), AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1")
    there = f"s3://{buckets.bucket(house.root)}?endpoint={buckets.moto()}&region=us-east-1"
    source(house, bucket=there, queue=f"{buckets.moto()}/123456789012/not-there")


def destination_is_missing(house: House) -> None:
    (house.root / "out").rmdir()


def destination_is_a_file(house: House) -> None:
    destination_is_missing(house)
    house.wharf.write("out", "")


def http_has_no_server(house: House) -> None:
    http(house, f"port: {free_port()}")
    house.wharf.write("hidden/uvicorn.py", "raise ModuleNotFoundError('gone', name='uvicorn')")
    house.env["PYTHONPATH"] = str(house.root / "hidden")


def configuration_was_changed(house: House) -> None:
    house.put("a.csv")
    process = serving(house)
    assert process.stdout
    process.stdout.readline()
    assert house.wharf("status", "--json").json["outdated"] is False
    house.config += "# another one\n"
    house.write()
    assert "still obeys the old one: restart wharf serve" in house.wharf("status").err
    assert "still obeys the old one" in house.wharf("route", "explain", "inbound/a.csv", "--customer", "acme").err
    assert house.wharf("status", "--json").json["outdated"] is True


def another_node_has_another_revision(house: House) -> None:
    house.write()
    process = serving(house)
    assert process.stdout
    process.stdout.readline()
    house.put("a.csv")
    wait_until("it was taken", lambda: house.wharf("files", "--json").json[0]["pipeline"])
    db = apsw.Connection(str(house.root / "data/ledger.db"))
    db.set_busy_timeout(5000)
    db.execute("UPDATE revision SET revision = 'another'")
    db.close()


def a_lease_is_stale(house: House) -> None:
    house.put("a.csv")
    assert house.wharf("worker", env={"WHARF_CRASH": "worker.claimed"}).code == -9
    wait_until("its lease is over", lambda: "a lease ended" in house.doctor("--json").out)


def nothing_serves(house: House) -> None:
    house.put("a.csv")
    assert "nothing serves here" in house.wharf("status").err
    assert house.wharf("status", "--json").json["serves"] is False
    wait_until("it has waited", lambda: "no worker holds any" in house.doctor("--json").out)


def nobody_signs(house: House) -> None:
    house.config = house.config.replace("lease_s: 0.5", "checkpoint_s: 0.001")
    house.put("a.csv")


BREAKAGES: Mapping[Callable[[House], None], tuple[str, str, str, str]] = {
    no_configuration: ("configuration", "fail", "CONFIG_INVALID", "wharf.yaml"),
    data_is_a_file: ("data directory", "fail", "is no directory", "set `data`"),
    data_cannot_be_written: ("data directory", "fail", "read-only", "can be written to"),
    data_is_full: ("data directory", "fail", "NO_SPACE", "free some space"),
    too_little_room: ("disk", "fail", "uploads are refused below", "make room"),
    postgres_is_down: ("ledger", "fail", "LEDGER_UNREACHABLE", "see that the server runs"),
    postgres_wants_another_password: ("ledger", "fail", "password authentication failed", "PGPASSWORD"),
    schema_is_newer: ("ledger", "fail", "has version 999", "use the newer wharfinger"),
    clocks_differ: ("clock", "fail", "behind that of the ledger's server", "NTP"),
    ledger_is_lost: ("ledger", "fail", "it was lost", "wharf ledger rebuild --missing"),
    bucket_is_missing: ("store", "fail", "NO_BUCKET", "create it"),
    bucket_is_forbidden: ("store", "fail", "NOT_PERMITTED", "credentials"),
    endpoint_is_wrong: ("store", "fail", "STORE_UNREACHABLE", "see that the service is up"),
    an_object_is_lost: ("store", "fail", "not in the store", "wharf store verify"),
    signing_keys_are_missing: ("signing keys", "fail", "SIGNING_KEYS_FOREIGN", "copy signing-keys.json"),
    signing_keys_cannot_be_read: ("signing keys", "fail", "SIGNING_KEYS_UNUSABLE", "restore it from a backup"),
    host_key_is_unusable: ("host key", "fail", "mine", "no passphrase"),
    sftp_port_is_taken: ("sftp", "fail", "another program", "set another listeners.sftp.port"),
    http_port_is_taken: ("http", "fail", "does not answer as wharf does", "set another listeners.http.port"),
    http_has_no_certificate: ("http", "fail", "gone.pem", "in PEM"),
    http_key_has_a_passphrase: ("http", "fail", "cert.pem and its key", "without a passphrase"),
    http_has_no_secret: ("http", "fail", "gone", "name a file that can be read"),
    metrics_port_is_taken: ("metrics", "fail", "no figures of wharf", "set metrics.port"),
    metrics_port_tells_without_end: ("metrics", "fail", "no figures of wharf", "set metrics.port"),
    folder_is_missing: ("source drop", "fail", "is not there", "mkdir -p"),
    partners_bucket_is_missing: ("source drop", "fail", "NO_BUCKET", "correct `bucket`"),
    nobody_looks_at_the_folder: ("source drop", "fail", "has not looked at it for", "restart wharf serve"),
    queue_is_missing: ("source drop", "fail", "NO_QUEUE", "create it or correct `queue`"),
    destination_is_a_file: ("destination out", "fail", "is no directory", "mv "),
    http_has_no_server: ("http", "fail", "needs uvicorn", "pip install '.[http]'"),
    configuration_was_changed: ("configuration", "warn", "was changed since wharf serve began", "restart wharf serve"),
    another_node_has_another_revision: ("pipelines", "warn", "another revision", "the same on all nodes"),
    destination_is_missing: ("destination out", "fail", "is not there", "mkdir -p"),
    a_lease_is_stale: ("workers", "fail", "nobody has taken the file back", "wharf serve"),
    nothing_serves: ("workers", "warn", "wharf does not serve here", "wharf serve"),
    nobody_signs: ("checkpoints", "warn", "under no new checkpoint", "wharf audit checkpoint"),
}
"""What is done, and of what is found: the part, how bad it is, a word of why, a word of what mends it."""

BESIDE = {
    data_cannot_be_written: {"ledger", "store"},
    data_is_full: {"ledger", "store", "disk"},
    data_is_a_file: {"ledger", "store"},
}
"""What cannot work either."""


@pytest.mark.parametrize("harm", BREAKAGES, ids=[harm.__name__ for harm in BREAKAGES])
def test_the_broken_part_is_named_with_why_and_what_mends_it(harm: Callable[[House], None], house: House) -> None:
    harm(house)
    part, verdict, why, fix = BREAKAGES[harm]
    said = house.doctor("--json")
    findings = said.json["findings"]
    found = [each for each in findings if each["part"] == part and each["verdict"] != "ok"]
    assert [(each["verdict"], why in each["text"], fix in each["fix"]) for each in found] == [(verdict, True, True)], (
        found
    )
    others = {each["part"] for each in findings if each["verdict"] == "fail"} - {part}
    assert others <= BESIDE.get(harm, set()), findings
    assert (said.code, said.json["ok"]) == (int(verdict == "fail"), verdict != "fail")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_is_not_there_is_not_made_and_its_restore_goes_on(kind: str, house: House) -> None:
    for url in [postgres.database()] if kind == "postgres" else []:
        ledger(house, url)
    new = {each["part"]: each for each in house.doctor("--json").json["findings"]}
    assert (new["ledger"]["verdict"], "users" in new) == ("warn", False)
    assert [*house.root.glob("data/ledger.db*")] == []
    house.put("a.csv")
    assert house.wharf("backup", "kept").code == 0
    (house.root / "data").rename(house.root / "lost")
    if kind == "postgres":
        house.config = house.config.replace(url, postgres.database())
    assert "wharf restore" in {each["part"]: each for each in house.doctor("--json").json["findings"]}["ledger"]["fix"]
    assert house.wharf("restore", "kept", "--json").json["files"] == 1
    assert house.doctor().code == 0


def test_a_ledger_that_is_gone_from_beside_its_store_was_lost(house: House) -> None:
    house.put("a.csv")
    for path in house.root.glob("data/ledger.db*"):
        path.unlink()
    for _ in range(2):
        found = {each["part"]: each for each in house.doctor("--json").json["findings"]}
        assert (found["ledger"]["verdict"], "wharf ledger rebuild" in found["ledger"]["fix"]) == ("fail", True)
    (house.root / "data" / "restoring").write_text("2026-01-01T00-00-00Z")
    found = {each["part"]: each for each in house.doctor("--json").json["findings"]}
    assert "RESTORE_UNFINISHED" in found["ledger"]["text"]


def test_a_person_is_told_the_same(house: House) -> None:
    destination_is_missing(house)
    said = house.wharf.at_terminal("doctor", width=140)
    assert said.code == 1
    assert "destination out" in said.out
    assert "mkdir -p" in said.out
    assert "1 part broken; begin with: destination out" in said.out


def test_what_stands_on_a_broken_part_is_not_blamed(house: House) -> None:
    postgres_is_down(house)
    parts = {each["part"] for each in house.doctor("--json").json["findings"]}
    assert {"ledger", "store", "sftp", "destination out"} <= parts
    assert not {"users", "workers", "signing keys", "clock"} & parts


def test_of_a_house_that_is_served_on_every_port_nothing_is_wrong(house: House) -> None:
    house.config = house.config.replace("port: 0", f"port: {free_port()}") + f"metrics: {{port: {free_port()}}}\n"
    certificate(house.root)
    http(house, f"port: {free_port()}, certificate: ./cert.pem, key: ./key.pem")
    partner = buckets.bucket(house.root)
    queue = boto3.client("sqs", endpoint_url=buckets.moto(), region_name="us-east-1").create_queue(QueueName=partner)
    house.env.update(AWS_ENDPOINT_URL_SQS=buckets.moto(), AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1")
    source(house, bucket=f"s3://{partner}?endpoint={buckets.moto()}&region=us-east-1", queue=queue["QueueUrl"])
    house.put("a.csv")
    house.wharf("users", "add", "bob", "--customer", "acme", "--password", stdin="correct horse battery\n")
    process = serving(house)
    assert process.stdout
    process.stdout.readline()

    def sound() -> Any:
        findings = house.doctor("--json").json["findings"]
        return findings if {each["verdict"] for each in findings} == {"ok"} else None

    said = {each["part"]: each["text"] for each in wait_until("all is well", sound)}
    assert "wharf serves" in said["sftp"]
    assert "wharf takes uploads" in said["http"]
    assert "wharf answers Prometheus" in said["metrics"]
    assert "wharf serves here" in said["workers"]
    assert house.wharf("status", "--json").json["serves"] is True
    assert "does not serve" not in house.doctor().err


def serving(house: House) -> subprocess.Popen[str]:
    process = house.wharf.start("serve", "--json", env=house.env)
    house.stack.callback(process.communicate, timeout=40)
    house.stack.callback(process.terminate)
    return process
