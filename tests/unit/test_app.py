"""What the configuration names is opened, or refused with what mends it."""

from __future__ import annotations

import pytest

from wharfinger import app
from wharfinger.config.settings import Sftp
from wharfinger.errors import ConfigError, UsageError


def test_an_address_that_is_not_of_this_machine_is_refused_with_what_mends_it() -> None:
    with pytest.raises(UsageError, match="cannot listen on no") as refusal:
        app.bind(Sftp(host="no.such.host.invalid", port=0))
    assert (refusal.value.code, "listeners.sftp.host" in refusal.value.fix) == ("CANNOT_LISTEN", True)


@pytest.mark.parametrize("url", ["sqlite://relative.db", "sqlite:relative.db", "sqlite://"])
def test_a_ledger_without_an_absolute_path_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="absolute path"):
        app._split(url, "ledger", app.LEDGERS)
