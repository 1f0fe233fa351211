"""The SFTP listener: connections, sign-in and channels by asyncssh, everything behind them by `session`."""

# ruff: noqa: ARG002, D102 (the hooks of Guest are asyncssh's)

from __future__ import annotations

import asyncio
import resource
import secrets
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncssh

from wharfinger.config.settings import Customer, Sftp
from wharfinger.errors import LedgerError, WharfingerError
from wharfinger.ingest import Upload
from wharfinger.ingest.sftp.auth import Gate
from wharfinger.ingest.sftp.channel import Channel
from wharfinger.ingest.sftp.collector import Collector, HandOver
from wharfinger.ingest.sftp.hostkey import host_keys
from wharfinger.ingest.sftp.housekeeping import Housekeeping
from wharfinger.ingest.sftp.intake import Intake
from wharfinger.ingest.sftp.sentence import sentence
from wharfinger.ingest.sftp.session import Session
from wharfinger.ingest.sftp.signin import Attempt, SignIns
from wharfinger.ingest.sftp.transport import Gangway
from wharfinger.ingest.sftp.tree import Tree
from wharfinger.ledger import Database, User
from wharfinger.ledger.keyring import Keyring
from wharfinger.store import Store
from wharfinger.store.staging import Staging
from wharfinger.store.versions import Versions
from wharfinger.telemetry.meter import SILENT, Meter

ALGORITHMS = {
    "kex_algs": "-gss*,*sha1,rsa*,*@ssh.com,diffie-hellman-group14*",
    "encryption_algs": "aes256-gcm@openssh.com,aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr,aes128-ctr",
    "mac_algs": "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512",
    "signature_algs": "-ssh-rsa*,ssh-dss",
    "compression_algs": "none",
}
"""What is offered to clients, the fastest good ones first; nothing on SHA-1. A leading minus takes from asyncssh's defaults."""

THREADS = 4
"""For what waits for the disk besides commits and the ends of uploads: downloads, the syncs that clients ask for."""

MAX_CHANNELS = 8
"""Sessions that one connection may have open, each with MAX_HANDLES; OpenSSH's sshd gives 10."""

LOOK_S = 2.0
"""How long a user who is disabled or removed may stay at the most."""

GRACE = 5
"""Seconds that clients have to take their last answers when the server stops."""

_KEEPALIVE = 30  # s between questions whether a silent client is still there; after three without an answer it is gone


async def serve(
    settings: Sftp,
    bound: socket.socket,
    *,
    store: Store,
    staging: Staging,
    database: Database,
    keyring: Keyring,
    land: HandOver,
    prepare: Callable[[Upload], Upload],
    customers: Mapping[str, Customer],
    min_free: int,
    data: Path,
    hint: Callable[[Sequence[str]], None],
    meter: Meter = SILENT,
) -> Listener:
    """
    Serve SFTP clients that connect to `bound` until `Listener.close`. `min_free` are the bytes that must stay free on the store's
    disk; `hint` is told the ids of what landed, `meter` who is signed in. Raises ConfigError for unusable host keys.
    """
    _raise_file_limit()
    keys = host_keys(settings.host_keys, data)
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="sftp")
    collector = Collector(land, hint=hint)
    intake = Intake(
        store=store,
        staging=staging,
        database=database,
        keyring=keyring,
        collector=collector,
        pool=pool,
        prepare=prepare,
        min_free=min_free,
        weight=lambda customer: customers[customer].weight if customer in customers else 1.0,
        version=Versions(after=database.catalog.newest_version()),
    )
    listener = Listener(settings, intake, Gate(database.accounts), meter)
    await listener.open(keys, bound)
    listener.watch(Housekeeping(intake, staging, partial_s=settings.partial_days * 86400))
    return listener


def _raise_file_limit() -> None:
    """Let this process open as many files as it may at most: every connection, and every file that a client has open, is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS names a limit that it does not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Listener:
    """Who is connected. `fingerprint` is the host key's, as clients show it."""

    fingerprint = ""

    def __init__(self, settings: Sftp, intake: Intake, gate: Gate, meter: Meter) -> None:
        self.gate, self.intake, self.passwords = gate, intake, settings.passwords
        self._settings, self._meter = settings, meter
        self._signins = SignIns(meter)
        self._guests: set[Guest] = set()
        self._signed_in: set[Guest] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watches: list[asyncio.Task[None]] = []
        self._acceptor: asyncssh.SSHAcceptor | None = None

    async def open(self, keys: Sequence[asyncssh.SSHKey], bound: socket.socket) -> None:
        """Begin to accept."""
        self._acceptor = await asyncssh.listen(
            tunnel=Gangway(bound),
            server_factory=lambda: Guest(self),
            server_host_keys=list(keys),
            server_version="wharfinger",  # no number: nobody needs to know which faults to try
            login_timeout=self._settings.login_s,
            keepalive_interval=_KEEPALIVE,
            encoding=None,
            line_editor=False,
            allow_pty=False,
            agent_forwarding=False,
            x11_forwarding=False,
            **ALGORITHMS,
        )
        self.fingerprint = keys[0].get_fingerprint()

    def watch(self, housekeeping: Housekeeping) -> None:
        """Look after partials, idle connections and who may be here from now on."""
        self._watches = [
            asyncio.create_task(each) for each in (housekeeping.run(), self._watch_idle(), self._watch_out())
        ]

    async def close(self) -> None:
        """Accept nobody more, finish what clients have asked for, keep what they have begun as partials, and hang up."""
        if self._acceptor:
            self._acceptor.close()
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        guests = list(self._guests)
        if guests:
            await asyncio.wait([self.spawn(guest.leave()) for guest in guests], timeout=GRACE)
        for guest in guests:
            guest.abort()  # who has not taken the answers by now does not want them
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self.intake.close()
        self.gate.close()
        self._signins.close()

    def welcome(self, guest: Guest) -> None:
        """Somebody has connected."""
        self._guests.add(guest)

    def admit(self, guest: Guest) -> None:
        """Somebody has signed in."""
        self._signins.accepted(guest.attempt)
        self._signed_in.add(guest)
        self._meter.sessions(len(self._signed_in))

    def part(self, guest: Guest) -> None:
        """Somebody has gone."""
        if guest.attempt.user and guest not in self._signed_in:
            self._signins.refused(guest.attempt)
        self._guests.discard(guest)
        self._signed_in.discard(guest)
        self._meter.sessions(len(self._signed_in))

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work`; `close` waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _watch_idle(self) -> None:
        while True:
            await asyncio.sleep(min(self._settings.idle_s / 4, 5))
            self._signins.look()
            heard_since = asyncio.get_running_loop().time() - self._settings.idle_s
            for guest in list(self._guests):
                guest.look()
                if guest.heard < heard_since and not guest.is_busy:
                    guest.dismiss()

    async def _watch_out(self) -> None:
        """Users who were disabled or removed meanwhile go at once; what they have sent in part stays that."""
        while True:
            await asyncio.sleep(LOOK_S)
            names = {guest.attempt.user for guest in self._signed_in}
            with suppress(LedgerError):  # it is asked again soon
                gone = await self.gate.shut_out(names)
                for guest in [guest for guest in self._signed_in if guest.attempt.user in gone]:
                    guest.abort()


class Guest(asyncssh.SSHServer):
    """One connection, from its first byte on: who it is, and its channels."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._clock = asyncio.get_running_loop().time
        self._user: User | None = None
        self._channels: set[Channel] = set()
        self._untaken = 0
        self.attempt = Attempt()
        self.heard = self._clock()

    @property
    def is_busy(self) -> bool:
        """Whether something that the client asked for is under way."""
        return any(channel.is_busy for channel in self._channels)

    def look(self) -> None:
        """Who takes what it was sent is heard as well."""
        untaken = sum(channel.untaken for channel in self._channels)
        if untaken != self._untaken:
            self._untaken = untaken
            self._hear()

    def dismiss(self) -> None:
        """End a connection that lies idle: at once if the client does not take what it asked for."""
        if any(channel.is_congested for channel in self._channels):
            self.abort()
        else:
            self._listener.spawn(self.leave())

    async def leave(self) -> None:
        """End all channels as if the client had, then hang up."""
        try:
            for channel in list(self._channels):
                await channel.end()
        finally:
            self._connection.close()

    def abort(self) -> None:
        """Hang up at once."""
        self._connection.abort()

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self.attempt.address = (conn.get_extra_info("peername") or ("",))[0]
        self._listener.welcome(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.part(self)

    def begin_auth(self, username: str) -> bool:
        self._user = self._listener.gate.user(username)
        self.attempt.user, self.attempt.is_known = username, self._user is not None
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        opens = self._listener.gate.key_opens(self._user, key)
        return self.attempt.tried("publickey", opens=opens, fingerprint=key.get_fingerprint())

    def password_auth_supported(self) -> bool:
        return self._listener.passwords

    async def validate_password(self, username: str, password: str) -> bool:
        return self.attempt.tried("password", opens=await self._listener.gate.password_opens(self._user, password))

    def auth_completed(self) -> None:
        self._listener.admit(self)

    async def session_requested(self) -> asyncssh.SSHServerSession[bytes]:
        """A channel for the user's own tree."""
        assert self._user is not None
        tree = Tree(self._user)
        try:
            await self._listener.intake.furnish(tree.standard())
        except WharfingerError as exc:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, sentence(exc)) from exc
        self._channels = {c for c in self._channels if not c.is_over}
        if len(self._channels) >= MAX_CHANNELS:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_RESOURCE_SHORTAGE, f"a connection may have {MAX_CHANNELS} sessions open"
            )
        channel = Channel(
            lambda wire: Session(tree, self._listener.intake, wire, id=secrets.token_hex(8)),
            heard=self._hear,
            spawn=self._listener.spawn,
        )
        self._channels.add(channel)
        return channel

    def _hear(self) -> None:
        self.heard = self._clock()
