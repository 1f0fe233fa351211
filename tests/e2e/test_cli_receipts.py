"""`receipt` and `signing`: signed statements, made and checked by the real command; also where there is no installation."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rig.command import CONFIG, Wharf
from rig.serving import Serving, prepare, sftp
from rig.serving import wharf as ask
from rig.waiting import wait_until

TABLE = "a,b\n1,2\n"


def put(wharf: Wharf, name: str = "a.csv") -> str:
    wharf.write(name, TABLE)
    (row,) = wharf("put", name, "--customer", "acme", "--json").json
    return str(row["file_id"])


def key(wharf: Wharf) -> str:
    return str(wharf("signing", "list", "--json").json[-1]["public"])


@pytest.fixture
def receipt(wharf: Wharf) -> Path:
    said = wharf("receipt", put(wharf))
    assert said.code == 0
    assert "not ended" in said.err
    (wharf.place / "r.json").write_text(said.out)
    return wharf.place / "r.json"


@pytest.fixture
def partner(tmp_path_factory: pytest.TempPathFactory) -> Wharf:
    """The command where there is no installation."""
    return Wharf(tmp_path_factory.mktemp("partner"))


def test_a_receipt_is_one_line_that_verifies(wharf: Wharf, receipt: Path) -> None:
    assert receipt.read_text().count("\n") == 1
    said = wharf("receipt", "verify", "r.json", "--file", "a.csv", "--json")
    assert said.code == 0, said.err
    assert said.json["ok"]
    (each,) = said.json["receipts"]
    assert each["statement"]["key"] == "acme/inbound/a.csv"
    assert wharf("receipt", "verify", "r.json").code == 0


def test_a_partner_verifies_with_the_public_key_alone(wharf: Wharf, partner: Wharf, receipt: Path) -> None:
    shutil.copy(receipt, partner.place)
    assert partner("receipt", "verify", "r.json", "--key", key(wharf)).code == 0
    pem = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key(wharf)))
    (partner.place / "key.pem").write_bytes(pem.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert partner("receipt", "verify", "r.json", "--key", "key.pem").code == 0
    assert not (partner.place / "wharf-data").exists()
    said = partner("receipt", "verify", "r.json", "--key", "00" * 32)
    assert (said.code, "not trusted" in said.err) == (1, True)
    partner.refused("receipt", "verify", "r.json", "--key", "nonsense" * 8, code="KEY_INVALID", exit=2)


def test_a_partner_verifies_with_the_script_alone(wharf: Wharf, receipt: Path, tmp_path: Path) -> None:
    (tmp_path / "verify.py").write_text(wharf("receipt", "script").out)
    asked = [str(receipt), "--key", key(wharf), "--file", str(wharf.place / "a.csv")]
    judge = [sys.executable, "-I", "-S", "verify.py", *asked]
    done = subprocess.run(judge, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.endswith("VERIFIED\n")) == (0, True), done.stdout + done.stderr
    signature = json.loads(receipt.read_text())["signature"]
    receipt.write_text(receipt.read_text().replace(signature, signature.upper()))
    done = subprocess.run(judge, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, "small hex digits" in done.stdout) == (1, True), done.stdout + done.stderr


@pytest.mark.parametrize("type", ["wharfinger.arrival/1", "wharfinger.outcome/1", "another"])
def test_what_a_stranger_made_up_does_not_verify(wharf: Wharf, receipt: Path, type: str) -> None:
    made = {"key": "0" * 16, "signature": "0" * 128, "statement": {"type": type}}
    receipt.write_bytes(json.dumps(made, separators=(",", ":")).encode() + b"\n")
    said = wharf("receipt", "verify", "r.json", "--file", "a.csv")
    assert (said.code, said.out) == (1, "")
    assert "does not hold" in said.err


def test_what_was_changed_does_not_verify(wharf: Wharf, receipt: Path) -> None:
    receipt.write_text(receipt.read_text().replace('"size":8', '"size":9'))
    said = wharf("receipt", "verify", "r.json", "--json")
    assert said.code == 1
    assert "does not hold" in said.json["receipts"][0]["problems"][0]
    receipt.write_text("{}")
    wharf.refused("receipt", "verify", "r.json", code="UNPROVEN", exit=1)


def test_another_file_is_not_what_arrived(wharf: Wharf, receipt: Path) -> None:
    wharf.write("other.csv", "x")
    said = wharf("receipt", "verify", "r.json", "--file", "other.csv")
    assert said.code == 1
    assert "not what arrived" in said.err
    assert "look for the file that was sent" in said.err


def test_receipts_hold_across_rotations(wharf: Wharf, receipt: Path) -> None:
    wharf.refused("signing", "rotate", code="USAGE", exit=2)
    old = key(wharf)
    new = wharf("signing", "rotate", "--yes", "--json").json["public"]
    assert [row["public"] for row in wharf("signing", "list", "--json").json] == [old, new]
    assert wharf("receipt", "verify", "r.json").code == 0
    with receipt.open("a") as file:
        file.write(wharf("receipt", json.loads(receipt.read_text())["statement"]["file_id"]).out)
    said = wharf("receipt", "verify", "r.json", "--json")
    assert said.code == 0
    assert len({each["key"] for each in said.json["receipts"]}) == 2


def test_the_key_is_made_by_init(empty: Wharf) -> None:
    assert empty("init").code == 0
    assert (empty.place / "data/signing-keys.json").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def nodes(tmp_path: Path) -> tuple[Wharf, Wharf]:
    """Two data directories on one ledger; the first has made the key."""
    here, there = Wharf(tmp_path / "here"), Wharf(tmp_path / "there")
    for node in (here, there):
        node.write("wharf.yaml", f"{CONFIG}ledger: sqlite://{tmp_path}/ledger.db\nstore: file://{tmp_path}/store\n")
    key(here)
    return here, there


def lend(here: Wharf, there: Wharf) -> None:
    """As the operator copies it."""
    there.write("data/signing-keys.json", (here.place / "data/signing-keys.json").read_bytes()).chmod(0o600)


def doctor(node: Wharf) -> list[dict[str, str]]:
    return [each for each in node("doctor", "--json").json["findings"] if each["part"] == "signing keys"]


def test_a_node_without_the_keys_of_the_ledger_does_not_sign(nodes: tuple[Wharf, Wharf]) -> None:
    here, there = nodes
    file_id = put(there)
    for words in (
        ("receipt", file_id),
        ("serve",),
        ("signing", "list"),
        ("audit", "checkpoint"),
        ("evidence", file_id),
    ):
        said = there.refused(*words, code="SIGNING_KEYS_FOREIGN", exit=1)
        assert "copy signing-keys.json" in said
    (found,) = doctor(there)
    assert (found["verdict"], "copy signing-keys.json" in found["fix"]) == ("fail", True)
    lend(here, there)
    assert [each["verdict"] for each in doctor(there)] == ["ok"]
    assert there("receipt", file_id).out == here("receipt", file_id).out


def test_what_any_node_signs_is_verified_by_any_also_after_a_rotation(nodes: tuple[Wharf, Wharf]) -> None:
    here, there = nodes
    lend(here, there)
    file_id = put(there)
    there("audit", "checkpoint")
    new = here("signing", "rotate", "--yes", "--json").json["id"]
    put(there, "b.csv")
    here("audit", "checkpoint")
    for one, other in ((here, there), (there, here)):
        other.write("r.json", one("receipt", file_id).out)
        assert other("receipt", "verify", "r.json").code == 0
        assert other("audit", "verify", "--json").json["findings"] == []
    assert [row["state"] for row in there("signing", "list", "--json").json] == ["signs", "elsewhere"]
    there.refused("signing", "rotate", "--yes", code="USAGE", exit=2)
    assert new in there.refused("evidence", file_id, code="UNPROVEN", exit=1)
    assert [(each["verdict"], new in each["fix"]) for each in doctor(there)] == [("ok", False), ("fail", True)]
    lend(here, there)
    assert there("evidence", file_id, "-o", "e.zip").code == 0
    assert [row["state"] for row in there("signing", "list", "--json").json] == ["signed", "signs"]


def test_where_the_keys_are_lost_a_node_begins_anew(nodes: tuple[Wharf, Wharf]) -> None:
    here, there = nodes
    lost = here("signing", "list", "--json").json[0]["id"]
    put(here)
    here("audit", "checkpoint")
    there.refused("signing", "begin", code="USAGE", exit=2)
    new = there("signing", "begin", "--yes", "--json").json["id"]
    assert [(row["id"], row["state"]) for row in there("signing", "list", "--json").json] == [
        (new, "signs"),
        (lost, "stranger"),
    ]
    assert [each["verdict"] for each in doctor(there)] == ["ok", "warn"]
    assert [each["verdict"] for each in doctor(here)] == ["ok", "fail"]
    (finding,) = there("audit", "verify", "--json").json["findings"]
    assert lost in finding["message"]


@pytest.mark.slow
def test_a_sender_fetches_both_receipts_from_their_own_tree(tmp_path: Path, partner: Wharf) -> None:
    prepare(tmp_path)
    (tmp_path / "a.csv").write_text(TABLE)
    with Serving(tmp_path) as serving:
        sftp(tmp_path, serving.port, ["put a.csv inbound/a.csv"])
        wait_until("it ended", lambda: ask(tmp_path, "files")[0]["status"] == "transferred")
        (record,) = ask(tmp_path, "files")
        done = sftp(tmp_path, serving.port, [f"get -R receipts {partner.place}"])
        assert done.returncode == 0, done.stderr
        refused = sftp(tmp_path, serving.port, ["put a.csv receipts/a.csv"])
        assert refused.returncode != 0
    found = sorted(path.relative_to(partner.place).as_posix() for path in partner.place.rglob("*.json"))
    day = record["upload_timestamp"][:10]
    assert found == [f"receipts/{day}/a.csv~{record['file_id']}.{kind}.json" for kind in ("arrival", "outcome")]
    (public,) = [row["public"] for row in ask(tmp_path, "signing", "list")]
    said = partner("receipt", "verify", *found, "--key", public, "--file", str(tmp_path / "a.csv"), "--json")
    assert said.code == 0, said.err
    alone = partner("receipt", "verify", found[1], "--key", public, "--file", str(tmp_path / "a.csv"))
    assert (alone.code, "was held against nothing" in alone.err) == (1, True)
    arrival, outcome = (each["statement"] for each in said.json["receipts"])
    assert (arrival["sha256"], outcome["status"]) == (record["sha256"], "transferred")
    assert [each["destination"] for each in outcome["deliveries"]] == ["kept", "out"]
    both = ask(tmp_path, "receipt", record["file_id"])
    assert [both[kind]["statement"] for kind in ("arrival", "outcome")] == [arrival, outcome]
    assert (partner.place / found[0]).read_bytes().decode() == json.dumps(
        both["arrival"], separators=(",", ":"), sort_keys=True, ensure_ascii=False
    ) + "\n"
