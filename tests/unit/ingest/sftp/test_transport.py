"""What lies under SSH: nobody's flood holds up another connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import defaultdict
from contextlib import suppress

import pytest
import uvloop

from wharfinger.ingest.sftp import transport
from wharfinger.ingest.sftp.transport import TURN, Corked, Gangway


class Listening(asyncio.Protocol):
    """Notes what is read from a connection in each turn of the loop."""

    def __init__(self) -> None:
        self.turn = 0
        self.reads = defaultdict[int, list[int]](list)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.reads[self.turn].append(len(data))


def test_a_flood_leaves_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PIECE", 1 << 20)  # so that what is noted are whole reads
    listening = Listening()

    async def serve(bound: socket.socket, sent: int) -> None:
        server = await Gangway(bound).create_server(lambda *_: listening)
        async with asyncio.timeout(20):
            while sum(map(sum, listening.reads.values())) < sent:
                listening.turn += 1
                await asyncio.sleep(0)
        server.close()
        listening.transport.close()
        await asyncio.sleep(0.01)  # uvloop frees them

    with socket.create_server(("127.0.0.1", 0)) as bound, socket.create_connection(bound.getsockname()) as flood:
        flood.setblocking(False)
        sent = 0
        with suppress(BlockingIOError):
            while True:
                sent += flood.send(bytes(TURN))
        uvloop.run(serve(bound, sent))
    for reads in listening.reads.values():
        assert sum(reads[:-1]) < TURN, "it was read from once more in a turn that was over"


def test_what_is_written_in_one_turn_leaves_at_once_with_what_is_written_at_its_end() -> None:
    sent: list[bytes] = []

    class Below(asyncio.Transport):
        def write(self, data: bytes) -> None:  # type: ignore[override]
            sent.append(data)

    async def turn() -> None:
        corked = Corked(Below())
        corked.write(b"a")
        corked.at_flush(lambda: corked.write(b"c"))
        corked.write(b"b")
        await asyncio.sleep(0)
        corked.at_flush(lambda: corked.write(b"d"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    uvloop.run(turn())
    assert sent == [b"abc", b"d"]


def test_who_hangs_up_before_being_accepted_leaves_nothing() -> None:
    """A health check, a port scan: the connection has no address any more."""
    lost, troubles = asyncio.Event(), list[object]()

    class Guest(asyncio.Protocol):
        def connection_lost(self, _: Exception | None) -> None:
            lost.set()

    async def serve(bound: socket.socket) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
        server = await Gangway(bound).create_server(lambda *_: Guest())
        await asyncio.wait_for(lost.wait(), 10)
        server.close()
        await asyncio.sleep(0.01)  # uvloop frees it

    with socket.create_server(("127.0.0.1", 0)) as bound:
        client = socket.create_connection(bound.getsockname())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close by RST
        client.close()
        uvloop.run(serve(bound))
    assert not troubles
