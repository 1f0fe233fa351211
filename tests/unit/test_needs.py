from __future__ import annotations

from pathlib import Path

import pytest

from rig import ceph, postgres
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


def test_a_missing_ceph_is_a_failure_where_it_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ceph, "MISSING", ["radosgw"])
    monkeypatch.setenv(NEEDS, "radosgw")
    with pytest.raises(pytest.fail.Exception, match="radosgw is not there"):
        ceph.a_store(tmp_path)


@pytest.mark.parametrize(("job", "what"), [("run", "postgres"), ("radosgw", "radosgw")])
def test_each_job_of_continuous_integration_needs_what_it_is_for(job: str, what: str) -> None:
    assert f"export {NEEDS}={what}" in (ROOT / ".ci" / job).read_text()
