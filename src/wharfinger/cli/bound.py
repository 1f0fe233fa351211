"""What the verbs share that serve a socket: `wharf serve` hands theirs to them; alone they bind the configuration's address."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from wharfinger.config.settings import Http, Metrics, Sftp

on_socket = click.option(
    "--fd",
    type=int,
    metavar="N",
    help="The descriptor of a listening socket; without it, the address of the configuration.",
)


def listening(fd: int | None, key: str, place: Sftp | Http | Metrics) -> socket.socket:
    """The socket with this descriptor, or a new one at the `place` that the configuration has under `key`. Raises UsageError."""
    from wharfinger import app

    return app.bind(key, place) if fd is None else socket.socket(fileno=fd)
