"""What `wharf doctor` looks at, part by part. Nothing here changes anything but for a file that is made and removed again."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from wharfinger.cli import ports
from wharfinger.cli.finding import Finding
from wharfinger.cli.outdated import outdated
from wharfinger.cli.problem import problem
from wharfinger.cli.session import Session
from wharfinger.cli.verify import verify_ledger
from wharfinger.cli.words import many, number, size, span
from wharfinger.errors import WharfingerError
from wharfinger.ingest.account import Account, accounts
from wharfinger.ingest.delivered import last
from wharfinger.ingest.rebuild import lost
from wharfinger.ledger import keyring, trust
from wharfinger.model import State
from wharfinger.store.archive import refuse_restoring
from wharfinger.store.space import disks

if TYPE_CHECKING:
    from wharfinger.config.settings import Destination, Source

SAMPLE = 200
"""How many of the newest files are looked up in the store."""

SHOWN = 20
"""How many lost objects are told one by one."""

APART_S = 2.0
"""By how much two clocks may differ: they are asked over a network."""

NTP = "set the clock by NTP: timedatectl set-ntp true"

LATE = 10
"""How many checkpoints in a row may be missing before it is told."""

PURGE_S = 60.0
"""A purge that was ordered so long ago and is not done was cut off."""


class _Absent(Exception):
    """A part is not there, and must not be made by looking at it: in the place of a lost one it would hold up its restore."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.text)
        self.finding = finding


def examine(session: Session) -> Iterator[Finding]:
    """All parts, one after the other. Where one is broken or absent that others stand on, these cannot be looked at."""
    broken: set[str] = set()
    for part, (look, *stands_on) in PARTS.items():
        if broken.intersection(stands_on):
            continue
        try:
            yield from look(session)
        except _Absent as absent:
            yield absent.finding
            broken.add(part)
        except (OSError, WharfingerError) as error:
            told = problem(error)
            yield Finding(part, "fail", f"{told.code}: {told.message}", told.fix)
            broken.add(part)
            if part == "configuration":
                return


def _configuration(session: Session) -> Iterator[Finding]:
    settings = session.settings
    said = f"{session.config}: {many(len(settings.pipelines), 'pipeline')}, {many(len(settings.customers), 'customer')}"
    yield Finding("configuration", "ok", said)
    if old := outdated(session):
        yield Finding("configuration", "warn", *old)
    if not settings.pipelines:
        yield Finding(
            "configuration", "warn", "no pipeline: every file stays where it is", "add one under `pipelines:`"
        )


def _revisions(session: Session) -> Iterator[Finding]:
    """Files that arrived while this node serves what is configured, and went another way: another node sent them there."""
    from wharfinger import app
    from wharfinger.ledger import Filter

    served, settings = app.served(session.settings), session.settings
    if served is None or outdated(session):
        return
    ours = {pipeline.name: pipeline.revision for pipeline in settings.pipelines}
    newest = session.database.catalog.files(Filter(since=served.at), limit=SAMPLE)
    for name in sorted(
        {each.pipeline for each in newest if each.pipeline and ours.get(each.pipeline) != each.revision}
    ):
        said = f"files have gone through another revision of {name} than this node's, since it serves: the nodes are configured differently"
        yield Finding(
            "pipelines", "warn", said, f"make wharf.yaml the same on all nodes; wharf files --pipeline {name}"
        )


def _data(session: Session) -> Iterator[Finding]:
    path = session.settings.data
    if path.exists() and not path.is_dir():
        yield Finding("data directory", "fail", f"{path} is no directory", f"mv {path} {path}.old; or set `data`")
        return
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
    from wharfinger import app

    refuse_restoring(session.settings.data)
    if not app.open_copies(session.settings).occupants():
        if _has_files(session):
            fix = "wharf ledger rebuild --missing; or in an empty place: wharf restore DIR"
            raise _Absent(Finding("ledger", "fail", "it is not there, and the store has files: it was lost", fix))
        said = "it is not there yet; wharf serve makes it"
        raise _Absent(Finding("ledger", "warn", said, "wharf serve; or bring one back: wharf restore DIR"))
    counts = session.database.catalog.counts()
    said = f"{many(sum(counts.files.values()), 'file')}; {session.database.engine}"
    yield Finding("ledger", "ok", said)


def _store(session: Session) -> Iterator[Finding]:
    store = session.store
    yield Finding("store", "ok", f"{session.settings.store}; what is under way lies at {store.staging.parent}")


def _has_files(session: Session) -> bool:
    """Whether the store has any; what is wrong with it is told of it alone."""
    from wharfinger import app

    settings = session.settings
    if app.premises(settings).has("store") and not app.store_path(settings).exists():
        return False
    try:
        return any(session.store.list(settings.bucket))
    except (OSError, WharfingerError):
        return False


def _custody(session: Session) -> Iterator[Finding]:
    """Whether ledger and store belong together."""
    if missing := lost(session.store, session.database.catalog, session.settings.bucket):
        said = f"it knows none of the oldest files in the store ({many(missing, 'file')} looked up): it was lost"
        yield Finding("ledger", "fail", said, "wharf ledger rebuild --missing")
    pages = [*verify_ledger(session.store, session.database.catalog, most=SAMPLE)]
    files, gone = sum(files for files, _ in pages), [problem for _, lost in pages for problem in lost]
    for each in gone[:SHOWN]:
        yield Finding("store", "fail", each.message, "wharf store verify; then restore what is lost from a backup")
    if len(gone) > SHOWN:
        yield Finding("store", "fail", f"and {number(len(gone) - SHOWN)} more", "wharf store verify")
    if not gone:
        yield Finding("store", "ok", f"it has the bytes of the newest {many(files, 'file')}")


def _work(session: Session) -> Iterator[Finding]:
    """Whether somebody works, here or elsewhere: leases that are over, and runs that could begin and are not begun, say no."""
    from wharfinger import app

    counts, lease_s, now = session.database.catalog.counts(), session.settings.workers.lease_s, time.time()
    leased, ready = (counts.runs.get(state, 0) + counts.children.get(state, 0) for state in (State.LEASED, State.READY))
    over = now - counts.oldest_lease if counts.oldest_lease else 0.0
    age = now - counts.oldest_ready if counts.oldest_ready else 0.0
    here = "serves" if app.is_served(session.settings) else "does not serve"
    if over > lease_s:
        said = f"a lease ended {span(over)} ago, and nobody has taken the file back; wharf {here} here"
        yield Finding("workers", "fail", said, "wharf serve; if it runs, look into its log")
    elif ready and not leased and age > lease_s:
        said = f"a file has waited for {span(age)} and no worker holds any; wharf {here} here"
        yield Finding("workers", "warn", said, "wharf serve; or wharf status, if it is a retry that waits")
    else:
        yield Finding("workers", "ok", f"{number(leased)} at work, {number(ready)} in line; wharf {here} here")
    if counts.runs.get(State.DEAD, 0):
        yield Finding("dead letters", "warn", many(counts.runs[State.DEAD], "file"), "wharf files --dead")
    if counts.incomplete:
        said = f"{many(counts.incomplete, 'file')} transferred without some of the child runs they called"
        yield Finding("incomplete", "warn", said, "wharf files --incomplete")
    if counts.unrouted:
        yield Finding(
            "unrouted", "warn", f"no pipeline takes {many(counts.unrouted, 'file')}", "wharf files --unrouted"
        )


def _groups(session: Session) -> Iterator[Finding]:
    for holder in session.database.catalog.holders():
        said = f"{holder.key} is {holder.status} and holds up its group {holder.group}"
        yield Finding(
            "groups",
            "warn",
            said,
            f"wharf replay {holder.file_id}, or to go on without it: wharf cancel {holder.file_id}",
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
        yield Finding("checkpoints", "ok", "what has happened is signed, or is awaited")


def _sources(session: Session) -> Iterator[Finding]:
    """What the last look found, and whether the folders can be used as the configuration wants."""
    from wharfinger import app

    looks, served = {each.source: each for each in accounts(session.settings.data)}, app.served(session.settings)
    for name, source in session.settings.sources.items():
        try:
            found = _source(name, source)
        except (OSError, WharfingerError) as error:  # the others are looked at all the same
            told = problem(error)
            found = Finding(f"source {name}", "fail", f"{told.code}: {told.message}", told.fix)
        yield found
        if found.verdict != "fail":
            begun = served.at if served else None
            yield from _look(name, source, looks.get(name), begun)


def _look(name: str, source: Source, account: Account | None, begun: float | None) -> Iterator[Finding]:
    """What is wrong by the last look at a source; `begun` is when `wharf serve` did that runs, if one does."""
    part, now = f"source {name}", time.time()
    if begun is not None:
        account = account or Account(name, begun, 0, 0, 0, 0, 0)
        age = now - max(account.at, begun)
        if account.is_old(age, source.scan_s):
            said = f"wharf serve has not looked at it for {span(age)}"
            place = source.directory or source.bucket.partition("?")[0]
            fix = f"see whether {place} answers: a network filesystem may hang; then restart wharf serve"
            yield Finding(part, "fail", said, fix)
            return
        if account.error:
            yield Finding(part, "fail", f"the last look at it failed: {account.error}", f"wharf reconcile {name}")
            return
    if account and account.unaccounted:
        said = f"{many(account.unaccounted, 'file')} unaccounted for {span(max(0.0, now - account.at))} ago"
        yield Finding(part, "warn", said, f"wharf reconcile {name}")


def _source(name: str, source: Source) -> Finding:
    part = f"source {name}"
    if source.directory is None:
        return _bucket(part, name, source)
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


def _bucket(part: str, name: str, source: Source) -> Finding:
    from wharfinger import app
    from wharfinger.ingest.queue import Queue

    next(iter(app.open_source(name, source).listing()), None)
    if source.queue:
        Queue.at(source.queue).check()
    return Finding(part, "ok", f"files are taken from {source.bucket.partition('?')[0]}")


def _destinations(session: Session) -> Iterator[Finding]:
    for name, destination in session.settings.destinations.items():
        try:
            yield _destination(f"destination {name}", destination, session.settings.min_free)
        except OSError as error:
            told = problem(error)
            yield Finding(f"destination {name}", "fail", f"{told.code}: {told.message}", told.fix)
    for holdings in last(session.settings.data):
        if holdings.unaccounted and holdings.destination in session.settings.destinations:
            said = f"{many(holdings.unaccounted, 'name')} missing, altered or unexpected {span(time.time() - holdings.at)} ago"
            fix = f"wharf reconcile --delivered {holdings.destination}"
            yield Finding(f"destination {holdings.destination}", "warn", said, fix)


def _destination(part: str, destination: Destination, least: int) -> Finding:
    if destination.directory is None:
        return Finding(part, "ok", f"the bucket {destination.bucket} of the store")
    if destination.directory.exists() and not destination.directory.is_dir():
        fix = f"mv {destination.directory} {destination.directory}.old; mkdir -p {destination.directory}"
        return Finding(part, "fail", f"{destination.directory} is no directory", fix)
    if not destination.directory.is_dir():
        fix = f"mkdir -p {destination.directory}"
        return Finding(part, "fail", f"the directory {destination.directory} is not there", fix)
    _try_to_write(destination.directory)
    free = shutil.disk_usage(destination.directory).free
    if free < least:
        said = f"only {size(free)} free at {destination.directory}, less than `min_free`: what is larger waits"
        return Finding(part, "warn", said, "make room there; what waits goes on by itself")
    return Finding(part, "ok", f"{destination.directory} can be written to, {size(free)} free")


def _clock(session: Session) -> Iterator[Finding]:
    from wharfinger.ledger import Filter

    newest = session.database.catalog.files(Filter(), limit=1)
    ahead = newest[0].upload_timestamp - time.time() if newest else 0.0
    apart = session.database.ahead_s()
    if ahead > 60:
        said = f"the newest file came {span(ahead)} in the future: the clock went back"
        yield Finding("clock", "warn", said, NTP)
    if abs(apart) > APART_S:
        which = "behind" if apart > 0 else "ahead of"
        said = (
            f"this machine's clock is {span(abs(apart))} {which} that of the ledger's server: leases end early or late"
        )
        yield Finding("clock", "fail" if abs(apart) > session.settings.workers.lease_s else "warn", said, NTP)
    elif ahead <= 60:
        yield Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S %Z"))


PARTS: Mapping[str, tuple[Callable[[Session], Iterator[Finding]], *tuple[str, ...]]] = {
    "configuration": (_configuration,),
    "data directory": (_data,),
    "disk": (_disk,),
    "ledger": (_ledger,),
    "store": (_store,),
    "custody": (_custody, "ledger", "store"),
    "pipelines": (_revisions, "ledger"),
    "workers": (_work, "ledger"),
    "paused": (_pauses, "ledger"),
    "groups": (_groups, "ledger"),
    "purge": (_purges, "ledger"),
    "users": (_users, "ledger"),
    "host key": (_host_keys,),
    "signing keys": (_signing_keys, "ledger"),
    "checkpoints": (_checkpoints, "ledger"),
    "sftp": (ports.sftp,),
    "http": (ports.uploads,),
    "metrics": (ports.metrics,),
    "sources": (_sources,),
    "destinations": (_destinations,),
    "clock": (_clock, "ledger"),
}
"""Every part by name, and those that it stands on; what it raises is its finding."""


def _try_to_write(directory: Path) -> None:
    """Raises OSError where a file cannot be made, written and synced there."""
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(b"wharf")
        file.flush()
        os.fsync(file.fileno())
