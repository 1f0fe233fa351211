"""What holds for all tests."""

from __future__ import annotations

from hypothesis import Phase, settings

from rig import postgres

settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.register_profile(
    "first", settings.get_profile("steady"), phases=[Phase.generate]
)  # shows that a test can fail
settings.load_profile("steady")  # the same examples in every run; `--hypothesis-profile default` looks for new ones


def pytest_sessionfinish() -> None:
    postgres.end()
