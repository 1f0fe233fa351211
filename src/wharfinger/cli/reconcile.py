"""`wharf reconcile`: holds what lies in the sources, or at the destinations, against the ledger, and tells what is unaccounted for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from wharfinger.cli import public
from wharfinger.cli.delivered import destinations
from wharfinger.cli.frame import Verb
from wharfinger.cli.problem import Exit
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, complain, document, listing, say
from wharfinger.cli.words import many, plain
from wharfinger.errors import UsageError

if TYPE_CHECKING:
    from wharfinger.ingest.account import Account
    from wharfinger.ingest.reconcile import Reconciler

COLUMNS = (
    Column("source", "Source"),
    Column("listed", "There", right=True),
    Column("in_custody", "In custody", right=True),
    Column("landed", "Taken now", right=True),
    Column("waiting", "Not whole yet", right=True),
    Column("unaccounted", "Unaccounted", right=True, style=lambda row: "red" if row["unaccounted"] else "green"),
)

STEP_S = 0.5
"""How often it is looked whether a file has become whole."""


@click.command(cls=Verb)
@click.argument("names", metavar="[NAME...]", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Take nothing; only tell.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="How long to wait for files that are not whole yet, by the rule of their source.",
)
@click.option("--delivered", is_flag=True, help="Look at destinations instead: is there what was delivered?")
@click.option("--sizes", is_flag=True, help="With --delivered: compare sizes alone, without reading the files.")
@click.option(
    "--replay", is_flag=True, help="With --delivered: run the files again of which something is not as it was."
)
@pass_session
def command(
    session: Session, names: tuple[str, ...], dry_run: bool, wait: float, delivered: bool, sizes: bool, replay: bool
) -> int:
    """Hold what lies in the sources, or at the destinations, against the ledger.

    Of the sources NAME (of all, without a name) what is whole and not in custody is taken now. The same is done all the time
    while wharf serve runs; both may run at once. With --delivered it is destinations, and nothing is changed there: told is what is
    missing, altered or unexpected, and with --replay the files in question run again, which delivers them again. Exit status 5
    says that files are unaccounted for.
    """
    from wharfinger import app

    if delivered:
        return destinations(session, names, sizes_only=sizes, replay=replay and not dry_run)
    if sizes or replay:
        raise UsageError("--sizes and --replay are for destinations", fix="wharf reconcile --delivered")
    chosen = _chosen(session, names)
    with app.reconcilers(session.settings) as found:
        accounts = _look({name: found[name] for name in chosen}, dry=dry_run, until=time.monotonic() + wait)
    _tell(session, accounts)
    return Exit.PARTLY if any(account.unaccounted for account in accounts) else Exit.OK


def _chosen(session: Session, names: Sequence[str]) -> Sequence[str]:
    known = list(session.settings.sources)
    if not known:
        raise UsageError("the configuration has no sources", fix="name one under `sources:` in wharf.yaml")
    for name in names:
        if name not in known:
            raise UsageError(f"there is no source {name!r}", fix=f"name one of: {', '.join(known)}")
    return names or known


def _look(found: Mapping[str, Reconciler], *, dry: bool, until: float) -> list[Account]:
    """The account of each source, as soon as none has files that are not whole, or when the time is over."""
    landed = dict.fromkeys(found, 0)
    while True:
        accounts = [reconciler.look(dry=dry) for reconciler in found.values()]
        for account in accounts:
            landed[account.source] += account.landed
        if time.monotonic() >= until or not any(account.waiting for account in accounts):
            return [replace(account, landed=landed[account.source]) for account in accounts]
        time.sleep(STEP_S)


def _tell(session: Session, accounts: Sequence[Account]) -> None:
    unaccounted = sum(account.unaccounted for account in accounts)
    if session.json:
        document({"unaccounted": unaccounted, "sources": [public.account(account) for account in accounts]})
        return
    listing([public.account(account) for account in accounts], COLUMNS, json=False)
    for account in accounts:
        for problem in account.problems:
            complain(plain(problem.message), code=problem.code, fix=problem.fix)
    say(f"{many(unaccounted, 'file')} unaccounted for")
