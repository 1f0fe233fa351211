"""
Facts. One database holds the catalog (what is true of each file), the queue (who works on what) and the history, so that
they change in one transaction.

Verbs take many, at most `MANY` at a time, and are atomic per element with a result per element; nothing is promised about
the order over all files. A lost or doubled wake-up is harmless: what the ledger says is the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from wharfinger.model import (
    Arrival,
    Call,
    ChildRecord,
    Event,
    Family,
    FileRecord,
    Lease,
    ObjectRef,
    Outcome,
    Run,
    State,
    Status,
)

REFILL = "wharf restore DIR, or wharf ledger rebuild; where nothing was yet, wharf serve makes it"
"""What to do where a ledger should be, and none is."""

MANY = 100
"""The most elements one call of a verb may carry (DynamoDB's TransactWriteItems ends there too)."""

SHORTEST_PREFIX = 12
"""The fewest characters of a file's id that may stand for it."""


class Ledger(Protocol):
    """The queue, for ingest and engine."""

    def arrive(self, arrivals: Sequence[Arrival]) -> list[bool]:
        """
        Record each file (status uploaded), its run (ready), its first event and its place in the customer's tree. False for
        one that is known already: nothing changes. One with `delivered` is recorded as transferred, its run as done; one with `purge`
        as what that says, its bytes as gone.

        Of a group, files stand in line in the order of these lists: a run is behind while an older one of its group has not ended; when it
        has, the next is ready in the same transaction. Never are two of a group ready, leased or waiting. One that is dead, or that no
        pipeline took, holds those behind it until it is replayed or cancelled, if its group `holds`.
        """
        ...

    def knows(self, files: Sequence[str]) -> list[bool]:
        """Which of these files are recorded, for good: one whose `arrive` failed and that is answered with False stays unknown."""
        ...

    def digests(self, files: Sequence[str]) -> list[str]:
        """The SHA-256, in hex, that each of these files is recorded with; "" for one that is not recorded."""
        ...

    def claim(self, owner: str, limit: int, lease_s: float, *, max_size: int | None = None) -> list[Run]:
        """
        Take up to `limit` due runs for `lease_s` seconds, in the order of fair rank; each claim adds one to the run's token.
        A run that is `solo`, or larger than `LARGE`, comes alone. With `max_size` (bytes) larger ones are left to others.
        """
        ...

    def extend(self, leases: Sequence[Lease], lease_s: float) -> list[bool]:
        """
        Hold these runs for another `lease_s` from now; False for one whose token is stale. A checkpoint that a lease carries
        is recorded with it: a retry resumes there.
        """
        ...

    def release(self, leases: Sequence[Lease]) -> list[bool]:
        """Give back runs that were not begun: ready at once, no try counted. False where the token is stale."""
        ...

    def spawn(self, calls: Sequence[Call]) -> list[list[bool] | None]:
        """
        Make the children that these leased runs call for, at most MANY children in all; None for a call whose token is stale.
        Each child is ready, and its parent has one more to wait for. Of a child that the same call has made already nothing
        changes: False where it has ended. One of an earlier call, of a run that was replayed since, starts again.
        """
        ...

    def families(self, calls: Sequence[tuple[str, str]]) -> list[Family]:
        """What became of the children of each (run, id of its call)."""
        ...

    def settle(self, outcomes: Sequence[Outcome]) -> list[bool]:
        """
        Record what became of claimed runs. A stale token changes nothing but leaves an event, and answers False. With the
        last of its children to end, a run that waits for them is ready; one that is to wait while none is left is ready at once.
        """
        ...

    def sweep(self, *, owner: str | None = None, crashed: bool = True) -> list[str]:
        """
        Take back up to `MANY` runs whose lease had expired when this was asked, however long the ledger is busy then (or that
        `owner` holds: its process is known to be dead), and answer their ids. Each becomes ready and `solo`; one that was solo already
        has crashed once more, and at `POISON_CRASHES` it is dead and its file quarantined with the code POISON. Where nothing has
        `crashed`, since somebody ended the process on purpose, they are released instead.
        """
        ...

    def replay(self, files: Sequence[str], *, by: str = "") -> list[bool]:
        """
        Make the runs of these files ready again from the start, if they are not leased and none of their children is left to end:
        tries and crashes forgotten, the checkpoint void (it still names what it keeps). One that has begun is one more time
        replayed; one that has not stays as it is. `by` says who wanted it. In its group each has the place that it had at first: it
        waits for the one that is at work or about to be, and comes before those that arrived later.
        """
        ...

    def cancel(self, files: Sequence[str], by: str) -> list[bool]:
        """
        Let nothing more happen to these files, unless they are replayed; `by` says who wanted it. The file is failed, a dead letter stays
        what it was. False for one that is done or cancelled already. A worker that holds one learns it when it extends its lease; what
        it settles is stale, but what it has delivered by then stays delivered; until that lease would have ended, and while children
        of it work, nobody of its group begins. Of its children see `cancel_children`.
        """
        ...

    def cancel_children(self) -> list[str]:
        """
        Cancel up to `MANY` runs that have not ended and that were called by one which is cancelled, and answer their ids: to be called
        until there are none, since these may have called others. Nobody is woken by it. Any process may do so, at any time.
        """
        ...

    def obsolete_checkpoints(self, *, after: str = "") -> list[Lease]:
        """
        Up to `MANY` runs that have ended and still have a checkpoint, each with it: what it keeps is of no use. In the order of their
        ids, those after the run `after`.
        """
        ...

    def drop_checkpoints(self, leases: Sequence[Lease]) -> list[bool]:
        """Forget the checkpoints of these runs. False where there is none, the run has not ended, or it was claimed since."""
        ...

    def register(self, revision: str, pipeline: str, document: str) -> None:
        """Keep the resolved pipeline that `revision` is the hash of, as canonical JSON."""
        ...


LARGE = 8 << 20
"""Bytes. A run on a larger file is claimed alone, so that nobody waits behind it."""

TROUBLES = 5
"""Most errors of children that a Family tells."""

POISON_CRASHES = 2
"""Crashes while running alone after which the bytes are held to be at fault."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which files: all that is given must hold."""

    customer: str = ""
    status: Status | None = None
    pipeline: str = ""  # that the file's own run was done by, or a child run of it
    revision: str = ""  # of the pipeline; its beginning will do
    name: str = ""  # glob over the key
    since: float | None = None  # uploaded at or after; epoch s
    until: float | None = None  # uploaded before; epoch s
    error: str = ""  # text within the error message
    is_kept: bool = False  # only files whose bytes are not given up
    is_own: bool = False  # pipeline and revision are those of the file's own run, and of no child run


@dataclass(frozen=True, slots=True)
class Counts:
    """The ledger in figures."""

    files: Mapping[Status, int]
    bytes: int
    runs: Mapping[State, int]  # of files
    children: Mapping[State, int]  # runs that others have called
    unrouted: int
    held: int  # wait for a pipeline that is paused
    oldest_ready: float | None  # when the file of the oldest run arrived that is ready, or behind another; epoch s
    oldest_lease: float | None  # when the first lease ends, or has ended; epoch s
    purged: int = 0  # files whose bytes are gone
    purged_bytes: int = 0
    purging: int = 0  # files whose bytes are given up, and not known to be gone
    incomplete: int = 0  # files that are transferred, though some of the runs that they called did not succeed


@dataclass(frozen=True, slots=True)
class Gate:
    """A pipeline that is paused."""

    pipeline: str
    at: float  # since when; epoch s
    by: str
    held: int  # runs that wait for it


class Gates(Protocol):
    """
    Pipelines that somebody has paused. A worker asks before it begins: what it holds for a paused pipeline it settles as WAITING with
    QUEUED, and where the pipeline was resumed meanwhile the ledger makes that READY at once.
    """

    def pause(self, pipeline: str, by: str) -> bool:
        """
        Let no run of this pipeline begin or come back, from now on: what a worker has in hand is finished; retries, and files that come
        back from child runs, wait. False where it is paused already.
        """
        ...

    def resume(self, pipeline: str, by: str) -> bool:
        """Let its runs begin again; `wake` brings back those that wait. False where it is not paused."""
        ...

    def paused(self) -> frozenset[str]:
        """The names of the pipelines that are paused: quick, for every claim."""
        ...

    def gates(self) -> list[Gate]:
        """All that is known of them, by name, for people."""
        ...

    def wake(self) -> list[str]:
        """
        Make up to `MANY` runs ready that wait for a pipeline which is not paused any more, and answer their ids: again at the place in
        line that they had.
        """
        ...


class Purges(Protocol):
    """
    Bytes of files that are given up for good. The order comes first, then the bytes go, then that is confirmed: who is cut off
    in between leaves an order that anybody may carry out. Records and histories stay.
    """

    def order(self, files: Sequence[str], *, by: str, rule: str = "") -> list[bool]:
        """
        Give up the bytes of these files: their names leave the customers' tree, nobody can replay them, a dead letter is dismissed.
        False for one that has not ended, or some of whose children have not, that is unknown, or whose bytes are given up already.
        """
        ...

    def ordered(self, *, after: str = "") -> list[Arrival]:
        """Up to `MANY` files whose bytes are still to go, by id, each with its `purge`; `after` is the last id of the page before."""
        ...

    def confirm(self, files: Sequence[str]) -> list[bool]:
        """Record that the bytes of these files are gone. False where that is not ordered, or is confirmed already."""
        ...


class Catalog(Protocol):
    """The reading side, for people: command line, web, reports."""

    def file(self, file_id: str) -> FileRecord | None:
        """The record of this file; a unique beginning of the id, of at least SHORTEST_PREFIX characters, will do."""
        ...

    def files(self, filter: Filter, *, limit: int = 100, after: str = "") -> list[FileRecord]:
        """Newest first; `after` is the last file_id of the page before."""
        ...

    def events(self, file_id: str) -> list[Event]:
        """
        The history of a file, oldest first. Kinds: arrived, transferred, failed, quarantined, retry, unrouted, released, expired (a
        lease), stale (a settle that came too late), held and woken (its pipeline was paused), cancelled, dismissed (a dead letter
        was), replayed, spawned (children), waiting (for them), resumed, purged (its bytes), and renamed or removed (its name in the
        customers' tree).
        What happens to a child has a kind such as `child.transferred`.
        """
        ...

    def holders(self, *, limit: int = 20) -> list[FileRecord]:
        """Files that hold up their groups, by group: they are dead, or no pipeline took them, and others are behind them."""
        ...

    def children(self, run: str, *, limit: int = 100, after: str = "") -> list[ChildRecord]:
        """The runs that this run has called, by id; `after` is the last id of the page before."""
        ...

    def child(self, id: str) -> ChildRecord | None:
        """The child run of this id; a unique beginning of it, of at least SHORTEST_PREFIX characters, will do."""
        ...

    def unsettled(
        self, filter: Filter, *, state: State | None = None, limit: int = 100, after: str = ""
    ) -> list[ChildRecord]:
        """
        The child runs of a status other than `transferred`, which the filter must name, and in this state, by their file's time, its
        id and their own, all descending. `after` is the last id of the page before; after a file's come the runs below it. Pipeline,
        revision and error are the run's own.
        """
        ...

    def counts(self) -> Counts:
        """How many files and runs there are in each state."""
        ...

    def newest_version(self) -> str:
        """The greatest version that has arrived; "" where nothing has. New versions must be greater, whatever the clock says."""
        ...

    def revision(self, revision: str) -> str | None:
        """The canonical JSON of a pipeline that was registered."""
        ...


Kind = Literal["dir", "file", "partial"]

Renamed = Literal["done", "missing", "taken", "no_parent", "too_many"]

MOST_MOVED = 10_000
"""Names below a directory that is renamed, at most: it is one transaction, for which others wait."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in the customers' tree. `path` has no leading or trailing slash: "customer1/inbound/a.csv"."""

    path: str
    kind: Kind
    size: int = 0  # bytes
    mtime: float = 0.0  # epoch s
    version: str = ""  # of the object; "" for a dir, and for a partial of a new name
    sha256: str = ""  # hex
    file_id: str = ""
    staged: str = ""  # id of the staged bytes of a partial
    user: str = ""  # whose partial it is
    is_fixed: bool = False  # made by the server itself: nobody changes it


class Namespace(Protocol):
    """The customers' tree as SFTP and the portal show it. Names are compared by NFC and kept as sent; `arrive` adds files."""

    def look(self, paths: Sequence[str]) -> list[Entry | None]:
        """What lies under each path."""
        ...

    def children(self, path: str, *, limit: int = 1000, after: str = "") -> list[Entry]:
        """The entries of a directory by name; `after` is the last name (not path) of the page before."""
        ...

    def make(self, entries: Sequence[Entry]) -> list[bool]:
        """
        Add directories and partials, with missing parents. False where the name is taken: a directory by anything, a partial by
        a directory; a partial over a file or an older partial replaces it in the tree until it arrives or is removed.
        """
        ...

    def touch(self, path: str, mtime: float) -> bool:
        """Set the time of last modification that the tree shows."""
        ...

    def rename(self, old: str, new: str, *, replace: bool = False) -> Renamed:
        """
        Move a name, a directory with all below it unless that is more than `MOST_MOVED` names. The files' records keep the key under
        which they arrived.
        """
        ...

    def remove(self, path: str) -> Literal["done", "missing", "not_empty"]:
        """Take a name out of the tree. Files in custody stay in custody."""
        ...

    def partials(self, *, before: float) -> Iterator[Entry]:
        """The partials last written before `before` (epoch s)."""
        ...


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may sign in. Sees only the tree below `home` ("customer1")."""

    name: str
    customer: str
    home: str
    keys: tuple[str, ...] = ()  # public keys, OpenSSH format: "ssh-ed25519 AAAA... comment"
    password_hash: str = field(default="", repr=False)  # argon2id, PHC string; "" where no password is accepted
    disabled: bool = False


class Accounts(Protocol):
    """Who may sign in."""

    def user(self, name: str) -> User | None:
        """The user of this name."""
        ...

    def users(self) -> list[User]:
        """All users by name."""
        ...

    def add(self, user: User) -> bool:
        """Add this user; False where the name is taken: nothing changes."""
        ...

    def change(self, name: str, alter: Callable[[User], User]) -> User | None:
        """
        Keep what `alter` makes of the user of this name, and answer it; None where there is none. No other change comes
        between: what somebody else changed before is what `alter` is given. What it raises is raised, and nothing changes.
        """
        ...

    def keep(self, users: Sequence[User]) -> None:
        """Add these users, or replace those of the same name."""
        ...

    def forget(self, names: Sequence[str]) -> list[bool]:
        """Remove users; their files stay. False for one that was not there."""
        ...


class Hint(Protocol):
    """
    Wakes who waits for work, on whatever host. A lost or doubled hint is harmless: a look into the ledger each second is the truth, so
    that nothing here raises.
    """

    def send(self, ids: Sequence[str]) -> None:
        """Say that these runs are ready. Never waits for a receiver."""
        ...

    def receive(self, timeout: float) -> bool:
        """Wait for a hint, at most `timeout` seconds; those that have come count as one. Hears from the first call on."""
        ...

    def close(self) -> None:
        """Listen no more."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """The last event of a file's history, at some time: all events before it hang on its hash."""

    file_id: str
    n: int
    hash: str  # hex


@dataclass(frozen=True, slots=True)
class Leaf:
    """A head that a checkpoint covers, and the hash that the event has now: "" where it is gone, or its file's record is."""

    head: Head
    now: str  # hex


@dataclass(frozen=True, slots=True)
class Coverage:
    """How far checkpoints cover a file's history."""

    n: int  # the last event that one covers; 0 where none does
    awaits: bool  # whether the next checkpoint is to cover it


@dataclass(frozen=True, slots=True)
class AuditCheckpoint:
    """A signed statement over histories (see ledger.checkpoint); not to be confused with that of a run."""

    n: int  # 1, 2, 3...
    at: float  # epoch s, UTC
    signed: bytes  # one line, a Signed


Sign = Callable[[Sequence[Head], AuditCheckpoint | None, float], bytes]
"""The signed line over these heads (in the order of file_id), after that checkpoint, at this time (epoch s)."""


HEADS = 1000
"""The most heads that one checkpoint covers, so that nobody waits long for its transaction."""


class Audit(Protocol):
    """Checkpoints over the histories of files: what shows afterwards that nobody has changed them."""

    def checkpoint(self, sign: Sign, *, every_s: float, limit: int = HEADS) -> AuditCheckpoint | None:
        """
        Cover the heads that no checkpoint covers yet, at most `limit`; None where there are none, or where the last checkpoint is younger
        than `every_s` and they are fewer than `limit`. All or nothing, and only one at a time: several processes may try.
        What `sign` raises is raised, and nothing changes.
        """
        ...

    def last(self) -> AuditCheckpoint | None:
        """The newest checkpoint."""
        ...

    def checkpoints(self, *, after: int = 0, limit: int = MANY) -> list[AuditCheckpoint]:
        """The checkpoints after that one, in their order."""
        ...

    def leaves(self, checkpoint: int) -> list[Leaf]:
        """What this checkpoint covers, in the order of file_id."""
        ...

    def covering(self, file_id: str) -> list[int]:
        """The checkpoints that cover a head of this file, in their order."""
        ...

    def coverage(self, files: Sequence[str]) -> list[Coverage]:
        """How far the history of each of these files is covered."""
        ...

    def waits_since(self) -> float | None:
        """
        None where checkpoints cover all that has happened; else when the last one was made (epoch s, UTC), and where there is none,
        when the first file came.
        """
        ...

    def publish(self, keys: Sequence[bytes], *, anew: bool = False) -> list[bytes]:
        """
        Make public keys known to all who share the ledger (documents, see ledger.trust), and answer all that are known, oldest first.
        Where others are known and none of these is, nothing is added, but for `anew`. Safe to repeat, and by several at once.
        """
        ...


class Copies(Protocol):
    """
    A ledger as a whole: copied while it is in use, and back from a copy. A copy is some files in a directory, beside others that are
    none of its business.
    """

    def copy(self, folder: Path) -> list[str]:
        """
        Put a copy of the ledger there, as it is at one instant; the answer names its files, below `folder`, the caller makes them durable.
        Raises LedgerError where the ledger cannot be read, NO_LEDGER where none is, StoreError where the disk refuses.
        """
        ...

    def is_one(self, folder: Path) -> bool:
        """Whether a copy of such a ledger is there."""
        ...

    def check(self, folder: Path) -> None:
        """Raises Incompatible for a copy of a newer version, LedgerError for one that cannot be read; nothing is changed."""
        ...

    def files(self, folder: Path) -> int:
        """How many files a copy has on record."""
        ...

    def kept(self, folder: Path) -> Iterator[ObjectRef]:
        """The objects of those among them whose bytes are kept."""
        ...

    def occupants(self) -> list[str]:
        """What is where the ledger has its place, by name: files, or a database that holds tables. A copy comes back where nothing is."""
        ...

    def restore(self, folder: Path) -> None:
        """
        Make what a copy holds the ledger, durably, all or nothing; leases are as they were then. To be called where nothing is, or once
        more with the same copy, which changes nothing. Raises UsageError NOT_EMPTY where anything else is, or what was brought back is in
        use already, Incompatible for a copy of a newer version.
        """
        ...


class Database(Protocol):
    """One database and the ports over it. Safe to use from several threads; each process opens its own."""

    @property
    def engine(self) -> str:
        """What keeps it, with its version: "SQLite 3.53.0"."""
        ...

    def ahead_s(self) -> float:
        """Seconds by which the clock of the server is ahead of this machine's; 0.0 where it is the same."""
        ...

    @property
    def ledger(self) -> Ledger: ...  # noqa: D102
    @property
    def gates(self) -> Gates: ...  # noqa: D102
    @property
    def purges(self) -> Purges: ...  # noqa: D102
    @property
    def catalog(self) -> Catalog: ...  # noqa: D102
    @property
    def namespace(self) -> Namespace: ...  # noqa: D102
    @property
    def accounts(self) -> Accounts: ...  # noqa: D102
    @property
    def audit(self) -> Audit: ...  # noqa: D102

    def close(self) -> None:
        """Let go of the database."""
        ...
