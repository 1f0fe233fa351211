"""Three nodes that share a Postgres and a bucket, and no disk: killed, stopped, cut off and unheard at random."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from rig import buckets, postgres
from rig.account import LOOK_S, Account, calm
from rig.serving import CONFIG, LEASE_S, Keeper, prepare, wharf
from rig.uploading import upload
from rig.waiting import wait_until
from rig.wire import Wire
from wharfinger.ledger.keyring import NAME

pytestmark = pytest.mark.slow

NODES = 3
COUNT, HARMS, SEED = (
    int(os.environ.get(f"WHARF_NODES_{what}", n)) for what, n in (("FILES", "600"), ("HARMS", "20"), ("SEED", "1"))
)
"""WHARF_NODES_FILES, WHARF_NODES_HARMS and WHARF_NODES_SEED make it longer, or another."""

STORM = ("kill", "kill", "power", "stop", "ledger", "store", "silent")
"""
Harms, by how often they come: a process killed or all of them, all stopped, the way to the ledger or to the store cut off, or both ways
passing nothing while their connections stay.
"""


@dataclass(frozen=True)
class Node:
    """One machine: its directory, its `wharf serve`, its ways to the ledger and to the store, and the ledger's own URL."""

    directory: Path
    keeper: Keeper
    wires: Sequence[Wire]
    ledger: str


@pytest.mark.timeout(300)
def test_nodes_share_the_work(tmp_path: Path) -> None:
    sail(tmp_path, files(40), Storm(random.Random(1)), harms=0)


@pytest.mark.timeout(500)
def test_nodes_whose_words_reach_nobody_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """Their connections stay open for longer than their leases, and nothing passes; then they break."""
    sail(tmp_path, files(60), Storm(random.Random(1), ["silent"]), harms=4)
    with psycopg.connect(postgres.schema(tmp_path)) as db:
        ended = db.execute("SELECT count(*) FROM event WHERE data LIKE '%the lease ended%'").fetchall()
    assert ended > [(0,)], "others took files from a node that still had them in its hands"


@pytest.mark.timeout(300 + 30 * HARMS)
def test_nodes_are_killed_stopped_and_cut_off(tmp_path: Path) -> None:
    storm = Storm(random.Random(SEED))
    tries = sail(tmp_path, files(COUNT), storm, harms=HARMS)
    print({"seed": SEED, "files": COUNT, "harms": dict(sorted(storm.done.items())), "sent": sum(tries.values())})


def sail(root: Path, sent: Mapping[str, bytes], storm: Storm, *, harms: int) -> dict[str, int]:
    """Send these files to three nodes, a third to each, through the storm, and hold the end to account. How often each was sent."""
    (root / "calm").mkdir()
    results = calm(root / "calm", sent)
    with nodes(root) as running, ThreadPoolExecutor(NODES) as threads:
        first, landed = running[0].directory, set[str]()
        account = Account(first, results)
        clients = []
        for n, node in enumerate(running):
            part = {name: sent[name] for name in [*sent][n::NODES]}
            heard = {"acknowledged": landed.add, "may_send": storm.paced(part)}
            clients.append(
                threads.submit(upload, part, first / "key", node.keeper.port, seconds=300 + 30 * harms, **heard)
            )
        for lot in range(harms):
            storm.progress = (lot + 1) / harms
            storm.strike(running)
            wait_until("the lot is there", lambda: len(landed) >= storm.progress * len(sent) - NODES, seconds=200)
        storm.calm()
        tries = {name: n for client in clients for name, n in client.result().items()}
        account.settle(200)
        account.check(sent, tries)
        for node in running:
            assert wharf(node.directory, "audit", "verify", seconds=LOOK_S)["findings"] == []
        prove(running, [record["file_id"] for record in account.records()])
        tamper(running, postgres.schema(root))
    return tries


def prove(running: Sequence[Node], files: Sequence[str]) -> None:
    """What a node says of a file convinces whoever has another node's public key, and a script that shares no code with ours."""
    one, other = running[-1].directory, running[0].directory
    (other / "verify.py").write_text(ask(other, "receipt", "script").stdout)
    key = wharf(other, "signing", "list")[-1]["public"]
    for file_id in files[:2]:
        wharf(one, "evidence", file_id, "-o", str(other / "evidence.zip"))
        wharf(one, "receipt", file_id, "--to", str(other / f"receipts-{file_id}"))
        receipts = [*(other / f"receipts-{file_id}").iterdir()]
        assert len(receipts) == 2
        for proof in (other / "evidence.zip", *receipts):
            command = [sys.executable, "-I", "-S", "verify.py", str(proof), "--key", key]
            said = subprocess.run(command, cwd=other, capture_output=True, text=True, timeout=60)
            assert (said.returncode, said.stdout.endswith("VERIFIED\n")) == (0, True), said.stdout + said.stderr


def tamper(running: Sequence[Node], ledger: str) -> None:
    """Whoever takes an event out of the database, the last of a file or one before, is found out from every node."""
    wharf(running[0].directory, "audit", "checkpoint")
    with psycopg.connect(ledger) as db:
        (middle,), (last,) = db.execute("SELECT file_id FROM file ORDER BY file_id LIMIT 2").fetchall()
        db.execute("DELETE FROM event WHERE file_id = %s AND n = 2", (middle,))
        db.execute(
            "DELETE FROM event WHERE file_id = %s AND n = (SELECT max(n) FROM event WHERE file_id = %s)", [last] * 2
        )
    for node in running:
        said = ask(node.directory, "--json", "audit", "verify")
        assert said.returncode == 1, said.stderr
        assert {found["file_id"] for found in json.loads(said.stdout)["findings"]} == {middle, last}
        for file_id in (middle, last):
            assert "UNPROVEN" in ask(node.directory, "evidence", file_id, "-o", str(node.directory / "none.zip")).stderr


def ask(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command's answer, whatever it is."""
    command = [sys.executable, "-m", "wharfinger", "--config", str(directory / "wharf.yaml"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=LOOK_S)


def files(count: int) -> dict[str, bytes]:
    rand = random.Random(count)
    sizes = [0, 1, 1_500_000, *(rand.randint(1, 20_000) for _ in range(count - 3))]
    return {f"f{n:04d}.bin": rand.randbytes(size) for n, size in enumerate(sizes)}


@contextmanager
def nodes(root: Path) -> Iterator[list[Node]]:
    """They deliver into the directory of the first, as to a customer's share that each of them has mounted."""
    ledger, store = postgres.schema(root), buckets.url(root)
    moto = urlsplit(buckets.moto()).port or 0
    with ExitStack() as stack:
        running = []
        for n in range(NODES):
            directory = root / f"node-{n}"
            directory.mkdir()
            wires = [stack.enter_context(Wire(port)) for port in (urlsplit(ledger).port or 0, moto)]
            places = [_through(ledger, wires[0]), store.replace(f":{moto}", f":{wires[1].port}")]
            text = CONFIG.replace("data: ./data\n", "data: ./data\nledger: {}\nstore: {}\n".format(*places))
            text = text.replace("directory: ./out", f"directory: {root / 'node-0' / 'out'}")
            if n:
                (directory / "wharf.yaml").write_text(text)
                (directory / "data").mkdir()
                shutil.copy(root / "node-0" / "data" / NAME, directory / "data")
            else:
                prepare(directory, text)
                wharf(directory, "signing", "list")
            running.append(Node(directory, stack.enter_context(Keeper(directory)), wires, ledger))
        for node in running:
            node.keeper.await_ready()
        yield running


def _through(url: str, wire: Wire) -> str:
    return url.replace(f":{urlsplit(url).port}/", f":{wire.port}/")


def at_work(running: Sequence[Node], other: Node) -> Node:
    """A node that has runs in its hands now; the other one where none has within a few seconds."""
    owners = {owner: node for node in running for owner in node.keeper.owners()}
    until = time.monotonic() + 3
    with psycopg.connect(other.ledger, autocommit=True) as db:
        while time.monotonic() < until:
            for (owner,) in db.execute("SELECT owner FROM run WHERE state = 'leased'").fetchall():
                if owner in owners:
                    return owners[owner]
    return other


class Storm:
    """Harm to one node at a time, more often to a process of it than to all."""

    def __init__(self, rand: random.Random, harms: Sequence[str] = STORM) -> None:
        self._rand, self._harms = rand, harms
        self.progress = 0.0  # the part of the files that may be sent
        self.done: Counter[str] = Counter()
        self._passing: list[threading.Timer] = []

    def paced(self, part: Mapping[str, bytes]) -> Callable[[str], bool]:
        place = {name: n / len(part) for n, name in enumerate(part)}
        return lambda name: place[name] < self.progress

    def strike(self, running: Sequence[Node]) -> None:
        time.sleep(self._rand.random() * 0.1)  # anywhere within what is going on
        node = self._rand.choice(running)
        harm = self._rand.choice(self._harms)
        self.done[harm] += 1
        if harm == "silent":
            for wire in at_work(running, node).wires:
                wire.silence()
                self._later(LEASE_S + 3, wire.cut)
                self._later(LEASE_S + 3.2, wire.mend)
            return
        if harm in ("ledger", "store"):
            wire = node.wires[harm == "store"]
            wire.cut()
            self._later(self._rand.random() * 2, wire.mend)
            return
        living = wait_until("somebody lives", node.keeper.processes)
        role = self._rand.choice([*living])
        with suppress(ProcessLookupError):
            if harm == "power":
                os.killpg(living["supervisor"], signal.SIGKILL)
            elif harm == "kill":
                os.kill(living[role], signal.SIGKILL)
            else:
                os.killpg(living["supervisor"], signal.SIGSTOP)
                self._later(LEASE_S + 1, lambda: os.killpg(living["supervisor"], signal.SIGCONT))

    def calm(self) -> None:
        """Return when all harm that passes has passed; everything may be sent."""
        self.progress = 1.0
        for timer in self._passing:
            timer.join()

    def _later(self, seconds: float, work: Callable[[], object]) -> None:
        def pass_by() -> None:
            with suppress(ProcessLookupError):
                work()

        timer = threading.Timer(seconds, pass_by)
        timer.start()
        self._passing.append(timer)
