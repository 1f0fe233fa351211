from __future__ import annotations

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


def test_another_ledger_on_the_same_server_is_not_woken(make: Make, tmp_path: Path) -> None:
    receiver = listening(make)
    other = make(postgres.schema(tmp_path / "other"))
    other.send(["R"])
    other.close()
    assert receiver.receive(0.1) is False


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
