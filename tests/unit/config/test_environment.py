"""The environment overrides the file; what it gets wrong is told under the variable's name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wharfinger.errors import ConfigError

from .conftest import Load


def test_two_underscores_lead_one_level_down(load: Load) -> None:
    found = load("listeners: {sftp: {port: 2222}}", WHARF_LISTENERS__SFTP__PORT="0", WHARF_WORKERS__LEASE_S="1.5")
    assert found.listeners.sftp
    assert (found.listeners.sftp.port, found.workers.lease_s) == (0, 1.5)


def test_values_are_plain_scalars(load: Load) -> None:
    assert load("", WHARF_LISTENERS__SFTP="null").listeners.sftp is None
    assert load("", WHARF_BUCKET="NO").bucket == "NO"
    assert load("", WHARF_BUCKET="'2024'").bucket == "2024"
    assert load("", WHARF_STORE="file:///x # y").store == "file:///x # y"


def test_a_setting_that_stands_nowhere_is_made(load: Load) -> None:
    found = load("customers:", WHARF_CUSTOMERS__ACME__WEIGHT="3", WHARF_DESTINATIONS__OUT__DIRECTORY="out")
    assert found.customers["acme"].weight == 3
    assert str(found.destinations["out"].directory) == "/etc/wharf/out"


def test_dashes_dots_and_capitals_are_found(load: Load) -> None:
    found = load("customers: {Acme-EU.x: {weight: 1}}", WHARF_CUSTOMERS__ACME_EU_X__WEIGHT="3")
    assert {name: customer.weight for name, customer in found.customers.items()} == {"Acme-EU.x": 3}


def test_empty_and_foreign_variables_are_passed_by(load: Load) -> None:
    assert load("", WHARF_DATA="", WHARF_CRASH="x", WHARF_VENV_CACHE="x", HOME="/", DATA="y") == load("")


def test_a_variable_is_mended_where_it_is_set(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load("", WHARF_DTA="/x")
    assert caught.value.fix.startswith("correct the environment")


def test_mistakes_name_the_variable(mistakes: Callable[..., list[str]]) -> None:
    assert mistakes(
        "listeners: {sftp: 3}",
        WHARF_BUCKET="20 24",
        WHARF_DTA="/x",
        WHARF_LISTENERS__SFTP__PORT="0",
        WHARF_LISTNERS__SFTP__PORT="0",
        WHARF_MIN_FREE="9" * 65,
        WHARF_WORKERS__COUNT="many",
    ) == [
        "WHARF_BUCKET: bucket: expected a name of at most 64 letters, digits, '.', '_' and '-', such as landing, found the text '20 24'",
        "WHARF_DTA: no setting has this name; did you mean 'WHARF_DATA'?",
        "WHARF_LISTENERS__SFTP__PORT: no mapping is there to set this in; edit the file instead",
        "WHARF_LISTNERS__SFTP__PORT: listners: there is no such key; did you mean 'listeners'?",
        "WHARF_MIN_FREE: a number has at most 64 characters",
        "WHARF_WORKERS__COUNT: workers.count: expected a whole number from 0 to 256, such as 4, found the text 'many'",
        "wharf.yaml:1:19: listeners.sftp: expected a mapping or null, found the number 3",
    ]


def test_half_a_character_is_refused(mistakes: Callable[..., list[str]]) -> None:
    assert mistakes("", WHARF_STORE="\udcff") == ["WHARF_STORE: this is no UTF-8"]
