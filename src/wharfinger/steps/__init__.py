"""
Steps: what a pipeline does to a file. Files in, files out; a step knows bytes and nothing of ledger or store.

A step is one module with a `STEP` and one line in `BUILTIN` (or an entry point of the group `wharfinger.steps`).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from wharfinger.model import Arrival


class Reader(Protocol):
    """
    One input, as a seekable binary file with a name; at its beginning when the step begins. Read it in bounded pieces: it may
    be larger than memory.
    """

    name: str  # "a.csv.gz": the last part of the key, or what an earlier step made of it
    media_type: str
    size: int  # bytes
    sha256: str  # hex, where it is known already (an object of the store has it); else ""
    arrival: Arrival  # the file in custody that this input comes from
    member: str  # its path in the archive, where a pipeline is called for each member of one; else ""

    def read(self, size: int = -1, /) -> bytes: ...  # noqa: D102
    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int: ...  # noqa: D102
    def tell(self) -> int: ...  # noqa: D102


class Destination(Protocol):
    """
    A place that a step may deliver to, by the name it has in the configuration.

    What is put is visible, whole and durable when the step has ended for this file: the engine commits deliveries in groups.
    A repeat (after a crash or a retry) delivers under the same name and changes nothing that is there already.
    """

    def put(self, path: Path, key: str) -> None:
        """Deliver a file that the step made in its scratch directory."""
        ...

    def copy(self, source: Reader, key: str) -> None:
        """Deliver an input as it is; where source and destination are one store no bytes pass through the process."""
        ...

    def head(self, key: str) -> int | None:
        """The size in bytes of what lies under `key` now, else None."""
        ...


class Scratch:
    """What a step may use while it runs: a directory of its own, and the destinations that it declared."""

    __slots__ = ("_path", "destinations")

    def __init__(self, path: Path | str, destinations: Mapping[str, Destination] | None = None) -> None:
        self._path = path
        self.destinations = destinations or {}

    @property
    def path(self) -> Path:
        """The directory; made when it is first asked for, since most steps need none."""
        path = Path(self._path)
        path.mkdir(parents=True, exist_ok=True)
        return path


@dataclass(frozen=True, slots=True)
class Output:
    """One output: a file in scratch, or an input handed on as it is (perhaps under another name)."""

    source: Path | Reader
    name: str
    media_type: str = "application/octet-stream"

    @classmethod
    def unchanged(cls, source: Reader, name: str = "") -> Output:
        """The input as it is, under another name if one is given."""
        return cls(source, name or source.name, source.media_type)


FACTS = 64 << 10
"""Most bytes of JSON that the facts of one step may have; larger results are outputs."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a step made. `facts` is JSON of at most `FACTS` bytes, kept with the run; `when:` reads it as `steps.NAME.FACT`."""

    outputs: Sequence[Output]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def each(cls, made: Sequence[tuple[Output, Mapping[str, Any]]]) -> Result:
        """One output and its facts for each input. The facts of a single input stand alone, those of several under `inputs`."""
        facts = made[0][1] if len(made) == 1 else {"inputs": [facts for _, facts in made]}
        return cls([output for output, _ in made], facts)


@dataclass(frozen=True, slots=True)
class Step:
    """
    A kind of step. `run(inputs, options, scratch)` raises Rejected when the bytes are at fault and Transient when a retry
    may help; anything else it raises counts as a fault of ours, is retried, and ends as failed.
    """

    name: str
    version: str  # raise it when the outputs for the same inputs change
    help: str  # one sentence
    options: type[Any]  # a frozen dataclass; each field Annotated with config.option(...)
    run: Callable[[Sequence[Reader], Any, Scratch], Result]
    seconds: float = 300.0  # what runs longer is stopped, and tried again
    checkpoint: bool = False  # its outputs are kept before the next step begins: it is costly, or must not be repeated
    destinations: Callable[[Any], Sequence[str]] = lambda _options: ()  # what these options deliver to, by name
    facts: Mapping[str, str] = field(default_factory=dict)  # each fact it may state, and what it means
    rejects: Mapping[str, str] = field(default_factory=dict)  # each code it may reject a file with, and when


BUILTIN: Mapping[str, str] = {
    "checksum": "wharfinger.steps.checksum:STEP",
    "compress": "wharfinger.steps.compress:STEP",
    "decompress": "wharfinger.steps.decompress:STEP",
    "deliver": "wharfinger.steps.deliver:STEP",
    "rename": "wharfinger.steps.rename:STEP",
}
"""The steps that come with wharfinger; each is imported when a pipeline first names it."""
