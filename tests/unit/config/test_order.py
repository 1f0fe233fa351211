from __future__ import annotations

import pytest

from wharfinger.config.order import WORDS, checked, grouping, unordered
from wharfinger.config.settings import Order
from wharfinger.model import Group

DECOMPOSED = "inbound/Mu\u0308ller/a.csv"


def test_without_a_rule_no_file_is_in_a_group() -> None:
    assert grouping([]) is unordered
    assert unordered("acme", "acme/inbound/a.csv") is None


@pytest.mark.parametrize(
    ("by", "name"),
    [
        ("{folder}", "acme/inbound/2026"),
        ("{key}", "acme/inbound/2026/rates.csv.gz"),
        ("{name}", "acme/rates.csv.gz"),
        ("{stem}", "acme/rates.csv"),
        ("{suffix}", "acme/.gz"),
        ("all", "acme/all"),
        ("{{{name}}}", "acme/{rates.csv.gz}"),
    ],
)
def test_a_group_is_named_by_its_customer_and_its_template(by: str, name: str) -> None:
    assert grouping([Order(by=by)])("acme", "acme/inbound/2026/rates.csv.gz") == Group(name, holds=True)


def test_a_file_at_the_top_of_the_home_is_in_the_group_of_no_folder() -> None:
    assert grouping([Order()])("acme", "acme/a.csv") == Group("acme/")


def test_the_first_rule_that_fits_counts() -> None:
    group = grouping(
        [
            Order(customer=("globex",), by="{key}"),
            Order(key=("inbound/positions/**",), after_failure="go_on"),
            Order(key=("inbound/**",), by="rest"),
        ]
    )
    assert group("globex", "globex/inbound/a") == Group("globex/inbound/a")
    assert group("acme", "acme/inbound/positions/a") == Group("acme/inbound/positions", holds=False)
    assert group("acme", "acme/inbound/a") == Group("acme/rest")
    assert group("acme", "acme/other/a") is None


def test_names_are_compared_in_one_form() -> None:
    group = grouping([Order(key=("inbound/M\u00fcller/*",))])
    assert group("acme", f"acme/{DECOMPOSED}") == group("acme", "acme/inbound/M\u00fcller/a.csv") != None  # noqa: E711


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("{foldr}", "no variable 'foldr' here; did you mean 'folder'?"),
        ("{customer}", "no variable 'customer' here"),
        ("{name:%Y}", "there are no formats here; write '{name}'"),
        ("a}", "has a lone '}' at character 2"),
    ],
)
def test_a_mistake_is_told(by: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", "\\?").replace("{", "\\{").replace("}", "\\}")):
        checked(by)


def test_every_word_can_be_used() -> None:
    assert [checked(f"{{{word}}}") for word in WORDS] == [f"{{{word}}}" for word in WORDS]
