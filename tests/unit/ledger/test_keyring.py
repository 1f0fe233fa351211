"""The keys: made once, kept from others, replaced whole, and never forgotten in their public halves."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from wharfinger.errors import LedgerError
from wharfinger.ledger.keyring import ENDORSEMENT, NAME, Keyring

STATED = {"type": "wharfinger.test/1", "n": 1}


def test_the_first_key_is_made_when_the_ring_is_opened_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    ring = Keyring(tmp_path / "data")
    assert len(ring.public()) == 1
    assert stat.S_IMODE(ring.path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path / "data") == [NAME]
    assert Keyring(tmp_path / "data").public() == ring.public()


def test_of_many_that_begin_together_one_makes_the_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        rings = list(threads.map(lambda _: Keyring(tmp_path), range(16)))
    assert len({ring.public()[-1].id for ring in rings}) == 1
    assert os.listdir(tmp_path) == [NAME]


def test_after_a_rotation_another_key_signs_and_the_old_signatures_hold(tmp_path: Path) -> None:
    ring = Keyring(tmp_path)
    before = ring.sign(STATED)
    key = ring.rotate()
    after = ring.sign(STATED)
    assert after.key == key.id != before.key
    assert ring.holds(before)
    assert ring.holds(after)
    assert [each.id for each in ring.public()] == [before.key, after.key]
    assert stat.S_IMODE(ring.path.stat().st_mode) == 0o600


def test_each_key_is_endorsed_by_the_one_before(tmp_path: Path) -> None:
    ring = Keyring(tmp_path)
    ring.rotate()
    ring.rotate()
    first, *others = ring.public()
    assert first.endorsement is None
    for before, key in zip(ring.public(), others):
        assert key.endorsement
        assert key.endorsement.is_by(before.public)
        assert key.endorsement.statement == {
            "type": ENDORSEMENT,
            "key": key.id,
            "public": key.public,
            "since": key.since,
        }


def test_a_rotation_is_noticed_by_rings_that_are_open(tmp_path: Path) -> None:
    ring, other = Keyring(tmp_path), Keyring(tmp_path)
    ring.sign(STATED)
    other.rotate()
    assert ring.sign(STATED).key == other.public()[-1].id


def test_rotations_at_the_same_time_lose_no_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda _: Keyring(tmp_path).rotate().id, range(8)))
    keys = Keyring(tmp_path).public()
    assert made == {key.id for key in keys[1:]}
    assert all(key.endorsement and key.endorsement.is_by(before.public) for before, key in pairwise(keys))


def test_the_private_half_of_an_old_key_is_gone(tmp_path: Path) -> None:
    ring = Keyring(tmp_path)
    seed = ring.path.read_text().partition('"private": "')[2][:64]
    ring.rotate()
    assert len(seed) == 64
    assert all(seed not in path.read_text() for path in tmp_path.iterdir())


def test_a_crash_in_a_rotation_leaves_the_old_ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Keyring(tmp_path)
    keys = ring.public()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", die)
        with pytest.raises(KeyboardInterrupt):
            ring.rotate()
    assert Keyring(tmp_path).public() == keys
    assert Keyring(tmp_path).rotate().id == Keyring(tmp_path).public()[-1].id


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"private": "00", "keys": [{}]}'])
def test_a_damaged_ring_is_told_with_its_path(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(LedgerError, match="damaged") as told:
        Keyring(tmp_path)
    assert told.value.code == "SIGNING_KEYS_UNUSABLE"
    assert told.value.is_internal


def privates(folder: Path) -> dict[str, str]:
    """The private half in each file."""
    return {path.name: path.read_text().partition('"private": "')[2][:64] for path in folder.iterdir()}


def test_a_full_disk_leaves_no_copy_of_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def refused() -> None:
        with monkeypatch.context() as patch:
            for name in ("fsync", "fdatasync"):
                patch.setattr(os, name, full)
            with pytest.raises(LedgerError, match="No space"):
                Keyring(tmp_path).rotate()

    refused()
    assert os.listdir(tmp_path) == []
    Keyring(tmp_path)
    refused()
    assert os.listdir(tmp_path) == [NAME]


DOOMED = """
import os, signal, sys
from pathlib import Path
from wharfinger.ledger.keyring import Keyring
left = int(sys.argv[1])
def hook(event, _given):
    global left
    if event in {"os.link", "os.remove", "os.rename"}:
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
Keyring(Path(sys.argv[2])).rotate()
"""


def killed_before(effect: int, folder: Path) -> bool:
    """Whether a process that makes a key, and rotates it, was killed before so many changes of names."""
    ended = subprocess.run([sys.executable, "-c", DOOMED, str(effect), str(folder)], timeout=60).returncode
    assert ended in (0, -signal.SIGKILL)
    return ended != 0


def test_a_kill_leaves_no_copy_of_a_key_that_was_ever_in_use(tmp_path: Path) -> None:
    effect = 1
    while killed_before(effect, folder := tmp_path / str(effect)):
        found = privates(folder)
        used = found.pop(NAME, "")
        assert used not in found.values()
        Keyring(folder).rotate()
        assert list(privates(folder)) == [NAME]
        effect += 1
    assert effect > 2
