"""What a new user does: install the wheel into an empty environment, `wharf init`, `wharf serve`, upload, delivered."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from rig.waiting import wait_until

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an empty environment's programs, with nothing but the built wheel and what it needs."""
    place = tmp_path_factory.mktemp("install")
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(place), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    venv.create(place / "venv", with_pip=True)
    (wheel,) = place.glob("*.whl")
    pip = [
        place / "venv" / "bin" / "python",
        "-m",
        "pip",
        "install",
        "-qq",
        "--disable-pip-version-check",
        "--no-input",
        str(wheel),
    ]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode and re.search("connection|resolve|No matching distribution", done.stderr):
        pytest.skip(f"the package index cannot be reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return place / "venv" / "bin"


def test_init_serve_upload_delivered_within_a_minute(installed: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    wharf = str(installed / "wharf")
    told = json.loads(
        subprocess.run([wharf, "--json", "init"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    )
    (tmp_path / "wharf.yaml").write_text(re.sub(r"port: 2222", "port: 0", (tmp_path / "wharf.yaml").read_text()))
    with subprocess.Popen([wharf, "--json", "serve"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = json.loads(server.stdout.readline())["sftp"]["port"]
            (tmp_path / "hello.csv").write_text("a,b\n1,2\n")
            words = shlex.split(told["try"])
            words = [re.sub(r"^2222$", str(port), word) for word in words]
            options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-b", "-"]
            sent = subprocess.run(
                [words[0], *options, *words[1:]],
                cwd=tmp_path,
                input="put hello.csv inbound/hello.csv\n",
                text=True,
                check=False,
            )
            assert sent.returncode == 0

            def delivered() -> bool:
                listed = subprocess.run(
                    [wharf, "--json", "files"], cwd=tmp_path, check=True, capture_output=True, text=True
                )
                return [record["status"] for record in json.loads(listed.stdout)] == ["transferred"]

            wait_until("it is delivered", delivered, seconds=60 - (time.monotonic() - began))
        finally:
            server.terminate()
    assert [p.read_text() for p in tmp_path.rglob("hello*.csv") if "a,b" in p.read_text()].count("a,b\n1,2\n") >= 2
