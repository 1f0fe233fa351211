"""
The real command in a process that has its modules in memory already.

Importing them is most of what a command costs (0.3 to 0.8 s of a core), and the tests run thousands. So for each environment one
process imports them all and forks for each command line. There `main` runs as it does after `python -m wharfinger`: in a process of
its own, in its directory, on its descriptors.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

LARGEST = 1 << 17
"""Bytes of one request: a command line and its directory."""

MOST = 4
"""So many environments are kept ready."""


def run(
    words: Sequence[str],
    *,
    place: Path | None = None,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    cold: bool = False,
    seconds: float = 60,
) -> subprocess.CompletedProcess[str]:
    """
    What `wharf` with these words answers in this directory; `cold` is a new interpreter, for an environment that is asked once or
    matters to the import. Raises TimeoutExpired, having killed it.
    """
    given = dict(os.environ if environment is None else environment)
    given.pop("PYTEST_CURRENT_TEST", None)
    if cold:
        command = [sys.executable, "-m", "wharfinger", *words]
        return subprocess.run(
            command, cwd=place, input=stdin, capture_output=True, text=True, env=given, timeout=seconds
        )
    with tempfile.TemporaryFile("w+") as fed, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        fed.write(stdin)
        fed.seek(0)
        door = _ready(given)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                request = json.dumps([list(words), str(place or Path.cwd())]).encode()
                fds = [fed.fileno(), out.fileno(), err.fileno(), theirs.fileno()]
                socket.send_fds(door, [request], fds)
            pid = int(ours.recv(32))
            ours.settimeout(seconds)
            try:
                status = int(ours.recv(32))
            except TimeoutError:
                os.kill(pid, 9)
                raise subprocess.TimeoutExpired(list(words), seconds) from None
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(words, os.waitstatus_to_exitcode(status), out.read(), err.read())


class _Warm:
    """The process that has one environment; it ends when nobody has its door."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.door, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-P", __file__, str(theirs.fileno())]
            self.process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    def close(self) -> None:
        self.door.close()
        self.process.wait()


_warm: dict[tuple[tuple[str, str], ...], _Warm] = {}
"""By their environments; who was asked last is last."""


def _ready(environment: Mapping[str, str]) -> socket.socket:
    key = tuple(sorted(environment.items()))
    _warm[key] = _warm.pop(key, None) or _Warm(environment)
    if len(_warm) > MOST:
        _warm.pop(next(iter(_warm))).close()
    return _warm[key].door


@atexit.register
def _close() -> None:
    while _warm:
        _warm.popitem()[1].close()


def _load() -> None:
    import wharfinger

    for module in pkgutil.walk_packages(wharfinger.__path__, "wharfinger."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):  # what an environment hides is missing for its commands, too
                import_module(module.name)
    gc.freeze()


def _serve(door: socket.socket) -> list[str]:
    """Fork for each request until nobody has the other end; returns the words in each process that is to run some."""
    while True:
        request, fds, _, _ = socket.recv_fds(door, LARGEST, 4)
        if not request:
            os._exit(0)
        if not os.fork():
            break
        for fd in fds:
            os.close(fd)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    stdin, stdout, stderr, answer = fds
    door.close()
    if pid := os.fork():
        os.write(answer, b"%d" % pid)
        os.write(answer, b"%d" % os.waitpid(pid, 0)[1])
        os._exit(0)
    words, place = json.loads(request)
    for to, fd in enumerate([stdin, stdout, stderr]):
        os.dup2(fd, to)
    os.closerange(3, answer + 1)
    os.chdir(place)
    return list(words)


if __name__ == "__main__":
    _load()
    sys.argv = ["wharf", *_serve(socket.socket(fileno=int(sys.argv[1])))]
    from wharfinger.cli import main

    try:
        main()
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(end.code or 0))  # to take all modules apart again takes twice as long as a command
