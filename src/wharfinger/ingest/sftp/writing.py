"""A file that a client has open to write: staged bytes, and what the protocol adds to them."""

from __future__ import annotations

from collections.abc import Callable

from wharfinger.errors import StoreError
from wharfinger.ledger import Entry, User
from wharfinger.store.staging import Staged

MAX_SIZE = 1 << 43
"""Bytes: nothing is taken beyond (8 TiB; the most that ext4 gives one file is 16)."""

STRIDE = 16 << 20
"""Bytes that a handle may write before it is asked again whether the disk has room for as many more, and the disk begins with these."""


class Writing:
    """
    One handle opened for writing. `before` is the tree's entry under the name at that time; None for a new name. `resumes` says
    that bytes which are there already count, as the client sees them. `reserve` raises NoSpace where the disk has no room for so
    many bytes more; `write_back` lets the disk begin with a descriptor's bytes.
    """

    __slots__ = (
        "_allowed", "_append", "_begun", "_fault", "_reserve", "_write_back", "before", "changed", "is_marked", "is_over", "key",
        "mtime", "resumes", "session", "staged", "user",
    )  # fmt: skip

    def __init__(
        self,
        key: str,
        staged: Staged,
        before: Entry | None,
        *,
        user: User,
        session: str,
        resumes: bool,
        append: bool,
        reserve: Callable[[int], None],
        write_back: Callable[[int], object],
    ) -> None:
        self.key = key
        self.staged = staged
        self.before = before
        self.user = user
        self.session = session
        self.mtime: float | None = None  # as the client set it; epoch s
        self.changed = False  # since it was opened
        self.is_marked = False  # the tree knows of it, should this process die
        self.is_over = False  # closed or abandoned
        self.resumes = resumes
        self._append = append
        self._reserve, self._write_back = reserve, write_back
        self._allowed = STRIDE  # bytes, until the next such question
        self._begun = False
        self._fault: StoreError | None = None

    @property
    def size(self) -> int:
        """Bytes, as the client sees the file."""
        return self.staged.size

    def write(self, offset: int, data: memoryview) -> None:
        """Raises StoreError; the upload can then not be completed."""
        if not self._begun:
            self._begin(offset)
        if self._append:
            offset = self.size
        if offset + len(data) > MAX_SIZE:
            raise self.fail(StoreError(f"a file may have {MAX_SIZE} bytes, and byte {offset} was sent"))
        self.check()
        try:
            self._allow(len(data))
            self.staged.write(offset, data)
        except StoreError as error:
            self.fail(error)
            raise
        self.changed = True

    def truncate(self, size: int) -> None:
        """
        Cut the file, or extend it by a hole, which counts as zeros. Raises StoreError; the upload can then not be completed, for
        it might end with bytes that its sender cut off.
        """
        if size > MAX_SIZE:
            raise self.fail(StoreError(f"a file may have {MAX_SIZE} bytes, and {size} were asked for"))
        self.check()
        if size == self.size:
            return
        try:
            self._reserve(max(size - self.size, 0))
            self.staged.truncate(size)
        except StoreError as error:
            self.fail(error)
            raise
        self.changed = True

    def fail(self, error: StoreError) -> StoreError:
        """Remember what went wrong: CLOSE must tell it again, for many clients heed nothing else."""
        self._fault = self._fault or error
        return error

    def check(self) -> None:
        """Raise what went wrong before, if anything did."""
        if self._fault:
            raise self._fault

    def _allow(self, count: int) -> None:
        self._allowed -= count
        if self._allowed < 0:
            self._reserve(STRIDE)
            self._write_back(self.staged.fd)
            self._allowed = STRIDE

    def _begin(self, offset: int) -> None:
        """
        The first WRITE tells what the client has in mind. One that goes on behind what is here counted on bytes that are gone,
        or that another session is still writing. By the draft APPEND puts every WRITE at the end, whatever its offset; but a
        client that names another offset than 0 counts for itself (OpenSSH's reput), and then its word is the safer one.
        """
        self._begun = True
        if self.resumes and offset > self.size:
            raise self.fail(
                StoreError(
                    f"{self.size} bytes of this file are here, and byte {offset} was sent",
                    code="CANNOT_RESUME",
                    fix="send the file from its beginning",
                )
            )
        self._append = self._append and offset == 0
