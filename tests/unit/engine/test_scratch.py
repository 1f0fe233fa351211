from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from wharfinger.engine.scratch import FORGOTTEN_S, Workroom, clean

DIE = """
import os, sys
from pathlib import Path
from wharfinger.engine.scratch import Workroom
room = Workroom(Path(sys.argv[1]))
(Path(room.path) / "0").mkdir()
(Path(room.path) / "0" / "half").write_text("half")
os.kill(os.getpid(), 9)
"""


def a_dead_workers(path: Path) -> None:
    path.mkdir()
    assert subprocess.run([sys.executable, "-c", DIE, str(path)]).returncode == -9
    assert (path / "0" / "half").exists()


def test_the_rooms_of_the_dead_are_removed_and_those_of_the_living_stay(tmp_path: Path) -> None:
    a_dead_workers(tmp_path / "dead")
    (tmp_path / "living").mkdir()
    (tmp_path / "another's").mkdir()
    (tmp_path / "file").touch()
    room = Workroom(tmp_path / "living")
    assert clean(tmp_path, now=time.time()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"living", "another's", "file"}
    room.close()
    assert {path.name for path in tmp_path.iterdir()} == {"another's", "file"}


def test_a_room_is_cleared_between_claims_and_stays_locked(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    room = Workroom(tmp_path / "mine")
    (tmp_path / "mine" / "0" / "1").mkdir(parents=True)
    (tmp_path / "mine" / "0" / "1" / "out").write_text("x")
    room.clear()
    assert os.listdir(room.path) == ["owner"]
    assert clean(tmp_path, now=time.time()) == 0
    room.close()


def test_what_nobody_owns_goes_after_a_day(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "file").touch()
    for name in ("old", "file"):
        os.utime(tmp_path / name, (0, time.time() - 2 * FORGOTTEN_S))
    assert clean(tmp_path, now=time.time()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"new", "file"}


def test_a_room_is_known_by_its_real_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    room = Workroom(tmp_path / "link")
    assert room.path == str((tmp_path / "real").resolve())
    room.close()
