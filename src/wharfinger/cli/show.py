"""How answers look: JSON for machines, tables on a terminal, tab-separated lines in a pipe; talk goes to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from wharfinger.cli.words import many, plain, size


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a list: `name` is its key in each row, `words` says a row's value to a person."""

    name: str
    title: str = ""
    words: Callable[[Mapping[str, Any]], str] | None = None
    right: bool = False
    style: Callable[[Mapping[str, Any]], str] | None = None  # rich style of the cell, by row
    folds: bool = False  # takes the room that is left, over several lines if need be
    piped: bool = False  # in a pipe only: a terminal has less room


def listing(rows: Iterable[Mapping[str, Any]], columns: Sequence[Column], *, json: bool, empty: str = "") -> int:
    """Print a list, and answer how long it was: a JSON array, a table, or tab-separated raw values with a header."""
    if json:
        return _array(rows)
    if not is_terminal(sys.stdout):
        return _separated(rows, columns)
    found = list(rows)
    if found:
        _table(found, columns)
    elif empty:
        say(empty)
    return len(found)


def document(value: Mapping[str, Any]) -> None:
    """Print one JSON document on one line."""
    click.echo(_json(value))


def unfolding(name: str, rows: Iterable[Mapping[str, Any]], rest: Callable[[], Mapping[str, Any]]) -> int:
    """Print one JSON document whose list `name` comes as its rows do, and answer how long it was; `rest` is asked afterwards."""
    click.echo(f'{{"{name}":', nl=False)
    count = _array(rows)
    click.echo(f",{_json(rest())[1:]}")
    return count


def fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Print one thing as lines of name and value."""
    lines = [(name, plain(value)) for name, value in pairs]
    if not is_terminal(sys.stdout):
        for name, value in lines:
            click.echo(f"{name}\t{value}")
        return
    width = max((len(name) for name, _ in lines), default=0)
    for name, value in lines:
        click.echo(f"{click.style(name.rjust(width), dim=True)}  {value}")


def say(text: str = "") -> None:
    """Tell a person something that is not the answer."""
    click.echo(text, err=True)


def answer(lines: Iterable[str]) -> None:
    """Print lines of text that are the answer."""
    for line in lines:
        click.echo(plain(line))


def heading(text: str) -> None:
    """Print what the following part of the answer is."""
    click.echo(f"\n{click.style(text, bold=True)}")


def complain(message: str, *, code: str = "", fix: str = "") -> None:
    """Tell a person what went wrong, why, and the next command. Each line of `message` is a mistake; an indented one explains it."""
    if not code:
        say(message)
        return
    lines = [plain(line) for line in message.splitlines()] or [""]
    mistakes = sum(not line.startswith(" ") for line in lines)
    first = f"{many(mistakes, 'mistake')}:" if mistakes > 1 else lines.pop(0)
    say(f"{click.style('error:', fg='red', bold=True)} {click.style(code, bold=True)}: {first}")
    for line in lines:
        say(f"  {line}")
    if fix:
        say(f"{click.style('fix:', fg='cyan', bold=True)} {plain(fix)}")


@contextmanager
def progress(title: str, total: float, *, bytes: bool = False) -> Iterator[Callable[[float], None]]:
    """A bar on a terminal, nothing elsewhere; call what it yields with how much was done since."""
    if not is_terminal(sys.stderr) or total <= 0:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    done = TextColumn("{task.fields[done]}")
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(32),
        done,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )

    def words(done: float) -> str:
        return f"{size(done)} of {size(total)}" if bytes else f"{done:,.0f} of {total:,.0f}"

    with bar:
        task = bar.add_task(title, total=total, done=words(0))
        yield lambda n: bar.update(task, advance=n, done=words(bar.tasks[0].completed + n))


def is_terminal(stream: Any) -> bool:
    """Whether a person looks at this stream."""
    try:
        return bool(stream.isatty())
    except ValueError:  # closed
        return False


def silence() -> None:
    """Nobody reads stdout any more: let what is still buffered go nowhere (docs.python.org/3/library/signal.html#note-on-sigpipe)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _array(rows: Iterable[Mapping[str, Any]]) -> int:
    """One element a line, as they come: a list of any length needs no memory, and line tools can read it."""
    count = 0
    for row in rows:
        click.echo(("[" if not count else ",\n") + _json(row), nl=False)
        count += 1
    click.echo("]" if count else "[]")
    return count


def _json(value: Mapping[str, Any]) -> str:
    import orjson

    return orjson.dumps(value).decode()


def _separated(rows: Iterable[Mapping[str, Any]], columns: Sequence[Column]) -> int:
    click.echo("\t".join(column.name for column in columns))
    return sum(_line(row, columns) for row in rows)


def _line(row: Mapping[str, Any], columns: Sequence[Column]) -> int:
    click.echo("\t".join(_raw(row.get(column.name)) for column in columns))
    return 1


def _raw(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ",".join(map(_raw, value))
    return "" if value is None else plain(str(value))


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    columns = [column for column in columns if not column.piped]
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
        )
    for row in rows:
        table.add_row(*(Text(_words(row, c), style=c.style(row) if c.style else "") for c in columns))
    Console(highlight=False).print(table)


def _words(row: Mapping[str, Any], column: Column) -> str:
    text = column.words(row) if column.words else str(row[column.name])
    return "\n".join(plain(line) for line in text.split("\n"))
