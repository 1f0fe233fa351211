"""Nodes with directories of their own and one ledger: each checks what any of them signs, and none believes the ledger alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from wharfinger.errors import LedgerError
from wharfinger.ledger import Audit
from wharfinger.ledger.keyring import NAME, Keyring
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.ledger.trust import Trust, begin, join, rotate

STATED = {"type": "wharfinger.test/1", "n": 1}


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Audit]:
    database = SqliteDatabase(tmp_path / "ledger.db")
    yield database.audit
    database.close()


@pytest.fixture
def here(tmp_path: Path, audit: Audit) -> Path:
    join(tmp_path / "here", audit)
    return tmp_path / "here"


@pytest.fixture
def there(tmp_path: Path, here: Path) -> Path:
    """A second node with a copy of the keys."""
    shutil.copytree(here, tmp_path / "there")
    return tmp_path / "there"


def test_the_first_node_makes_the_key_and_makes_it_known(here: Path, audit: Audit) -> None:
    assert audit.publish([]) == [bytes(key) for key in Keyring(here).public()]
    assert join(here, audit).public() == Keyring(here).public()


@pytest.mark.parametrize("has_keys", [False, True])
def test_a_node_without_the_ledgers_keys_is_refused_with_the_cure(
    has_keys: bool, here: Path, tmp_path: Path, audit: Audit
) -> None:
    other = tmp_path / "other"
    if has_keys:
        Keyring(other)
    with pytest.raises(LedgerError, match=Keyring(here).public()[-1].id) as refusal:
        join(other, audit)
    assert refusal.value.code == "SIGNING_KEYS_FOREIGN"
    assert f"copy {NAME}" in refusal.value.fix
    assert (other / NAME).exists() == has_keys
    assert len(audit.publish([])) == 1


def test_what_a_copy_signs_holds_on_both(here: Path, there: Path, audit: Audit) -> None:
    for one, other in ((here, there), (there, here)):
        assert Trust(join(one, audit), audit).holds(join(other, audit).sign(STATED))


def test_after_a_rotation_the_other_node_trusts_the_new_key_and_knows_that_its_own_is_replaced(
    here: Path, there: Path, audit: Audit
) -> None:
    first = rotate(join(here, audit), audit)
    key = rotate(join(here, audit), audit)
    behind = Trust(join(there, audit), audit)
    assert behind.holds(join(here, audit).sign(STATED))
    assert [each.id for each in behind.newer()] == [first.id, key.id]
    assert behind.strangers() == []
    shutil.copy(here / NAME, there / NAME)
    assert Trust(join(there, audit), audit).newer() == []
    assert join(there, audit).sign(STATED).key == key.id


def test_a_rotation_that_was_not_made_known_is_by_the_next_who_joins(here: Path, there: Path, audit: Audit) -> None:
    key = Keyring(here).rotate()
    join(here, audit)
    assert [each.id for each in Trust(Keyring(there), audit).newer()] == [key.id]


def test_who_can_write_the_ledger_cannot_vouch_for_himself(here: Path, tmp_path: Path, audit: Audit) -> None:
    forger = Keyring(tmp_path / "forger")
    forger.rotate()
    audit.publish([bytes(key) for key in forger.public()], anew=True)
    trust = Trust(join(here, audit), audit)
    assert not trust.holds(forger.sign(STATED))
    assert list(trust.strangers()) == list(forger.public())
    assert not trust.is_foreign()


def test_a_key_under_the_name_of_another_does_not_hold(here: Path, tmp_path: Path, audit: Audit) -> None:
    """An endorsement is of one key, not of whoever shows it."""
    ring, forger = join(here, audit), Keyring(tmp_path / "forger")
    rotate(ring, audit)
    (made,) = forger.public()
    stolen = bytes(ring.public()[-1]).replace(ring.public()[-1].public.encode(), made.public.encode())
    audit.publish([stolen], anew=True)
    assert not Trust(ring, audit).holds(forger.sign(STATED))
    assert [key.public for key in Trust(ring, audit).strangers()] == [made.public]


def test_where_all_keys_are_lost_it_begins_anew(tmp_path: Path, audit: Audit, here: Path, there: Path) -> None:
    old = Keyring(here).sign(STATED)
    shutil.rmtree(here)
    begin(here, audit)
    ring = join(here, audit)
    assert not Trust(ring, audit).holds(old)
    assert [key.id for key in Trust(ring, audit).strangers()] == [old.key]
    assert [key.id for key in Trust(join(there, audit), audit).strangers()] == [ring.public()[-1].id]
