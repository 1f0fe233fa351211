"""
Durable SFTP ingest beside its peers.

10 KB files over 16 sessions: wharfinger's listener, OpenSSH's internal-sftp (not durable), a plain durable subclass of asyncssh's
SFTPServer, and the bare disk without any network; the same with the clients that partners use, against all three;
and one upload of 1 GiB. Every comparison is made of turns within one run; the client is on the same machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stand import clients, cpu, disk
from stand.files import made
from stand.load import flood, sessions
from stand.measure import interleave, ratio, spread
from stand.ours import listening
from stand.run import Bench, bench
from stand.servers import FAST, Keys, Server, find_sshd, openssh, plain

SIZE = 10_240  # bytes
SESSIONS = 16
OURS, OPENSSH, PLAIN, DISK = "wharfinger", "OpenSSH", "plain asyncssh", "bare disk"


def main() -> None:
    """Three comparisons, one report."""
    with bench("ingest", __doc__, rounds=5, slow_disk=True) as b, ExitStack() as stack:
        keys = Keys.made(b.work)
        servers = [
            stack.enter_context(listening(b.work, keys, b.env)).server,
            stack.enter_context(plain(b.work, keys, b.env)),
        ]
        if find_sshd():
            servers.append(stack.enter_context(openssh(b.work, keys, b.env)))
        flooded(b, {server.name: server for server in servers})
        if find_sshd():
            with_clients(b, *servers)
            one_large(b, servers[0], servers[-1])
        else:
            b.report.say("No sshd on this machine: OpenSSH, the clients and the large file were left out.")


@dataclass(frozen=True, slots=True)
class Sample:
    """One turn of one server."""

    rate: float  # files/s
    cpu: float  # µs a file that the server took


def flooded(b: Bench, servers: dict[str, Server]) -> None:
    """All servers and the disk, with 4 files and with 1 file under way in each session."""
    files = b.size(5_000, 64)
    for in_flight in (4, 1):
        subjects: dict[str, Callable[[int], Sample]] = {
            name: partial(flood_once, server, files, in_flight) for name, server in servers.items()
        }
        subjects[DISK] = partial(disk_once, b, files, in_flight)
        samples = interleave(subjects, b.rounds, b.tell)
        rates = {name: [sample.rate for sample in got] for name, got in samples.items()}
        load = f"{SESSIONS} sessions, {in_flight} in flight"
        rows = [
            [name, spread(rates[name]), spread([s.cpu for s in got]), ratio(rates[OURS], rates[name])]
            for name, got in samples.items()
        ]
        header = ["", "files/s", "server CPU, µs a file", f"{OURS} is times as fast"]
        b.report.table(
            f"10 KB files, {load}", header, rows, f"{files:,} files a turn, {b.rounds} turns: median (least-greatest)."
        )
        b.report.samples(f"files/s, {load}", rates)
        b.report.aim(
            f"of the plain durable asyncssh, {load}", ratio(rates[OURS], rates[PLAIN]).median, ">=", 2, "times"
        )
        b.report.aim(f"of the bare disk, {load}", ratio(rates[OURS], rates[DISK]).median, ">=", 0.4, "times")
    for name, server in servers.items():
        b.report.counts[f"{name} holds"] = server.held()
    b.report.counts["sent to each"] = files * b.rounds * 2


def flood_once(server: Server, files: int, in_flight: int, number: int) -> Sample:
    """One flood over new sessions; raises where a file was refused."""
    names = [f"inbound/{in_flight}-{number}-{n}" for n in range(files)]
    with sessions(server, SESSIONS) as opened:
        before, begun = cpu.seconds(server.pid), time.perf_counter()
        flood(opened, names, SIZE, in_flight=in_flight)
        taken = time.perf_counter() - begun
        used = cpu.seconds(server.pid) - before
    return Sample(files / taken, used * 1e6 / files)


def disk_once(b: Bench, files: int, in_flight: int, number: int) -> Sample:
    """The bare disk's turn."""
    return Sample(disk.rate(b.work / f"disk-{in_flight}-{number}", files, SIZE, b.env), 0.0)


def with_clients(b: Bench, ours: Server, durable: Server, theirs: Server) -> None:
    """Each real client, sending the same directory to each; and how fast the bare disk keeps one file after another."""
    files = b.size(3_000, 40)
    source = made(b.work / "source", files, SIZE)
    subjects = {
        (client, server.name): partial(send_once, send, server, source, client.split()[0])
        for client, send in clients.installed().items()
        for server in (ours, durable, theirs)
    }
    samples = interleave(subjects, min(3, b.rounds), b.tell)
    alone = [disk.rate(b.work / f"alone-{n}", files, SIZE, b.env, group=1) for n in range(min(3, b.rounds))]
    rows = []
    for client in clients.installed():
        mine, peer, other = ([files / s for s in samples[client, name]] for name in (OURS, PLAIN, OPENSSH))
        rows.append([client, spread(mine), spread(peer), spread(other), ratio(mine, peer), ratio(mine, other)])
        for wanted in (0.5, 0.7):
            b.report.aim(
                f"{client}: of what it reaches against OpenSSH", ratio(mine, other).median, ">=", wanted, "times"
            )
        b.report.samples(f"files/s, {client}", {OURS: mine, PLAIN: peer, OPENSSH: other})
    note = (
        f"Files/s of {files:,} files, from the client's start to its end. OpenSSH is not durable. sftp and paramiko send one file "
        f"after another: the bare disk keeps {spread(alone)} a second in this way, with no network, no server and no ledger."
    )
    header = ["client", OURS, PLAIN, OPENSSH, f"of {PLAIN}", f"of {OPENSSH}"]
    b.report.table("10 KB files with real clients", header, rows, note)


def send_once(client: clients.Client, server: Server, source: Path, name: str, number: int) -> float:
    """Seconds that `client` takes for all of `source`; raises where the server does not hold it afterwards."""
    before, files = server.held(), len(list(source.iterdir()))
    taken = clients.send(client, server, source, f"{name}-{number}")
    if (held := server.held() - before) != files:
        raise RuntimeError(f"{server.name} holds {held} of {files} files that {name} sent")
    return taken


def one_large(b: Bench, ours: Server, theirs: Server) -> None:
    """One file of 1 GiB by OpenSSH's sftp, with the fast cipher and with the one that the client prefers."""
    size = b.size(1 << 30, 1 << 20)
    source = made(b.work / "large", 1, size)
    for cipher, words in ((FAST, "aes128-gcm"), ("", "the client's own choice of cipher")):
        subjects = {
            server.name: partial(
                send_once, partial(clients.sftp_batch, cipher=cipher), server, source, f"large-{cipher[:3]}"
            )
            for server in (ours, theirs)
        }
        subjects["OpenSSH, synced"] = partial(
            send_once, partial(clients.sftp_batch, cipher=cipher, sync=True), theirs, source, f"synced-{cipher[:3]}"
        )
        samples = interleave(subjects, b.rounds, b.tell)
        speeds = {name: [size / 1e6 / s for s in got] for name, got in samples.items()}
        rows = [[name, spread(got), ratio(speeds[OURS], got)] for name, got in speeds.items()]
        note = "`OpenSSH, synced`: the client asks for an fsync after the upload (`sftp -f`), as durable as wharfinger always is."
        b.report.table(f"1 GiB, {words}", ["", "MB/s", f"{OURS} is times as fast"], rows, note)
        b.report.samples(f"MB/s, 1 GiB, {words}", speeds)
        b.report.aim(
            f"1 GiB upload, {words}: of OpenSSH", ratio(speeds[OURS], speeds[OPENSSH]).median, ">=", 1.0, "times"
        )


if __name__ == "__main__":
    main()
