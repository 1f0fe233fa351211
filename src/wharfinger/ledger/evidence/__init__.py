"""
A bundle of evidence on one file: all that an outsider needs to check, without us, what we say of it.

The bundle is a ZIP file whose bytes follow from its members. Its `verify.py` shares no code with this package, and judges each
bundle before it is handed out.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wharfinger.errors import Unproven
from wharfinger.ledger import Audit, Sign, chain, checkpoint, merkle, signature
from wharfinger.ledger.evidence import verify as judge
from wharfinger.ledger.keyring import Keyring
from wharfinger.ledger.receipt import Receipts
from wharfinger.model import Event

MANIFEST = "wharfinger.evidence/1"

_HERE = Path(__file__).parent
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def cover(audit: Audit, sign: Sign, file_id: str) -> None:
    """See that a checkpoint covers all that has happened to this file."""
    while audit.coverage([file_id])[0].awaits and audit.checkpoint(sign, every_s=0):
        pass


def script() -> bytes:
    """The text of `verify.py`."""
    return (_HERE / "verify.py").read_bytes()


def check(bundle: bytes, public: str) -> None:
    """Raises Unproven where somebody who trusts this key could not verify the bundle: nobody is to be handed such a one."""
    try:
        judge.verify(bundle, public)
    except judge.Broken as exc:
        raise Unproven(f"the bundle would not verify: {exc}", fix="wharf audit verify; wharf signing list") from exc


def bundle(
    record: Mapping[str, Any], receipts: Receipts, events: Sequence[Event], audit: Audit, keyring: Keyring
) -> bytes:
    """The ZIP file. `record` is the file's under its public names."""
    file_id = events[0].file_id
    members = {
        "README.txt": (_HERE / "README.txt").read_bytes(),
        "verify.py": script(),
        "record.json": _document(record),
        "arrival.json": bytes(keyring.sign(receipts.arrival)),
        **({"outcome.json": bytes(keyring.sign(receipts.outcome))} if receipts.outcome else {}),
        "events.jsonl": b"".join(_line(event) + b"\n" for event in events),
        "checkpoints.json": _document([_proof(audit, n, file_id) for n in _within(audit, file_id, len(events))]),
        "keys.json": _document([key.document() for key in keyring.public()]),
    }
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    manifest = {"type": MANIFEST, "file_id": file_id, "members": sums}
    return pack({**members, "manifest.json": bytes(keyring.sign(manifest))})


def pack(members: Mapping[str, bytes]) -> bytes:
    """The one ZIP file that these members make: stored, in their order, without times."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _NO_TIME)
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, data)
    return file.getvalue()


def _document(value: Any) -> bytes:
    return signature.canonical(value) + b"\n"


def _line(event: Event) -> bytes:
    at_us = round(event.at * 1_000_000)
    return chain.line(event.file_id, event.n, at_us, event.kind, chain.canonical(event.data))


def _within(audit: Audit, file_id: str, events: int) -> list[int]:
    """The checkpoints over this history; one may have been made since it was read."""
    found = audit.covering(file_id)
    return [n for n in found if _head(audit, n, file_id) <= events]


def _head(audit: Audit, n: int, file_id: str) -> int:
    return next(leaf.head.n for leaf in audit.leaves(n) if leaf.head.file_id == file_id)


def _proof(audit: Audit, n: int, file_id: str) -> dict[str, Any]:
    heads = [leaf.head for leaf in audit.leaves(n)]
    index = next(i for i, head in enumerate(heads) if head.file_id == file_id)
    path = merkle.path([checkpoint.leaf(head) for head in heads], index)
    (made,) = audit.checkpoints(after=n - 1, limit=1)
    return {
        "checkpoint": signature.read(made.signed).document(),
        "n": heads[index].n,
        "index": index,
        "path": [step.hex() for step in path],
    }
