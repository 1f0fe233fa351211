from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from rig.waiting import wait_until
from wharfinger.telemetry.endpoint import MOST_WAITING, Endpoint


class Slow:
    """Answers as soon as it is let."""

    def __init__(self) -> None:
        self.let, self.asked = threading.Event(), 0

    def __call__(self, _: str) -> tuple[bytes, str]:
        self.asked += 1
        assert self.let.wait(30)
        return b"figures", "text/plain"


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def url(slow: Slow) -> Iterator[str]:
    bound = socket.create_server(("127.0.0.1", 0))
    place = f"http://127.0.0.1:{bound.getsockname()[1]}/metrics"
    endpoint = Endpoint(bound, slow)
    thread = threading.Thread(target=endpoint.serve)
    thread.start()
    yield place
    slow.let.set()
    endpoint.stop()
    thread.join(30)
    assert not thread.is_alive()


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def test_who_would_wait_behind_too_many_is_refused_at_once(url: str, slow: Slow) -> None:
    with ThreadPoolExecutor(MOST_WAITING + 1) as clients:
        asked = [clients.submit(status, url) for _ in range(MOST_WAITING + 1)]
        wait_until("one is refused", lambda: [each.result() for each in asked if each.done()] == [503])
        assert slow.asked == 1
        slow.let.set()
        assert sorted(each.result() for each in asked) == [200] * MOST_WAITING + [503]
    assert status(url) == 200
