"""The pages hold together: links lead somewhere, every page is listed, examples are valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wharfinger import app, config

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_every_page_is_listed() -> None:
    listed = set(LINK.findall((ROOT / "docs" / "README.md").read_text()))
    pages = {
        str(p.relative_to(ROOT / "docs"))
        for kind in ("tutorial", "how-to", "reference", "explanation")
        for p in (ROOT / "docs" / kind).glob("*.md")
    }
    assert pages <= listed


def test_decisions_are_short_and_numbered_once() -> None:
    notes = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert len({note.name[:4] for note in notes}) == len(notes)
    assert [note.name for note in notes if len(note.read_text().splitlines()) > 40] == []


@pytest.mark.parametrize(
    "page", [p for p in PAGES if "pipelines:" in p.read_text()], ids=lambda p: str(p.relative_to(ROOT))
)
def test_whole_configurations_in_the_pages_are_valid(page: Path, tmp_path: Path) -> None:
    (tmp_path / "warehouse").mkdir()
    for text in BLOCK.findall(page.read_text()):
        if "pipelines:" in text and "..." not in text:
            customers = "" if "customers:" in text else "customers: {acme: {}}\n"
            config.load(customers + text, app.registry(), path=tmp_path / "wharf.yaml", environ={})
