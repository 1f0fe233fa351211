"""`wharf receipt FILE`: the signed statements on a file. `wharf receipt verify`: whether one that somebody shows holds."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from wharfinger.cli import choose
from wharfinger.cli.frame import Verbs
from wharfinger.cli.problem import Exit
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import complain, document, fields, say
from wharfinger.cli.words import many, number
from wharfinger.errors import Unproven, UsageError
from wharfinger.ledger import receipt, signature
from wharfinger.ledger.signature import Signed

PEM = b"-----BEGIN PUBLIC KEY-----"


class Receipt(Verbs):
    """`wharf receipt FILE` is `wharf receipt show FILE`."""

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that `args` name, or `show`."""
        named = not args or args[0].startswith("-") or args[0] in self.list_commands(context)
        return super().resolve_command(context, args if named else ["show", *args])


@click.group(cls=Receipt)
def command() -> None:
    """Signed statements on what arrived, and what became of it."""


@command.command()
@click.argument("file_id", metavar="FILE")
@click.option(
    "--to", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Write each to a file there."
)
@pass_session
def show(session: Session, file_id: str, to: Path | None) -> None:
    """
    Sign the receipts of a file: that it arrived and, once it has ended, what became of it.

    `wharf receipt FILE` does the same. One line of JSON for each; senders find the same under `receipts/` in their own tree.
    """
    record = choose.file(session, file_id)
    found = receipt.receipts(record, session.database.catalog.events(record.file_id))
    statements = {"arrival": found.arrival, "outcome": found.outcome}
    signed = {kind: session.keyring.sign(each) for kind, each in statements.items() if each}
    if to:
        paths = {kind: _write(to / f"{record.file_id}.{kind}.json", each) for kind, each in signed.items()}
        if session.json:
            document({kind: str(path) for kind, path in paths.items()})
        for path in paths.values():
            say(f"written: {path}")
    elif session.json:
        document({kind: signed[kind].document() if kind in signed else None for kind in statements})
    else:
        sys.stdout.write("".join(bytes(each).decode() for each in signed.values()))
    if record.delivered_in_all and record.delivered_in_all > len(record.delivered):
        named, in_all = number(len(record.delivered)), number(record.delivered_in_all)
        say(
            f"the outcome names {named} deliveries of {in_all}: the history of the file names all (wharf evidence {record.file_id})"
        )
    if not found.outcome:
        say("the file has not ended yet: there is no outcome to state")


@command.command()
def script() -> None:
    """
    Print the script by which partners check receipts, and bundles of evidence; it needs Python and nothing else.

    Hand it out together with your public key: python3 verify.py RECEIPT... --key PUBLIC --file PATH
    """
    from wharfinger.ledger import evidence

    sys.stdout.write(evidence.script().decode())


@dataclass(slots=True)
class Shown:
    """A statement that somebody shows, and what is wrong with it."""

    path: Path
    signed: Signed
    problems: list[Unproven] = field(default_factory=list)


@command.command()
@click.argument("paths", metavar="RECEIPT...", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="PUBLIC",
    help="A public key to trust: 64 hex digits, or a file (hex or PEM).",
)
@click.option(
    "--file",
    "content",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PATH",
    help="Whether it is this file that arrived.",
)
@pass_session
def verify(session: Session, paths: tuple[Path, ...], keys: tuple[str, ...], content: Path | None) -> int:
    """
    Check receipts: that each is as it was signed, and that an outcome belongs to the arrival beside it.

    Trusted are this installation's own keys, present and past, or those given by --key; with these, no installation is needed.
    """
    trusted = [_public(key) for key in keys]
    holds = (lambda signed: any(signed.is_by(key) for key in trusted)) if trusted else session.trust.holds
    shown = [each for path in paths for each in _read(path)]
    for each in shown:
        each.problems += _faults(each, holds)
    sound = [each for each in shown if not each.problems]
    _compare(sound)
    if content:
        _hold_against(sound, content)
    broken = [each for each in shown if each.problems]
    if session.json:
        document({"ok": not broken, "receipts": [_public_words(each) for each in shown]})
    else:
        for each in shown:
            _tell(each)
    say(f"{many(len(shown), 'receipt')} checked: {many(len(broken), 'problem') if broken else 'as signed'}")
    return Exit.FAILED if broken else Exit.OK


def _write(path: Path, signed: Signed) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(signed))
    return path


def _read(path: Path) -> Iterator[Shown]:
    lines = path.read_bytes().splitlines()
    if not lines:
        raise Unproven(f"{path} is empty", fix="name a file that holds a receipt")
    for line in lines:
        try:
            yield Shown(path, signature.read(line))
        except Unproven as exc:
            raise Unproven(f"{path}: {exc}", fix=exc.fix) from exc


def _faults(each: Shown, holds: Callable[[Signed], bool]) -> Iterator[Unproven]:
    signed = each.signed
    if signed.statement["type"] not in (receipt.ARRIVAL, receipt.OUTCOME):
        yield Unproven(f"it is no receipt but a {signed.statement['type']}", fix="name a receipt")
    if not holds(signed):
        yield Unproven(
            f"the signature of key {signed.key} does not hold, or the key is not trusted",
            fix=f"do not rely on {each.path}; ask its signer for the receipt, and for the public key of {signed.key}",
        )


def _compare(shown: Sequence[Shown]) -> None:
    """Each outcome with the arrivals of the same file."""
    arrivals = {}
    for each in shown:
        if each.signed.statement["type"] == receipt.ARRIVAL:
            arrivals[each.signed.statement["file_id"]] = signature.digest(each.signed.statement)
    for each in shown:
        stated = each.signed.statement
        if stated["type"] == receipt.OUTCOME and stated["arrival"] != arrivals.get(
            stated["file_id"], stated["arrival"]
        ):
            problem = "it names another arrival than the one shown"
            each.problems.append(Unproven(problem, fix="show it beside the arrival of the same upload"))


def _hold_against(shown: Sequence[Shown], content: Path) -> None:
    with content.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if shown and all(each.signed.statement["type"] != receipt.ARRIVAL for each in shown):
        problem = f"it does not say what arrived, so that {content} was held against nothing"
        shown[0].problems.append(Unproven(problem, fix="show the receipt of the arrival beside it"))
    for each in shown:
        stated = each.signed.statement
        if stated["type"] == receipt.ARRIVAL and stated["sha256"] != sha256:
            problem = f"{content} has SHA-256 {sha256}: it is not what arrived"
            each.problems.append(Unproven(problem, fix="the receipt is sound: look for the file that was sent"))


def _public(text: str) -> str:
    """The public key that `text` is, or that the file of this name holds; 64 hex digits. Raises UsageError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        held = Path(text).read_bytes().strip() if len(text) != 64 else text.encode()
        if held.startswith(PEM):
            key = load_pem_public_key(held)
            if not isinstance(key, Ed25519PublicKey):
                raise ValueError("it is no Ed25519 key")
        else:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(held.decode("ascii")))
    except ValueError as exc:
        fix = "wharf signing list --json shows public keys: 64 hex digits"
        raise UsageError(f"{text!r} is no public key: {exc}", code="KEY_INVALID", fix=fix) from exc
    return key.public_bytes_raw().hex()


def _tell(each: Shown) -> None:
    for problem in each.problems:
        complain(f"{each.path}: {problem}", code=problem.code, fix=problem.fix)
    if not each.problems:
        fields((name, _words(value)) for name, value in each.signed.statement.items())
        say(f"{each.path}: signed by key {each.signed.key}")


def _words(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(f"{item['destination']}: {item['key']} ({item['sha256']})" for item in value) or "none"
    return number(value) if isinstance(value, int) else str(value)


def _public_words(each: Shown) -> dict[str, Any]:
    stated = each.signed.statement
    return {
        "path": str(each.path),
        "ok": not each.problems,
        "problems": [str(problem) for problem in each.problems],
        "key": each.signed.key,
        "statement": stated,
    }
