from __future__ import annotations

import errno
import logging

import pytest

from wharfinger.errors import LedgerError, NameRefused, NoSpace
from wharfinger.ingest.sftp.sentence import sentence
from wharfinger.store import disk


def test_a_client_is_told_what_it_did_wrong_and_what_to_do() -> None:
    assert sentence(NameRefused("'a\\x00b' holds a NUL", fix="leave it out")) == "'a\\x00b' holds a NUL; leave it out"
    assert sentence(NoSpace("no room")) == "no room"


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.EIO, "the server failed; try again later"),
        (errno.ENOSPC, "the server has no room at the moment; try again later"),
    ],
)
def test_paths_of_the_server_go_to_the_log_alone(number: int, told: str, caplog: pytest.LogCaptureFixture) -> None:
    error = disk.refusal(OSError(number, "of the system"), "the journal in /srv/secret could not be written")
    assert sentence(error) == told
    assert "/srv/secret" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_ledger_that_fails_is_told_without_its_place() -> None:
    assert sentence(LedgerError("/srv/ledger.db: disk I/O error")) == "the server failed; try again later"
    full = LedgerError("/srv/ledger.db: no space left for the ledger", code="NO_SPACE")
    assert sentence(full) == "the server has no room at the moment; try again later"
