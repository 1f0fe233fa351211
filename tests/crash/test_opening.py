"""The first start, and a power loss right after the first acknowledgement."""

from __future__ import annotations

from pathlib import Path

from rig import faultdisk

SCENE = """
import sys
from pathlib import Path

from rig import faultdisk
from rig.databases import arrived
from wharfinger import app
from wharfinger.config.place import Glance

root = Path(sys.argv[1])
place = Glance(root / "deep" / "data", "local", f"sqlite://{root}/facts/of/ledger.db", "inbox", 0, {})
database = app.open_database(place)
app.open_store(place)
arrived(database.ledger)
faultdisk.mark("arrived")
"""


def test_what_the_first_start_makes_outlives_a_power_loss(tmp_path: Path) -> None:
    root, log, scene = tmp_path / "root", tmp_path / "log", tmp_path / "scene.py"
    root.mkdir()
    scene.write_text(SCENE)
    done = faultdisk.run(faultdisk.library(tmp_path), scene, str(root), root=root, log=log)
    assert done.returncode == 0, done.stderr
    (there,) = [
        {path for path, _ in disk.files()} for line, disk in faultdisk.replay(root, log) if line == "mark arrived"
    ]
    assert {"facts/of/ledger.db", "facts/of/ledger.db-wal", "deep/data/store/README.txt"} <= there
