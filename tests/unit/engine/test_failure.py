from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from wharfinger.config.entry import Retry
from wharfinger.engine import failure
from wharfinger.engine.failure import RESPITE_S, Fate, Fault, fate
from wharfinger.errors import (
    Busy,
    ConfigError,
    Corrupt,
    NameRefused,
    NoSpace,
    NotFound,
    Rejected,
    StoreError,
    Transient,
    Unreachable,
)
from wharfinger.model import State, Status

POLICY = Retry(tries=3, base_s=2.0, cap_s=100.0)
NOW = 1000.0


def the_fate(error: BaseException, tries: int = 0, policy: Retry = POLICY, rand: float = 0.5) -> Fate:
    return fate(Fault.of(error, "step"), tries, policy, now=NOW, rand=lambda: rand)


@pytest.mark.parametrize("error", [Rejected("bomb"), NameRefused("..")])
@pytest.mark.parametrize("tries", [0, 2, 9])
def test_bytes_at_fault_are_quarantined_at_once(error: Exception, tries: int) -> None:
    assert the_fate(error, tries) == Fate(State.DEAD, Status.QUARANTINED)


OTHERS = [
    Transient("scanner down"),
    StoreError("EIO"),
    NotFound("gone"),
    Corrupt("bits"),
    ConfigError("?"),
    KeyError("x"),
]


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_anything_else_is_tried_again_until_the_tries_are_spent(error: Exception) -> None:
    assert the_fate(error, 0) == Fate(State.READY, Status.PROCESSING, NOW + 1.0)
    assert the_fate(error, 1) == Fate(State.READY, Status.PROCESSING, NOW + 2.0)
    assert the_fate(error, 2) == Fate(State.DEAD, Status.FAILED)
    assert the_fate(error, 9) == Fate(State.DEAD, Status.FAILED)


def test_with_one_try_the_first_failure_is_the_last() -> None:
    assert the_fate(Transient("x"), 0, Retry(tries=1)) == Fate(State.DEAD, Status.FAILED)


OURS = [
    NoSpace("disk full"),
    Busy("ledger"),
    Unreachable("store"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Quota exceeded"),
]


@pytest.mark.parametrize("error", OURS, ids=repr)
def test_our_own_full_disk_costs_no_file_a_try(error: Exception) -> None:
    assert not Fault.of(error, "step").counts
    assert Fault.of(error, "step").kind == "transient"
    assert the_fate(error, 99) == Fate(State.READY, Status.PROCESSING, NOW + 0.5 * RESPITE_S)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Rejected("x"), "rejected"),
        (Transient("x"), "transient"),
        (StoreError("x"), "transient"),
        (OSError(5, "x"), "error"),
    ],
)
def test_a_step_is_recorded_by_the_kind_of_its_failure(error: Exception, kind: str) -> None:
    assert Fault.of(error, "step").kind == kind
    assert Fault.of(error, "step").counts


def told(raising: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        raising()
    found = Fault.of(caught.value, "unzip").failure
    assert found.step == "unzip"
    return found.code, found.message


def raises(error: BaseException) -> Callable[[], object]:
    def fail() -> object:
        raise error

    return fail


def test_our_errors_speak_for_themselves() -> None:
    assert told(raises(Rejected("too large\nmore", code="ARCHIVE_EXPANSION_LIMIT"))) == (
        "ARCHIVE_EXPANSION_LIMIT",
        "too large",
    )
    assert told(raises(Transient("down", fix="start it"))) == ("TRANSIENT", "down; start it")


def test_other_errors_tell_their_kind_and_place_but_never_the_file() -> None:
    code, message = told(lambda: int("4111 1111 1111 1111"))
    assert (code, message.rpartition(":")[0]) == ("STEP_ERROR", "ValueError, at test_failure.py")
    assert told(raises(OSError(errno.EIO, "Input/output error", "/secret")))[1].startswith(
        "OSError: Input/output error, at"
    )
    assert told(raises(OSError(errno.ENOSPC, "No space left on device"))) == (
        "NO_SPACE",
        "OSError: No space left on device",
    )
    assert Fault.of(ValueError(), "x").failure.message == "ValueError, at an unknown place"


def test_messages_are_cut() -> None:
    message = told(raises(Rejected("x" * 10_000)))[1]
    assert len(message) == failure.LENGTH
    assert message.endswith("x…")
