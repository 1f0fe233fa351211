"""A signed URL allows what it says and nothing else."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from wharfinger.errors import ConfigError, UsageError
from wharfinger.ingest.http.ticket import PREFIX, Refused, Ticket, check, secret
from wharfinger.model import ulid

NOW = 1_772_366_671.0
SECRET = b"s" * 32
TICKET = Ticket("acme/inbound/a b+c&d=ü.csv", ulid(NOW, 7), int(NOW) + 60, 1000, "text/csv")


def parts(ticket: Ticket = TICKET) -> tuple[str, dict[str, str]]:
    split = urlsplit(ticket.url("https://files.example.com/", SECRET))
    assert (split.scheme, split.netloc) == ("https", "files.example.com")
    assert split.path.startswith(PREFIX)
    return ticket.key, dict(parse_qsl(split.query, keep_blank_values=True))


def test_what_was_signed_is_allowed() -> None:
    key, query = parts()
    assert check(key, urlencode(query), SECRET, now=NOW) == TICKET


def test_a_url_without_a_type_is_allowed() -> None:
    key, query = parts(replace(TICKET, media_type=""))
    assert check(key, urlencode(query), SECRET, now=NOW).media_type == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", ulid(NOW, 8)),
        ("version", ""),
        ("expires", str(int(NOW) + 61)),
        ("expires", "+1e9"),
        ("expires", "٣"),
        ("max", "1001"),
        ("max", "-1"),
        ("type", ""),
        ("type", "text/html"),
        ("signature", "A" * 43),
        ("signature", "ü"),
        ("signature", ""),
        ("more", "x"),
    ],
)
def test_a_url_that_was_altered_is_refused(name: str, value: str) -> None:
    key, query = parts()
    with pytest.raises(Refused, match="altered"):
        check(key, urlencode({**query, name: value}), SECRET, now=NOW)


@pytest.mark.parametrize("name", ["version", "expires", "max", "type", "signature"])
def test_a_url_that_lacks_a_part_or_has_it_twice_is_refused(name: str) -> None:
    key, query = parts()
    with pytest.raises(Refused):
        check(key, urlencode({each: value for each, value in query.items() if each != name}), SECRET, now=NOW)
    with pytest.raises(Refused):
        check(key, f"{urlencode(query)}&{urlencode({name: query[name]})}", SECRET, now=NOW)


@pytest.mark.parametrize("key", ["acme/inbound/b.csv", "globex/inbound/a b+c&d=ü.csv", "", "../etc/passwd", "acme//a"])
def test_another_key_is_refused(key: str) -> None:
    with pytest.raises(Refused):
        check(key, urlencode(parts()[1]), SECRET, now=NOW)


def test_another_installation_refuses_it() -> None:
    key, query = parts()
    with pytest.raises(Refused):
        check(key, urlencode(query), b"t" * 32, now=NOW)


def test_a_url_ends() -> None:
    key, query = parts()
    check(key, urlencode(query), SECRET, now=NOW + 60)
    with pytest.raises(Refused, match="over"):
        check(key, urlencode(query), SECRET, now=NOW + 62)


@pytest.mark.parametrize(
    "change", [{"key": "acme/../a"}, {"version": "1"}, {"media_type": "text/csv\nX: y"}, {"media_type": "csv"}]
)
def test_a_ticket_that_makes_no_sense_is_not_made(change: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        replace(TICKET, **change)  # type: ignore[arg-type]


def test_a_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    made = secret(None, tmp_path / "data")
    assert secret(None, tmp_path / "data") == made
    (path,) = (tmp_path / "data").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(made) == 64


def test_a_secret_that_is_short_or_missing_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(os.urandom(8).hex().encode())
    for name in ("short", "nothing"):
        with pytest.raises(ConfigError) as caught:
            secret(tmp_path / name, tmp_path)
        assert caught.value.fix
