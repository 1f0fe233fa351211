"""Directories below a root, reached part by part through descriptors: no symbolic link leads anywhere else."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import TracebackType

from wharfinger.errors import StoreError, Transient

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Folders:
    """
    The folders that one group needs, open while it lasts. Raises Transient where the root is not there. `durable` remembers,
    over many groups, the folders whose own names are known to be synced.
    """

    def __init__(self, root: Path, durable: set[tuple[str, ...]]) -> None:
        self._root = root
        self._durable = durable
        self._open: dict[tuple[str, ...], int] = {}

    def __enter__(self) -> Folders:
        try:
            self._open[()] = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as exc:
            raise Transient(
                f"the directory {self._root} cannot be used: {exc.strerror}",
                code="DESTINATION_MISSING",
                fix=f"make it (mkdir -p {self._root}), mount it, or let the user that runs wharf into it",
            ) from exc
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def open(self, parts: tuple[str, ...]) -> int:
        """The descriptor of an existing folder. Raises FileNotFoundError, StoreError where something else has its name."""
        if parts not in self._open:
            parent = self.open(parts[:-1])
            try:
                self._open[parts] = os.open(parts[-1], _DIRECTORY, dir_fd=parent)
            except OSError as exc:
                if exc.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                raise StoreError(
                    f"{'/'.join(parts)!a} in {self._root} is no folder (links are not followed)",
                    code="NAME_TAKEN",
                    fix="move it away, or deliver under another name",
                ) from exc
        return self._open[parts]

    def make(self, parts: tuple[str, ...]) -> int:
        """The descriptor of this folder, made where it is missing; its own name is durable."""
        if parts in self._open:
            return self._open[parts]
        parent = self.make(parts[:-1])
        try:
            os.mkdir(parts[-1], 0o755, dir_fd=parent)
            self._durable.discard(parts)
        except FileExistsError:
            pass
        fd = self.open(parts)
        if parts not in self._durable:  # another process may have made it and died before its sync
            os.fsync(parent)
            self._durable.add(parts)
        return fd
