"""What the configuration names is opened, or refused with what mends it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from rig.descriptors import ARE_TOLD, opened
from rig.serving import prepare, put
from rig.waiting import wait_until
from wharfinger import app, config
from wharfinger.app.process import SERVED, note_served
from wharfinger.config.place import Glance
from wharfinger.config.settings import Sftp
from wharfinger.engine.lifeline import LIFELINE, READY
from wharfinger.engine.presence import present
from wharfinger.errors import ConfigError, UsageError
from wharfinger.ledger import Filter


def test_an_address_that_is_not_of_this_machine_is_refused_with_what_mends_it() -> None:
    with pytest.raises(UsageError, match="cannot listen on no") as refusal:
        app.bind("listeners.sftp", Sftp(host="no.such.host.invalid", port=0))
    assert (refusal.value.code, "listeners.sftp.host" in refusal.value.fix) == ("CANNOT_LISTEN", True)


@pytest.mark.parametrize("url", ["sqlite://relative.db", "sqlite:relative.db", "sqlite://"])
def test_a_ledger_without_an_absolute_path_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absolute path"):
        app.open_database(Glance(tmp_path, "local", url, "inbox", 0, {}))


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handle in before.items():
        signal.signal(number, handle)


@pytest.mark.usefixtures("handlers")
@pytest.mark.skipif(not ARE_TOLD, reason="needs /proc")
def test_a_worker_lets_go_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (LIFELINE, READY):
        monkeypatch.delenv(name, raising=False)
    prepare(tmp_path)
    put(tmp_path, {"a.txt": b"bytes"})
    settings = config.read(tmp_path / "wharf.yaml", app.registry(), {})
    catalog = app.open_database(settings).catalog

    def stop() -> None:
        wait_until("it is done", lambda: all(record.status.is_final for record in catalog.files(Filter())))
        os.kill(os.getpid(), signal.SIGTERM)

    stopping = threading.Thread(target=stop)
    stopping.start()
    app.work(settings)
    stopping.join()
    assert catalog.files(Filter())[0].status == "transferred"
    assert opened(tmp_path / "data" / "store") == []


@pytest.fixture
def shown() -> Iterator[Path]:
    """A directory that every user may look into."""
    with TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        yield Path(path)


@contextmanager
def nobody() -> Iterator[None]:
    """As a user without rights, if this one is root."""
    if os.getuid():
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.parametrize("is_readable", [True, False])
def test_another_user_learns_what_serves_as_far_as_it_may_be_read(shown: Path, is_readable: bool) -> None:
    configuration, run = shown / "wharf.yaml", shown / "run"
    configuration.write_text("data: .")
    with present(run), pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)  # whose process is not ours
        note_served(configuration, shown)
        run.chmod(0o755)
        (run / "serving.lock").chmod(0o644)
        (run / SERVED).chmod(0o644 if is_readable else 0)
        with nobody():
            found = app.served(Glance(shown, "local", "", "inbox", 0, {}))
    assert (found is not None) == is_readable
