"""What a benchmark found: tables for people as dated Markdown, the same and every sample as JSON."""

from __future__ import annotations

import json
import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stand.measure import figure

COMPARE = {"<=": operator.le, ">=": operator.ge}


@dataclass(slots=True)
class Report:
    """Grows while the benchmark runs; `counts` hold on every machine and are what tests check, all else is a matter of time."""

    name: str
    title: str
    command: str  # repeats it
    date: str  # YYYY-MM-DD
    machine: dict[str, str]
    counts: dict[str, int] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    aims: list[dict[str, Any]] = field(default_factory=list)
    sections: list[str] = field(default_factory=list)

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> None:
        """A table under a heading, and what must be known to read it."""
        lines = [_row(header), _row(["---"] * len(header)), *(_row([_cell(c) for c in row]) for row in rows)]
        self.sections.append("\n\n".join(filter(None, [f"## {title}", note, "\n".join(lines)])))

    def say(self, text: str) -> None:
        """A sentence between the tables."""
        self.sections.append(text)

    def samples(self, name: str, values: Sequence[float] | dict[str, Any]) -> None:
        """Keep the single measurements, for JSON only."""
        self.figures[name] = values

    def aim(self, what: str, got: float, compare: str, wanted: float, unit: str = "") -> None:
        """One aim of the project beside what was reached."""
        met = bool(COMPARE[compare](got, wanted))
        self.aims.append({"what": what, "got": got, "compare": compare, "wanted": wanted, "unit": unit, "met": met})

    def markdown(self) -> str:
        """The whole report."""
        machine = "\n".join(f"- {key}: {value}" for key, value in self.machine.items())
        parts = [f"# {self.title}", f"{self.date}. Repeat with `{self.command}`.", machine]
        if self.aims:
            rows = [
                [
                    a["what"],
                    f"{a['compare']} {figure(a['wanted'])} {a['unit']}",
                    figure(a["got"]),
                    "yes" if a["met"] else "**no**",
                ]
                for a in self.aims
            ]
            header = _row(["aim", "wanted", "got", "met"])
            parts.append("\n".join(["## Aims", "", header, _row(["---"] * 4), *map(_row, rows)]))
        return "\n\n".join([*parts, *self.sections]) + "\n"

    def write(self, directory: Path) -> Path:
        """Both files, named by date and benchmark; the path of the Markdown."""
        directory.mkdir(parents=True, exist_ok=True)
        page = directory / f"{self.date}-{self.name}.md"
        page.write_text(self.markdown())
        facts = {key: value for key, value in asdict(self).items() if key != "sections"}
        page.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
        return page


def _cell(value: object) -> str:
    return figure(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
