"""`wharf sign`: URLs that let their holder do one thing, for a while, without an account."""

from __future__ import annotations

import time

import click

from wharfinger.cli import choose
from wharfinger.cli.frame import Verbs
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import answer, document, say
from wharfinger.cli.words import size, stamp
from wharfinger.errors import UsageError

MOST_S = 7 * 86_400
"""The longest that a URL may hold, as with S3."""


@click.group(cls=Verbs)
def command() -> None:
    """Make URLs that let somebody without an account do one thing, for a while."""


@command.command()
@click.argument("key")
@click.option("--customer", metavar="NAME", help="Whose file it will be; needless where there is only one customer.")
@click.option(
    "--expires",
    type=click.IntRange(1, MOST_S),
    default=900,
    show_default=True,
    metavar="SECONDS",
    help="For how long an upload may begin.",
)
@click.option(
    "--max-size",
    type=click.IntRange(min=0),
    default=1 << 30,
    show_default=True,
    metavar="BYTES",
    help="The size of the largest file that it takes.",
)
@click.option("--type", "media_type", default="", metavar="TYPE", help="The Content-Type that the upload must have.")
@click.option(
    "--base", default="", metavar="URL", help="How clients reach the listener.  [default: listeners.http.base]"
)
@pass_session
def put(
    session: Session, key: str, customer: str | None, expires: int, max_size: int, media_type: str, base: str
) -> None:
    """Make a URL to upload one file under KEY, a name such as inbound/a.csv.

    Used again with the same bytes, it answers the same; with other bytes, it is refused. Whoever has the URL can use it: send it over
    a safe line.
    """
    from wharfinger.ingest.http import ticket
    from wharfinger.ingest.name import refuse_clash
    from wharfinger.store.versions import Versions

    http = session.settings.listeners.http
    if http is None:
        raise UsageError("the configuration has no HTTP listener", fix="give it one: listeners: {http: {}}")
    base = base or http.base
    if not base and not http.port:
        raise UsageError("the listener takes a free port at every start", fix="set listeners.http.base, or give --base")
    scheme = "https" if http.certificate else "http"
    leave = ticket.Ticket(
        key=f"{choose.customer(session, customer)}/{key}",
        version=Versions(after=session.database.catalog.newest_version())(),
        expires=int(time.time()) + expires,
        max_size=max_size,
        media_type=media_type,
    )
    refuse_clash(session.database, leave.key)
    url = leave.url(base or f"{scheme}://{http.host}:{http.port}", ticket.secret(http.secret, session.settings.data))
    if session.json:
        told = {"url": url, "method": "PUT", "key": leave.key, "version": leave.version, "max_size": max_size}
        document({**told, "content_type": media_type, "expires": stamp(leave.expires)})
        return
    answer([url])
    header = f"-H 'Content-Type: {media_type}' " if media_type else ""
    say(f"good for one file of at most {size(max_size)}: curl {header}-T FILE 'URL'")
