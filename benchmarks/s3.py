"""
The store in a bucket: how much of a put's time is ours, beside bare obstore.

The same staged files go to a service that answers at once and keeps nothing: through S3Store (read, hashed again, described, one page a
group), and by obstore alone, which reads them by their paths in as many threads. In turns; what ours takes more is our share. A real
service adds its own time to both.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import obstore
from obstore.store import S3Store as Remote

from stand.measure import interleave, spread
from stand.run import Bench, bench
from wharfinger.model import ObjectRef, ulid
from wharfinger.store import Put
from wharfinger.store.s3.address import address
from wharfinger.store.s3.client import Client
from wharfinger.store.s3.store import SENDERS, S3Store

SERVICE = Path(__file__).with_name("stand") / "null_s3.py"
Sample = tuple[float, float]  # µs a file: on the clock, and of this process's CPU


def main() -> None:
    """Small files in groups of several sizes, then larger ones."""
    with bench("s3", __doc__, rounds=7) as b, service() as endpoint:
        os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
        store = S3Store(Client(address(f"s3://bench?endpoint={endpoint}&region=us-east-1")), b.work / "spool")
        bare = Remote(
            "bench",
            endpoint=endpoint,
            region="us-east-1",
            checksum_algorithm="SHA256",
            client_options={"allow_http": True},
        )
        rows = []
        for size, group, files in (
            (10_240, 8, b.size(1_024, 128)),
            (10_240, 64, b.size(1_024, 128)),
            (1 << 20, 8, b.size(64, 8)),
        ):
            before = received(endpoint)
            rows.append(compare(b, store, bare, size, group, files))
            b.report.counts[f"{size} bytes in groups of {group}: put"] = files * b.rounds * 2
            b.report.counts[f"{size} bytes in groups of {group}: received"] = received(endpoint) - before
        store.close()
        header = [
            "bytes",
            "group",
            "ours, µs a file",
            "obstore, µs",
            "our share, %",
            "CPU ours, µs",
            "CPU obstore, µs",
            "our share, %",
        ]
        note = "Medians, with the least and the greatest. A group of n files costs n + 1 requests, bare obstore n."
        b.report.table("Puts", header, rows, note)


def compare(b: Bench, store: S3Store, bare: Remote, size: int, group: int, files: int) -> Sequence[object]:
    """One row of the report: so many files a turn."""
    with ThreadPoolExecutor(SENDERS) as pool:
        subjects: dict[str, Callable[[int], Sample]] = {
            "ours": partial(turn, b, partial(ours, store), size, group, files),
            "obstore": partial(turn, b, partial(theirs, bare, pool), size, group, files),
        }
        samples = interleave(subjects, b.rounds, b.tell)
    row: list[object] = [f"{size:,}", group]
    for n in (0, 1):
        mine, others = ([one[n] for one in samples[name]] for name in ("ours", "obstore"))
        row += [spread(mine), spread(others), spread([100 * (a - c) / a for a, c in zip(mine, others)])]
    return row


def turn(b: Bench, put: Callable[[Sequence[Put]], None], size: int, group: int, files: int, _: int) -> Sample:
    """Put so many staged files, group by group."""
    staged = b.work / "staged"
    staged.mkdir()
    puts = [a_put(staged / str(n), size) for n in range(files)]
    begun = time.perf_counter(), time.process_time()
    for start in range(0, files, group):
        put(puts[start : start + group])
    taken = time.perf_counter() - begun[0], time.process_time() - begun[1]
    shutil.rmtree(staged)
    return taken[0] * 1e6 / files, taken[1] * 1e6 / files


def a_put(path: Path, size: int) -> Put:
    data = os.urandom(size)
    path.write_bytes(data)
    ref = ObjectRef(
        "inbox", f"acme/{path.name}", ulid(time.time(), int(path.name)), size, hashlib.sha256(data).hexdigest()
    )
    return Put(ref, path, {"customer": "acme"})


def ours(store: S3Store, puts: Sequence[Put]) -> None:
    """As landing does."""
    if errors := [error for error in store.put(puts) if error]:
        raise errors[0]


def theirs(bare: Remote, pool: ThreadPoolExecutor, puts: Sequence[Put]) -> None:
    """The same bytes under the same kind of key, and the staged files are gone as well."""

    def put(one: Put) -> None:
        obstore.put(bare, f"objects/{one.ref.version}", Path(one.path), use_multipart=False)
        os.unlink(one.path)

    list(pool.map(put, puts))


def received(endpoint: str) -> int:
    """How many objects the service was sent so far."""
    with urllib.request.urlopen(endpoint, timeout=10) as answer:
        return int(answer.read())


@contextmanager
def service() -> Iterator[str]:
    """The endpoint of a null service in a process of its own."""
    with subprocess.Popen([sys.executable, SERVICE], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


if __name__ == "__main__":
    main()
