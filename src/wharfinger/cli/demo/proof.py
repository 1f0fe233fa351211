"""The demo's proof: one file's receipts and evidence, checked by others than who made them."""

from __future__ import annotations

import shlex
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wharfinger.errors import Unproven, WharfingerError


@dataclass(frozen=True, slots=True)
class Line:
    """A command as it was run, and what it said last. `holds` says whether it said that all is as it was signed."""

    command: str
    said: str
    holds: bool


def prove(directory: Path, file_id: str, source: str) -> list[Line]:
    """
    Make receipts and evidence of this file, sent as `source` (below `directory`), in `directory`/proof; check them; change one byte of the
    history and check again. Raises Unproven where what is whole is not believed, or what was changed is.
    """
    place = directory / "proof"
    place.mkdir()
    with (place / "key").open("w") as file:
        file.write(_wharf(directory, "signing", "list").splitlines()[-1].rpartition("\t")[2])
    key = (place / "key").read_text()
    _wharf(directory, "receipt", file_id, "--to", "proof")
    _wharf(directory, "evidence", file_id, "-o", "proof/evidence.zip")
    receipts = [f"proof/{file_id}.{kind}.json" for kind in ("arrival", "outcome")]
    script = _script(place)
    _falsify(place / "evidence.zip", place / "changed.zip")
    lines = [
        _line(directory, ["wharf", "receipt", "verify", *receipts, "--key", "proof/key", "--file", source]),
        _line(directory, ["python3", script, "proof/evidence.zip", "--key", key]),
        _line(directory, ["python3", script, "proof/changed.zip", "--key", key]),
    ]
    if [line.holds for line in lines] != [True, True, False]:
        raise Unproven("; ".join(f"{line.command}: {line.said}" for line in lines), fix=f"look into {place}")
    return lines


def _falsify(bundle: Path, target: Path) -> None:
    """The same ZIP file, and a whole one, but for one byte of the history."""
    with zipfile.ZipFile(bundle) as whole, zipfile.ZipFile(target, "w") as made:
        for info in whole.infolist():
            data = whole.read(info)
            made.writestr(
                info, data.replace(b'"arrived"', b'"arrivee"', 1) if info.filename == "events.jsonl" else data
            )


def _script(place: Path) -> str:
    from wharfinger.ledger import evidence

    (place / "verify.py").write_bytes((Path(evidence.__file__).parent / "verify.py").read_bytes())
    return "proof/verify.py"


def _wharf(directory: Path, *words: str) -> str:
    done = _run(directory, [*_program("wharf"), *words])
    if done.returncode:
        raise WharfingerError(f"wharf {' '.join(words)}: {done.stderr.strip()}", fix="wharf doctor")
    return done.stdout


def _line(directory: Path, words: Sequence[str]) -> Line:
    done = _run(directory, [*_program(words[0]), *words[1:]])
    said = (done.stderr if words[0] == "wharf" else done.stdout).strip().rpartition("\n")[2]
    return Line(shlex.join(words), said, done.returncode == 0)


def _program(name: str) -> list[str]:
    """This very installation; a plain Python is one that sees nothing of it (-I -S)."""
    return [sys.executable, "-m", "wharfinger"] if name == "wharf" else [sys.executable, "-I", "-S"]


def _run(directory: Path, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=60)
