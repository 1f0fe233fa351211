"""What the processes measure while they work. Figures that the ledger knows are not counted here: they are read from it."""

from __future__ import annotations

from typing import Protocol


class Meter(Protocol):
    """Takes in what happened. Nothing here raises or waits."""

    def settled(self, pipeline: str, became: str, seconds: float) -> None:
        """
        A run was settled, so long after its file arrived: transferred, failed, quarantined, retry, unrouted, held or waiting; of a
        child run "child.transferred".
        """
        ...

    def stepped(self, pipeline: str, step: str, seconds: float) -> None:
        """A step of a settled run took so long."""
        ...

    def sessions(self, count: int) -> None:
        """So many clients are signed in by SFTP now."""
        ...

    def signed_in(self, result: str) -> None:
        """A client that wanted to sign in by SFTP was accepted or refused."""
        ...


class Silent:
    """A Meter that nobody reads."""

    def settled(self, pipeline: str, became: str, seconds: float) -> None:
        """See Meter."""

    def stepped(self, pipeline: str, step: str, seconds: float) -> None:
        """See Meter."""

    def sessions(self, count: int) -> None:
        """See Meter."""

    def signed_in(self, result: str) -> None:
        """See Meter."""


SILENT = Silent()
