"""On the path of a process that is to have a fault (see seeded.py): it begins with the one that the environment names."""

from __future__ import annotations

import os
from importlib import import_module

if seeded := os.environ.get("WHARF_SEEDED"):
    module, _, fault = seeded.rpartition(".")
    getattr(import_module(module), fault)()
