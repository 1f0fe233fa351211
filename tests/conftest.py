"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")  # the same examples in every run; `--hypothesis-profile default` looks for new ones
