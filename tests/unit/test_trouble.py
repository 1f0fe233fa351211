"""Trouble that lasts is told when it begins, changes and ends."""

from __future__ import annotations

import logging

import pytest

from wharfinger.telemetry.trouble import Trouble


def test_trouble_is_told_once_for_each_kind_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    trouble = Trouble(logging.getLogger("wharfinger.test"), begins="it fails", ends="it goes on")
    for error in (None, OSError("full"), OSError("full"), OSError("gone"), None, None, OSError("full")):
        trouble.tell(error)
    assert [(r.message, r.exc_info and str(r.exc_info[1])) for r in caplog.records] == [
        ("it fails", "full"),
        ("it fails", "gone"),
        ("it goes on", None),
        ("it fails", "full"),
    ]
