"""A stubborn client: sends each file again until the server has acknowledged its close, and knows which were acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import asyncssh


def upload(
    files: Mapping[str, bytes],
    key: Path,
    port: int,
    *,
    sessions: int = 4,
    seconds: float = 60.0,
    acknowledged: Callable[[str], object] = lambda _: None,
    may_send: Callable[[str], bool] = lambda _: True,
) -> dict[str, int]:
    """
    Send every file to `inbound/` over `sessions` connections, connecting anew whenever one breaks. Answers how often each name was
    sent before it was acknowledged (1: at once). Fails when the time is over. `acknowledged` hears of each name; a file waits
    until it `may_send` it.
    """
    return asyncio.run(_Client(files, key, port, acknowledged, may_send).run(sessions, time.monotonic() + seconds))


class _Client:
    def __init__(
        self,
        files: Mapping[str, bytes],
        key: Path,
        port: int,
        acknowledged: Callable[[str], object],
        may_send: Callable[[str], bool],
    ) -> None:
        self._files, self._port, self._acknowledged, self._may_send = files, port, acknowledged, may_send
        self._options = {"username": "bob", "client_keys": [str(key)], "known_hosts": None, "config": None}
        self._waiting = list(reversed(files))
        self._sent = dict.fromkeys(files, 0)

    async def run(self, sessions: int, deadline: float) -> dict[str, int]:
        await asyncio.gather(*[self._insist(deadline) for _ in range(sessions)])
        return self._sent

    async def _insist(self, deadline: float) -> None:
        while self._waiting:
            try:
                connecting = asyncssh.connect("127.0.0.1", self._port, login_timeout=10, **self._options)  # type: ignore[arg-type]
                async with connecting as connection, connection.start_sftp_client() as sftp:
                    while self._waiting:
                        await self._send(sftp)
            except (OSError, asyncssh.Error) as error:
                if time.monotonic() > deadline:
                    raise AssertionError(f"not acknowledged in time: {self._waiting}") from error
                await asyncio.sleep(0.05)

    async def _send(self, sftp: asyncssh.SFTPClient) -> None:
        name = self._waiting.pop()
        try:
            while not self._may_send(name):
                await asyncio.sleep(0.005)
            self._sent[name] += 1
            file = await sftp.open(f"inbound/{name}", "wb")
            await file.write(self._files[name])
            await file.close()
            await self._make_sure(sftp, name)
        except BaseException:
            self._waiting.append(name)
            raise
        self._acknowledged(name)

    async def _make_sure(self, sftp: asyncssh.SFTPClient, name: str) -> None:
        """asyncssh's close says nothing where the session has ended before; a later request does."""
        try:
            listed = await sftp.stat(f"inbound/{name}")
        except asyncssh.SFTPNoSuchFile as error:
            raise AssertionError(f"{name} was acknowledged, and is not there") from error
        assert listed.size == len(self._files[name]), f"{name} was acknowledged, and has {listed.size} bytes"
