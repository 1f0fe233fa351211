from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import pytest

from rig.certificates import certificate
from wharfinger.config.settings import Http
from wharfinger.errors import ConfigError
from wharfinger.ingest.http import tls


def test_a_certificate_with_its_key_is_used_and_none_is_plain_http(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    assert tls.context(Http(certificate=cert, key=key))
    assert tls.context(Http()) is None


def test_what_is_no_pem_is_told_with_what_mends_it(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    key.write_text("no key")
    with pytest.raises(ConfigError, match=r"cert\.pem and its key cannot be used") as refusal:
        tls.context(Http(certificate=cert, key=key))
    assert "in PEM" in refusal.value.fix


ASKED = """
import sys
from pathlib import Path
from wharfinger.config.settings import Http
from wharfinger.errors import ConfigError
from wharfinger.ingest.http import tls
try:
    tls.context(Http(certificate=Path(sys.argv[1]), key=Path(sys.argv[2])))
except ConfigError as exc:
    sys.exit(0 if "without a passphrase" in exc.fix else 2)
sys.exit(1)
"""


def test_nobody_at_a_terminal_is_asked_for_a_passphrase(tmp_path: Path) -> None:
    """Whoever asked would find the right one typed ahead."""
    cert, key = certificate(tmp_path, passphrase="secret")
    pid, screen = pty.fork()
    if not pid:
        os.execv(sys.executable, [sys.executable, "-c", ASKED, str(cert), str(key)])
    os.write(screen, b"secret\n")
    status = os.waitpid(pid, 0)[1]
    os.close(screen)
    assert os.waitstatus_to_exitcode(status) == 0
