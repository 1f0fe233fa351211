"""`wharf serve`: the whole on one machine: the listener and the workers, kept alive until they are told to stop."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

import click

from wharfinger.cli.frame import Verb
from wharfinger.cli.problem import Exit
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import document, say
from wharfinger.cli.words import many, plain
from wharfinger.engine.supervise import Notice

_ADDRESS = re.compile(r"(?P<protocol>sftp|https?) (?P<host>\S+):(?P<port>\d+)(?: (?P<fingerprint>SHA256:\S+))?")


@click.command(cls=Verb)
@pass_session
def command(session: Session) -> int:
    """
    Receive and process files until Ctrl-C or SIGTERM.

    The first signal lets everybody finish what has begun, for at most 30 seconds; a second one ends all at once, and what had
    begun is done again at the next start.

    With --json the first line of stdout says, as one document, that all is ready and where.
    """
    from wharfinger import app

    if app.serve(session.settings, Announcer(session).hear):
        say("stopped")
        return Exit.OK
    say("stopped at once; what had begun is done again at the next start")
    return Exit.INTERRUPTED


class Announcer:
    """Says once, when everybody is ready, where they listen; afterwards only what goes wrong."""

    def __init__(self, session: Session) -> None:
        self._session = session
        settings = session.settings
        self._awaited = settings.workers.count + (settings.listeners.sftp is not None)
        self._awaited += (settings.listeners.http is not None) + bool(settings.sources)
        self._ready: set[str] = set()
        self._http: Mapping[str, Any] | None = None
        self._sftp: Mapping[str, Any] | None = None

    def hear(self, notice: Notice) -> None:
        """Take in what the supervisor noticed."""
        match notice.kind:
            case "ready":
                self._note(notice)
            case "died":
                say(f"{notice.child} ended ({plain(notice.text)}); it is started again")
            case "killed" | "failed":
                say(f"{notice.child}: {plain(notice.text)}")

    def _note(self, notice: Notice) -> None:
        address = _ADDRESS.match(notice.text)
        if address:
            told = {**address.groupdict(), "port": int(address["port"])}
            if told.pop("protocol") == "sftp":
                self._sftp = told
            else:
                self._http = {"url": f"{address['protocol']}://{address['host']}:{address['port']}"}
        already = len(self._ready) >= self._awaited
        self._ready.add(notice.child)
        if not already and len(self._ready) >= self._awaited:
            self._announce()

    def _announce(self) -> None:
        if self._session.json:
            settings = self._session.settings
            told = {"sftp": self._sftp, "http": self._http, "workers": settings.workers.count}
            document({**told, "sources": list(settings.sources)})
            sys.stdout.flush()
            return
        if self._sftp:
            say(f"receiving by SFTP on {self._sftp['host']}:{self._sftp['port']}")
            say(f"host key {self._sftp['fingerprint']}") if self._sftp["fingerprint"] else None
        if self._http:
            say(f"receiving by signed URL on {self._http['url']}")
        if sources := self._session.settings.sources:
            say(f"taking files from {', '.join(sources)}")
        say(f"{many(self._session.settings.workers.count, 'worker')} ready; files and deliveries: wharf status")
        say("Ctrl-C stops: what has begun is finished, the rest stays in line; a second Ctrl-C ends it at once")
