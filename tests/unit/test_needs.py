from __future__ import annotations

from pathlib import Path

import pytest

from rig import postgres
from rig.needs import NEEDS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def without_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "binaries", lambda: None)


@pytest.mark.usefixtures("without_server")
def test_a_missing_postgres_is_a_failure_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NEEDS, "radosgw,postgres")
    with pytest.raises(pytest.fail.Exception, match="no Postgres server is installed"):
        postgres.Server()


@pytest.mark.usefixtures("without_server")
def test_a_missing_postgres_leaves_its_tests_out_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NEEDS, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Postgres server is installed"):
        postgres.Server()


def test_continuous_integration_needs_postgres() -> None:
    assert f"export {NEEDS}=postgres" in (ROOT / ".ci" / "run").read_text()
