"""`wharf serve`: the sockets, the checks before anything starts, and the children that are kept alive."""

from __future__ import annotations

import errno
import socket
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from wharfinger.app import process
from wharfinger.app.backends import check_sources, open_database, open_hint, open_keyring, open_store
from wharfinger.app.http import check_http
from wharfinger.app.metrics import forget_figures
from wharfinger.engine.presence import alone, present
from wharfinger.engine.supervise import Child, Notice, Supervisor
from wharfinger.engine.sweep import sweep
from wharfinger.errors import LedgerError, UsageError
from wharfinger.ledger import MANY, Database, Hint

if TYPE_CHECKING:
    from pathlib import Path

    from wharfinger.config.settings import Http, Metrics, Settings, Sftp

REBIND_S = 5.0
"""How long a port may still be held by the children of a supervisor that was killed a moment ago."""

_BIND_FIXES = {
    errno.EADDRINUSE: "stop what listens there, or set {}.port (0 takes a free one)",
    errno.EACCES: "set {}.port above 1023",
}


def serve(settings: Settings, notice: Callable[[Notice], None]) -> bool:
    """
    Keep the listeners, the workers, what watches the sources and what keeps to the retention alive until SIGTERM or SIGINT; False where
    a second signal left them no time to finish. `notice` hears of every start and death. Raises LedgerError where the ledger was lost, or
    is signed with other keys than this node's, ConfigError for unusable host keys, UsageError where somebody serves here already.
    """
    with alone(settings.data / "run"):
        return _serve(settings, notice)


def _serve(settings: Settings, notice: Callable[[Notice], None]) -> bool:
    database = open_database(settings)
    refuse_lost(database, settings)
    open_keyring(settings, database.audit)
    if settings.listeners.sftp:
        _check_host_keys(settings.listeners.sftp, settings.data)
    if settings.listeners.http:
        check_http(settings.listeners.http, settings.data)
    check_sources(settings)
    wharf = (sys.executable, "-m", "wharfinger", "--config", str(settings.path))
    children = [
        Child(
            f"worker-{n}",
            (*wharf, "worker", *(("--express",) if n == 1 and settings.workers.count > 1 else ())),
            claims=True,
        )
        for n in range(1, settings.workers.count + 1)
    ]
    bound = _bound(settings)
    children += [
        Child(name, (*wharf, verb, "--fd", str(listening.fileno())), (listening.fileno(),))
        for name, verb, listening in bound
    ]
    if settings.sources:
        children.append(Child("sources", (*wharf, "watch")))
    if settings.retention:
        children.append(Child("retention", (*wharf, "retain")))
    if not children:
        raise UsageError(
            "there is nothing to serve: no listener, no source, and workers.count is 0",
            fix=f"set workers.count, or listeners, in {settings.path}",
        )
    forget_figures(settings)
    _forget_looks(settings)
    hint = open_hint(settings)
    process.note_served(settings.path, settings.data)
    with present(settings.data / "run"):
        had_time = Supervisor(children, notice=notice, bereaved=partial(_take_back, settings, hint)).run()
    hint.close()
    database.close()
    return had_time


def _take_back(settings: Settings, hint: Hint, *, owner: str, crashed: bool) -> None:
    """What this child held. By a connection of its own: it may take longer than the supervisor lives."""
    with closing(open_database(settings)) as database:
        sweep(database.ledger, hint, owner=owner, crashed=crashed)


def _bound(settings: Settings) -> list[tuple[str, str, socket.socket]]:
    """The children that serve a socket which outlives them: name, verb and socket of each."""
    wanted = (
        ("sftp", "listen", settings.listeners.sftp, "listeners.sftp"),
        ("http", "http", settings.listeners.http, "listeners.http"),
        ("metrics", "metrics", settings.metrics, "metrics"),
    )
    return [(name, verb, bind(key, place)) for name, verb, place, key in wanted if place]


def refuse_lost(database: Database, settings: Settings) -> None:
    """
    Raises LedgerError LEDGER_LOST for a new ledger in the place of a lost one: it would hide what is in custody. Where it has users, a
    crash may have come before the first arrival was recorded: that leaves one group of objects.
    """
    from wharfinger.ingest.rebuild import lost

    with closing(open_store(settings)) as store:
        count = lost(store, database.catalog, settings.bucket)
    if count > (MANY if database.accounts.users() else 0):
        raise LedgerError(
            f"the ledger knows none of the oldest files in the store ({count} were looked up)",
            code="LEDGER_LOST",
            fix="wharf ledger rebuild --missing; then start again",
        )


def _forget_looks(settings: Settings) -> None:
    """At what the configuration has no more nobody looks again."""
    from wharfinger.ingest import account, delivered

    account.forget(settings.data, but=settings.sources)
    delivered.forget(settings.data, but=settings.destinations)


def _check_host_keys(place: Sftp, data: Path) -> None:
    """Before a listener is started: it would fail, and be started again, for ever."""
    from wharfinger.ingest.sftp.hostkey import host_keys

    host_keys(place.host_keys, data)


def bind(key: str, place: Sftp | Http | Metrics) -> socket.socket:
    """
    A listening socket for what the configuration says under `key` ("listeners.sftp"), to be handed to a child: connections wait in it
    while a child that died is replaced.
    """
    deadline = time.monotonic() + REBIND_S
    while True:
        try:
            family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
            bound = socket.create_server((place.host, place.port), family=family, backlog=1024)
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise UsageError(
                f"cannot listen on {place.host}:{place.port}: {(exc.strerror or str(exc)).partition(' (while')[0]}",
                code="PORT_BUSY" if exc.errno == errno.EADDRINUSE else "CANNOT_LISTEN",
                fix=_BIND_FIXES.get(exc.errno or 0, "set {}.host to an address of this machine").format(key),
            ) from exc
        bound.set_inheritable(True)
        return bound
