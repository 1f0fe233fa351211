"""Uploads by signed URL, with curl and with clients that mean no good, against the real server."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from rig.clients import need
from rig.command import CONFIG, Wharf
from rig.waiting import wait_until
from wharfinger.ingest.http import ticket
from wharfinger.store.versions import Versions

HTTP = "http: {{host: 127.0.0.1, port: 0, max_connections: {most}, header_s: {header_s}, idle_s: 1}}"


@dataclass
class Server:
    wharf: Wharf
    base: str
    log: list[str] = field(default_factory=list)  # once it has stopped

    def sign(self, key: str = "inbound/a.csv", *more: str) -> str:
        said = self.wharf("sign", "put", key, "--customer", "acme", "--base", self.base, "--json", *more)
        assert said.code == 0, said
        url: str = said.json["url"]
        return url

    def curl(self, url: str, body: bytes, *more: str) -> tuple[int, Any, str]:
        """The status, the document and the headers of the answer."""
        (self.wharf.place / "body").write_bytes(body)
        command = [need("curl"), "-sS", "-i", "-T", "body", *more, url]
        done = subprocess.run(command, cwd=self.wharf.place, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        answer = done.stdout.replace("\r\n", "\n").removeprefix("HTTP/1.1 100 Continue\n\n")
        head, _, document = answer.partition("\n\n")
        return int(head.split()[1]), json.loads(document) if document.startswith("{") else document, head

    def put(self, key: str, body: bytes, *more: str) -> tuple[int, Any, str]:
        return self.curl(self.sign(key), body, *more)

    def connect(self) -> socket.socket:
        split = urlsplit(self.base)
        return socket.create_connection((str(split.hostname), int(split.port or 0)), timeout=20)

    def files(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.wharf("files", "--json").json
        return found

    def staged(self) -> list[str]:
        return os.listdir(self.wharf.place / "data/store/staging")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("place"), most=8, header_s=1) as running:
        yield running


@contextmanager
def serving(place: Path, **limits: int) -> Iterator[Server]:
    wharf = Wharf(place)
    (place / "out").mkdir()
    wharf.write("wharf.yaml", CONFIG.replace("listeners: {", f"listeners: {{{HTTP.format(**limits)}, "))
    process = wharf.start("serve", "--json")
    try:
        assert process.stdout
        yield (server := Server(wharf, json.loads(process.stdout.readline())["http"]["url"]))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    server.log = err.splitlines()
    assert server.log[-1:] == ["stopped"], err


def test_a_file_is_put_and_delivered(server: Server) -> None:
    body = b"a,b\n1,2\n"
    status, told, head = server.put("inbound/first, with a blank & ü.csv", body)
    assert status == 201
    sha256 = hashlib.sha256(body).hexdigest()
    assert (told["key"], told["size"], told["sha256"]) == ("acme/inbound/first, with a blank & ü.csv", 8, sha256)
    assert f'etag: "{sha256}"' in head.lower()
    assert f"x-amz-checksum-sha256: {base64.b64encode(bytes.fromhex(sha256)).decode()}".lower() in head.lower()
    assert "\ndate: " in head.lower()
    delivered = server.wharf.place / "out/acme/inbound/first, with a blank & ü.csv"
    wait_until("it is delivered", delivered.exists)
    assert delivered.read_bytes() == body
    record = server.wharf("file", told["file_id"], "--json").json
    assert (record["source"], record["sha256"]) == ("http", sha256)


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (5 << 20) + 1])
def test_files_of_every_size_are_whole(size: int, server: Server) -> None:
    body = os.urandom(size)
    status, told, _ = server.put(f"inbound/size-{size}", body)
    assert (status, told["size"], told["sha256"]) == (201, size, hashlib.sha256(body).hexdigest())
    assert server.staged() == []


def test_a_body_without_a_length_is_taken(server: Server) -> None:
    status, told, _ = server.put("inbound/chunked", b"x" * 100_000, "-H", "Transfer-Encoding: chunked")
    assert (status, told["size"]) == (201, 100_000)


def test_the_same_again_is_answered_the_same_and_lands_once(server: Server) -> None:
    url = server.sign("inbound/again")
    first, again = server.curl(url, b"same"), server.curl(url, b"same")
    assert (first[0], again[0]) == (201, 200)
    assert first[1] == again[1]
    assert sum(record["key"].endswith("/again") for record in server.files()) == 1


def test_other_bytes_by_the_same_url_are_refused(server: Server) -> None:
    url = server.sign("inbound/other")
    assert server.curl(url, b"one")[0] == 201
    status, told, _ = server.curl(url, b"two")
    assert (status, told["error"]["code"]) == (409, "URL_USED")


def test_the_same_again_is_refused_once_its_bytes_are_given_up(server: Server) -> None:
    url = server.sign("inbound/purged.csv")
    file_id = server.curl(url, b"a,b\n1,2\n")[1]["file_id"]
    wait_until("it has ended", lambda: server.wharf("file", file_id, "--json").json["state"] == "done")
    assert server.wharf("purge", file_id, "--yes").code == 0
    status, told, _ = server.curl(url, b"a,b\n1,2\n")
    assert (status, told["error"]["code"]) == (410, "PURGED")
    assert server.curl(url, b"others")[1]["error"]["code"] == "URL_USED"
    assert server.staged() == []


def test_a_second_url_for_the_same_name_is_a_new_version(server: Server) -> None:
    versions = {server.put("inbound/versions", body)[1]["version"] for body in (b"one", b"two")}
    assert len(versions) == 2


def test_a_url_that_is_over_is_refused(server: Server) -> None:
    url = server.sign("inbound/late", "--expires", "1")
    time.sleep(2.1)
    status, told, _ = server.curl(url, b"late")
    assert (status, told["error"]["code"]) == (403, "URL_REFUSED")
    assert "over" in told["error"]["message"]


@pytest.mark.parametrize(
    "alter",
    [
        lambda url: url.replace("/acme/", "/globex/"),
        lambda url: url.replace("altered", "other"),
        lambda url: url.replace("max=", "max=9"),
        lambda url: url.partition("?")[0],
        lambda url: url.replace("/put/acme", "/put/%2e%2e/acme"),
        lambda url: url.replace("altered", "%ff"),
    ],
)
def test_a_url_that_was_altered_is_refused(alter: Any, server: Server) -> None:
    status, told, _ = server.curl(alter(server.sign("inbound/altered")), b"x", "--path-as-is")
    assert (status, told["error"]["code"]) == (403, "URL_REFUSED")
    assert not any("altered" in record["key"] or record["key"] == "other" for record in server.files())


def test_the_log_tells_of_a_refused_url_but_not_its_signature(tmp_path: Path) -> None:
    with serving(tmp_path, most=8, header_s=1) as server:
        url = server.sign("inbound/told").replace("/acme/", "/globex/")
        assert server.curl(url, b"x")[0] == 403
    [line] = [line for line in server.log if "refused" in line]
    assert all(word in line for word in ("URL_REFUSED", "globex/inbound/told", "127.0.0.1")), line
    assert url.rpartition("signature=")[2] not in "".join(server.log)


def test_a_url_is_for_one_method(server: Server) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert server.curl(server.sign(), b"x", "-X", method)[0] == 405


def test_a_body_that_is_too_large_is_refused(server: Server) -> None:
    url = server.sign("inbound/large", "--max-size", "1000")
    for more in ([], ["-H", "Transfer-Encoding: chunked"]):
        status, told, _ = server.curl(url, b"x" * 1001, *more)
        assert (status, told["error"]["code"]) == (413, "TOO_LARGE")
    assert server.curl(url, b"x" * 1000)[0] == 201
    assert server.staged() == []


def test_a_large_body_is_refused_before_it_is_sent(server: Server) -> None:
    url = server.sign("inbound/huge", "--max-size", "1000")
    assert server.curl(url, b"x" * (30 << 20))[0] == 413


def test_a_type_that_was_signed_is_asked_for(server: Server) -> None:
    url = server.sign("inbound/typed", "--type", "text/csv")
    assert server.curl(url, b"x", "-H", "Content-Type: text/html")[0] == 415
    assert server.curl(url, b"x")[0] == 415
    assert server.curl(url, b"x", "-H", "Content-Type: text/csv")[0] == 201


def digests(body: bytes) -> list[str]:
    return [
        f"Content-MD5: {base64.b64encode(hashlib.md5(body).digest()).decode()}",
        f"x-amz-checksum-sha256: {base64.b64encode(hashlib.sha256(body).digest()).decode()}",
    ]


@pytest.mark.parametrize("which", [0, 1])
def test_a_digest_that_was_promised_is_held_against_the_body(which: int, server: Server) -> None:
    url = server.sign(f"inbound/digest-{which}")
    status, told, _ = server.curl(url, b"damaged", "-H", digests(b"whole")[which])
    assert (status, told["error"]["code"]) == (400, "BAD_DIGEST")
    assert server.curl(url, b"whole", "-H", digests(b"whole")[which])[0] == 201


@pytest.mark.parametrize("header", ["Content-MD5: nonsense", "x-amz-checksum-sha256: AAAA", "Content-MD5: ü"])
def test_a_digest_that_is_none_is_refused(header: str, server: Server) -> None:
    assert server.put("inbound/no-digest", b"x", "-H", header)[0] == 400


@pytest.mark.parametrize(
    "header", ["Content-Encoding: gzip", "Content-Encoding: aws-chunked", "Content-Range: bytes 0-0/2"]
)
def test_bodies_in_disguise_are_refused(header: str, server: Server) -> None:
    assert server.put("inbound/disguise", b"x", "-H", header)[0] in (400, 415)


def test_a_name_that_is_a_folder_is_refused(server: Server) -> None:
    url = server.sign("inbound/folder")
    server.put("inbound/folder/a", b"x")
    status, told, _ = server.curl(url, b"x")
    assert (status, told["error"]["code"]) == (409, "NAME_TAKEN")
    words = ("sign", "put", "inbound/folder", "--customer", "acme", "--base", server.base)
    server.wharf.refused(*words, code="NAME_TAKEN", exit=1)


def test_a_name_below_the_receipts_is_refused(server: Server) -> None:
    """At the door as well: a URL may be older than the home."""
    words = ("sign", "put", "receipts/a.csv", "--customer", "acme", "--base", server.base)
    server.wharf.refused(*words, code="NAME_RESERVED", exit=4)
    secret = ticket.secret(None, server.wharf.place / "data")
    leave = ticket.Ticket("acme/receipts/a.csv", Versions()(), expires=int(time.time()) + 60, max_size=10)
    status, told, _ = server.curl(leave.url(server.base, secret), b"x")
    assert (status, told["error"]["code"]) == (409, "NAME_RESERVED")


def request(url: str, *headers: str) -> bytes:
    target = url[url.index("/put/") :]
    return "\r\n".join([f"PUT {target} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def test_a_body_that_is_cut_off_leaves_nothing(server: Server) -> None:
    url = server.sign("inbound/cut")
    with server.connect() as client:
        client.sendall(request(url, "Content-Length: 1000") + b"half")
        wait_until("it has begun", server.staged)
    wait_until("nothing is left", lambda: not server.staged())
    assert not any(record["key"].endswith("/cut") for record in server.files())


def test_a_body_that_stops_is_given_up(server: Server) -> None:
    url = server.sign("inbound/stops")
    with server.connect() as client:
        client.sendall(request(url, "Content-Length: 1000") + b"half")
        assert b"408" in client.recv(1 << 16).split(b"\r\n")[0]
    wait_until("nothing is left", lambda: not server.staged())


def test_a_body_that_drips_is_given_up(server: Server) -> None:
    url, began = server.sign("inbound/drips"), time.monotonic()
    with server.connect() as client, suppress(OSError):
        client.sendall(request(url, "Content-Length: 1000000"))
        while time.monotonic() < began + 15:
            client.sendall(b"x")
            time.sleep(0.1)
    assert time.monotonic() < began + 10
    wait_until("nothing is left", lambda: not server.staged())


@pytest.mark.parametrize("begins", [b"", b"PUT /put/", b"GET / HTTP/1.1\r\nHost: x\r\n\r\nPUT /slow"])
def test_a_request_that_does_not_come_is_not_waited_for(begins: bytes, server: Server) -> None:
    began = time.monotonic()
    with server.connect() as client:
        client.sendall(begins)
        while client.recv(1 << 16):
            pass
    assert time.monotonic() < began + 10


def test_headers_have_an_end(server: Server) -> None:
    url = server.sign("inbound/headers")
    with server.connect() as client, suppress(ConnectionError):
        client.sendall(request(url, f"X: {'x' * 2_000_000}", "Content-Length: 0"))
        assert b" 201 " not in client.recv(1 << 16)
    assert not any(record["key"].endswith("/headers") for record in server.files())


def test_connections_are_bounded_and_the_server_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path, most=8, header_s=600) as server:
        with ExitStack() as crowd:
            clients = [crowd.enter_context(server.connect()) for _ in range(20)]
            wait_until("those above the bound are cut off", lambda: sum(map(is_over, clients)) >= 12)
            assert sum(map(is_over, clients)) == 12
        wait_until("it answers again", lambda: server.put("inbound/after", b"x")[0] in (200, 201))


def is_over(client: socket.socket) -> bool:
    """Whether the other side has ended it."""
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_two_at_once_by_one_url_land_one_file(server: Server) -> None:
    url = server.sign("inbound/twice")
    (server.wharf.place / "twice").write_bytes(os.urandom(3 << 20))
    command = [need("curl"), "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--limit-rate", "6M", "-T", "twice", url]
    both = [subprocess.Popen(command, cwd=server.wharf.place, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert {each.communicate(timeout=60)[0] for each in both} <= {"200", "201"}
    assert sum(record["key"].endswith("/twice") for record in server.files()) == 1


def test_a_url_can_be_signed_for_a_fixed_address(server: Server, tmp_path: Path) -> None:
    wharf = Wharf(tmp_path)
    wharf.write("wharf.yaml", CONFIG.replace("listeners: {", "listeners: {http: {port: 8022}, "))
    said = wharf("sign", "put", "inbound/a.csv", "--customer", "acme", "--type", "text/csv")
    assert said.out.startswith("http://127.0.0.1:8022/put/acme/inbound/a.csv?version=")
    assert "curl -H 'Content-Type: text/csv' -T FILE 'URL'" in said.err


def test_what_cannot_be_signed_is_told(wharf: Wharf) -> None:
    wharf.refused("sign", "put", "a", "--customer", "acme", code="USAGE", exit=2)
    wharf.write("wharf.yaml", CONFIG.replace("listeners: {", "listeners: {http: {port: 0}, "))
    wharf.refused("sign", "put", "a", "--customer", "acme", code="USAGE", exit=2)
    wharf.refused("sign", "put", "../a", "--customer", "acme", "--base", "http://x", code="USAGE", exit=2)
