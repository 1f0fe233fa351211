"""The demo: makes a customer's files, serves, uploads, waits, and tells what became of each."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import asyncssh
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from wharfinger import app, config
from wharfinger.cli import choose
from wharfinger.cli.demo import proof, report, upload
from wharfinger.cli.demo.files import Sample, samples
from wharfinger.errors import UsageError, WharfingerError
from wharfinger.ledger import Catalog, Filter, User
from wharfinger.model import FileRecord

MARK = ".wharf-demo"
DEADLINE_S = 300.0
USER, CUSTOMER = "nora", "northwind"

CONFIG = """\
# What `wharf demo` runs. `wharf check` validates it; `wharf schema` helps an editor with it.
data: ./data
listeners:
  sftp: {host: 127.0.0.1, port: 0}      # a free port; give a number in earnest
customers:
  northwind: {}
sources:
  letters: {directory: ./dropbox, customer: northwind, complete: rename, original: delete}
destinations:
  warehouse: {directory: ./warehouse}   # real names, for people and other programs
  archive: {bucket: archive}            # a bucket of the store, for keeping
pipelines:
  month-end:                            # an archive of many: each member is a run of its own, and the archive waits for them
    route: {key: "inbound/**/month-end*.zip", type: application/zip}
    steps:
      - {each: member, pipeline: statement}
      - {uses: deliver, with: {to: archive}}
  statement:                            # no route: it takes only what others hand it
    steps:
      - {pipeline: seal, when: 'member.name glob "*.csv"'}
      - {uses: deliver, with: {to: warehouse, key: "{customer}/month-end/{member}"}}
  seal:                                 # nested: called for each table in the archive
    steps:
      - checksum
      - compress
      - {uses: deliver, with: {to: archive, key: "sealed/{folder}/{name}"}}
  packed:                               # anything compressed, whatever its name says
    route: {key: "inbound/**", type: [application/gzip, application/zip]}
    steps:
      - decompress
      - checksum
      - {uses: deliver, with: {to: warehouse, key: "{customer}/unpacked/{name}"}}
  reports:                              # everything else: kept as it came, delivered under its date
    route: {key: "inbound/**"}
    steps:
      - {uses: deliver, name: keep, with: {to: archive}}
      - {uses: rename, with: {to: "{date:%Y-%m-%d} {name}"}}
      - {uses: deliver, with: {to: warehouse, key: "{customer}/reports/{name}"}}
"""


def run(directory: Path, *, megabytes: int, as_json: bool) -> bool:
    """Run the demo in `directory` (made anew). True when every file ended as it ought to."""
    console = Console(stderr=as_json, highlight=False)
    _prepare(directory)
    wanted = samples(megabytes)
    _generate(directory / "outbox", wanted, console)
    _configure(directory)
    with _served(directory) as port:
        console.print(
            f"[bold]wharf serve[/] listens for SFTP on 127.0.0.1:{port}; {USER} of {CUSTOMER} signs in with her key.",
            soft_wrap=True,
        )
        database = app.open_database(config.read(directory / "wharf.yaml", app.registry(), os.environ))
        try:
            began = time.monotonic()
            client = upload.send(directory, port, USER, [s.name for s in wanted if not s.dropped], console)
            _drop(directory, [s.name for s in wanted if s.dropped], console)
            records = _wait(database.catalog, len(wanted), console)
            seconds = time.monotonic() - began
            histories = {r.file_id: database.catalog.events(r.file_id) for r in records}
        finally:
            database.close()
    strays = _strays(wanted, records)
    proven = _prove(directory, records, console)
    if as_json:
        print(json.dumps(report.document(directory, client, seconds, records, strays, proven)))
    else:
        report.show(console, directory, seconds, records, histories, strays, proven)
    return not strays


def _prepare(directory: Path) -> None:
    if directory.exists():
        if not (directory / MARK).exists() and any(directory.iterdir()):
            raise UsageError(
                f"{directory} is not empty and was not made by an earlier demo", fix="name another with --dir"
            )
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    (directory / MARK).touch()


def _generate(outbox: Path, wanted: Sequence[Sample], console: Console) -> None:
    outbox.mkdir()
    with _progress(console) as progress:
        task = progress.add_task("making a customer's files", total=len(wanted))
        for sample in wanted:
            (outbox / sample.name).parent.mkdir(exist_ok=True)
            sample.write(outbox / sample.name)
            progress.advance(task)


def _drop(directory: Path, names: Sequence[str], console: Console) -> None:
    """Put these files into the watched folder, as a careful sender does: whole under another name, then renamed."""
    for name in names:
        target = directory / "dropbox" / name
        target.parent.mkdir(exist_ok=True)
        partial = target.with_name(f"{target.name}.tmp")
        shutil.copyfile(directory / "outbox" / name, partial)
        partial.rename(target)
        console.print(f"dropped into the watched folder: {name}", soft_wrap=True)


def _configure(directory: Path) -> None:
    (directory / "wharf.yaml").write_text(CONFIG, encoding="utf-8")
    (directory / "warehouse").mkdir()
    (directory / "dropbox").mkdir()
    key = asyncssh.generate_private_key("ssh-ed25519", comment=f"{USER}@{CUSTOMER}")
    private = directory / "nora_ed25519"
    private.touch(mode=0o600)
    key.write_private_key(str(private))
    public = key.export_public_key().decode().strip()
    database = app.open_database(config.read(directory / "wharf.yaml", app.registry(), os.environ))
    try:
        choose.admit(database.accounts, User(USER, CUSTOMER, home=CUSTOMER, keys=(public,)))
    finally:
        database.close()


@contextmanager
def _served(directory: Path) -> Iterator[int]:
    """`wharf serve` on a free port, as a user would start it; stopped (SIGTERM, so gracefully) in the end."""
    log = directory / "serve.log"
    with log.open("wb") as err:
        command = [sys.executable, "-m", "wharfinger", "--config", str(directory / "wharf.yaml"), "--json", "serve"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, stdin=subprocess.DEVNULL)
    assert server.stdout is not None
    try:
        ready = server.stdout.readline()
        if not ready:
            raise WharfingerError(f"wharf serve ended at once: {_tail(log)}", fix=f"read {log}")
        yield int(json.loads(ready)["sftp"]["port"])
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)
        server.stdout.close()


def _tail(log: Path) -> str:
    return log.read_text(errors="replace").strip().rpartition("\n")[2] or "it said nothing"


def _wait(catalog: Catalog, count: int, console: Console) -> list[FileRecord]:
    """Every file's record, once all have come to an end (or the deadline is over)."""
    deadline = time.monotonic() + DEADLINE_S
    with _progress(console) as progress:
        task = progress.add_task("through the pipelines", total=count)
        while True:
            records = catalog.files(Filter(customer=CUSTOMER))
            progress.update(task, completed=sum(r.status.is_final for r in records))
            if progress.finished or time.monotonic() > deadline:
                return sorted(records, key=lambda r: r.file_id)
            time.sleep(0.05)


def _strays(wanted: Sequence[Sample], records: Sequence[FileRecord]) -> Mapping[str, str]:
    """The files that did not end as they ought to, with what became of them."""
    became = {record.key.rpartition("/")[2]: str(record.status) for record in records}
    return {s.name: became.get(s.base, "never arrived") for s in wanted if became.get(s.base) != s.ends}


def _prove(directory: Path, records: Sequence[FileRecord], console: Console) -> list[proof.Line]:
    """Of the first file that was transferred; nothing where none was."""
    record = next((record for record in records if record.status.is_final and record.delivered), None)
    if record is None:
        return []
    with console.status("making receipts and evidence, and having them checked"):
        return proof.prove(directory, record.file_id, f"outbox/{record.key.partition('/inbound/')[2]}")


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)
