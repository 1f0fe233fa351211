"""Whether what serves began with another configuration than the one that a command reads."""

from __future__ import annotations

import time
from typing import NamedTuple

from wharfinger.cli.session import Session
from wharfinger.cli.words import clock


class Outdated(NamedTuple):
    """Why what serves does not do what the configuration says, and what mends it."""

    text: str
    fix: str

    def __str__(self) -> str:
        return f"{self.text}: {self.fix}"


def outdated(session: Session) -> Outdated | None:
    """None where nothing serves here, or it serves what is configured."""
    from wharfinger import app

    served, path = app.served(session.place), session.config.absolute()
    if served is None or not app.has_changed(served, path):
        return None
    if served.path != str(path):
        return Outdated(f"wharf serve runs with another configuration, {served.path}", f"--config {served.path}")
    since = clock(served.at, time.time())
    return Outdated(
        f"{path} was changed since wharf serve began ({since}), which still obeys the old one", "restart wharf serve"
    )
