"""What a look at a source found, in figures, and where the last one of each source is kept for whoever wants to know."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import orjson

SHOWN = 20
"""So many problems are kept one by one."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that is not in custody though it ought to be, or an original that stays though it ought to go."""

    file: str  # its name in the source
    code: str
    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class Account:
    """Every file that lies in a source is in custody, is still being written, or is unaccounted for: 0 in the good case."""

    source: str
    at: float  # when; epoch s
    listed: int  # files that lie there
    in_custody: int  # of these; those that are removed now included
    landed: int  # of these: by this very look
    waiting: int  # of the listed: not whole yet, and not for long
    unaccounted: int  # of the listed: all others
    problems: tuple[Problem, ...] = ()
    error: str = ""  # why nothing at all could be looked at; the figures are those of the look before


def record(data: Path, account: Account) -> None:
    """Keep the account of this source, for `accounts`. A lost one is written anew by the next look."""
    directory = _directory(data)
    partial = directory / f"~{account.source}.{os.getpid()}"
    told = {**asdict(account), "problems": [asdict(each) for each in account.problems[:SHOWN]]}
    with suppress(OSError):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.write_bytes(orjson.dumps(told))
        partial.replace(directory / f"{account.source}.json")


def accounts(data: Path) -> list[Account]:
    """The last account of every source that has been looked at, by name."""
    found = []
    for path in sorted(_directory(data).glob("*.json")):
        with suppress(OSError, ValueError, TypeError, KeyError):  # it is being replaced, or of another version
            found.append(_account(orjson.loads(path.read_bytes())))
    return found


def forget_all_but(data: Path, sources: Collection[str]) -> None:
    """Forget the accounts of sources that the configuration has no more."""
    for path in _directory(data).glob("*.json"):
        if path.stem not in sources:
            path.unlink(missing_ok=True)


def _account(told: Mapping[str, Any]) -> Account:
    known = {field.name: told[field.name] for field in fields(Account)}
    return Account(**{**known, "problems": tuple(Problem(**each) for each in told["problems"])})


def _directory(data: Path) -> Path:
    return data / "run" / "sources"
