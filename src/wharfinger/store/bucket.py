"""The target that is another bucket, or another prefix, of the store itself."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from wharfinger.errors import StoreError, WharfingerError
from wharfinger.model import Delivered, ObjectRef
from wharfinger.store import Copy, Delivery, Lying, Put, Store, disk

_Errors = dict[int, WharfingerError | None]  # by the place in the group


class BucketTarget:
    """
    Delivers into `bucket` under `prefix` + key. Each delivery becomes the object of its own version, so a repeat finds it there.
    An object moves no bytes through the process; a file in scratch is shared with the store where the filesystem allows it, so
    its bytes must not change afterwards.
    """

    def __init__(
        self, store: Store, name: str, bucket: str, prefix: str = "", *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store, self._name, self._bucket, self._prefix = store, name, bucket, prefix
        self._clock = clock

    def deliver(self, deliveries: Sequence[Delivery]) -> list[Delivered | WharfingerError]:
        """See Target."""
        objects = [(n, each, each.source) for n, each in enumerate(deliveries) if isinstance(each.source, ObjectRef)]
        files = [(n, each, each.source) for n, each in enumerate(deliveries) if isinstance(each.source, Path)]
        errors = self._copy(objects) | (self._put(files) if files else {})
        return [errors[n] or self._delivered(each) for n, each in enumerate(deliveries)]

    def head(self, key: str) -> int | None:
        """See Target; of the latest version. Slow: the store has no index by key, so its whole journal is read."""
        key = self._prefix + key
        sizes = [listed.ref.size for listed in self._store.list(self._bucket, key) if listed.ref.key == key]
        return sizes[-1] if sizes else None

    def listing(self) -> Iterator[Lying]:
        """See Target. Of a bucket that files land in as well, these are left out. The journal is read, not the objects."""
        for listed in self._store.list(self._bucket, self._prefix):
            if "file_id" not in listed.about:
                ref = listed.ref
                yield Lying(ref.key, ref.version, ref.size, listed.at, ref.sha256)

    def digest(self, lying: Lying) -> str | None:
        """See Target; as the journal says: `wharf store verify` reads the bytes."""
        return lying.sha256

    def _copy(self, objects: Iterable[tuple[int, Delivery, ObjectRef]]) -> _Errors:
        errors: _Errors = {}
        copies: dict[int, Copy] = {}
        for n, delivery, source in objects:
            if (source.size, source.sha256) == (delivery.size, delivery.sha256):
                copies[n] = Copy(source, self._ref(delivery), delivery.about)
            else:
                errors[n] = disk.mismatch(str(source), source.size, source.sha256, delivery.size, delivery.sha256)
        return errors | dict(zip(copies, self._store.copy(list(copies.values()))))

    def _put(self, files: Iterable[tuple[int, Delivery, Path]]) -> _Errors:
        errors: _Errors = {}
        puts: dict[int, Put] = {}
        scratch = self._store.scratch()
        try:
            for n, delivery, source in files:
                try:
                    puts[n] = Put(self._ref(delivery), _shared(source, scratch / str(n), delivery), delivery.about)
                except StoreError as error:
                    errors[n] = error
            return errors | dict(zip(puts, self._store.put(list(puts.values()))))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _ref(self, delivery: Delivery) -> ObjectRef:
        return ObjectRef(self._bucket, self._prefix + delivery.key, delivery.version, delivery.size, delivery.sha256)

    def _delivered(self, delivery: Delivery) -> Delivered:
        ref = self._ref(delivery)
        return Delivered(self._name, ref.bucket, ref.key, ref.version, ref.size, ref.sha256, self._clock())


def _shared(source: Path, staged: Path, delivery: Delivery) -> Path:
    """A name of our own for the caller's file, for the store to take. Raises StoreError, Corrupt if the bytes are not those meant."""
    try:
        if not disk.link(str(source), str(staged)):
            disk.copy(str(source), str(staged))
        with staged.open("rb", buffering=0) as file:
            size, sha256 = disk.digest(file.fileno())
    except OSError as exc:
        raise disk.refusal(exc, f"{source}, to be delivered as {delivery.key!r}, could not be read") from exc
    if (size, sha256) != (delivery.size, delivery.sha256):
        raise disk.mismatch(str(source), size, sha256, delivery.size, delivery.sha256)
    return staged
