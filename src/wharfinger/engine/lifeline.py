"""What a child shares with its supervisor: a pipe whose end means that the supervisor is gone, a line to say "ready", a name."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

LIFELINE = "WHARF_LIFELINE"  # descriptor; end of file: the supervisor is gone
READY = "WHARF_READY"  # descriptor; one line for each thing that is ready
OWNER = "WHARF_OWNER"  # under this name the child claims, so that the supervisor can take back what it held

GRACE_S = 25.0
"""What has begun may go on for so long after the process was told to stop. Then it is given back, before the process is killed."""

KILL_S = 30.0
"""What has not ended so long after it was told to stop is killed by the supervisor; an orphan, which has none, by itself."""


@dataclass(frozen=True, slots=True)
class Lifeline:
    """The child's side. Started by hand, a process has neither descriptor: it lives until it is told to stop."""

    owner: str
    _lifeline: int | None = None
    _ready: int | None = None

    @classmethod
    def inherited(cls, environ: Mapping[str, str], *, owner: str) -> Lifeline:
        """What the supervisor left in the environment; `owner` names a process that has none."""
        return cls(environ.get(OWNER) or owner, _inherited(environ, LIFELINE), _inherited(environ, READY))

    def ready(self, text: str) -> None:
        """Tell the supervisor what is ready and where: "sftp 127.0.0.1:2222"."""
        if self._ready is not None:
            os.write(self._ready, text.replace("\n", " ").encode() + b"\n")

    def watch(self, gone: Callable[[], object], *, grace_s: float = KILL_S) -> None:
        """When the supervisor is gone, call `gone` to stop gracefully; `grace_s` later the process ends in any case."""
        if self._lifeline is not None:
            args = (self._lifeline, gone, grace_s)
            threading.Thread(target=_wait, args=args, name="lifeline", daemon=True).start()


def _inherited(environ: Mapping[str, str], name: str) -> int | None:
    if not environ.get(name):
        return None
    descriptor = int(environ[name])
    os.set_inheritable(descriptor, False)  # a step's own child must not hold it open
    return descriptor


def _wait(lifeline: int, gone: Callable[[], object], grace_s: float) -> None:
    while os.read(lifeline, 64):
        pass
    gone()
    time.sleep(grace_s)
    os._exit(1)
