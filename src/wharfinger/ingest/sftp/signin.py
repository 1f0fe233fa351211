"""Who signs in, and who is refused: a line in the log for each, and a count. Never a password; of a key the fingerprint."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from wharfinger.telemetry.facts import facts
from wharfinger.telemetry.meter import Meter

MOST = 60
"""So many refusals are told one by one within WINDOW_S; who knocks a thousand times a second fills no disk."""

WINDOW_S = 60.0

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
        self._meter, self._clock = meter, clock
        self._until = 0.0  # when the window ends
        self._told = self._untold = 0  # in this window

    def accepted(self, attempt: Attempt) -> None:
        """Somebody is in."""
        self._meter.signed_in("accepted")
        _log.info("sign-in accepted", extra=facts(**_story(attempt)))

    def refused(self, attempt: Attempt) -> None:
        """Somebody has gone who wanted in."""
        self._meter.signed_in("refused")
        self.look()
        if self._told >= MOST:
            self._untold += 1
            return
        self._told += 1
        _log.warning("sign-in refused", extra=facts(**_story(attempt), why=attempt.why))

    def look(self) -> None:
        """Begin a new window where one is over, and tell how many refusals were passed over in it."""
        if self._clock() >= self._until:
            self.close()
            self._until, self._told = self._clock() + WINDOW_S, 0

    def close(self) -> None:
        """Tell what is not told yet."""
        if self._untold:
            _log.warning("more sign-ins were refused", extra=facts(count=self._untold))
            self._untold = 0


def _story(attempt: Attempt) -> dict[str, str | int]:
    known = {"fingerprint": attempt.fingerprint} if attempt.fingerprint else {}
    said = {"user": attempt.user[:NAME], "method": attempt.method, "address": attempt.address}
    return {**said, **known, "wrong": attempt.wrong}
