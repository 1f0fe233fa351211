from __future__ import annotations

import itertools
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from wharfinger.engine import supervise
from wharfinger.engine.supervise import Child, Notice, Supervisor

LIVE = """
import os, signal, sys, time
from wharfinger.engine.lifeline import Lifeline
lifeline = Lifeline.inherited(os.environ, owner="nobody")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
lifeline.watch(lambda: os.kill(os.getpid(), signal.SIGTERM), grace_s=5)
lifeline.ready("owner " + lifeline.owner)
"""
SLEEP = LIVE + "while True: time.sleep(60)\n"


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", textwrap.dedent(code))


@dataclass
class Watch:
    """Hears a supervisor of this process, and says when it is to stop."""

    until: Callable[[Watch], bool]
    notices: list[Notice] = field(default_factory=list)
    mourned: list[str] = field(default_factory=list)
    crashes: list[bool] = field(default_factory=list)  # for each who is mourned
    had_time: bool | None = None  # what the supervisor answered

    def hear(self, notice: Notice) -> None:
        self.notices.append(notice)
        self._check()

    def mourn(self, *, owner: str, crashed: bool) -> None:
        self.mourned.append(owner)
        self.crashes.append(crashed)
        self._check()

    def _check(self) -> None:
        if self.until(self):
            self.until = lambda _: False
            os.kill(os.getpid(), signal.SIGTERM)

    def of(self, kind: str, child: str = "") -> list[str]:
        return [n.text for n in self.notices if n.kind == kind and child in n.child]


def run(watch: Watch, *children: Child, grace_s: float = 20.0, rand: Callable[[], float] = lambda: 0.0) -> Watch:
    watch.had_time = Supervisor(children, notice=watch.hear, bereaved=watch.mourn, grace_s=grace_s, rand=rand).run()
    return watch


def test_ready_lines_are_passed_on_and_a_signal_ends_all() -> None:
    seen = run(Watch(lambda w: len(w.of("ready")) == 2), Child("one", python(SLEEP)), Child("two", python(SLEEP)))
    assert [text.rpartition("-")[0] for text in sorted(seen.of("ready"))] == ["owner one", "owner two"]
    assert seen.of("ended") == ["exit status 0", "exit status 0"]
    assert not seen.of("died")


def test_a_child_that_dies_is_started_again_and_its_owner_is_named() -> None:
    code = LIVE + "os.kill(os.getpid(), signal.SIGKILL)\n"
    seen = run(Watch(lambda w: len(w.mourned) == 2), Child("worker", python(code), claims=True))
    assert seen.of("died") == ["killed by SIGKILL"] * 2
    assert [f"owner {owner}" for owner in seen.mourned[:2]] == seen.of("ready")[:2]
    assert len(set(seen.mourned)) == len(seen.mourned)


def test_a_child_that_exits_by_itself_is_started_again() -> None:
    seen = run(Watch(lambda w: len(w.of("died")) == 2), Child("worker", python("pass")))
    assert seen.of("died") == ["exit status 0"] * 2


def test_a_child_that_cannot_be_started_is_reported_and_never_given_up() -> None:
    seen = run(Watch(lambda w: len(w.of("failed")) == 3), Child("worker", ("/nonexistent/wharf", "worker")))
    assert seen.of("failed")[0] == "cannot start /nonexistent/wharf: No such file or directory"


def waits(count: int) -> list[float]:
    """The times between the starts of a child that dies at once."""
    times: list[float] = []

    def hear(notice: Notice) -> None:
        if notice.kind == "started":
            times.append(time.monotonic())
        if len(times) > count:
            os.kill(os.getpid(), signal.SIGTERM)

    Supervisor([Child("w", python("pass"))], notice=hear, bereaved=lambda **_: None, rand=lambda: 0.999).run()
    return [b - a for a, b in itertools.pairwise(times)]


@pytest.mark.slow
def test_deaths_in_a_row_wait_longer_and_a_steady_child_is_forgiven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "BASE_S", 0.2)
    assert all(wait >= least for wait, least in zip(waits(3), (0.19, 0.39, 0.79)))
    monkeypatch.setattr(supervise, "STEADY_S", 0.0)
    assert waits(3)[2] < 0.79


def test_what_does_not_end_in_time_is_killed() -> None:
    deaf = LIVE + "signal.signal(signal.SIGTERM, signal.SIG_IGN); lifeline.ready('deaf')\nwhile True: time.sleep(60)"
    seen = run(Watch(lambda w: "deaf" in w.of("ready")), Child("deaf", python(deaf), claims=True), grace_s=0.2)
    assert seen.of("killed") == ["killed, it did not end in time"]
    assert seen.of("ended") == ["killed by SIGKILL"]
    assert seen.crashes == [True]
    assert seen.had_time


def test_a_second_signal_kills_at_once() -> None:
    deaf = LIVE + (
        "signal.signal(signal.SIGTERM, lambda *_: lifeline.ready('asked')); lifeline.ready('deaf')\n"
        "while True: time.sleep(60)"
    )
    watch = Watch(lambda w: "deaf" in w.of("ready"))

    def hear(notice: Notice) -> None:
        watch.hear(notice)
        if notice.text == "asked":
            os.kill(os.getpid(), signal.SIGINT)

    started = time.monotonic()
    assert not Supervisor(
        [Child("deaf", python(deaf), claims=True)], notice=hear, bereaved=watch.mourn, grace_s=60
    ).run()
    assert time.monotonic() - started < 30
    assert watch.of("ended") == ["killed by SIGKILL"]
    assert watch.of("killed") == ["killed at the second signal"]
    assert watch.crashes == [False]


def test_what_is_being_killed_is_killed_and_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each turn of the supervisor ends at a signal; a process may take longer than that to die."""
    watch = Watch(lambda w: bool(w.of("ready")))
    supervisor = Supervisor([Child("w", python(SLEEP))], notice=watch.hear, bereaved=watch.mourn)
    end_all = supervisor._end_all

    def repeatedly() -> None:
        if supervisor._signals:
            supervisor._signals = 2
            for _ in range(5):
                end_all()

    monkeypatch.setattr(supervisor, "_end_all", repeatedly)
    supervisor.run()
    assert len(watch.of("killed")) <= 1


def test_the_supervisor_outlives_a_callback_that_fails() -> None:
    seen = Watch(lambda w: len(w.of("failed")) == 2)

    def fail(**_: object) -> None:
        raise OSError("no ledger")

    Supervisor([Child("w", python("pass"), claims=True)], notice=seen.hear, bereaved=fail, rand=lambda: 0.0).run()
    assert "no ledger" in seen.of("failed")[0]


def test_nobody_waits_for_a_ledger_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "MOURN_S", 0.1)
    answered = threading.Event()
    seen = Watch(lambda w: len(w.of("died")) == 3)
    child = Child("w", python("pass"), claims=True)
    started = time.monotonic()
    Supervisor([child], notice=seen.hear, bereaved=lambda **_: answered.wait(20), rand=lambda: 0.0).run()
    assert time.monotonic() - started < 20
    answered.set()


def test_what_was_held_is_taken_back_before_the_supervisor_ends() -> None:
    taken = []

    def take(*, owner: str, crashed: bool) -> None:
        time.sleep(0.3)
        taken.append(crashed)

    watch = Watch(lambda w: bool(w.of("ready")))
    Supervisor([Child("w", python(SLEEP), claims=True)], notice=watch.hear, bereaved=take).run()
    assert taken == [False]


def test_what_a_child_held_that_ended_well_is_nobodys_crash() -> None:
    seen = run(Watch(lambda w: len(w.mourned) == 1), Child("w", python("pass"), claims=True))
    assert seen.crashes[0] is False


def test_a_child_that_claims_nothing_is_not_mourned() -> None:
    seen = run(Watch(lambda w: len(w.of("died")) == 2), Child("listener", python("pass")))
    assert seen.mourned == []


def test_a_child_may_close_its_pipe_and_live_on() -> None:
    code = LIVE + "os.write(lifeline._ready, b'half'); os.close(lifeline._ready)\nwhile True: time.sleep(60)"
    seen = Watch(lambda _: False)
    started, used = time.monotonic(), time.process_time()

    def hear(notice: Notice) -> None:
        seen.hear(notice)
        if notice.kind == "ready":
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()

    Supervisor([Child("w", python(code))], notice=hear, bereaved=seen.mourn).run()
    assert time.monotonic() - started > 0.5
    assert time.process_time() - used < 0.4  # it waits, it does not spin
    assert len(seen.of("ready")) == 1


def test_the_signal_handlers_are_as_before_afterwards() -> None:
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)]
    run(Watch(lambda w: bool(w.of("ready"))), Child("w", python(SLEEP)))
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)] == before


PARENT = """
import sys
from wharfinger.engine.supervise import Child, Supervisor
children = [Child(f"w{n}", (sys.executable, "-c", sys.argv[1])) for n in (1, 2)]
Supervisor(children, notice=lambda n: print(n.kind, n.child, n.text, flush=True), bereaved=lambda **_: None).run()
"""


def heard_until(process: subprocess.Popen[bytes], count: int, kind: str) -> list[str]:
    """What it printed, once `count` lines of this kind are there."""
    assert process.stdout
    text = b""
    while sum(line.startswith(kind) for line in text.decode().splitlines()) < count:
        assert select.select([process.stdout], [], [], 30)[0], text
        text += os.read(process.stdout.fileno(), 4096)
    return text.decode().splitlines()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def all_gone(pids: list[int], within_s: float = 20.0) -> bool:
    deadline = time.monotonic() + within_s
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(map(alive, pids))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "child",
    [SLEEP, SLEEP.replace("grace_s=5", "grace_s=0.1").replace("sys.exit(0)", "None")],
    ids=["stops gracefully", "does not stop"],
)
def test_children_end_when_the_supervisor_is_killed(child: str) -> None:
    with subprocess.Popen([*python(PARENT), textwrap.dedent(child)], stdout=subprocess.PIPE) as process:
        try:
            lines = heard_until(process, 2, "ready")
        finally:
            process.kill()
    started = [int(line.split()[2]) for line in lines if line.startswith("started")]
    try:
        assert all_gone(started)
    finally:
        for pid in filter(alive, started):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(("point", "child"), [("supervisor.started", SLEEP), ("supervisor.bereaved", LIVE)])
def test_a_supervisor_killed_at_its_crash_points_leaves_no_orphans(point: str, child: str) -> None:
    environ = {**os.environ, "WHARF_CRASH": point}
    done = subprocess.run(
        [*python(PARENT), textwrap.dedent(child)], env=environ, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == -signal.SIGKILL
    assert all_gone([int(line.split()[2]) for line in done.stdout.splitlines() if line.startswith("started")])


def test_a_process_started_by_hand_has_no_supervisor_to_lose() -> None:
    code = LIVE + "print(lifeline.owner)"
    environ = {k: v for k, v in os.environ.items() if not k.startswith("WHARF_")}
    done = subprocess.run(python(code), env=environ, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "nobody\n"
