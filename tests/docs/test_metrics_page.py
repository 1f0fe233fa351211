"""The page on metrics names each one, as it is declared, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from wharfinger.ledger import Counts
from wharfinger.ledger.gauge import readings
from wharfinger.model import State, Status
from wharfinger.telemetry.metrics import METRICS

DOCS = Path(__file__).parents[2] / "docs"
ROW = re.compile(r"^\| `(wharf_\w+)` \| (\w+) \| (.*?) \| (.*) \|$", re.MULTILINE)
USED = re.compile(r"\bwharf_[a-z_]+\b")


def test_the_page_says_of_each_metric_what_its_declaration_says() -> None:
    rows = ROW.findall((DOCS / "reference" / "metrics.md").read_text())
    assert rows == [(m.name, m.kind, ", ".join(f"`{label}`" for label in m.labels), m.help) for m in METRICS]


def test_queries_and_alarms_ask_for_metrics_that_there_are() -> None:
    known = {name for m in METRICS for name in (m.name, *(f"{m.name}_{part}" for part in ("bucket", "sum", "count")))}
    for page in ("how-to/operate.md", "how-to/alarms.yml"):
        assert set(USED.findall((DOCS / page).read_text())) <= known


def test_the_page_says_which_gauges_are_each_nodes_own() -> None:
    page = (DOCS / "reference" / "metrics.md").read_text()
    [sentence] = re.findall(r"^Each node tells its own of (.*?):", page, re.MULTILINE | re.DOTALL)
    nothing = Counts(dict.fromkeys(Status, 0), 0, dict.fromkeys(State, 0), dict.fromkeys(State, 0), 0, 0, None, None)
    shared = {reading.name for reading in readings(nothing, 0.0)} | {"wharf_checkpoint_age_seconds"}
    assert {*USED.findall(sentence)} == {m.name for m in METRICS if m.kind == "gauge"} - shared
