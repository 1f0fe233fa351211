"""What a new user pastes from the README and the tutorial works in the file that `wharf init` wrote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wharfinger import app, config
from wharfinger.cli.init import TEMPLATE

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial/first-pipeline.md"])
def test_the_pipeline_of_the_page_comes_first_in_the_file_of_init(page: str, tmp_path: Path) -> None:
    text = TEMPLATE.format(customer="acme", port=2222)
    for block in BLOCK.findall((ROOT / page).read_text()):
        section = "pipelines:\n" if "steps:" in block else "destinations:\n"
        text = text.replace(section, section + block)
    for directory in ("outgoing", "warehouse"):
        (tmp_path / directory).mkdir()
    settings = config.load(text, app.registry(), path=tmp_path / "wharf.yaml", environ={})
    assert settings.pipelines[0].name == "claims"
