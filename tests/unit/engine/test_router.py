from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from wharfinger.config.entry import Retry, Route
from wharfinger.config.settings import Pipeline
from wharfinger.engine import router
from wharfinger.model import Arrival, Child

FILE = Arrival(
    bucket="arrivals",
    key="acme/inbound/2026/orders.csv",
    version="01J9ZQ3V5M8X2K7C4T6B0WARF1",
    size=1000,
    sha256="ab" * 32,
    customer="acme",
    at=1_700_000_000.0,
    media_type="text/csv",
    source="sftp",
    user="acme-erp",
)


EVERY = Route()


def pipeline(name: str, route: Route = EVERY, accepts: Any = lambda _: True) -> Pipeline:
    return Pipeline(name, route, accepts, (), Retry(), "0" * 64, "{}")


@pytest.mark.parametrize(
    ("route", "fits"),
    [
        (Route(), True),
        (Route(customer=("acme",)), True),
        (Route(customer=("ac*",)), True),
        (Route(customer=("globex", "acme")), True),
        (Route(customer=("globex",)), False),
        (Route(key=("inbound/**",)), True),
        (Route(key=("inbound/**/*.csv",)), True),
        (Route(key=("inbound/*.csv",)), False),
        (Route(key=("acme/inbound/**",)), False),
        (Route(key=("*.pdf", "**/*.csv")), True),
        (Route(type=("text/*",)), True),
        (Route(type=("image/*", "text/csv")), True),
        (Route(type=("image/*",)), False),
        (Route(customer=("acme",), key=("inbound/**",), type=("application/pdf",)), False),
        (Route(customer=("globex",), key=("inbound/**",), type=("text/csv",)), False),
        (Route(customer=("acme",), key=("inbound/**",), type=("text/csv",)), True),
    ],
)
def test_all_that_a_route_names_must_fit(route: Route, fits: bool) -> None:
    one = pipeline("claims", route)
    assert router.match(FILE, [one]) is (one if fits else None)
    assert router.explain(FILE, [one])[0].fits is fits


def test_the_first_in_file_order_takes_the_file() -> None:
    never, first, second = pipeline("never", Route(key=("x",))), pipeline("first"), pipeline("second")
    assert router.match(FILE, [never, first, second]) is first
    assert [verdict.fits for verdict in router.explain(FILE, [never, first, second])] == [False, True, True]


def test_without_pipelines_nothing_fits() -> None:
    assert router.match(FILE, []) is None
    assert router.explain(FILE, []) == []


def test_a_condition_sees_the_file_and_the_customer_and_has_the_last_word() -> None:
    def accepts(context: Any) -> bool:
        seen.append(context)
        return bool(context["file"]["size"] <= 10)

    seen: list[Any] = []
    picky = pipeline("picky", Route(key=("inbound/**",), when="file.size <= 10"), accepts)
    assert router.match(FILE, [picky]) is None
    assert router.match(replace(FILE, size=10), [picky]) is picky
    assert seen[0]["file"] == {
        "key": "acme/inbound/2026/orders.csv",
        "name": "orders.csv",
        "folder": "acme/inbound/2026",
        "size": 1000,
        "media_type": "text/csv",
        "customer": "acme",
        "user": "acme-erp",
        "source": "sftp",
        "sha256": "ab" * 32,
        "version": "01J9ZQ3V5M8X2K7C4T6B0WARF1",
        "at": 1_700_000_000.0,
    }
    assert seen[0]["customer"] == {"name": "acme"}
    assert seen[0]["steps"] == {}


def test_a_condition_is_not_asked_about_a_file_that_does_not_fit() -> None:
    def fail(_: Any) -> bool:
        raise AssertionError

    assert router.match(FILE, [pipeline("other", Route(customer=("globex",), when="true"), fail)]) is None


def test_each_refusal_says_what_does_not_fit() -> None:
    pipelines = [
        pipeline("theirs", Route(customer=("globex", "initech*"))),
        pipeline("claims", Route(key=("inbound/**/*.pdf",))),
        pipeline("pictures", Route(type=("image/*",))),
        pipeline("small", Route(when="file.size <= 10"), lambda _: False),
        pipeline("rest"),
    ]
    assert [str(verdict) for verdict in router.explain(FILE, pipelines)] == [
        "theirs: customer 'acme' does not fit globex or initech*",
        "claims: key 'inbound/2026/orders.csv' does not fit inbound/**/*.pdf",
        "pictures: type 'text/csv' does not fit image/*",
        "small: the condition does not hold: file.size <= 10",
        "rest: takes it",
    ]


def test_names_are_compared_by_their_normal_form() -> None:
    sent = replace(FILE, key="acme/inbound/Ru\u0308ckgabe.csv")
    assert router.match(sent, [pipeline("a", Route(key=("inbound/R\u00fcck*",)))])


def test_an_unrouted_file_says_what_it_is() -> None:
    assert router.unrouted(FILE) == (
        "no pipeline takes 'inbound/2026/orders.csv' (text/csv) of acme; `wharf route explain` tells why"
    )


def test_a_match_among_twenty_pipelines_takes_microseconds() -> None:
    pipelines = [pipeline(f"p{n}", Route(customer=("acme",), key=(f"inbound/**/*.{n}",))) for n in range(19)]
    pipelines.append(pipeline("last"))
    router.match(FILE, pipelines)
    best = min(_time(lambda: router.match(FILE, pipelines)) for _ in range(20))
    assert best < 500e-6  # some 20 µs on an idle machine


def _time(call: Any) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def test_a_pipeline_that_is_only_called_takes_nothing_and_says_so() -> None:
    inner = replace(pipeline("inner"), is_routed=False)
    assert router.match(FILE, [inner]) is None
    [verdict] = router.explain(FILE, [inner])
    assert str(verdict) == "inner: takes only what other pipelines hand it: it has no route"


def test_conditions_see_the_member_of_an_archive() -> None:
    ref = FILE.ref
    child = Child("rows", "r", "each", "2026/a.csv", ((replace(ref, size=7), "a.csv", "text/csv"),))
    assert router.view(FILE, {}, child)["member"] == {
        "path": "2026/a.csv",
        "name": "a.csv",
        "size": 7,
        "media_type": "text/csv",
    }
    assert "member" not in router.view(FILE, {}, replace(child, member=""))
    assert "member" not in router.view(FILE)
