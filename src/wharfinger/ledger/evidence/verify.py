#!/usr/bin/env python3
"""
Verifies a bundle of evidence, or receipts, offline. It needs Python 3.9 or newer and nothing else, and shares no code with what made them.

    python3 verify.py evidence.zip --key PUBLIC
    python3 verify.py a.csv~ID.arrival.json a.csv~ID.outcome.json --key PUBLIC --file a.csv

PUBLIC is the public key (64 hex digits) that you have from the operator by another way, at any time; without it a bundle is only
compared with itself, and a receipt cannot be checked. Take this script from a source that you trust: the bundle has a copy for convenience.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import sys
import zipfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NoReturn

MEMBERS = ["README.txt", "verify.py", "record.json", "arrival.json", "outcome.json", "events.jsonl", "checkpoints.json"]
MEMBERS += ["keys.json", "manifest.json"]
ARRIVAL, OUTCOME = "wharfinger.arrival/1", "wharfinger.outcome/1"
ENDS = {"transferred": "transferred", "failed": "failed", "quarantined": "quarantined", "cancelled": "failed"}
"""The events with which a file comes to its end, and its status then."""


class Broken(Exception):
    """Something in the bundle does not fit."""


def broken(text: str) -> NoReturn:
    """The bundle is not to be believed, for this reason."""
    raise Broken(text)


# -- Ed25519 (RFC 8032, section 5.1). Points are in extended homogeneous coordinates (x, y, z, t) with x = X/Z, y = Y/Z, T = XY/Z.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
I4 = pow(2, (P - 1) // 4, P)  # a square root of -1

Point = tuple[int, int, int, int]


def add(p: Point, q: Point) -> Point:
    """Section 5.1.4."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n: int, p: Point) -> Point:
    """The point added to itself n times."""
    total = (0, 1, 1, 0)
    while n:
        if n & 1:
            total = add(total, p)
        p, n = add(p, p), n >> 1
    return total


def decode(data: bytes) -> Point | None:
    """Section 5.1.3; None for what is no point."""
    number = int.from_bytes(data, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == -u % P:
        x = x * I4 % P
    if v * x * x % P != u or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Section 5.1.7."""
    a, r, s = decode(public), decode(signature[:32]), int.from_bytes(signature[32:], "little")
    if len(public) != 32 or len(signature) != 64 or a is None or r is None or BASE is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = times(s, BASE), add(r, times(k, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


# -- what the members are made of


def sha256(data: bytes) -> str:
    """As hex."""
    return hashlib.sha256(data).hexdigest()


def canonical(value: Any) -> bytes:
    """RFC 8785, for values without fractions."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def parse(name: str, text: bytes) -> Any:
    """A member that is one canonical JSON document and a line feed."""
    try:
        value = json.loads(text)
        if canonical(value) + b"\n" == text:
            return value
    except ValueError:
        pass
    return broken(f"{name} is not written as it was handed out")


def instant(micros: int) -> str:
    """Microseconds since 1970 in RFC 3339."""
    at = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=micros)  # noqa: UP017
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def pack(members: dict[str, bytes]) -> bytes:
    """The one ZIP file of these members: stored, in their order, without times."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, data)
    return file.getvalue()


def unpack(bundle: bytes) -> dict[str, bytes]:
    """The members. Nothing is inflated: that might fill the memory."""
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            check_directory(archive)
            return {name: archive.read(name) for name in archive.namelist()}
    except Broken:
        raise
    except Exception as exc:  # whatever a damaged archive makes the library say
        raise Broken(f"it is no whole ZIP file: {exc}") from exc


def check_directory(archive: zipfile.ZipFile) -> None:
    """That it lists the members of a bundle, each once and stored as it is."""
    names = archive.namelist()
    if [name for name in MEMBERS if name in names] != names:
        broken(f"it has the members {', '.join(names)}")
    for member in archive.infolist():
        if member.compress_type != zipfile.ZIP_STORED:
            broken(f"{member.filename} is compressed")


# -- the checks


class Keys:
    """The public keys of the bundle: each is endorsed by the one before it."""

    def __init__(self, text: bytes) -> None:
        self.keys = parse("keys.json", text)
        self.public = {key["id"]: bytes.fromhex(key["public"]) for key in self.keys}
        for before, key in zip([None, *self.keys], self.keys):
            if sha256(bytes.fromhex(key["public"]))[:16] != key["id"]:
                broken(f"key {key['id']} is another key")
            if before:
                self.check_endorsement(before["id"], key)
            elif key["endorsement"] is not None:
                broken(f"key {key['id']} is the first, and endorsed")

    def check_endorsement(self, by: str, key: Any) -> None:
        """That the key with the id `by` has signed which one follows it."""
        stated = {"type": "wharfinger.key/1", "key": key["id"], "public": key["public"], "since": key["since"]}
        if not key["endorsement"] or key["endorsement"]["key"] != by or key["endorsement"]["statement"] != stated:
            broken(f"key {key['id']} is not endorsed by the key before it")
        self.statement("keys.json", key["endorsement"], "wharfinger.key/1")

    def statement(self, name: str, signed: Any, kind: str) -> Any:
        """What is stated, if the signature holds."""
        if set(signed) != {"key", "signature", "statement"} or signed["statement"].get("type") != kind:
            broken(f"{name} is no statement of the kind {kind}")
        public = self.public.get(signed["key"])
        if public is None or not is_signed(public, canonical(signed["statement"]), signature(name, signed)):
            broken(f"{name}: the signature of key {signed['key']} does not hold")
        return signed["statement"]

    def trusts(self, public: str) -> bool:
        """Whether this is one of the keys."""
        return any(key["public"] == public.lower() for key in self.keys)


def check_members(members: dict[str, bytes], listed: dict[str, str]) -> None:
    """That every member is the one in the manifest."""
    found = {name: sha256(data) for name, data in members.items() if name != "manifest.json"}
    for name in sorted({*found, *listed}):
        if found.get(name) != listed.get(name):
            broken(f"{name} is not the one in the manifest")


def check_events(text: bytes, file_id: str) -> tuple[list[Any], list[str]]:
    """
    The events, and the hash of each. A line is [file_id, n, microseconds since 1970, kind, data]; its hash is the SHA-256 of the hash
    before it (32 bytes, none before the first) and the line's own bytes.
    """
    events, hashes, before = [], [], b""
    for n, line in enumerate(text.splitlines(), 1):
        before = hashlib.sha256(before + line).digest()
        event = json.loads(line)
        if event[:2] != [file_id, n]:
            broken(f"line {n} of events.jsonl is not event {n} of {file_id}")
        events.append(event)
        hashes.append(before.hex())
    if not events or events[0][3] != "arrived":
        broken("the history does not begin with an arrival")
    return events, hashes


def check_checkpoints(proofs: Any, keys: Keys, file_id: str, hashes: list[str]) -> None:
    """Each checkpoint has the history up to event n among its leaves; the last one has all of it."""
    for proof in proofs:
        stated = keys.statement("checkpoints.json", proof["checkpoint"], "wharfinger.checkpoint/1")
        n = proof["n"]
        if not 0 < n <= len(hashes):
            broken(f"checkpoint {stated['n']} covers {n} events; the history has {len(hashes)}")
        leaf = canonical([file_id, n, hashes[n - 1]])
        if climb(leaf, proof["index"], stated["leaves"], proof["path"]) != stated["root"]:
            broken(f"the history up to event {n} is not what checkpoint {stated['n']} covers")
    if not proofs or proofs[-1]["n"] != len(hashes):
        broken("the last events are under no checkpoint")


def climb(leaf: bytes, index: int, size: int, path: list[str]) -> str:
    """The root that this path leads to (RFC 9162, section 2.1.3.2); "" where the path does not fit."""
    at, last, found = index, size - 1, hashlib.sha256(b"\0" + leaf).digest()
    if not 0 <= index < size:
        return ""
    for step in map(bytes.fromhex, path):
        if last == 0:
            return ""
        if at & 1 or at == last:
            found = hashlib.sha256(b"\1" + step + found).digest()
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = hashlib.sha256(b"\1" + found + step).digest()
        at, last = at >> 1, last >> 1
    return found.hex() if last == 0 else ""


def check_arrival(stated: Any, events: list[Any], hashes: list[str]) -> None:
    """That it states what the first event tells."""
    file_id, _, micros, _, data = events[0]
    names = ("bucket", "key", "version", "size", "sha256", "media_type", "customer", "user", "source")
    meant = {name: data[name] for name in names}
    meant.update(type="wharfinger.arrival/1", file_id=file_id, received=instant(micros), event=hashes[0])
    if stated != meant:
        broken("arrival.json does not state what the history says")


def check_outcome(stated: Any, arrival: Any, events: list[Any], hashes: list[str]) -> None:
    """That it states what the last end tells; `stated` is None where the bundle has no outcome."""
    end = last_end(events)
    if end is None or stated is None:
        if (end is None) != (stated is None):
            broken("outcome.json is there and the file has not ended" if stated else "outcome.json is missing")
        return
    file_id, n, micros, kind, data = end
    error = data.get("error") or {}
    meant = {
        "type": "wharfinger.outcome/1",
        "file_id": file_id,
        "arrival": sha256(canonical(arrival)),
        "status": ENDS[kind],
        "code": error.get("code", ""),
        "reason": error.get("message", "") if kind in ("quarantined", "transferred") else "",
        "deliveries": [delivery(each) for each in data.get("delivered", [])],
        "ended": instant(micros),
        "event": hashes[n - 1],
    }
    if "delivered_in_all" in data:  # an earlier version does not tell
        meant["delivered_in_all"] = data["delivered_in_all"]
    if stated != meant:
        broken("outcome.json does not state what the history says")


def last_end(events: list[Any]) -> Any:
    """The event with which the file came to its end, if it was not replayed since; else None."""
    for event in reversed(events):
        if event[3] == "replayed":
            return None
        if event[3] in ENDS:
            return event
    return None


def delivery(told: Any) -> Any:
    """What the outcome states of a delivery that an event tells."""
    names = ("destination", "key", "version", "size", "sha256")
    return {**{name: told[name] for name in names}, "at": instant(round(told["at"] * 1_000_000))}


def check_record(record: Any, events: list[Any]) -> None:
    """That the record says of the file what its history says."""
    data, end = events[0][4], last_end(events)
    names = {"source_bucket": "bucket", "key": "key", "version": "version", "size": "size", "sha256": "sha256"}
    names.update(customer_id="customer", media_type="media_type", source="source", user="user")
    for name, told in names.items():
        if record[name] != data[told]:
            broken(f"record.json: {name} is not what arrived")
    ended = record["status"] in ENDS.values()
    if record["file_id"] != events[0][0] or ended != bool(end) or (end and record["status"] != ENDS[end[3]]):
        broken("record.json is not the record of this history")


def verify(bundle: bytes, trusted: str | None = None) -> list[str]:
    """What was verified, in sentences. Raises Broken."""
    try:
        return _verify(bundle, trusted)
    except Broken:
        raise
    except Exception as exc:  # what was changed may be anything
        raise Broken(f"something in the bundle cannot be read: {type(exc).__name__}: {exc}") from exc


def _verify(bundle: bytes, trusted: str | None) -> list[str]:
    members = unpack(bundle)
    signed = parse("manifest.json", members["manifest.json"])
    check_members(members, signed["statement"]["members"])
    keys = Keys(members["keys.json"])
    if trusted and not keys.trusts(trusted):
        broken("the key that you trust is not among the keys of the bundle")
    if signed["key"] != keys.keys[-1]["id"]:
        broken("the manifest is not signed by the last key")
    file_id = keys.statement("manifest.json", signed, "wharfinger.evidence/1")["file_id"]
    events, hashes = check_events(members["events.jsonl"], file_id)
    proofs = parse("checkpoints.json", members["checkpoints.json"])
    check_checkpoints(proofs, keys, file_id, hashes)
    arrival = keys.statement("arrival.json", parse("arrival.json", members["arrival.json"]), "wharfinger.arrival/1")
    check_arrival(arrival, events, hashes)
    outcome = None
    if "outcome.json" in members:
        signed = parse("outcome.json", members["outcome.json"])
        outcome = keys.statement("outcome.json", signed, "wharfinger.outcome/1")
    check_outcome(outcome, arrival, events, hashes)
    check_record(parse("record.json", members["record.json"]), events)
    if pack(members) != bundle:
        broken("the members are as they were signed, but something beside them was changed in the ZIP file")
    last = proofs[-1]["checkpoint"]["statement"]
    proven = f"{len(proofs)} signed checkpoint{'s' if len(proofs) > 1 else ''}"
    return [
        f"{arrival['key']}: {arrival['size']} bytes, SHA-256 {arrival['sha256']}",
        f"arrived {arrival['received']}, file {file_id}",
        f"{outcome['status']} {outcome['ended']}, {deliveries(outcome)}" if outcome else "not ended",
        f"{len(events)} events, unbroken, under {proven}; the last is number {last['n']} of {last['at']}",
        f"signed by key {keys.keys[-1]['id']}: {keys.keys[-1]['public']}",
    ]


def deliveries(outcome: Any) -> str:
    """How many an outcome states, and how many of them it names."""
    named = len(outcome["deliveries"])
    in_all = outcome.get("delivered_in_all", named)
    return f"{in_all} {'delivery' if in_all == 1 else 'deliveries'}" + (
        f", {named} of them named" if in_all != named else ""
    )


def verify_receipts(texts: dict[str, bytes], trusted: str, file: str | None = None) -> list[str]:
    """
    What receipts state, in sentences; they are given by their names. `file` is the SHA-256 (hex) of what is held against the arrivals.
    Raises Broken.
    """
    try:
        lines = [(name, parse(name, line + b"\n")) for name, text in texts.items() for line in text.splitlines()]
        stated = [receipt(name, signed, trusted.lower()) for name, signed in lines]
    except Broken:
        raise
    except Exception as exc:  # what was changed may be anything
        raise Broken(f"something in the receipts cannot be read: {type(exc).__name__}: {exc}") from exc
    arrivals = {each["file_id"]: each for each in stated if each["type"] == ARRIVAL}
    if not stated or (file is not None and not arrivals):
        broken("there is no arrival that the file could be held against" if stated else "there is no receipt")
    for each in arrivals.values():
        if file is not None and file != each["sha256"]:
            broken(f"the file is not what arrived as {each['key']}: its SHA-256 is {file}")
    for each in stated:
        arrival = arrivals.get(each["file_id"])
        if each["type"] == OUTCOME and arrival and each["arrival"] != sha256(canonical(arrival)):
            broken(f"the outcome of {each['file_id']} belongs to another arrival")
    return [said for each in stated for said in sentences(each)]


def receipt(name: str, signed: Any, trusted: str) -> Any:
    """What is stated, if the key that is trusted has signed it."""
    if set(signed) != {"key", "signature", "statement"} or signed["statement"].get("type") not in (ARRIVAL, OUTCOME):
        broken(f"{name} is no receipt")
    public = bytes.fromhex(trusted)
    if signed["key"] != sha256(public)[:16]:
        broken(f"{name} is signed by key {signed['key']}; the one that you trust is {sha256(public)[:16]}")
    if not is_signed(public, canonical(signed["statement"]), signature(name, signed)):
        broken(f"{name}: the signature of key {signed['key']} does not hold")
    return signed["statement"]


def signature(name: str, signed: Any) -> bytes:
    """The signature's bytes, which are written in one way only."""
    found = bytes.fromhex(signed["signature"])
    if found.hex() != signed["signature"]:
        broken(f"{name}: the signature is not written in small hex digits")
    return found


def sentences(stated: Any) -> list[str]:
    """A receipt in words."""
    if stated["type"] == ARRIVAL:
        return [
            f"{stated['key']}: {stated['size']} bytes, SHA-256 {stated['sha256']}",
            f"arrived {stated['received']}, file {stated['file_id']}",
        ]
    told = [
        f"{stated['status']} {stated['ended']}, file {stated['file_id']} {stated['code']} {stated['reason']}".rstrip()
    ]
    told += [
        f"delivered to {each['destination']}: {each['key']}, {each['size']} bytes, SHA-256 {each['sha256']}"
        for each in stated["deliveries"]
    ]
    return told + ([deliveries(stated)] if "delivered_in_all" in stated else [])


def sha256_of(path: Path) -> str:
    """Of a file of any size, in hex."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Verify a bundle of evidence, or receipts, offline.")
    parser.add_argument("paths", metavar="BUNDLE|RECEIPT", type=Path, nargs="+", help="one bundle, or receipts")
    parser.add_argument("--key", metavar="PUBLIC", help="the public key that you trust: 64 hex digits")
    parser.add_argument("--file", type=Path, help="whether it is this file of which the receipts tell that it arrived")
    asked = parser.parse_args()
    try:
        texts = {str(path): path.read_bytes() for path in asked.paths}
        arrived = asked.file and sha256_of(asked.file)
    except OSError as exc:
        parser.error(f"{exc.filename}: {exc.strerror}")
    is_bundle = any(text.startswith(b"PK") for text in texts.values())
    if is_bundle and (len(texts) > 1 or asked.file):
        parser.error("a bundle is verified by itself")
    if asked.key and not re.fullmatch("[0-9a-fA-F]{64}", asked.key):
        parser.error("the public key that you trust has 64 hex digits: --key PUBLIC")
    if not (is_bundle or asked.key):
        parser.error("receipts are held against a key that you have from elsewhere: --key PUBLIC")
    try:
        facts = (
            verify(texts[str(asked.paths[0])], asked.key) if is_bundle else verify_receipts(texts, asked.key, arrived)
        )
    except Broken as exc:
        print(f"NOT VERIFIED: {exc}")
        return 1
    print("\n".join(facts))
    print(
        "VERIFIED"
        if asked.key
        else "VERIFIED in itself; --key PUBLIC holds it against a key that you have from elsewhere"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
