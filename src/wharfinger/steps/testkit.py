"""
A test kit for authors of steps: runs a step as the engine does, and checks that it keeps the contract.

    ran = testkit.run(STEP, tmp_path, {"a.csv": b"1,2\\n"}, options={"level": 9})
    assert ran.outputs[0].name == "a.csv.gz"

What the step raises for the file's sake (Rejected, Transient) comes through as the engine sees it; a breach of the contract is
a `Breach`. Needs nothing but the standard library's idea of a test: any runner will do.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

from wharfinger.config.check import adapter
from wharfinger.errors import Rejected
from wharfinger.model import Arrival
from wharfinger.names import key_fault
from wharfinger.steps import FACTS, Output, Reader, Result, Scratch, Step
from wharfinger.steps.reference import describe
from wharfinger.steps.sniff import HEAD, media_type

WHOLE = 1 << 20
"""Bytes of an input that a step may read in one go without saying how many it wants."""

PIECE = 16 << 20
"""Most bytes that a step may ask for at once."""

VERSION = "01J9ZQ3V5M8X2K7C4T6B0WARF1"
AT = 1_727_740_800.0  # 2024-10-01 00:00 UTC


class Breach(AssertionError):
    """The step does not keep the contract, as the message says."""


@dataclass(frozen=True, slots=True)
class Made:
    """One output of the step."""

    name: str
    media_type: str
    path: Path

    @property
    def data(self) -> bytes:
        """All its bytes."""
        return self.path.read_bytes()


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a run."""

    outputs: tuple[Made, ...]
    facts: Mapping[str, Any]
    delivered: Mapping[str, Mapping[str, bytes]]  # by destination, then by key


def arrival(key: str = "acme/inbound/a.csv", data: bytes = b"", **changes: Any) -> Arrival:
    """An arrival of `data` under `key`, always the same; `changes` replaces any of its fields."""
    known = {"bucket": "inbox", "version": VERSION, "customer": key.partition("/")[0], "at": AT, "user": "acme-erp"}
    return Arrival(**{**known, "key": key, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), **changes})


def configured(step: Step, options: Mapping[str, Any]) -> Any:
    """The options as a configuration makes them. Raises pydantic's ValidationError where it would refuse them."""
    declared: Any = step.options
    return adapter(declared).validate_json(json.dumps([options]))[0]


def run(
    step: Step,
    folder: Path,
    inputs: Mapping[str, bytes | Path],
    *,
    options: Mapping[str, Any] | None = None,
    of: Arrival | None = None,
) -> Ran:
    """
    Run `step` twice on these inputs (by name) in `folder`, and check that it did the same both times and nothing it may not do.
    The files are those of the arrival `of`; without one, each has come as it is. Raises what the step raises, and Breach.
    """
    given = configured(step, options or {})
    first, again = (_once(step, folder / f"run{n}", inputs, given, of) for n in (1, 2))
    if _summary(first) != _summary(again):
        raise Breach(
            f"{step.name} did not make the same of the same input twice:\n{_summary(first)}\n{_summary(again)}"
        )
    return first


def check(step: Step) -> None:
    """Raises Breach unless the step's declaration is complete."""
    info = describe(step)
    unexplained = [option.name for option in info.options if not option.help]
    mistakes = {
        "its name must be small letters, digits and _": not re.fullmatch(r"[a-z][a-z0-9_]*", step.name),
        "it needs a version": not step.version,
        "its help must be one sentence that ends in a full stop": not re.fullmatch(r"[A-Z][^\n]*\.", step.help),
        "its options must be a frozen dataclass": not _is_frozen(step.options),
        f"these options have no help (use config.option): {unexplained}": bool(unexplained),
        "it needs some time": step.seconds <= 0,
    }
    if broken := [mistake for mistake, is_so in mistakes.items() if is_so]:
        raise Breach(f"the step {step.name}: {'; '.join(broken)}")


class Input:
    """A Reader of a file that refuses to be read into memory whole."""

    member = ""

    def __init__(self, path: Path, name: str, of: Arrival | None) -> None:
        self.path, self.name = path, name
        self.size = path.stat().st_size
        self._file = open(path, "rb")  # noqa: SIM115 (closed by its user)
        data = hashlib.file_digest(self._file, "sha256").hexdigest()
        self._file.seek(0)
        self.media_type = media_type(self._file.read(HEAD), self.size)
        self._file.seek(0)
        self.sha256 = data if of is None else ""
        self.arrival = of or arrival(f"acme/inbound/{name}", size=self.size, sha256=data)
        self.tell, self.seek, self.close = self._file.tell, self._file.seek, self._file.close

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes."""
        if size > PIECE or (size < 0 and self.size > WHOLE):
            raise Breach(
                f"read({size if size >= 0 else ''}) of an input of {self.size:,} bytes; read it in bounded pieces"
            )
        return self._file.read(size)


class Kept:
    """A Destination that keeps what is put, in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def put(self, path: Path, key: str) -> None:
        """Keep a file of the scratch directory."""
        if why := key_fault(key):
            raise Breach(f"delivered under {key!r}, which {why}")
        self.files[key] = path.read_bytes()

    def copy(self, source: Reader, key: str) -> None:
        """Keep an input."""
        if not isinstance(source, Input):
            raise Breach(f"copied a {type(source).__name__}; copy() takes an input of the step, put() a file it made")
        self.put(source.path, key)

    def head(self, key: str) -> int | None:
        """Its size in bytes."""
        return len(self.files[key]) if key in self.files else None


def _once(step: Step, folder: Path, inputs: Mapping[str, bytes | Path], options: Any, of: Arrival | None) -> Ran:
    readers = [
        Input(_laid(folder / "inputs" / f"{n}", data), name, of) for n, (name, data) in enumerate(inputs.items())
    ]
    destinations = {name: Kept() for name in step.destinations(options)}
    try:
        result = _run(step, readers, options, Scratch(folder / "scratch", destinations))
        outputs = [_made(output, readers, folder) for output in result.outputs]
    finally:
        for reader in readers:
            reader.close()
    _check_facts(step, result.facts)
    return Ran(tuple(outputs), result.facts, {name: kept.files for name, kept in destinations.items()})


def _run(step: Step, readers: Sequence[Reader], options: Any, scratch: Scratch) -> Result:
    try:
        result = step.run(readers, options, scratch)
    except Rejected as exc:
        if exc.code not in step.rejects:
            raise Breach(f"{step.name} rejects with {exc.code}, which it does not declare in `rejects`") from exc
        raise
    if not isinstance(result, Result):
        raise Breach(f"{step.name} returned a {type(result).__name__}, not a Result")
    return result


def _laid(path: Path, data: bytes | Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, Path):
        shutil.copyfile(data, path)
    else:
        path.write_bytes(data)
    return path


def _made(output: Output, readers: Sequence[Reader], folder: Path) -> Made:
    if why := "has a folder in it" if "/" in output.name else key_fault(output.name):
        raise Breach(f"the output's name {output.name!r} {why}")
    return Made(output.name, output.media_type, _source(output, readers, folder / "scratch"))


def _source(output: Output, readers: Sequence[Reader], scratch: Path) -> Path:
    if not isinstance(output.source, Path):
        if output.source not in readers or not isinstance(output.source, Input):
            raise Breach(f"the output {output.name!r} is a reader that was no input of the step")
        return output.source.path
    if not output.source.resolve().is_relative_to(scratch.resolve()) or not output.source.is_file():
        raise Breach(f"the output {output.name!r} is no file in the scratch directory: {output.source}")
    return output.source


def _check_facts(step: Step, facts: Mapping[str, Any]) -> None:
    try:
        size = len(json.dumps(facts, allow_nan=False).encode())
    except (TypeError, ValueError) as exc:
        raise Breach(f"the facts are no JSON: {exc}") from exc
    if size > FACTS:
        raise Breach(f"the facts are {size:,} bytes of JSON; at most {FACTS:,}. Make them an output")
    undeclared = [name for name in facts if name not in step.facts and name != "inputs"]
    if undeclared:
        raise Breach(f"{step.name} states facts that it does not declare in `facts`: {', '.join(undeclared)}")


def _summary(ran: Ran) -> Mapping[str, Any]:
    outputs = [(made.name, made.media_type, _digest(made.path)) for made in ran.outputs]
    return {"outputs": outputs, "facts": ran.facts, "delivered": ran.delivered}


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_frozen(options: type[Any]) -> bool:
    return is_dataclass(options) and options.__dataclass_params__.frozen  # type: ignore[attr-defined]
