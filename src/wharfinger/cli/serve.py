"""`wharf serve`: the whole on one machine: the listener and the workers, kept alive until they are told to stop."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any

import click

from wharfinger.cli import log
from wharfinger.cli.frame import Verb
from wharfinger.cli.problem import Exit
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import document, say
from wharfinger.cli.words import many, plain
from wharfinger.engine.supervise import Notice

_ADDRESS = re.compile(r"(?P<protocol>sftp|https?) (?P<host>\S+):(?P<port>\d+)(?: (?P<fingerprint>SHA256:\S+))?")
_METRICS = re.compile(r"metrics (?P<address>\S+)")

_log = logging.getLogger(__name__)


@click.command(cls=Verb)
@pass_session
def command(session: Session) -> int:
    """
    Receive and process files until Ctrl-C or SIGTERM.

    The first signal lets workers finish what they have begun, for at most 30 seconds; uploads under way are cut off, and
    can be resumed. A second one ends all at once, and what had begun is done again at the next start.

    With --json the first line of stdout says, as one document, that all is ready and where.
    """
    from wharfinger import app

    announcer = Announcer(session)
    with log.running(session.settings.log, "serve"):
        if app.serve(session.settings, announcer.hear):
            announcer.tell("stopped")
            return Exit.OK
        announcer.tell("stopped at once; what had begun is done again at the next start")
        return Exit.INTERRUPTED


class Announcer:
    """Says once, when everybody is ready, where they listen; afterwards only what goes wrong."""

    def __init__(self, session: Session) -> None:
        self._session = session
        settings = session.settings
        listeners = settings.listeners
        wanted = (
            listeners.sftp is not None,
            listeners.http is not None,
            settings.metrics is not None,
            bool(settings.sources),
            bool(settings.retention),
        )
        self._awaited = settings.workers.count + sum(wanted)
        self._ready: set[str] = set()
        self._http: Mapping[str, Any] | None = None
        self._sftp: Mapping[str, Any] | None = None
        self._metrics: str | None = None

    def tell(self, text: str) -> None:
        """Say it to people; where machines read along, in a record."""
        if self._session.settings.log.format == "json":
            _log.info(text)
        else:
            say(text)

    def hear(self, notice: Notice) -> None:
        """Take in what the supervisor noticed."""
        match notice.kind:
            case "ready":
                self._note(notice)
            case "died":
                _log.warning("%s ended (%s); it is started again", notice.child, plain(notice.text))
            case "killed" | "failed":
                _log.warning("%s: %s", notice.child, plain(notice.text))

    def _note(self, notice: Notice) -> None:
        address = _ADDRESS.match(notice.text)
        if address:
            told = {**address.groupdict(), "port": int(address["port"])}
            if told.pop("protocol") == "sftp":
                self._sftp = told
            else:
                self._http = {"url": f"{address['protocol']}://{address['host']}:{address['port']}"}
        if metrics := _METRICS.match(notice.text):
            self._metrics = f"http://{metrics['address']}"
        already = len(self._ready) >= self._awaited
        self._ready.add(notice.child)
        if not already and len(self._ready) >= self._awaited:
            self._announce()

    def _announce(self) -> None:
        if self._session.json:
            settings = self._session.settings
            listed = {"workers": settings.workers.count, "sources": list(settings.sources)}
            document({"sftp": self._sftp, "http": self._http, **listed, "metrics": self._metrics})
            sys.stdout.flush()
            return
        if self._sftp:
            self.tell(f"receiving by SFTP on {self._sftp['host']}:{self._sftp['port']}")
            self.tell(f"host key {self._sftp['fingerprint']}") if self._sftp["fingerprint"] else None
        if self._http:
            self.tell(f"receiving by signed URL on {self._http['url']}")
        if sources := self._session.settings.sources:
            self.tell(f"taking files from {', '.join(sources)}")
        if self._metrics:
            self.tell(f"metrics at {self._metrics}")
        self.tell(f"{many(self._session.settings.workers.count, 'worker')} ready; files and deliveries: wharf status")
        self.tell(
            "Ctrl-C stops: files in work are finished, uploads are cut off and can be resumed; a second Ctrl-C ends it at once"
        )
