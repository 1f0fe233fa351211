"""A bundle of evidence, judged by the script that goes with it and shares no code with what made it."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from rig.databases import Clock, an_arrival, arrived, claimed, quarantined, transferred
from wharfinger.cli import public
from wharfinger.ledger import chain, evidence, receipt, signature
from wharfinger.ledger.checkpoint import signer
from wharfinger.ledger.evidence import verify
from wharfinger.ledger.inspection import Inspection
from wharfinger.ledger.keyring import Keyring
from wharfinger.ledger.sqlite import SqliteDatabase

SCRIPT = Path(verify.__file__)


@dataclass
class Case:
    """One file with a past: quarantined, replayed, delivered; three checkpoints, and two rotations between them."""

    root: Path
    ring: Keyring
    file_id: str
    bundle: bytes

    @property
    def members(self) -> dict[str, bytes]:
        return verify.unpack(self.bundle)

    def resealed(self, members: dict[str, bytes], ring: Keyring | None = None) -> bytes:
        """What somebody makes of other members who may sign the manifest."""
        others = {name: data for name, data in members.items() if name != "manifest.json"}
        sums = {name: sha256(data).hexdigest() for name, data in others.items()}
        stated = {"type": evidence.MANIFEST, "file_id": self.file_id, "members": sums}
        return verify.pack({**others, "manifest.json": bytes((ring or self.ring).sign(stated))})


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    root = tmp_path_factory.mktemp("case")
    clock, ring = Clock(), Keyring(root)
    database = SqliteDatabase(root / "ledger.db", clock=clock)
    ledger, audit = database.ledger, database.audit
    sign = signer(ring)

    def cover() -> None:
        clock.forward(60)
        assert audit.checkpoint(sign, every_s=0)

    arrived(ledger, 3)
    arrival = an_arrival("acme/inbound/Überweisung ✓.csv", user="ann", source="sftp")
    ledger.arrive([arrival])
    arrived(ledger, 3)
    ours = None
    while ours is None:
        run = claimed(ledger)
        ours = run if run.id == arrival.file_id else None
        ledger.settle([quarantined(run)])
    cover()
    ring.rotate()
    ledger.replay([arrival.file_id])
    cover()
    ring.rotate()
    ledger.settle([transferred(claimed(ledger))])
    for _ in range(3):
        ledger.settle([transferred(run) for run in ledger.claim("w", 1, 30)])
    evidence.cover(audit, sign, arrival.file_id)
    record, events = database.catalog.file(arrival.file_id), database.catalog.events(arrival.file_id)
    assert record
    found = receipt.receipts(record, events)
    assert found.outcome
    bundle = evidence.bundle(public.file(record), found, events, audit, ring)
    yield Case(root, ring, arrival.file_id, bundle)
    database.close()


def is_verified(bundle: bytes, key: str | None = None) -> bool:
    try:
        verify.verify(bundle, key)
    except verify.Broken:
        return False
    return True


# -- the bundle as it is


def test_a_bundle_is_verified_by_its_script_with_nothing_but_python(case: Case, tmp_path: Path) -> None:
    (tmp_path / "e.zip").write_bytes(case.bundle)
    (tmp_path / "verify.py").write_bytes(case.members["verify.py"])
    command = [sys.executable, "-I", "-S", "verify.py", "e.zip", "--key", case.ring.public()[0].public]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("VERIFIED\n")
    assert "transferred" in done.stdout
    assert case.ring.public()[-1].public in done.stdout
    (tmp_path / "e.zip").write_bytes(case.bundle[:-1])
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.startswith("NOT VERIFIED")) == (1, True)


def test_the_script_imports_the_standard_library_alone() -> None:
    tree = ast.parse(SCRIPT.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_any_key_of_the_ring_leads_to_the_bundle_and_no_other(case: Case, tmp_path: Path) -> None:
    assert all(is_verified(case.bundle, key.public) for key in case.ring.public())
    assert not is_verified(case.bundle, Keyring(tmp_path).public()[0].public)


def test_the_bundle_has_what_it_says(case: Case) -> None:
    assert list(case.members) == verify.MEMBERS
    proofs = json.loads(case.members["checkpoints.json"])
    assert [proof["n"] for proof in proofs] == [2, 3, 4]
    assert len({proof["checkpoint"]["key"] for proof in proofs}) == 3
    assert proofs[0]["path"]
    assert case.members["events.jsonl"].count(b"\n") == 4


@pytest.mark.parametrize("before", ["in line", "dead", "in work again"])
def test_evidence_of_a_file_that_somebody_cancelled_is_verified(tmp_path: Path, before: str) -> None:
    ring, database = Keyring(tmp_path), SqliteDatabase(tmp_path / "ledger.db", clock=Clock())
    [arrival] = arrived(database.ledger)
    if before == "dead":
        database.ledger.settle([quarantined(claimed(database.ledger))])
    assert database.ledger.cancel([arrival.file_id], "ann") == [True]
    if before == "in work again":
        database.ledger.replay([arrival.file_id])
    evidence.cover(database.audit, signer(ring), arrival.file_id)
    record, events = database.catalog.file(arrival.file_id), database.catalog.events(arrival.file_id)
    assert record
    found = receipt.receipts(record, events)
    assert (found.outcome is None) == (before == "in work again")
    facts = verify.verify(evidence.bundle(public.file(record), found, events, database.audit, ring))
    assert any(str(record.status) in fact for fact in facts) or not found.outcome
    assert list(Inspection(database.catalog, database.audit, ring.holds)) == []
    database.close()


# -- receipts alone


def test_the_script_verifies_receipts_with_nothing_but_python(case: Case, tmp_path: Path) -> None:
    for name in ("verify.py", "arrival.json", "outcome.json"):
        (tmp_path / name).write_bytes(case.members[name])
    (tmp_path / "a.csv").write_bytes(b"another")
    key = case.ring.public()[-1].public

    def said(*asked: str) -> tuple[int, str]:
        command = [sys.executable, "-I", "-S", "verify.py", *asked]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout

    code, text = said("arrival.json", "outcome.json", "--key", key)
    assert (code, text.endswith("VERIFIED\n"), "delivered to" in text) == (0, True, True)
    assert said("arrival.json")[0] == 2
    assert [said("arrival.json", "--key", wrong)[0] for wrong in (key[:-1], "g" + key[1:], f"{key}\n")] == [2, 2, 2]
    code, text = said("arrival.json", "--key", key, "--file", "a.csv")
    assert (code, "is not what arrived" in text) == (1, True)
    code, text = said("arrival.json", "--key", case.ring.public()[0].public)
    assert (code, "the one that you trust" in text) == (1, True)


def test_a_file_of_any_size_is_held_against_a_receipt(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt, large = tmp_path / "arrival.json", tmp_path / "large"
    receipt.write_bytes(case.members["arrival.json"])
    with large.open("wb") as file:
        file.truncate(64 << 20)
    asked = ["verify.py", str(receipt), "--key", case.ring.public()[-1].public, "--file", str(large)]
    monkeypatch.setattr(sys, "argv", asked)
    tracemalloc.start()
    assert verify.main() == 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert f"its SHA-256 is {sha256(bytes(64 << 20)).hexdigest()}" in capsys.readouterr().out
    assert peak < 8 << 20


def test_one_byte_changed_in_a_receipt_is_caught(case: Case) -> None:
    key = case.ring.public()[-1].public
    for name in ("arrival.json", "outcome.json"):
        text = case.members[name]
        assert verify.verify_receipts({name: text}, key)
        for n in range(0, len(text) - 1, 11):
            changed = text[:n] + bytes([text[n] ^ 1]) + text[n + 1 :]
            with pytest.raises(verify.Broken):
                verify.verify_receipts({name: changed}, key)


def test_receipts_of_two_files_do_not_pass_for_one(case: Case) -> None:
    key = case.ring.public()[-1].public
    stated = {**signature.read(case.members["arrival.json"]).statement, "size": 7}
    both = {"arrival": bytes(case.ring.sign(stated)), "outcome": case.members["outcome.json"]}
    with pytest.raises(verify.Broken, match="belongs to another arrival"):
        verify.verify_receipts(both, key)
    with pytest.raises(verify.Broken, match="no arrival"):
        verify.verify_receipts({"outcome": case.members["outcome.json"]}, key, "ab" * 32)
    with pytest.raises(verify.Broken, match="is no receipt"):
        verify.verify_receipts({"manifest": case.members["manifest.json"]}, key)
    with pytest.raises(verify.Broken, match="there is no receipt"):
        verify.verify_receipts({"nothing": b""}, key)


# -- one byte


def test_one_byte_changed_anywhere_is_caught(case: Case) -> None:
    for n in range(len(case.bundle)):
        changed = bytearray(case.bundle)
        changed[n] ^= 0x20 if n % 2 else 0x01  # 0x20 turns capitals into small letters
        assert not is_verified(bytes(changed)), f"byte {n}: {case.bundle[n - 20 : n + 20]!r}"


def test_a_bomb_is_refused_before_it_is_inflated(case: Case) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in case.members:
            archive.writestr(name, bytes(32 << 20) if name == "events.jsonl" else b"{}")
    tracemalloc.start()
    with pytest.raises(verify.Broken, match=r"README\.txt is compressed"):
        verify.unpack(file.getvalue())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_bundle_that_was_cut_or_extended_is_caught(case: Case) -> None:
    for other in (
        case.bundle[:-1],
        case.bundle + b"\0",
        b"\0" + case.bundle,
        b"",
        case.bundle[: len(case.bundle) // 2],
    ):
        assert not is_verified(other)


# -- somebody who may sign the manifest, but cannot change the past


def lines(members: dict[str, bytes]) -> list[bytes]:
    return members["events.jsonl"].splitlines(keepends=True)


def rewritten(members: dict[str, bytes], n: int, change: Callable[[list[Any]], None]) -> dict[str, bytes]:
    """The members with another event n."""
    history = lines(members)
    event = json.loads(history[n])
    change(event)
    history[n] = signature.canonical(event) + b"\n"
    return {**members, "events.jsonl": b"".join(history)}


def without(members: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {each: data for each, data in members.items() if each != name}


def proofs(members: dict[str, bytes], change: Callable[[list[Any]], None]) -> dict[str, bytes]:
    found = json.loads(members["checkpoints.json"])
    change(found)
    return {**members, "checkpoints.json": signature.canonical(found) + b"\n"}


def renumbered(members: dict[str, bytes]) -> dict[str, bytes]:
    """An event taken out, and the others numbered anew."""
    history = [json.loads(line) for line in lines(members)]
    del history[1]
    for n, event in enumerate(history, 1):
        event[1] = n
    return {**members, "events.jsonl": b"".join(signature.canonical(event) + b"\n" for event in history)}


DEEDS: dict[str, Callable[[dict[str, bytes]], dict[str, bytes]]] = {
    "an event deleted": lambda m: {**m, "events.jsonl": b"".join(lines(m)[:1] + lines(m)[2:])},
    "an event deleted and the others renumbered": renumbered,
    "the last event deleted": lambda m: {**m, "events.jsonl": b"".join(lines(m)[:-1])},
    "the last events deleted, and their checkpoint": lambda m: proofs(
        {**m, "events.jsonl": b"".join(lines(m)[:2])}, lambda p: p.__delitem__(slice(1, None))
    ),
    "the first event deleted": lambda m: {**m, "events.jsonl": b"".join(lines(m)[1:])},
    "all events deleted": lambda m: {**m, "events.jsonl": b""},
    "an event twice": lambda m: {**m, "events.jsonl": b"".join([*lines(m)[:1], *lines(m)])},
    "an event added": lambda m: {**m, "events.jsonl": m["events.jsonl"] + lines(m)[-1].replace(b",4,", b",5,")},
    "events exchanged": lambda m: {**m, "events.jsonl": b"".join([lines(m)[0], lines(m)[2], lines(m)[1], lines(m)[3]])},
    "another time": lambda m: rewritten(m, 1, lambda e: e.__setitem__(2, e[2] + 1)),
    "another kind": lambda m: rewritten(m, 1, lambda e: e.__setitem__(3, "failed")),
    "another reason": lambda m: rewritten(m, 1, lambda e: e[4].__setitem__("error", None)),
    "another size": lambda m: rewritten(m, 0, lambda e: e[4].__setitem__("size", 1)),
    "no outcome": lambda m: without(m, "outcome.json"),
    "no arrival": lambda m: without(m, "arrival.json"),
    "no keys": lambda m: without(m, "keys.json"),
    "no checkpoints": lambda m: proofs(m, lambda p: p.clear()),
    "the last checkpoint left out": lambda m: proofs(m, lambda p: p.__delitem__(-1)),
    "another place in the tree": lambda m: proofs(m, lambda p: p[0].__setitem__("index", p[0]["index"] ^ 1)),
    "a place that is none": lambda m: proofs(m, lambda p: p[0].__setitem__("index", -1)),
    "a shorter path": lambda m: proofs(m, lambda p: p[0]["path"].pop()),
    "a longer path": lambda m: proofs(m, lambda p: p[0]["path"].append("00" * 32)),
    "fewer events under it": lambda m: proofs(m, lambda p: p[0].__setitem__("n", 1)),
    "none under it": lambda m: proofs(m, lambda p: p[0].__setitem__("n", 0)),
}


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS.keys())
def test_what_does_not_follow_from_the_past_is_caught(
    case: Case, deed: Callable[[dict[str, bytes]], dict[str, bytes]]
) -> None:
    assert not is_verified(case.resealed(deed(case.members)))


def test_members_under_a_good_manifest_are_believed(case: Case) -> None:
    """Else the tests above would show nothing."""
    assert is_verified(case.resealed(case.members))


@pytest.mark.parametrize("name", ["arrival.json", "outcome.json"])
def test_a_receipt_that_is_signed_anew_must_say_what_the_history_says(case: Case, name: str) -> None:
    stated = signature.read(case.members[name]).statement
    for field, value in stated.items():
        other = {**stated, field: value + 1 if isinstance(value, int) else f"{value}x"}
        bundle = case.resealed({**case.members, name: bytes(case.ring.sign(other))})
        assert not is_verified(bundle), field


@pytest.mark.parametrize("name", ["checkpoints.json", "keys.json", "arrival.json", "outcome.json"])
def test_every_field_counts(case: Case, name: str) -> None:
    document = json.loads(case.members[name])
    for path in leaves(document):
        if name == "keys.json" and path == (0, "since"):
            continue  # nobody endorses the first key: the manifest alone speaks for its time
        other = deepcopy(document)
        place = other
        for step in path[:-1]:
            place = place[step]
        value = place[path[-1]]
        place[path[-1]] = (
            value + 1
            if isinstance(value, int)
            else "x"
            if value is None
            else value[:-1] + chr(ord(value[-1:] or "a") ^ 1)
        )
        changed = {**case.members, name: signature.canonical(other) + b"\n"}
        assert not is_verified(case.resealed(changed)), path


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inside is None:
        yield path
    else:
        for key, each in inside:
            yield from leaves(each, (*path, key))


@pytest.mark.parametrize(
    "field",
    [
        "file_id",
        "key",
        "size",
        "sha256",
        "customer_id",
        "source_bucket",
        "version",
        "status",
        "user",
        "source",
        "media_type",
    ],
)
def test_the_record_must_be_that_of_the_history(case: Case, field: str) -> None:
    record = json.loads(case.members["record.json"])
    record[field] = 7 if isinstance(record[field], int) else "other"
    changed = {**case.members, "record.json": signature.canonical(record) + b"\n"}
    assert not is_verified(case.resealed(changed))


def test_a_forger_with_keys_of_his_own_convinces_only_who_trusts_none(case: Case, tmp_path: Path) -> None:
    forger = Keyring(tmp_path)
    forged = case.resealed(
        {**case.members, "keys.json": signature.canonical([forger.public()[0].document()]) + b"\n"}, forger
    )
    assert not is_verified(forged)  # the checkpoints are not his
    theirs = [key.document() for key in case.ring.public()]
    for keys in ([*theirs, forger.public()[0].document()], [forger.public()[0].document(), *theirs]):
        both = {**case.members, "keys.json": signature.canonical(keys) + b"\n"}
        assert not is_verified(case.resealed(both, forger))


def test_a_history_that_goes_on_makes_another_bundle(case: Case) -> None:
    """A bundle is of its time: the same history gives the same bytes."""
    assert is_verified(case.bundle)
    events = [json.loads(line) for line in lines(case.members)]
    before = b""
    for event in events:
        before = chain.seal(before, event[0], event[1], event[2], event[3], chain.canonical(event[4]))
    assert json.loads(case.members["outcome.json"])["statement"]["event"] == before.hex()


# -- the script's own Ed25519

# RFC 8032, 7.1: secret key, public key, message, signature
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("public_key", "message", "signed"), VECTORS)
def test_signatures_of_rfc_8032_hold(public_key: str, message: str, signed: str) -> None:
    key, text, proof = map(bytes.fromhex, (public_key, message, signed))
    assert verify.is_signed(key, text, proof)
    assert not verify.is_signed(key, text + b"!", proof)
    for n in range(0, 64, 7):
        assert not verify.is_signed(key, text, proof[:n] + bytes([proof[n] ^ 1]) + proof[n + 1 :])


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_what_the_library_signs_holds(seed: bytes, message: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    assert verify.is_signed(key.public_key().public_bytes_raw(), message, key.sign(message))


def test_a_signature_has_one_form_only() -> None:
    """RFC 8032, 5.1.7: S is below L, else S + L would do as well; y is below p."""
    key, text, proof = (bytes.fromhex(each) for each in VECTORS[1])
    s = int.from_bytes(proof[32:], "little") + verify.L
    assert not verify.is_signed(key, text, proof[:32] + s.to_bytes(32, "little"))
    assert verify.decode((verify.P + 1).to_bytes(32, "little")) is None
    assert not verify.is_signed(key[:31], text, proof)
    assert not verify.is_signed(key, text, proof + b"\0")


# -- how much was delivered


def stated(data: dict[str, Any], *in_all: int) -> None:
    """Hold an outcome that says `in_all` against an end with this data."""
    arrival = {"type": "wharfinger.arrival/1"}
    outcome = {
        "type": "wharfinger.outcome/1",
        "file_id": "A",
        "arrival": sha256(verify.canonical(arrival)).hexdigest(),
        "status": "transferred",
        "code": "",
        "reason": "",
        "deliveries": [],
        "ended": verify.instant(0),
        "event": "H",
        **({"delivered_in_all": in_all[0]} if in_all else {}),
    }
    verify.check_outcome(outcome, arrival, [("A", 1, 0, "transferred", data)], ["H"])


def test_the_script_holds_the_number_of_deliveries_against_the_history() -> None:
    stated({"delivered_in_all": 9_901}, 9_901)
    stated({})  # of an earlier version
    for data, in_all in [({"delivered_in_all": 9_901}, (100,)), ({"delivered_in_all": 9_901}, ()), ({}, (100,))]:
        with pytest.raises(verify.Broken, match="does not state"):
            stated(data, *in_all)


def test_the_script_tells_how_many_deliveries_are_not_named() -> None:
    assert (
        verify.deliveries({"deliveries": [{}] * 100, "delivered_in_all": 10_000})
        == "10000 deliveries, 100 of them named"
    )
    assert verify.deliveries({"deliveries": [{}]}) == "1 delivery"
