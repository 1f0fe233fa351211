"""A stubborn client: sends each file again until the server has acknowledged its close, and knows which were acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import asyncssh


def upload(
    files: Mapping[str, bytes], key: Path, port: Callable[[], int], *, sessions: int = 4, seconds: float = 120.0
) -> dict[str, int]:
    """
    Send every file to `inbound/` over `sessions` connections, connecting anew whenever one breaks. Answers how often each name was
    sent before it was acknowledged (1: at once). Fails when the time is over.
    """
    return asyncio.run(_upload(files, key, port, sessions, time.monotonic() + seconds))


async def _upload(
    files: Mapping[str, bytes], key: Path, port: Callable[[], int], sessions: int, deadline: float
) -> dict[str, int]:
    waiting = list(reversed(files))
    sent = dict.fromkeys(files, 0)

    async def session() -> None:
        while waiting:
            try:
                options = {"known_hosts": None, "client_keys": [str(key)], "config": None, "login_timeout": 10}
                connecting = asyncssh.connect("127.0.0.1", port(), username="bob", **options)
                async with connecting as connection, connection.start_sftp_client() as sftp:
                    await _send(sftp, files, waiting, sent)
            except (OSError, asyncssh.Error):
                assert time.monotonic() < deadline, f"not acknowledged in time: {waiting}"
                await asyncio.sleep(0.05)

    await asyncio.gather(*[session() for _ in range(sessions)])
    return sent


async def _send(
    sftp: asyncssh.SFTPClient, files: Mapping[str, bytes], waiting: list[str], sent: dict[str, int]
) -> None:
    while waiting:
        name = waiting.pop()
        try:
            sent[name] += 1
            file = await sftp.open(f"inbound/{name}", "wb")
            await file.write(files[name])
            await file.close()
        except BaseException:
            waiting.append(name)
            raise
