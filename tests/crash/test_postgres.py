"""A Postgres ledger whose server is killed, whose sessions are ended, whose answers are lost, and beside whom others hold locks."""

from __future__ import annotations

import inspect
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rig import postgres
from rig.account import Account, calm
from rig.databases import Clock, a_call, a_child, an_arrival, arrived, claimed, failed, lease, retried, transferred
from rig.databases import held as put_aside
from rig.databases import waiting as waiting_for
from rig.serving import Keeper, is_stopped, prepare, put
from rig.severing import Severing
from rig.uploading import upload
from rig.waiting import wait_until
from wharfinger.errors import Busy, LedgerError
from wharfinger.ledger import Entry, Filter, User, chain
from wharfinger.ledger.postgres import PostgresDatabase, connection, figure
from wharfinger.model import Checkpoint, Run, Status, ulid

pytestmark = pytest.mark.slow

SUMS = """
SELECT CASE WHEN parent IS NULL THEN '' ELSE 'child/' END || state || '/' || status, count(*) FROM run GROUP BY 1
UNION SELECT 'bytes', sum(size) FROM file
UNION SELECT 'purging', count(*) FROM purge_order HAVING count(*) > 0
UNION SELECT 'purged', count(*) FROM event WHERE kind = 'purged' HAVING count(*) > 0
UNION SELECT 'purged_bytes', sum(size) FROM event JOIN file USING (file_id) WHERE kind = 'purged' HAVING count(*) > 0
ORDER BY 1
"""
KEPT = """
SELECT name, sum(value)::bigint FROM figure WHERE name <> 'turn' GROUP BY name HAVING sum(value) <> 0
ORDER BY name COLLATE "und-x-icu"
"""


class Scene:
    """A run that is ready, one that ann holds, one that is dead; an arrival to come, and a name in the tree."""

    def __init__(self, url: str, **more: Any) -> None:
        self.url = url
        self.database = PostgresDatabase(url, **more)
        self.ledger = self.database.ledger
        self.dead = arrived(self.ledger)[0].file_id
        self.ledger.settle([failed(claimed(self.ledger))])
        arrived(self.ledger)
        self.held: Run = claimed(self.ledger, owner="ann")
        self.ready = arrived(self.ledger)[0].file_id
        self.new = an_arrival("acme/inbound/new.csv")
        self.database.namespace.make([Entry("acme/old", "dir")])

    def check(self) -> None:
        """Every chain holds, and the sums are those of the rows."""
        for found in self.database.catalog.files(Filter()):
            assert chain.verify(self.database.catalog.events(found.file_id)) == []
        with psycopg.connect(self.url) as db:
            assert {*db.execute(SUMS).fetchall()} == {*db.execute(KEPT).fetchall()}


PLAIN = "&sslmode=disable&gssencmode=disable"

Verb = Callable[[Scene], Any]

BOB = User("bob", "acme", "acme")
CHECKPOINT = Checkpoint(1, (), {}, "f" * 64)


def calls_a_child(s: Scene) -> None:
    s.ledger.spawn([a_call(s.held, a_child("other"), id="OTHER")])


def cancels_a_parent(s: Scene) -> None:
    calls_a_child(s)
    s.ledger.cancel([s.held.id], "ann")


def ends_with_a_checkpoint(s: Scene) -> None:
    s.ledger.extend([lease(s.held, checkpoint=CHECKPOINT)], 30)
    s.ledger.settle([transferred(s.held)])


def resumes_what_held_a_run(s: Scene) -> None:
    s.database.gates.pause("claims", "ann")
    s.ledger.settle([put_aside(s.held)])
    s.database.gates.resume("claims", "ann")


BEFORE: dict[str, Verb] = {
    "spawn": calls_a_child,
    "cancel_children": cancels_a_parent,
    "drop_checkpoints": ends_with_a_checkpoint,
    "resume": lambda s: s.database.gates.pause("all", "ann"),
    "wake": resumes_what_held_a_run,
    "confirm": lambda s: s.database.purges.order([s.dead], by="ann"),
    "change": lambda s: s.database.accounts.add(BOB),
    "forget": lambda s: s.database.accounts.add(BOB),
}
"""What a scene needs besides."""

VERBS: dict[str, tuple[Verb, Any, Any]] = {
    "arrive": (lambda s: s.ledger.arrive([s.new]), [True], [False]),
    "claim": (lambda s: [run.id == s.ready for run in s.ledger.claim("bob", 10, 30)], [True], []),
    "extend": (lambda s: s.ledger.extend([lease(s.held)], 60), [True], [True]),
    "release": (lambda s: s.ledger.release([lease(s.held)]), [True], [False]),
    "settle": (lambda s: s.ledger.settle([transferred(s.held)]), [True], [False]),
    "sweep": (lambda s: [id == s.held.id for id in s.ledger.sweep(owner="ann")], [True], []),
    "replay": (lambda s: s.ledger.replay([s.dead]), [True], [True]),
    "spawn": (lambda s: s.ledger.spawn([a_call(s.held)]), [[True]], [[True]]),
    "cancel": (lambda s: s.ledger.cancel([s.dead], "ann"), [True], [False]),
    "cancel_children": (lambda s: len(s.ledger.cancel_children()), 1, 0),
    "drop_checkpoints": (lambda s: s.ledger.drop_checkpoints([lease(s.held)]), [True], [False]),
    "register": (lambda s: s.ledger.register("ab" * 32, "all", "{}"), None, None),
    "make": (lambda s: s.database.namespace.make([Entry("acme/new", "dir")]), [True], [False]),
    "rename": (lambda s: s.database.namespace.rename("acme/old", "acme/older"), "done", "missing"),
    "remove": (lambda s: s.database.namespace.remove("acme/old"), "done", "missing"),
    "touch": (lambda s: s.database.namespace.touch("acme/old", 5.0), True, True),
    "add": (lambda s: s.database.accounts.add(BOB), True, False),
    "change": (
        lambda s: s.database.accounts.change("bob", lambda bob: replace(bob, home="there")).home,
        "there",
        "there",
    ),
    "keep": (lambda s: s.database.accounts.keep([BOB]), None, None),
    "forget": (lambda s: s.database.accounts.forget(["bob"]), [True], [False]),
    "pause": (lambda s: s.database.gates.pause("all", "ann"), True, False),
    "resume": (lambda s: s.database.gates.resume("all", "ann"), True, False),
    "wake": (lambda s: [id == s.held.id for id in s.database.gates.wake()], [True], []),
    "order": (lambda s: s.database.purges.order([s.dead], by="ann"), [True], [False]),
    "confirm": (lambda s: s.database.purges.confirm([s.dead]), [True], [False]),
    "checkpoint": (lambda s: s.database.audit.checkpoint(lambda *_: b"signed", every_s=0) is not None, True, False),
    "publish": (lambda s: s.database.audit.publish([b"{}"]), [b"{}"], [b"{}"]),
}
"""Each writing verb, what it answers, and what it answers to the same again."""


def writing(port: object) -> set[str]:
    """Its verbs that write: those that say so, and those that call such."""
    bodies = {name: inspect.getsource(verb) for name, verb in vars(type(port)).items() if inspect.isfunction(verb)}
    found = {name for name, body in bodies.items() if "_connections.write(" in body}
    while more := {name for name, body in bodies.items() if any(f"self.{each}(" in body for each in found)} - found:
        found |= more
    return {name for name in found if not name.startswith("_")}


def test_every_verb_that_writes_is_tried(scene: Scene) -> None:
    ports = [port for port in vars(scene.database).values() if type(port).__name__.startswith("Postgres")]
    assert len(ports) >= 7
    assert {*VERBS} == set[str]().union(*map(writing, ports))


WRITTEN = "run, name, account, revision, gate, audit_checkpoint, audit_key"
"""Each verb writes to one of these tables at least."""


def nothing(_: Scene) -> None:
    """Most scenes have all they need."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return postgres.schema(tmp_path)


@pytest.fixture
def scene(url: str) -> Iterator[Scene]:
    scene = Scene(url)
    yield scene
    scene.database.close()


def waiting(url: str) -> list[int]:
    """The server's processes that wait for a lock."""
    with psycopg.connect(url, autocommit=True) as db:
        sql = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'wharfinger'"
        return [pid for (pid,) in db.execute(sql).fetchall()]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_whose_session_is_ended_in_the_middle_is_done_once(scene: Scene, verb: str) -> None:
    do, answer, again = VERBS[verb]
    BEFORE.get(verb, nothing)(scene)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(scene.url) as other:
        other.execute(f"LOCK TABLE {WRITTEN} IN EXCLUSIVE MODE")
        done = pool.submit(do, scene)
        [pid] = wait_until("it is in the middle", lambda: waiting(scene.url))
        with psycopg.connect(scene.url, autocommit=True) as killer:
            killer.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        other.rollback()
        assert done.result(30) == answer
    assert do(scene) == again
    scene.check()


@pytest.mark.parametrize("cut", ["question", "answer"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_commit_whose_question_or_answer_is_lost_is_done_once(tmp_path: Path, verb: str, cut: Any) -> None:
    do, answer, again = VERBS[verb]
    direct = postgres.schema(tmp_path)
    port = int(direct.partition("127.0.0.1:")[2].partition("/")[0])
    with Severing(port) as proxy:
        through = direct.replace(f":{port}/", f":{proxy.port}/") + PLAIN
        scene = Scene(through)
        BEFORE.get(verb, nothing)(scene)
        proxy.cut = cut
        assert do(scene) == answer
        assert proxy.cut == ""
        assert do(scene) == again
        scene.check()
        scene.database.close()


@pytest.mark.parametrize("cut", ["question", "answer"])
def test_where_nobody_can_tell_what_became_of_a_commit_it_is_neither_busy_nor_done(tmp_path: Path, cut: Any) -> None:
    direct = postgres.schema(tmp_path)
    port = int(direct.partition("127.0.0.1:")[2].partition("/")[0])
    with Severing(port) as proxy:
        scene = Scene(direct.replace(f":{port}/", f":{proxy.port}/") + PLAIN, patience_s=0.5)
        proxy.cut, proxy.is_closed = cut, True
        with pytest.raises(LedgerError) as refusal:
            scene.ledger.arrive([scene.new])
        assert (refusal.value.code, isinstance(refusal.value, Busy)) == ("LEDGER_LOST_ANSWER", False)
        with pytest.raises(Busy):
            scene.ledger.knows([scene.new.file_id])
        proxy.is_closed = False
        assert scene.ledger.knows([scene.new.file_id]) == [cut == "answer"]
        scene.database.close()


def test_a_number_that_a_crash_gave_away_again_proves_nothing(tmp_path: Path) -> None:
    """What was not on the disk is forgotten with its number; the next to get it may well commit."""
    with postgres.Server() as server:
        url = postgres.schema(tmp_path, server.url)
        scene = Scene(url)
        connections = scene.database._connections
        unlucky = connections.connect()
        unlucky.execute("BEGIN")
        life, xid = unlucky.execute(connection._NUMBER).fetchall()[0]
        server.kill()
        unlucky.close()
        server.start()
        for n in range(10):
            scene.ledger.register(f"{n:064d}", "all", "{}")
        with psycopg.connect(url) as db:
            assert db.execute("SELECT pg_xact_status(%s::xid8)", (xid,)).fetchall() == [("committed",)]
        with pytest.raises(LedgerError) as refusal:
            connections.is_done((life, xid), psycopg.OperationalError())
        assert (life is None, refusal.value.code) == (False, "LEDGER_LOST_ANSWER")
        scene.database.close()


def test_whether_a_file_is_known_is_answered_when_it_is_decided(scene: Scene) -> None:
    """A transaction that is about to record it is waited for: the answer is for good."""
    with ThreadPoolExecutor(1) as pool, psycopg.connect(scene.url) as other:
        other.execute(
            "INSERT INTO file SELECT %s, bucket, key, version, size, sha256, customer, at, media_type, source, "
            '"user", session, cost, mtime FROM file LIMIT 1',
            (scene.new.file_id,),
        )
        answer = pool.submit(scene.ledger.knows, [scene.new.file_id, "stranger"])
        wait_until("it waits", lambda: waiting(scene.url), seconds=10)
        other.commit()
        assert answer.result(30) == [True, False]
    assert scene.ledger.knows(["stranger"]) == [False]


def test_what_a_dead_owner_was_about_to_claim_is_taken_back(scene: Scene) -> None:
    """Its process is gone, and the server has its commit yet to do."""
    with ThreadPoolExecutor(1) as pool, psycopg.connect(scene.url) as other:
        other.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended(current_schema() || '/owner/dead', 0))")
        other.execute(
            "UPDATE run SET state = 'leased', status = 'processing', owner = 'dead', due = 1 WHERE id = %s",
            (scene.ready,),
        )
        swept = pool.submit(scene.ledger.sweep, owner="dead")
        wait_until("it waits", lambda: waiting(scene.url), seconds=10)
        other.commit()
        assert swept.result(30) == [scene.ready]


def test_a_lease_that_ends_while_a_sweep_has_no_server_is_left_to_its_holder(url: str) -> None:
    clock = Clock()
    scene = Scene(url, clock=clock)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(url) as other:
        other.execute("LOCK TABLE run IN EXCLUSIVE MODE")
        swept = pool.submit(scene.ledger.sweep)
        [pid] = wait_until("it is in the middle", lambda: waiting(url))
        clock.forward(60)
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        other.rollback()
        assert swept.result(30) == []
    assert scene.ledger.extend([lease(scene.held)], 30) == [True]
    scene.database.close()


def test_an_idle_transaction_holds_up_its_own_rows_alone(url: str) -> None:
    scene = Scene(url, patience_s=0.3)
    others = [a.file_id for a in arrived(scene.ledger, 20)]
    with psycopg.connect(url) as idle:
        idle.execute("SELECT id FROM run WHERE id = ANY(%s) FOR UPDATE", ([scene.ready, scene.held.id],))
        runs = scene.ledger.claim("bob", 100, 30)
        assert {run.id for run in runs} == {*others}
        assert scene.ledger.sweep() == []
        assert all(scene.ledger.settle([transferred(run) for run in runs]))
        with pytest.raises(Busy):
            scene.ledger.settle([transferred(scene.held)])
    assert scene.ledger.settle([transferred(scene.held)]) == [True]
    assert [run.id for run in scene.ledger.claim("bob", 100, 30)] == [scene.ready]
    scene.check()
    scene.database.close()


def test_a_process_that_is_stopped_in_a_claim_keeps_nobody_from_anything(url: str) -> None:
    """Its row locks go with its transaction, which the server ends; what it had is claimed by others."""
    scene = Scene(url)
    stopped = scene.database._connections.connect()
    assert stopped.execute("SHOW idle_in_transaction_session_timeout").fetchall() == [("30s",)]
    stopped.execute("SET idle_in_transaction_session_timeout = '300ms'")
    stopped.execute("BEGIN")
    stopped.execute("UPDATE run SET state = 'leased', token = token + 1 WHERE id = %s", (scene.ready,))
    assert scene.ledger.claim("bob", 10, 30) == []
    [run] = wait_until("it is free", lambda: scene.ledger.claim("bob", 10, 30), seconds=10)
    assert (run.id, run.token) == (scene.ready, 1)
    stopped.close()
    scene.database.close()


class Relay:
    """Somebody whose files call children, are tried again and end: all that enters the queue, and leaves it, in few verbs."""

    def __init__(self, url: str, name: str) -> None:
        self.database = PostgresDatabase(url)
        self.ledger, self.name, self.random = self.database.ledger, name, random.Random(name)

    def __call__(self, until: float) -> None:
        while time.monotonic() < until:
            self.ledger.arrive([self._arrival() for _ in range(4)])
            runs = self.ledger.claim(self.name, 8, 30)
            fresh = [run for run in runs if run.child is None and run.token == 1]
            self.ledger.spawn([a_call(run, a_child("a"), a_child("b"), id=run.id) for run in fresh])
            self.ledger.settle([waiting_for(run) if run in fresh else self._end(run) for run in runs])
        self.database.close()

    def _arrival(self) -> Any:
        version = ulid(time.time(), self.random.getrandbits(80))
        return an_arrival(f"{self.name}/{version}", version=version, customer=self.random.choice("abcd"))

    def _end(self, run: Run) -> Any:
        return retried(run, time.time()) if self.random.random() < 0.3 else transferred(run)


def test_whoever_enters_the_queue_and_whoever_counts_never_lock_each_other_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shares are locked before sums, and each in one order. A deadlock would be retried, after a standstill of a second."""
    for sql in ("_ADD", "_SERVE"):
        monkeypatch.setattr(figure, sql, getattr(figure, sql).replace(f"%% {figure.SLOTS}", "%% 1"))
    with postgres.Server(deadlock_timeout="1s") as server:
        url = postgres.schema(tmp_path, server.url)
        relays = [Relay(url, f"r{n}") for n in range(4)]
        until = time.monotonic() + 6
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(relay, until) for relay in relays]:
                done.result(60)
        assert "deadlock detected" not in (server.folder / "log").read_text()
        scene = PostgresDatabase(url)
        assert len(scene.catalog.files(Filter(status=Status.TRANSFERRED), limit=10_000)) > 20
        scene.close()


class Labour:
    """Somebody whose files arrive, are claimed and settled, whatever becomes of the server; lets go of what is in doubt."""

    def __init__(self, url: str, name: str) -> None:
        self.database = PostgresDatabase(url, patience_s=0.5)
        self.name, self.acknowledged, self.refused = name, [], []  # type: ignore[var-annotated]
        self.over = threading.Event()

    def __call__(self) -> None:
        rand = random.Random(self.name)
        while not self.over.is_set():
            arrivals = [
                an_arrival(f"{self.name}/{n}", version=ulid(time.time(), rand.getrandbits(80))) for n in range(5)
            ]
            self._arrive(arrivals)
            try:
                self.database.ledger.sweep(owner=self.name, crashed=False)
                runs = self.database.ledger.claim(self.name, 7, 30)
                self.database.ledger.settle([transferred(run) for run in runs])
            except LedgerError:
                continue
        self.database.close()

    def _arrive(self, arrivals: list[Any]) -> None:
        """As `land` does: what is refused and unknown is given up for good."""
        ids = [a.file_id for a in arrivals]
        try:
            self.database.ledger.arrive(arrivals)
            self.acknowledged += ids
        except Busy:
            self.refused += ids
        except LedgerError:
            known = self._known(ids)
            self.acknowledged += [id for id in ids if known.get(id) is True]
            self.refused += [id for id in ids if known.get(id) is False]

    def _known(self, ids: list[str]) -> dict[str, bool]:
        try:
            return dict(zip(ids, self.database.ledger.knows(ids)))
        except LedgerError:
            return {}


def test_a_server_that_is_killed_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    rand = random.Random(7)
    with postgres.Server() as server:
        url = postgres.schema(tmp_path, server.url)
        PostgresDatabase(url).close()
        labours = [Labour(url, f"w{n}") for n in range(3)]
        with ThreadPoolExecutor(3) as pool:
            done = [pool.submit(labour) for labour in labours]
            for _ in range(4):
                time.sleep(0.5 + rand.random() * 0.5)
                server.kill()
                time.sleep(rand.random())
                server.start()
            time.sleep(0.5)
            for labour in labours:
                labour.over.set()
            for each in done:
                each.result(60)
        acknowledged = {id for labour in labours for id in labour.acknowledged}
        refused = {id for labour in labours for id in labour.refused}
        database = PostgresDatabase(url, clock=lambda: time.time() + 3600)
        while database.ledger.sweep():
            pass
        while runs := database.ledger.claim("last", 100, 30):
            assert all(database.ledger.settle([transferred(run) for run in runs]))
        records = database.catalog.files(Filter(), limit=100_000)
        recorded = {record.file_id for record in records}
        assert len(acknowledged) > 100
        assert acknowledged <= recorded
        assert not refused & recorded
        assert {record.status for record in records} == {Status.TRANSFERRED}
        for id in recorded:
            events = database.catalog.events(id)
            assert chain.verify(events) == []
            assert [event.kind for event in events].count("transferred") <= 1
        counts = database.catalog.counts()
        assert sum(counts.files.values()) == len(recorded)
        assert counts.files[Status.TRANSFERRED] == sum(record.status == Status.TRANSFERRED for record in records)
        database.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_in_doubt_whose_server_stays_away_ends_when_it_is_told_to(
    tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server dies while a worker is about to commit what became of a file."""
    with postgres.Server() as server:
        monkeypatch.setenv("WHARF_LEDGER", postgres.schema(tmp_path, server.url))
        prepare(tmp_path)
        put(tmp_path, {"a.txt": b"bytes"})
        once, log = tmp_path / "once", tmp_path / "worker.log"
        env = {"WHARF_CRASH": "ledger.settling", "WHARF_CRASH_SIGNAL": "SIGSTOP", "WHARF_CRASH_ONCE": str(once)}
        command = [sys.executable, "-m", "wharfinger", "--config", str(tmp_path / "wharf.yaml"), "worker"]
        with log.open("w") as said, subprocess.Popen(command, env={**os.environ, **env}, stderr=said) as worker:
            try:
                wait_until("it is about to commit", lambda: once.exists() and is_stopped(worker.pid))
                server.kill()
                worker.send_signal(signal.SIGCONT)
                wait_until("it is in doubt", lambda: "an answer of the ledger was lost" in log.read_text(), seconds=30)
                worker.send_signal(number)
                assert worker.wait(25) == 0
            finally:
                worker.kill()
        assert [*(tmp_path / "data/store/scratch").iterdir()] == []
        server.start()
        database = PostgresDatabase(os.environ["WHARF_LEDGER"], clock=lambda: time.time() + 60)
        assert len(database.ledger.sweep()) == 1
        database.close()


@pytest.mark.timeout(240)
def test_files_go_on_when_their_server_was_killed(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`wharf serve` with all its processes, and a client that sends again what is refused."""
    sent = {f"f{n:03d}.txt": b"bytes of %d" % n for n in range(120)}
    results = calm(tmp_path_factory.mktemp("calm"), sent)
    rand = random.Random(3)
    with postgres.Server() as server:
        monkeypatch.setenv("WHARF_LEDGER", postgres.schema(tmp_path, server.url))
        prepare(tmp_path)
        account = Account(tmp_path, results)
        acknowledged: set[str] = set()
        with Keeper(tmp_path) as keeper, ThreadPoolExecutor(1) as thread:
            keeper.await_ready()
            heard = {"acknowledged": acknowledged.add}
            client = thread.submit(upload, sent, tmp_path / "key", keeper.port, seconds=120, **heard)
            for lot in (10, 50, 90):
                wait_until("some are there", lambda lot=lot: len(acknowledged) >= lot)  # type: ignore[misc]
                server.kill()
                time.sleep(rand.random())
                server.start()
            tries = client.result()
            account.settle(90)
            account.check(sent, tries)
        assert not kinds(os.environ["WHARF_LEDGER"]) & {"retry", "expired"}, "nothing of it was any file's fault"


def kinds(url: str) -> set[str]:
    """Of all events."""
    with psycopg.connect(url) as db:
        return {kind for (kind,) in db.execute("SELECT DISTINCT kind FROM event").fetchall()}
