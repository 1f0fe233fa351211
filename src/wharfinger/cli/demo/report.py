"""What the demo says at its end: each file's record, where it lies, and one history."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from wharfinger.cli.demo.proof import Line
from wharfinger.model import Event, FileRecord, Status

_COLOURS = {Status.TRANSFERRED: "green", Status.QUARANTINED: "yellow", Status.FAILED: "red"}


def document(
    directory: Path,
    client: str,
    seconds: float,
    records: Sequence[FileRecord],
    strays: Mapping[str, str],
    proven: Sequence[Line],
) -> Mapping[str, Any]:
    """The demo's result as one JSON document."""
    files = [
        {
            "file_id": r.file_id,
            "key": r.key,
            "size": r.size,
            "sha256": r.sha256,
            "source": r.source,
            "status": r.status,
            "pipeline": r.pipeline,
            "error_message": r.error_message,
            "delivered": [f"{d.destination}:{d.key}" for d in r.delivered],
        }
        for r in records
    ]
    return {
        "ok": not strays,
        "directory": str(directory),
        "client": client,
        "seconds": round(seconds, 3),
        "files": files,
        "unexpected": strays,
        "proof": [asdict(line) for line in proven],
    }


def show(
    console: Console,
    directory: Path,
    seconds: float,
    records: Sequence[FileRecord],
    histories: Mapping[str, Sequence[Event]],
    strays: Mapping[str, str],
    proven: Sequence[Line],
) -> None:
    """The same for a person."""
    say = _Lines(console)
    say("\n[bold]Every file has a record ...[/]")
    for record in records:
        _record(say, record)
    told = next((r for r in records if r.status is Status.TRANSFERRED and r.pipeline == "packed"), None)
    if told:
        _history(say, told, histories[told.file_id])
    _proof(say, proven)
    total = sum(record.size for record in records) / 1e6
    say(f"\n{len(records)} files, {total:,.0f} MB, from the first upload to the last delivery in {seconds:.1f} s.")
    say(
        f"What went to the warehouse lies in [bold]{_near(directory / 'warehouse')}[/], "
        f"the archive and all else in [bold]{_near(directory)}[/]."
    )
    _onward(say, directory, records)
    for name, became in strays.items():
        say(f"[red]{escape(name)}: {became}[/]")


class _Lines:
    """Prints lines as they are, however narrow the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)


def _record(say: _Lines, record: FileRecord) -> None:
    """What it is and what became of it on one line; below, where it lies, or why it lies nowhere."""
    took = f" in {record.transfer_timestamp - record.upload_timestamp:.2f} s" if record.transfer_timestamp else ""
    status = f"[{_COLOURS.get(record.status, 'red')}]{record.status}[/]"
    say(f"  [bold]{escape(_name(record))}[/] ({record.size:,} bytes): {status}{took} by pipeline {record.pipeline}")
    for delivered in record.delivered:
        say(f"      {delivered.destination}: {escape(delivered.key)}")
    if record.status is not Status.TRANSFERRED:
        say(f"      {escape(record.error_message)}")


def _history(say: _Lines, record: FileRecord, events: Sequence[Event]) -> None:
    say(f"\n[bold]... and a history, chained by hashes:[/] {escape(_name(record))}, {record.file_id}")
    for event in events:
        say(f"  {event.at - record.upload_timestamp:+8.3f} s  {event.kind:<12} {event.hash[:16]}")
        for step in event.data.get("steps", ()):
            say(
                f"                {step['name']} ({step['uses']}) took {step['seconds'] * 1000:.1f} ms: {step['outcome']}"
            )


def _proof(say: _Lines, proven: Sequence[Line]) -> None:
    if proven:
        say(
            "\n[bold]... and proof, that others check without us:[/] receipts, evidence, and evidence with one byte changed"
        )
    for line in proven:
        say(f"  {escape(line.command)}")
        say(f"      [{'green' if line.holds else 'yellow'}]{escape(line.said)}[/]")


def _onward(say: _Lines, directory: Path, records: Sequence[FileRecord]) -> None:
    quarantined = next((r.file_id for r in records if r.status is Status.QUARANTINED), "ID")
    called = next((r.file_id for r in records if r.pipeline == "month-end"), "ID")
    say("\nLook further:")
    for command in (
        "status",
        "files",
        f"file {quarantined}    # the one that was quarantined",
        f"file {called}    # an archive, and the child runs of its members",
        "route explain inbound/new.csv --customer northwind",
        "serve",
    ):
        say(f"  {_wharf()} --config {_near(directory / 'wharf.yaml')} {command}")


def _wharf() -> str:
    """How the command is called here: by its name, if the shell finds it."""
    return "wharf" if shutil.which("wharf") else str(_near(Path(sys.executable).with_name("wharf")))


def _near(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _name(record: FileRecord) -> str:
    return record.key.rpartition("/")[2]
