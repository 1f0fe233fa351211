"""Deleting many objects where some may be refused: one that cannot go holds up no other."""

from __future__ import annotations

from collections.abc import Sequence

from wharfinger.errors import NoSpace, StoreError, Unreachable
from wharfinger.model import ObjectRef
from wharfinger.store import Store


def remove(store: Store, refs: Sequence[ObjectRef]) -> dict[ObjectRef, StoreError]:
    """
    Delete these; the answer says of each that stays why. A group that is refused as a whole is tried one by one. Raises StoreError where no
    object is at fault.
    """
    try:
        store.delete(refs)
    except (NoSpace, Unreachable):
        raise
    except StoreError as error:
        if len(refs) > 1:
            return {ref: why for each in refs for ref, why in remove(store, [each]).items()}
        [ref] = refs
        why = StoreError(f"{ref}: {error}", code=error.code, fix=error.fix)  # without its frames, for it is kept
        return {ref: why}
    return {}
