"""A place that files are taken from: what lies there now is the truth; whoever tells of changes only says when to look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Found:
    """One file as it lies there. While nobody changes it, every look finds the same version, and so the same file_id."""

    name: str  # in its place: "2026/a.csv"
    key: str  # in custody: "acme/inbound/2026/a.csv"
    version: str  # a ULID made of what the place tells of the file, with the time of its last change
    size: int = 0  # bytes
    at: float = 0.0  # its last change; epoch s
    mtime: float | None = None  # the sender's time of last modification; epoch s
    fault: str = ""  # why it cannot be taken, as the end of a sentence
    is_aside: bool = False  # it was about to be removed or moved when a crash came


class Source(Protocol):
    """A folder or a bucket. The verbs raise SourceError; one that is about a single file concerns no other."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        ...

    @property
    def kind(self) -> str:
        """How its files come, for their records: "folder"."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether the originals stay where they are."""
        ...

    def listing(self) -> Iterator[Found]:
        """All that lies there, but for what the configuration leaves alone."""
        ...

    def is_whole(self, found: Found) -> bool:
        """Whether its sender has finished it, by the rule of the source."""
        ...

    def read(self, found: Found) -> Iterator[bytes]:
        """Its bytes. Raises SourceError where they are not, or not to the end, those of `found.version`."""
        ...

    def release(self, found: Found, sha256: str) -> None:
        """
        Do with the original what the configuration says, since its bytes, of this hash, are in custody. Other bytes that took its
        name meanwhile stay. Safe to repeat, also after a crash halfway.
        """
        ...
