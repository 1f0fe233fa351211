"""What a client is told of an error: never where things lie on the server. That goes to the log, for whoever runs it."""

from __future__ import annotations

import logging

from wharfinger.errors import NoSpace, WharfingerError
from wharfinger.telemetry.facts import facts
from wharfinger.telemetry.throttle import Throttle

_log = logging.getLogger(__name__)
_no_room = Throttle(
    _log, "an upload was refused: less room than min_free", "more uploads were refused: less room than min_free"
)


def sentence(error: WharfingerError) -> str:
    """The words for a client: the error's own, unless it is internal (the server's disk or ledger failed); this is logged as well."""
    if not error.is_internal:
        if isinstance(error, NoSpace):  # the client may show no words: who runs the server learns of it
            _no_room.warn(facts())
        return _whole(error)
    _log.error("%s: %s", error.code, _whole(error))
    if error.code == NoSpace.code:
        return "the server has no room at the moment; try again later"
    return "the server failed; try again later"


def _whole(error: WharfingerError) -> str:
    return f"{error}; {error.fix}" if error.fix else str(error)
