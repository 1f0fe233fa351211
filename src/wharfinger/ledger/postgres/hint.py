"""Wake-up hints between the processes of all hosts: NOTIFY. A lost or doubled one is harmless; the ledger decides."""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Condition, Thread

import psycopg

from wharfinger.errors import WharfingerError
from wharfinger.ledger.postgres.connection import Connections, Transaction, first

AGAIN_S = 1.0
"""Who has lost the connection tries to get another so often."""

_CHANNEL = "SELECT 'wharf_' || md5(current_schema())"


class PostgresHint:
    """
    Everybody who waits listens on one channel of the ledger at `url`. A thread sends, many hints as one. Nothing here raises: who
    cannot be reached looks into the ledger before long anyway.
    """

    def __init__(self, url: str) -> None:
        self._connections = Connections(url, 5.0)
        self._turn = Condition()
        self._is_wanted = self._is_closed = False
        self._sender: Thread | None = None
        self._receiver: Transaction | None = None

    def send(self, ids: Sequence[str]) -> None:
        """Say that these runs are ready. Never waits for the server."""
        if not ids:
            return
        with self._turn:
            self._is_wanted = True
            self._turn.notify()
            if self._sender is None:
                self._sender = Thread(target=self._speak, name="hint", daemon=True)
                self._sender.start()

    def receive(self, timeout: float) -> bool:
        """Wait for a hint, at most `timeout` seconds; those that have come count as one. Hears from the first call on."""
        until = time.monotonic() + timeout
        try:
            if self._receiver is None:
                self._receiver = _listening(self._connections)
            return _hear(self._receiver, max(0.0, until - time.monotonic()))
        except (psycopg.Error, WharfingerError):
            self._hang_up()
            time.sleep(max(0.0, until - time.monotonic()))
            return False

    def close(self) -> None:
        """Listen no more. What was to be sent is sent before, unless that takes longer than a second."""
        with self._turn:
            self._is_closed = True
            self._turn.notify()
        if self._sender:
            self._sender.join(AGAIN_S)
        self._hang_up()

    def _hang_up(self) -> None:
        if self._receiver:
            self._receiver.close()
            self._receiver = None

    def _speak(self) -> None:
        """One NOTIFY for all hints since the last, until `close`."""
        speaker: Transaction | None = None
        while self._has_to():
            try:
                speaker = speaker or _speaking(self._connections)
                speaker.execute(f"NOTIFY {_channel(speaker)}")
            except (psycopg.Error, WharfingerError):
                if speaker:
                    speaker.close()
                speaker = None
                self._pause()
        if speaker:
            speaker.close()

    def _has_to(self) -> bool:
        """Whether there is something to send, once there is or nothing ever will be."""
        with self._turn:
            self._turn.wait_for(lambda: self._is_wanted or self._is_closed)
            wanted, self._is_wanted = self._is_wanted, False
            return wanted

    def _pause(self) -> None:
        with self._turn:
            self._turn.wait_for(lambda: self._is_closed, AGAIN_S)


def _hear(receiver: Transaction, timeout: float) -> bool:
    """Whether anything came in time; what else has come by then is taken with it."""
    if not [*receiver.notifies(timeout=timeout, stop_after=1)]:
        return False
    for _ in receiver.notifies(timeout=0):
        pass
    return True


def _listening(connections: Connections) -> Transaction:
    db = connections.connect()
    db.execute(f"LISTEN {_channel(db)}")
    return db


def _speaking(connections: Connections) -> Transaction:
    """Its commits wait for no disk: a hint that a crash takes away is of no use any more."""
    db = connections.connect()
    db.execute("SET synchronous_commit = off")
    return db


def _channel(db: Transaction) -> str:
    return str(first(db, _CHANNEL)[0])
