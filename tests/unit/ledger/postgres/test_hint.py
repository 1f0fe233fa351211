from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from rig import postgres
from rig.waiting import wait_until
from wharfinger.ledger.postgres.hint import PostgresHint

Make = Callable[..., PostgresHint]


@pytest.fixture
def make(url: str) -> Iterator[Make]:
    made: list[PostgresHint] = []

    def one(where: str = url) -> PostgresHint:
        made.append(PostgresHint(where))
        return made[-1]

    yield one
    for each in made:
        each.close()


def listening(make: Make, *where: str) -> PostgresHint:
    receiver = make(*where)
    assert receiver.receive(0) is False
    return receiver


def end_all(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'wharfinger'")


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
    assert (receiver.receive(5), receiver.receive(0.001)) == (True, False)


def test_another_ledger_on_the_same_server_is_not_woken(make: Make, tmp_path: Path) -> None:
    receiver = listening(make)
    other = make(postgres.schema(tmp_path / "other"))
    other.send(["R"])
    other.close()
    assert receiver.receive(0.1) is False


def test_without_a_hint_the_time_passes(make: Make) -> None:
    receiver = listening(make)
    began = time.monotonic()
    assert receiver.receive(0.05) is False
    assert time.monotonic() - began >= 0.045


def test_nothing_to_say_wakes_nobody(make: Make) -> None:
    receiver = listening(make)
    make().send([])
    assert receiver.receive(0.1) is False


def test_a_hint_is_sent_before_its_sender_closes(make: Make) -> None:
    receiver, sender = listening(make), make()
    sender.send(["R"])
    sender.close()
    assert receiver.receive(5) is True


def test_a_sender_never_waits(make: Make) -> None:
    sender = make()
    began = time.monotonic()
    for _ in range(5000):
        sender.send(["R"])
    assert time.monotonic() - began < 1


def test_receiver_and_sender_outlive_their_sessions(make: Make, url: str) -> None:
    receiver, sender = listening(make), make()
    sender.send(["R"])
    assert receiver.receive(5) is True
    end_all(url)

    def woken() -> bool:
        sender.send(["R"])
        return receiver.receive(0.2)

    wait_until("it hears again", woken, seconds=20)


def test_without_a_server_a_receiver_only_waits_and_a_sender_is_silent(make: Make) -> None:
    hint = make("postgresql://wharf@127.0.0.1:1/none")
    began = time.monotonic()
    hint.send(["R"])
    assert hint.receive(0.1) is False
    assert time.monotonic() - began >= 0.09
