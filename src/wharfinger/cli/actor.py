"""Who types: for the history of what was done."""

from __future__ import annotations

import getpass
import os


def actor() -> str:
    """The user of this machine, also behind sudo."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"
