"""What a Hint owes to whoever waits for work, whichever ledger it belongs to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rig import postgres
from wharfinger.ledger import Hint
from wharfinger.ledger.hint import DatagramHint
from wharfinger.ledger.postgres.hint import PostgresHint

Make = Callable[[], Hint]

SOON = 0.1
"""Seconds within which a hint would have been heard."""


@pytest.fixture
def make(backend: str, tmp_path: Path) -> Iterator[Make]:
    """Another process's end of the same line."""
    made: list[Hint] = []

    def one() -> Hint:
        made.append(
            PostgresHint(postgres.schema(tmp_path)) if backend == "postgres" else DatagramHint(tmp_path / "run")
        )
        return made[-1]

    yield one
    for each in made:
        each.close()


def listening(make: Make) -> Hint:
    receiver = make()
    assert receiver.receive(0) is False
    return receiver


def test_a_hint_wakes_everyone(make: Make) -> None:
    receivers = [listening(make) for _ in range(3)]
    make().send(["R"])
    assert [receiver.receive(5) for receiver in receivers] == [True] * 3


def test_a_hint_wakes_one_that_waits_already(make: Make) -> None:
    receiver = listening(make)
    heard: list[bool] = []
    waiting = threading.Thread(target=lambda: heard.append(receiver.receive(30)))
    waiting.start()
    make().send(["R"])
    waiting.join(10)
    assert heard == [True]


def test_hints_that_came_count_as_one(make: Make) -> None:
    receiver, sender = listening(make), make()
    for _ in range(5):
        sender.send(["R", "S"])
    sender.close()
    assert (receiver.receive(5), receiver.receive(SOON)) == (True, False)


def test_without_a_hint_the_time_passes(make: Make) -> None:
    receiver = listening(make)
    began = time.monotonic()
    assert receiver.receive(0.05) is False
    assert time.monotonic() - began >= 0.045


def test_nothing_to_say_wakes_nobody(make: Make) -> None:
    receiver = listening(make)
    make().send([])
    assert receiver.receive(SOON) is False


def test_nobody_to_hear_is_no_error(make: Make) -> None:
    make().send(["R"])


def test_a_hint_is_sent_before_its_sender_closes(make: Make) -> None:
    receiver, sender = listening(make), make()
    sender.send(["R"])
    sender.close()
    assert receiver.receive(5) is True


def test_a_sender_never_waits_for_a_receiver(make: Make) -> None:
    receiver, sender = listening(make), make()
    began = time.monotonic()
    for _ in range(5000):
        sender.send(["R"])
    assert time.monotonic() - began < 5
    assert receiver.receive(5) is True


def test_ends_may_be_closed_twice(make: Make) -> None:
    receiver = listening(make)
    receiver.close()
    receiver.close()
