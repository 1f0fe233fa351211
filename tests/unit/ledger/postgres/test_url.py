from __future__ import annotations

import pytest

from wharfinger.errors import ConfigError
from wharfinger.ledger.postgres import url


@pytest.mark.parametrize(
    "text",
    ["postgresql://ann:s3cret@db/wharf", "postgresql://ann@db/wharf?password=s3cret", "postgresql://a:s3cret@[::1/x"],
)
def test_a_url_with_a_password_is_refused_and_never_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        url.read(text)
    assert (
        "s3cret" not in f"{refusal.value} {refusal.value.fix} {refusal.value.__cause__} {refusal.value.__context__!r}"
    )
    assert refusal.value.fix


def test_messages_name_server_and_database() -> None:
    assert url.name(url.read("postgresql://ann@db:5433/wharf?sslmode=require")) == "postgresql://ann@db:5433/wharf"


def test_what_the_url_says_goes_before_what_is_usual() -> None:
    found = url.read("postgresql://db/wharf?connect_timeout=3&passfile=/etc/wharf/pgpass")
    assert (found["connect_timeout"], found["keepalives_count"]) == ("3", 3)
    assert found["passfile"] == "/etc/wharf/pgpass"
