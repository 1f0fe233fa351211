"""`wharf doctor`: looks at everything the program stands on, and says of each part whether it is sound and what mends it."""

from __future__ import annotations

from dataclasses import asdict

import click

from wharfinger.cli.examine import examine
from wharfinger.cli.finding import Finding
from wharfinger.cli.frame import Verb
from wharfinger.cli.problem import Exit
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, document, listing, say
from wharfinger.cli.words import many

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}

COLUMNS = (
    Column("verdict", "", style=lambda row: COLOURS[row["verdict"]]),
    Column("part", "Part"),
    Column(
        "text",
        "What was found, and what mends it",
        lambda row: "\n".join(filter(None, (row["text"], row["fix"]))),
        folds=True,
    ),
    Column("fix", piped=True),
)


@click.command(cls=Verb)
@pass_session
def command(session: Session) -> int:
    """Find what is broken, and say what mends it.

    Looked at: configuration, directories, disk, ledger, workers, pauses, groups, store, users, host keys, signing keys,
    checkpoints, ports, sources, destinations, clock.
    """
    from wharfinger import app

    findings = list(examine(session))
    broken = [finding for finding in findings if finding.verdict == "fail"]
    if session.json:
        document({"ok": not broken, "findings": [asdict(finding) for finding in findings]})
    else:
        listing([asdict(finding) for finding in findings], COLUMNS, json=False)
    say(_summary(findings))
    if not broken and not app.is_served(session.settings):
        say("wharf does not serve here: nothing is received or delivered until it does (wharf serve)")
    return Exit.FAILED if broken else Exit.OK


def _summary(findings: list[Finding]) -> str:
    broken, doubtful = ([*dict.fromkeys(f.part for f in findings if f.verdict == each)] for each in ("fail", "warn"))
    if broken:
        return f"{many(len(broken), 'part')} broken; begin with: {broken[0]}"
    return f"it works; {many(len(doubtful), 'thing')} to look at" if doubtful else "all is well"
