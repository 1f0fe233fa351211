"""Who signs in, and who is refused: a line in the log for each, and a count. Never a password; of a key the fingerprint."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from wharfinger.telemetry.facts import facts
from wharfinger.telemetry.meter import Meter
from wharfinger.telemetry.throttle import Throttle

NAME = 64
"""Characters that are told of the name that a stranger gives."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Attempt:
    """What one connection has tried. It is refused when it ends without having been accepted."""

    address: str = ""  # the client's
    user: str = ""  # as it calls itself
    is_known: bool = False
    method: str = "none"  # the last one: publickey or password
    fingerprint: str = ""  # of the last key
    is_open: bool = False  # whether the last key or password was right
    wrong: int = 0  # keys and passwords that were not

    def tried(self, method: str, *, opens: bool, fingerprint: str = "") -> bool:
        """Note a key or a password; the answer is `opens`."""
        self.method, self.fingerprint, self.is_open = method, fingerprint, opens
        self.wrong += not opens
        return opens

    @property
    def why(self) -> str:
        """Why it was refused, for the operator alone."""
        if not self.is_known:
            return "no such user, or disabled"
        if self.method == "none":
            return "it offered nothing that is taken here"
        if self.is_open:
            return "it left before the end"
        return "wrong password" if self.method == "password" else "not a key of this user"


class SignIns:
    """Tells of each attempt once. `clock` gives seconds."""

    def __init__(self, meter: Meter, clock: Callable[[], float] = time.monotonic) -> None:
        self._meter = meter
        self._refusals = Throttle(_log, "sign-in refused", "more sign-ins were refused", clock)
        self.look, self.close = self._refusals.look, self._refusals.close

    def accepted(self, attempt: Attempt) -> None:
        """Somebody is in."""
        self._meter.signed_in("accepted")
        _log.info("sign-in accepted", extra=facts(**_story(attempt)))

    def refused(self, attempt: Attempt) -> None:
        """Somebody has gone who wanted in."""
        self._meter.signed_in("refused")
        self._refusals.warn(facts(**_story(attempt), why=attempt.why))


def _story(attempt: Attempt) -> dict[str, str | int]:
    known = {"fingerprint": attempt.fingerprint} if attempt.fingerprint else {}
    said = {"user": attempt.user[:NAME], "method": attempt.method, "address": attempt.address}
    return {**said, **known, "wrong": attempt.wrong}
