"""What a look at a source found, in figures, and where the last one of each source is kept for whoever wants to know."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from wharfinger.ingest.kept import SHOWN, forget_all_but, keep, kept

LATE = 10
"""Times `scan_s` after which a source counts as not looked at any more."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that is not in custody though it ought to be, or an original that stays though it ought to go."""

    file: str  # its name in the source, as far as it is text: see `names.readable`
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
    waiting: int  # of the listed: not whole yet, and not for long; or whole, and about to be taken
    unaccounted: int  # of the listed: all others
    problems: tuple[Problem, ...] = ()
    error: str = ""  # why nothing at all could be looked at; the figures are those of the look before
    rest: float = 0.0  # s for which nothing looks after this look, so that looks take a small share of the time

    def is_old(self, age: float, scan_s: float) -> bool:
        """Whether a look ought to have followed long ago, if the last was `age` s ago: its figures may be wrong by now."""
        return age > LATE * scan_s + 2 * self.rest


def record(data: Path, account: Account) -> None:
    """Keep the account of this source, for `accounts`."""
    told = {**asdict(account), "problems": [asdict(each) for each in account.problems[:SHOWN]]}
    keep(_directory(data), account.source, told)


def accounts(data: Path) -> list[Account]:
    """The last account of every source that has been looked at, by name."""
    return kept(_directory(data), _account)


def forget(data: Path, *, but: Collection[str]) -> None:
    """Forget the accounts of sources that the configuration has no more."""
    forget_all_but(_directory(data), but)


def _account(told: Mapping[str, Any]) -> Account:
    known = {field.name: told[field.name] for field in fields(Account)}
    return Account(**{**known, "problems": tuple(Problem(**each) for each in told["problems"])})


def _directory(data: Path) -> Path:
    return data / "run" / "sources"
