from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from inspect import signature
from types import SimpleNamespace

import pytest

from wharfinger.engine import lifeline
from wharfinger.engine.lifeline import GRACE_S, LIFELINE, OWNER, READY, Lifeline
from wharfinger.engine.supervise import Supervisor
from wharfinger.engine.worker import Worker


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(read)


def test_without_a_supervisor_nothing_is_watched_and_nothing_is_said() -> None:
    alone = Lifeline.inherited({OWNER: ""}, owner="host:1")
    threads = threading.active_count()
    alone.watch(lambda: None)
    alone.ready("here")
    assert alone.owner == "host:1"
    assert threading.active_count() == threads


def test_the_owner_name_comes_from_the_supervisor() -> None:
    assert Lifeline.inherited({OWNER: "worker-1-ab"}, owner="host:1").owner == "worker-1-ab"


def test_a_ready_line_is_one_line(pipe: tuple[int, int]) -> None:
    Lifeline.inherited({READY: str(pipe[1])}, owner="").ready("sftp\n127.0.0.1:2222")
    os.close(pipe[1])
    assert os.read(pipe[0], 100) == b"sftp 127.0.0.1:2222\n"


def test_the_end_of_the_lifeline_stops_and_then_ends_the_process(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped, ended = threading.Event(), threading.Event()
    monkeypatch.setattr(lifeline.os, "_exit", lambda code: ended.set() if code == 1 and stopped.is_set() else None)
    Lifeline.inherited({LIFELINE: str(pipe[0])}, owner="").watch(stopped.set, grace_s=0.0)
    os.write(pipe[1], b"still here")
    assert not stopped.wait(0.05)
    os.close(pipe[1])
    assert ended.wait(10)


def test_an_orphan_has_the_time_that_the_supervisor_gives(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    ended = threading.Event()
    monkeypatch.setattr(lifeline, "time", SimpleNamespace(sleep=waited.append))
    monkeypatch.setattr(lifeline.os, "_exit", lambda _: ended.set())
    Lifeline.inherited({LIFELINE: str(pipe[0])}, owner="").watch(lambda: None)
    os.close(pipe[1])
    assert ended.wait(10)
    given = [signature(each).parameters["grace_s"].default for each in (Supervisor, Worker)]
    assert [*waited, GRACE_S] == given
    assert waited[0] > GRACE_S + 1  # time to tell the ledger what is given back


def test_a_child_of_the_child_does_not_hold_the_pipes(pipe: tuple[int, int]) -> None:
    os.set_inheritable(pipe[1], True)
    Lifeline.inherited({READY: str(pipe[1])}, owner="")
    assert not os.get_inheritable(pipe[1])
    os.close(pipe[1])
