"""What the demo says at its end: each file's record, where it lies, and one history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from wharfinger.model import Event, FileRecord, Status

_COLOURS = {Status.TRANSFERRED: "green", Status.QUARANTINED: "yellow", Status.FAILED: "red"}


def document(
    directory: Path, client: str, seconds: float, records: Sequence[FileRecord], strays: Mapping[str, str]
) -> Mapping[str, Any]:
    """The demo's result as one JSON document."""
    files = [
        {
            "file_id": r.file_id,
            "key": r.key,
            "size": r.size,
            "sha256": r.sha256,
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
    }


def show(
    console: Console,
    directory: Path,
    seconds: float,
    records: Sequence[FileRecord],
    histories: Mapping[str, Sequence[Event]],
    strays: Mapping[str, str],
) -> None:
    """The same for a person."""
    console.print(_table(records))
    for record in records:
        if record.status is Status.QUARANTINED:
            console.print(f"[yellow]{_name(record)}[/] is quarantined, as it should be: {record.error_message}")
    _history(console, records, histories)
    total = sum(record.size for record in records)
    console.print(
        f"\n{len(records)} files, {total / 1e6:,.0f} MB, from the first upload to the last delivery in {seconds:.1f} s."
    )
    _onward(console, directory, records)
    for name, became in strays.items():
        console.print(f"[red]{name}: {became}[/]")


def _table(records: Sequence[FileRecord]) -> Table:
    table = Table(title="\nEvery file has a record", title_justify="left", title_style="bold", expand=False)
    for heading, options in (
        ("file", {}),
        ("bytes", {"justify": "right"}),
        ("status", {}),
        ("pipeline", {}),
        ("in", {"justify": "right"}),
    ):
        table.add_column(heading, **options)  # type: ignore[arg-type]
    table.add_column("lies at", overflow="fold")
    for r in records:
        took = f"{r.transfer_timestamp - r.upload_timestamp:.2f} s" if r.transfer_timestamp else ""
        where = "\n".join(f"{d.destination}: {d.key}" for d in r.delivered)
        colour = _COLOURS.get(r.status, "red")
        table.add_row(_name(r), f"{r.size:,}", f"[{colour}]{r.status}[/]", r.pipeline, took, where)
    return table


def _history(console: Console, records: Sequence[FileRecord], histories: Mapping[str, Sequence[Event]]) -> None:
    done = next((r for r in records if r.status is Status.TRANSFERRED and r.pipeline == "packed"), None)
    if done is None:
        return
    console.print(f"\n[bold]... and a history[/] (a chain of hashes; this is {_name(done)}, {done.file_id})")
    for event in histories[done.file_id]:
        console.print(f"  {event.at - done.upload_timestamp:+8.3f} s  {event.kind:<12} {event.hash[:16]}")


def _onward(console: Console, directory: Path, records: Sequence[FileRecord]) -> None:
    console.print(
        f"Delivered files: [bold]{directory / 'warehouse'}[/]   Everything else, wharf.yaml included: [bold]{directory}[/]"
    )
    quarantined = next((r.file_id for r in records if r.status is Status.QUARANTINED), "ID")
    console.print("\nLook further:")
    for command in (
        "status",
        "files",
        f"file {quarantined}",
        "route explain inbound/new.pdf --customer northwind",
        "serve",
    ):
        console.print(f"  wharf --config {directory / 'wharf.yaml'} {command}", soft_wrap=True)


def _name(record: FileRecord) -> str:
    return record.key.rpartition("/")[2]
