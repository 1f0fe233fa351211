"""What `wharf doctor` looks at, part by part. Nothing here changes anything but for a file that is made and removed again."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wharfinger.cli.problem import problem
from wharfinger.cli.session import Session
from wharfinger.cli.verify import verify_ledger
from wharfinger.cli.words import many, number, size, span
from wharfinger.errors import WharfingerError
from wharfinger.ingest.account import accounts
from wharfinger.ingest.rebuild import lost
from wharfinger.ledger import keyring, trust
from wharfinger.model import State
from wharfinger.store.space import disks

if TYPE_CHECKING:
    from wharfinger.config.settings import Destination, Sftp, Source

SAMPLE = 200
"""How many of the newest files are looked up in the store."""

SHOWN = 20
"""How many lost objects are told one by one."""

LATE = 10
"""How many checkpoints in a row may be missing before it is told."""

PURGE_S = 60.0
"""A purge that was ordered so long ago and is not done was cut off."""

_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
"""Where to ask for what listens on every address."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen of one part. `fix` is the next command, where one is needed."""

    part: str
    verdict: Literal["ok", "warn", "fail"]
    text: str
    fix: str = ""


def examine(session: Session) -> Iterator[Finding]:
    """All parts, one after the other. Where the configuration is broken, nothing else can be looked at."""
    for part, look in PARTS.items():
        try:
            findings = list(look(session))
        except (OSError, WharfingerError) as error:
            told = problem(error)
            findings = [Finding(part, "fail", f"{told.code}: {told.message}", told.fix)]
        yield from findings
        if part == "configuration" and findings[-1].verdict == "fail":
            return


def _configuration(session: Session) -> Iterator[Finding]:
    settings = session.settings
    said = f"{session.config}: {many(len(settings.pipelines), 'pipeline')}, {many(len(settings.customers), 'customer')}"
    yield Finding("configuration", "ok", said)
    if not settings.pipelines:
        yield Finding(
            "configuration", "warn", "no pipeline: every file stays where it is", "add one under `pipelines:`"
        )


def _data(session: Session) -> Iterator[Finding]:
    path = session.settings.data
    if not path.exists():
        yield Finding("data directory", "warn", f"{path} is not there yet; wharf serve makes it", "wharf serve")
        return
    _try_to_write(path)
    yield Finding("data directory", "ok", f"{path} can be written to")
    if path.stat().st_mode & stat.S_IWOTH:
        yield Finding("data directory", "fail", f"everybody on this machine may write to {path}", f"chmod o-w {path}")


def _disk(session: Session) -> Iterator[Finding]:
    from wharfinger import app

    store, data, least = app.store_path(session.settings), session.settings.data, session.settings.min_free
    for path, free in disks(store, data).items():
        wanted = "uploads are refused below" if path == store else "there ought to be"
        said = f"{size(free)} free at {path}; {wanted} {size(least)}"
        if free < least:
            yield Finding("disk", "fail", said, "make room, or lower `min_free`")
        elif free < 2 * least:
            yield Finding("disk", "warn", said, "make room soon")
        else:
            yield Finding("disk", "ok", said)


def _ledger(session: Session) -> Iterator[Finding]:
    if missing := lost(session.store, session.database.catalog, session.settings.bucket):
        said = f"it knows none of the oldest files in the store ({many(missing, 'file')} looked up): it was lost"
        yield Finding("ledger", "fail", said, "wharf ledger rebuild --missing")
        return
    counts = session.database.catalog.counts()
    said = f"{many(sum(counts.files.values()), 'file')}; {session.database.engine}"
    yield Finding("ledger", "ok", said)


def _work(session: Session) -> Iterator[Finding]:
    """Whether somebody works: a run that could begin and is not begun says no."""
    counts = session.database.catalog.counts()
    age = time.time() - counts.oldest_ready if counts.oldest_ready else 0.0
    leased, ready = (counts.runs.get(state, 0) + counts.children.get(state, 0) for state in (State.LEASED, State.READY))
    if counts.oldest_ready and not leased and age > session.settings.workers.lease_s:
        said = f"a file has waited for {span(age)} and no worker holds any"
        yield Finding("workers", "warn", said, "wharf serve; or wharf status, if it is a retry that waits")
    else:
        yield Finding("workers", "ok", f"{number(leased)} at work, {number(ready)} in line")
    if counts.runs.get(State.DEAD, 0):
        yield Finding("dead letters", "warn", many(counts.runs[State.DEAD], "file"), "wharf files --dead")
    if counts.unrouted:
        yield Finding(
            "unrouted", "warn", f"no pipeline takes {many(counts.unrouted, 'file')}", "wharf files --unrouted"
        )


def _pauses(session: Session) -> Iterator[Finding]:
    for gate in session.database.gates.gates():
        since, waits = span(max(0.0, time.time() - gate.at)), many(gate.held, "file")
        said = f"{gate.pipeline} has been paused by {gate.by} for {since}; {waits} held"
        yield Finding("paused", "warn", said, f"wharf resume {gate.pipeline}")


def _purges(session: Session) -> Iterator[Finding]:
    """Bytes that somebody gave up and that are still there; for a moment that is as it should be."""
    waiting = session.database.purges.ordered()
    since = time.time() - min((each.purge.at for each in waiting if each.purge), default=time.time())
    if since > PURGE_S:
        said = f"{many(len(waiting), 'file')} were to be purged {span(since)} ago, and that was cut off"
        yield Finding("purge", "warn", said, "wharf purge")
    elif session.settings.retention:
        count = session.database.catalog.counts().purged
        yield Finding("purge", "ok", f"{many(count, 'file')} purged so far")


def _metrics(session: Session) -> Iterator[Finding]:
    place = session.settings.metrics
    if place is None:
        return
    if place.port == 0:
        yield Finding("metrics", "ok", "a free port is taken at every start")
        return
    where = f"{place.host}:{place.port}"
    said = _figures(_HERE.get(place.host, place.host), place.port)
    if said is None:
        yield Finding("metrics", "ok", f"nothing answers at {where} now; wharf serve will")
    elif "wharf_backlog" in said:
        yield Finding("metrics", "ok", f"wharf answers Prometheus at {where}")
    else:
        fix = "look into the log of wharf serve; or stop the other program, or set metrics.port"
        yield Finding("metrics", "fail", f"what answers at {where} tells no figures of wharf", fix)


def _figures(host: str, port: int) -> str | None:
    """What is told at /metrics there, "" where something else answers; None where nobody listens."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode(errors="replace")
    except ConnectionRefusedError:
        return None
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def _store(session: Session) -> Iterator[Finding]:
    pages = [*verify_ledger(session.store, session.database.catalog, most=SAMPLE)]
    files, lost = sum(files for files, _ in pages), [problem for _, lost in pages for problem in lost]
    for each in lost[:SHOWN]:
        yield Finding("store", "fail", each.message, "wharf store verify; then restore what is lost from a backup")
    if len(lost) > SHOWN:
        yield Finding("store", "fail", f"and {number(len(lost) - SHOWN)} more", "wharf store verify")
    if not lost:
        yield Finding("store", "ok", f"it has the bytes of the newest {many(files, 'file')}")


def _users(session: Session) -> Iterator[Finding]:
    users = session.database.accounts.users()
    strays = [user.name for user in users if user.customer not in session.settings.customers]
    if strays:
        said = f"their customers are not in the configuration: {', '.join(strays)}"
        yield Finding("users", "warn", said, "add the customers, or: wharf users remove NAME")
        return
    able = [user for user in users if not user.disabled and (user.keys or user.password_hash)]
    if able:
        yield Finding("users", "ok", f"{many(len(able), 'user')} can sign in")
    else:
        yield Finding("users", "warn", "nobody can sign in", "wharf users add NAME --key FILE")


def _host_keys(session: Session) -> Iterator[Finding]:
    from wharfinger.ingest.sftp.hostkey import known_keys

    sftp = session.settings.listeners.sftp
    if sftp:
        known_keys(sftp.host_keys, session.settings.data)  # raises ConfigError for one that cannot be used
    for path in sftp.host_keys if sftp else ():
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield Finding("host key", "fail", f"others may read {path}", f"chmod 600 {path}")
        else:
            yield Finding("host key", "ok", f"{path}, for its owner alone")


def _signing_keys(session: Session) -> Iterator[Finding]:
    data, audit = session.settings.data, session.database.audit
    if not (data / keyring.NAME).exists():
        if known := audit.publish([]):
            raise trust.foreign(data, known)
        yield Finding("signing keys", "ok", "the first is made when something is signed")
        return
    ring = keyring.Keyring(data)
    here = trust.Trust(ring, audit)
    if here.is_foreign():
        raise trust.foreign(data, audit.publish([]))
    yield Finding("signing keys", "ok", f"{here.own[-1].id} signs")
    if ring.path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding(
            "signing keys", "fail", f"others may read {ring.path}", f"chmod 600 {ring.path}; wharf signing rotate"
        )
    if newer := here.newer():
        said = f"this node signs with {here.own[-1].id}, which {newer[-1].id} has replaced"
        yield Finding("signing keys", "fail", said, f"copy {keyring.NAME} from the node where {newer[-1].id} signs")
    for key in here.strangers():
        said = f"the ledger knows key {key.id} (since {key.since}), and no key of this node vouches for it"
        fix = f"if it was lost, nothing; if another node signs with it, copy one {keyring.NAME} to all; else ask who wrote into the ledger"
        yield Finding("signing keys", "fail" if key.since > here.own[-1].since else "warn", said, fix)


def _checkpoints(session: Session) -> Iterator[Finding]:
    since = session.database.audit.waits_since()
    age = time.time() - since if since is not None else 0.0
    if age > LATE * session.settings.workers.checkpoint_s:
        said = f"the histories of files have been under no new checkpoint for {span(age)}"
        yield Finding("checkpoints", "warn", said, "wharf serve makes them; by hand: wharf audit checkpoint")
    else:
        yield Finding("checkpoints", "ok", "what has happened is signed, or will be within a minute")


def _port(session: Session) -> Iterator[Finding]:
    sftp = session.settings.listeners.sftp
    if sftp is None:
        yield Finding("sftp", "ok", "no listener is wanted")
    elif sftp.port == 0:
        yield Finding("sftp", "ok", "a free port is taken at every start")
    else:
        yield _listener(sftp, session.settings.data)


def _listener(sftp: Sftp, data: Path) -> Finding:
    where = f"{sftp.host}:{sftp.port}"
    family = socket.AF_INET6 if ":" in sftp.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((sftp.host, sftp.port))
        except PermissionError:
            return Finding("sftp", "fail", f"this user may not listen on {where}", "use a port above 1023")
        except OSError:
            return _occupied(sftp, where, data)
    return Finding("sftp", "ok", f"{where} is free: wharf serve is not running")


def _occupied(sftp: Sftp, where: str, data: Path) -> Finding:
    """Ours is who has our host key; the greeting alone is that of every wharf, and one that is busy may not come to more."""
    from wharfinger.ingest.sftp.hostkey import ANSWER_S, answering_key, known_keys

    host = _HERE.get(sftp.host, sftp.host)
    said = _greeting(host, sftp.port)
    key = asyncio.run(answering_key(host, sftp.port)) if said else None
    if key and key.public_data in {ours.public_data for ours in known_keys(sftp.host_keys, data)}:
        return Finding("sftp", "ok", f"wharf serves {where}")
    if "wharf" not in said.lower():
        other = f"another program ({said})" if said else "another program, which does not greet as SSH does,"
    elif key:
        other = f"another installation of wharf (its host key is {key.get_fingerprint()})"
    else:
        text = f"wharf greets at {where}, but shows no host key within {ANSWER_S:g} s: it is busy, or not this installation's"
        return Finding("sftp", "warn", text, "wharf doctor again, when this machine has less to do")
    return Finding("sftp", "fail", f"{other} holds {where}", "stop it, or set another port under `listeners: sftp:`")


def _greeting(host: str, port: int) -> str:
    """The line by which an SSH server introduces itself (RFC 4253, 4.2)."""
    try:
        with socket.create_connection((host, port), timeout=3) as there:
            return there.recv(255).partition(b"\r\n")[0].decode("ascii", "replace")
    except OSError:
        return ""


def _sources(session: Session) -> Iterator[Finding]:
    """What the last look found, and whether the folders can be used as the configuration wants."""
    for name, source in session.settings.sources.items():
        yield _source(f"source {name}", source)
    for account in accounts(session.settings.data):
        if account.unaccounted and account.source in session.settings.sources:
            said = f"{many(account.unaccounted, 'file')} unaccounted for"
            yield Finding(f"source {account.source}", "warn", said, f"wharf reconcile {account.source}")


def _source(part: str, source: Source) -> Finding:
    if source.directory is None:
        return Finding(part, "ok", f"files are taken from {source.bucket.partition('?')[0]}")
    for path in filter(None, (source.directory, source.move_to)):
        if not path.is_dir():
            return Finding(part, "fail", f"the directory {path} is not there", f"mkdir -p {path}")
    if not os.access(source.directory, os.R_OK | os.X_OK):
        fix = f"let the user that runs wharf read {source.directory}"
        return Finding(part, "fail", f"the directory {source.directory} cannot be read", fix)
    if source.original != "keep":
        for path in filter(None, (source.directory, source.move_to)):
            _try_to_write(path)
    return Finding(part, "ok", f"files are taken from {source.directory}")


def _destinations(session: Session) -> Iterator[Finding]:
    for name, destination in session.settings.destinations.items():
        yield _destination(f"destination {name}", destination)


def _destination(part: str, destination: Destination) -> Finding:
    if destination.directory is None:
        return Finding(part, "ok", f"the bucket {destination.bucket} of the store")
    if not destination.directory.is_dir():
        fix = f"mkdir -p {destination.directory}"
        return Finding(part, "fail", f"the directory {destination.directory} is not there", fix)
    _try_to_write(destination.directory)
    return Finding(part, "ok", f"{destination.directory} can be written to")


def _clock(session: Session) -> Iterator[Finding]:
    from wharfinger.ledger import Filter

    newest = session.database.catalog.files(Filter(), limit=1)
    ahead = newest[0].upload_timestamp - time.time() if newest else 0.0
    if ahead > 60:
        said = f"the newest file came {span(ahead)} in the future: the clock went back"
        yield Finding("clock", "warn", said, "set the clock by NTP: timedatectl set-ntp true")
    else:
        yield Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S %Z"))


PARTS: Mapping[str, Callable[[Session], Iterator[Finding]]] = {
    "configuration": _configuration,
    "data directory": _data,
    "disk": _disk,
    "ledger": _ledger,
    "workers": _work,
    "paused": _pauses,
    "purge": _purges,
    "store": _store,
    "users": _users,
    "host key": _host_keys,
    "signing keys": _signing_keys,
    "checkpoints": _checkpoints,
    "sftp": _port,
    "metrics": _metrics,
    "sources": _sources,
    "destinations": _destinations,
    "clock": _clock,
}
"""Every part by name; what it raises is its finding."""


def _try_to_write(directory: Path) -> None:
    """Raises OSError where a file cannot be made, written and synced there."""
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(b"wharf")
        file.flush()
        os.fsync(file.fileno())
