"""Samples, their medians and spread, and rounds in which the subjects take turns."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import TypeVar

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of some samples and how far they lie apart."""

    median: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{figure(self.median)} ({figure(self.low)}-{figure(self.high)})"


def spread(samples: Sequence[float]) -> Spread:
    """Median, least and greatest of at least one sample."""
    return Spread(median(samples), min(samples), max(samples), len(samples))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours over theirs, round by round: what both met in one round (a busy disk, a warm cache) cancels out."""
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that at least `percent` of all do not exceed (nearest rank)."""
    ordered = sorted(samples)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


def interleave(
    subjects: Mapping[K, Callable[[int], T]], rounds: int, tell: Callable[[str], None] = lambda _: None
) -> dict[K, list[T]]:
    """
    Run every subject once in each round, each time beginning with the next one, so that a drift of the machine touches all
    alike. A subject is handed the number of the round, and a disk that owes nobody anything: what the one before left unwritten
    is written first.
    """
    names = list(subjects)
    samples: dict[K, list[T]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            tell(f"round {number + 1} of {rounds}: {name}")
            os.sync()
            samples[name].append(subjects[name](number))
    return samples


def figure(number: float) -> str:
    """A number for people: three significant digits below 100, whole above."""
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}" if number else "0"
