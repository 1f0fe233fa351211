"""Whom `wharf init` admits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wharfinger import app
from wharfinger.cli import credentials
from wharfinger.cli.frame import run
from wharfinger.config.place import glance
from wharfinger.ledger import User

OTHER = User("acme", "globex", home="globex", password_hash="$argon2id$...")


@pytest.mark.parametrize(("words", "secret"), [([], "new_key"), (["--password"], "new_password")])
def test_a_user_who_was_added_meanwhile_is_not_replaced(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    secret: str,
) -> None:
    config = tmp_path / "wharf.yaml"
    made: Callable[..., str] = getattr(credentials, secret)

    def meanwhile(*args: Any) -> str:
        accounts = app.open_database(place(config)).accounts
        assert accounts.add(OTHER)
        return made(*args)

    monkeypatch.setattr(credentials, secret, meanwhile)
    assert run(["--config", str(config), "init", *words]) == 2
    assert "USER_EXISTS" in capsys.readouterr().err
    assert app.open_database(place(config)).accounts.users() == [OTHER]


def place(config: Path) -> Any:
    return glance(config, {})
