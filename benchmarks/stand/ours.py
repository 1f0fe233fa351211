"""Wharfinger itself: `wharf serve` with two customers, a bucket and a directory to deliver to."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stand.servers import HOST, Keys, Server, running
from wharfinger import app, config
from wharfinger.ledger import Database, Entry, Filter, User
from wharfinger.model import FileRecord, Status
from wharfinger.store import Store

BUCKET = "landing"
CUSTOMERS = ("bench", "other")  # each with a user of the same name
FOLDERS = ("inbound", "inbound/bucket", "inbound/directory")
CONFIG = """\
data: ./data
bucket: landing
customers: {bench: {}, other: {}}
destinations:
  warehouse: {directory: ./warehouse}
  archive: {bucket: archive}
pipelines:
  real_names:
    route: {key: "inbound/directory/**"}
    steps: [{uses: deliver, with: {to: warehouse}}]
  kept:
    route: {key: "inbound/bucket/**"}
    steps: [{uses: deliver, with: {to: archive}}]
"""
SFTP = "listeners: {sftp: {host: 127.0.0.1, port: 0}}"
NO_SFTP = "listeners: {sftp: null}"


@dataclass(frozen=True, slots=True)
class Wharf:
    """A wharf that runs, and its database for looking."""

    server: Server
    database: Database

    def as_user(self, name: str) -> Server:
        """The same server for another customer's client."""
        s = self.server
        return Server(s.name, s.port, name, s.key, s.pid, s.held)

    def drained(self, within_s: float = 60) -> None:
        """Wait until every file has come to its end; raises TimeoutError."""

        def is_drained() -> bool:
            files = self.database.catalog.counts().files
            return all(count == 0 or status.is_final for status, count in files.items())

        self._wait(is_drained, "all files", within_s)

    def delivered(self, since: float, count: int, *, customer: str = "bench", within_s: float = 60) -> dict[str, float]:
        """When (epoch s) each of `count` files, by key, that came since was delivered, once all are; raises TimeoutError."""

        def records() -> dict[str, float]:
            wanted = Filter(customer=customer, since=since, status=Status.TRANSFERRED)
            return {record.key: record.transfer_timestamp or 0.0 for record in self._records(wanted)}

        self._wait(lambda: len(records()) >= count, f"{count} files of {customer}", within_s)
        return records()

    def _wait(self, truth: Callable[[], bool], what: str, within_s: float) -> None:
        end = time.monotonic() + within_s
        while not truth():
            if time.monotonic() > end:
                raise TimeoutError(f"{what} were not delivered in {within_s:.0f} s: {self.database.catalog.counts()}")
            time.sleep(0.05)

    def _records(self, wanted: Filter) -> Iterator[FileRecord]:
        after = ""
        while page := self.database.catalog.files(wanted, limit=1000, after=after):
            yield from page
            after = page[-1].file_id


@dataclass(frozen=True, slots=True)
class Wired:
    """The rooms of a wharf, opened in this process."""

    store: Store
    database: Database

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()


def opened(work: Path, ledger: str = "sqlite", listeners: str = SFTP) -> Wired:
    """Store and database of the wharf under `work`, which is made if need be; its ledger may be on a server (a URL)."""
    settings = config.read(_configured(work / "wharf", ledger, listeners), app.registry(), os.environ)
    return Wired(app.open_store(settings), app.open_database(settings))


@contextmanager
def wharf(work: Path, keys: Keys, env: Mapping[str, str], ledger: str = "sqlite") -> Iterator[Wharf]:
    """`wharf serve` as a user starts it: listener and workers."""
    with closing(opened(work, ledger)) as wired:
        _seed(wired.database, keys)
        with serving(work, env) as (pid, ready):
            yield _served(pid, ready["sftp"]["port"], keys, wired.database)


@contextmanager
def serving(work: Path, env: Mapping[str, str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """`wharf serve` on what `opened` made under `work`: its process, and what it says once all are ready."""
    with running([*_command(work), "serve"], env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout
        ready = process.stdout.readline()
        if not ready:
            raise RuntimeError("wharf serve ended at once; its reason stands above")
        yield process.pid, json.loads(ready)


@contextmanager
def listening(work: Path, keys: Keys, env: Mapping[str, str]) -> Iterator[Wharf]:
    """The SFTP process alone, as `wharf serve` starts it beside the workers."""
    with closing(opened(work)) as wired, socket.create_server((HOST, 0), backlog=1024) as bound:
        _seed(wired.database, keys)
        fd, port = bound.fileno(), bound.getsockname()[1]
        with running([*_command(work), "listen", "--fd", str(fd)], env=env, pass_fds=[fd]) as process:
            bound.close()
            yield _served(process.pid, port, keys, wired.database)


def _command(work: Path) -> list[str]:
    return [sys.executable, "-m", "wharfinger", "--config", str(work / "wharf" / "wharf.yaml"), "--json"]


def _served(pid: int, port: int, keys: Keys, database: Database) -> Wharf:
    def held() -> int:
        return sum(database.catalog.counts().files.values())

    return Wharf(Server("wharfinger", port, CUSTOMERS[0], keys.client, pid, held), database)


def _configured(directory: Path, ledger: str, listeners: str) -> Path:
    directory.mkdir(exist_ok=True, parents=True)
    (directory / "warehouse").mkdir(exist_ok=True)
    settings = directory / "wharf.yaml"
    settings.write_text(f"{CONFIG}ledger: {ledger}\n{listeners}\n")
    return settings


def _seed(database: Database, keys: Keys) -> None:
    public = keys.authorized.read_text().strip()
    database.accounts.keep([User(name, name, name, keys=(public,)) for name in CUSTOMERS])
    database.namespace.make([Entry(f"{name}/{folder}", "dir") for name in CUSTOMERS for folder in FOLDERS])
