from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wharfinger.ledger import hint
from wharfinger.ledger.hint import DatagramHint

Make = Callable[..., DatagramHint]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[DatagramHint] = []

    def one(directory: Path | None = None) -> DatagramHint:
        made.append(DatagramHint(directory or tmp_path / "run"))
        return made[-1]

    yield one
    for each in made:
        each.close()


def listening(make: Make, directory: Path | None = None) -> DatagramHint:
    receiver = make(directory)
    assert receiver.receive(0) is False
    return receiver


def test_a_hint_that_has_come_is_heard_without_waiting(make: Make) -> None:
    receiver = listening(make)
    make().send(["R"])
    assert (receiver.receive(0), receiver.receive(0)) == (True, False)


def test_a_directory_that_is_not_there_is_no_error(make: Make, tmp_path: Path) -> None:
    make(tmp_path / "missing").send(["R"])


def test_the_socket_of_a_dead_process_is_removed(make: Make, tmp_path: Path) -> None:
    listening(make)
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    dead.bind(str(tmp_path / "run" / "dead.hint"))
    dead.close()
    make().send(["R"])
    assert not (tmp_path / "run" / "dead.hint").exists()
    assert len([*(tmp_path / "run").iterdir()]) == 1


def test_a_foreign_file_is_left_alone(make: Make, tmp_path: Path) -> None:
    listening(make)
    (tmp_path / "run" / "README").write_text("mine")
    make().send(["R"])
    assert (tmp_path / "run" / "README").read_text() == "mine"


def test_a_closed_receiver_leaves_no_socket(make: Make, tmp_path: Path) -> None:
    listening(make).close()
    assert [*(tmp_path / "run").iterdir()] == []


def test_a_path_too_long_for_a_socket_is_no_obstacle(make: Make, tmp_path: Path) -> None:
    long = tmp_path / ("d" * 120) / "run"
    receiver = listening(make, long)
    make(long).send(["R"])
    assert receiver.receive(5) is True


def test_the_longest_path_that_fits_is_used(make: Make, tmp_path: Path) -> None:
    room = hint.LONGEST_PATH - len(os.fsencode(tmp_path)) - len("/") - len("/0123456789a.hint")
    directory = tmp_path / ("d" * room)
    listening(make, directory)
    [bound] = directory.iterdir()
    assert len(os.fsencode(bound)) == hint.LONGEST_PATH


def test_only_the_owner_may_knock(make: Make, tmp_path: Path) -> None:
    listening(make)
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700


def test_without_a_directory_a_receiver_only_waits(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert make(tmp_path / "file" / "run").receive(0.001) is False
