"""The real command, as a person types it: in a pipe, or at a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig import warm

CONFIG = """\
data: ./data
min_free: 1048576
listeners: {sftp: {host: 127.0.0.1, port: 0}}
customers: {acme: {}, globex: {}}
destinations:
  out: {directory: ./out}
  kept: {bucket: kept}
pipelines:
  tables:
    route: {key: "inbound/**/*.csv", type: [text/csv]}
    steps:
      - {uses: deliver, with: {to: out}}
  globex-only:
    route: {customer: globex, key: "inbound/**"}
    steps:
      - {uses: deliver, with: {to: kept}}
"""


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[dict[str, str]]:
        """The lines of a list in a pipe, by the names of its header."""
        header, *lines = [line.split("\t") for line in self.out.splitlines()]
        return [dict(zip(header, line)) for line in lines]


class Wharf:
    """A directory with a configuration, and the command run in it."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __call__(self, *words: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Said:
        """Run `wharf` in a pipe. Whatever happens, nobody sees a traceback."""
        done = warm.run(words, place=self.place, stdin=stdin, environment=environment(env), cold=bool(env))
        assert "Traceback" not in done.stderr + done.stdout
        return Said(done.returncode, done.stdout, done.stderr)

    def refused(self, *words: str, code: str, exit: int, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
        """Run what must fail; the answer is what it says, and a fix is always there."""
        said = self(*words, stdin=stdin, env=env)
        assert said.code == exit, said
        assert said.err.startswith(f"error: {code}: ") or f"\nerror: {code}: " in said.err, said.err
        assert "\nfix: " in said.err, said.err
        assert said.out == ""
        return said.err

    def at_terminal(
        self, *words: str, answers: Sequence[str] = (), width: int = 100, env: Mapping[str, str] | None = None
    ) -> Said:
        """Run `wharf` at a terminal of its own; what stdout and stderr show there is one text. Each prompt gets its answer."""
        pid, screen = pty.fork()
        if not pid:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
            os.chdir(self.place)
            os.execvpe(sys.executable, command(*words), environment({"TERM": "xterm-256color", **(env or {})}))
        shown, left = "", list(answers)
        while piece := _read(screen):
            shown += piece.decode()
            if left and shown.endswith((": ", "]: ")):
                os.write(screen, f"{left.pop(0)}\n".encode())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(screen)
        assert "Traceback" not in shown
        return Said(code, shown.replace("\r\n", "\n"), "")

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start `wharf` and leave it running."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command(*words),
            cwd=self.place,
            stdout=pipe,
            stderr=pipe,
            text=True,
            env=environment(env),
            start_new_session=True,
        )

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "wharfinger", *words]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("WHARF_", "_WHARF")) and name not in {"NO_COLOR", "COLUMNS", "LINES"}
    }
    return {**kept, "TZ": "UTC", **(more or {})}


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 1 << 16)
    except OSError:  # Linux: EIO once the other side is closed
        return b""
