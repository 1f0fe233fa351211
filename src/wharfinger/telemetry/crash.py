"""
Named instants at which a test kills the process, so that every hop boundary is proven to survive kill -9.

`WHARF_CRASH=settle.before` kills at the first pass of that point, `settle.before:3` at the third. With `WHARF_CRASH_ONCE`
set to a path, the first process to get there creates that file and dies, all later ones live on (so a supervisor's restart
does not die again). With `WHARF_CRASH_SIGNAL=SIGSTOP` it is stopped instead, as by a machine that sleeps, until somebody
sends it SIGCONT. Without the variable a point costs one comparison.
"""

from __future__ import annotations

import os
import signal

POINTS = {
    "intake.handed": "landing has a group; the listener waits for its answer",
    "intake.staged": "the client's close was received; nothing is durable yet",
    "store.synced": "bytes and journal lines are durable under staging names",
    "store.renamed": "objects have their names; the directory is not synced, in a bucket no page of the journal tells of them",
    "intake.stored": "objects are durable; the ledger does not know them",
    "ledger.arriving": "inside the arrival's transaction, before its commit",
    "intake.arrived": "arrivals are committed; the listener does not know",
    "intake.answered": "the listener knows that arrivals are committed; the client has no answer",
    "intake.acknowledged": "the client has its answer; no worker was woken",
    "source.landed": "files of a folder or bucket are in custody; their originals are as they were",
    "folder.aside": "an original is out of its sender's way; it is not removed",
    "worker.claimed": "runs are leased; none has begun",
    "worker.routed": "pipelines are chosen; no step has run",
    "worker.stepped": "a step has run for every file of the group; its effects are not published",
    "worker.published": "a checkpoint's objects are durable; the ledger does not know the checkpoint",
    "worker.spawned": "children are committed as ready; their parent's checkpoint is not recorded",
    "worker.checkpointed": "the checkpoint is recorded; the next step has not begun",
    "target.synced": "a directory delivery is durable under its temporary name",
    "target.renamed": "a directory delivery has its name; the directory is not synced",
    "worker.delivered": "deliveries are visible and durable; the journal does not know them",
    "worker.noted": "the journal knows the deliveries; the ledger does not",
    "ledger.settling": "inside the settling transaction, before its commit",
    "ledger.waking": "inside the settling transaction: a child has ended; its parent still waits for it",
    "ledger.advancing": "inside a transaction: a file of a group has ended, or is to run again; the next one still waits for its turn",
    "worker.settled": "outcomes are committed; scratch is not cleaned",
    "store.deleting": "the journal knows that objects go (here those of checkpoints); they are still there",
    "worker.dropped": "what checkpoints kept for runs that ended is gone; the ledger still names it",
    "ledger.checkpointing": "inside the transaction of an audit checkpoint, before its commit",
    "sweeper.begun": "expired leases are about to be taken back",
    "sweeper.swept": "expired leases were taken back; no worker was woken",
    "supervisor.started": "the children run",
    "supervisor.bereaved": "a child's death was seen; its leases are not taken back, no other was started",
}
"""Every point by name, with what is true there: one at each boundary of a file's way."""

ON_REQUEST = {
    "cancel.noted": "the journal says that files are cancelled; the ledger does not yet",
    "replay.noted": "the journal says that cancelled files run again; the ledger does not yet",
    "cancel.begun": "files are cancelled; what they have called goes on",
    "cancel.descended": "some of what they have called is cancelled as well; the rest goes on",
    "ledger.purging": "inside the transaction that gives up the bytes of files, before its commit",
    "purge.ordered": "the ledger has given up the bytes of some files; they are still there",
    "purge.noted": "the journal knows it as well; the bytes are still there",
    "purge.deleted": "the bytes are gone; the ledger does not know",
    "gate.woken": "some runs that waited for a paused pipeline are ready again; others still wait, no worker was woken",
    "backup.ledger": "the ledger is copied; neither its journal nor its objects are",
    "backup.journal": "ledger and journal are copied; not every object is",
    "backup.objects": "all is copied, and the snapshot has no name",
    "backup.named": "the snapshot has its name",
    "restore.objects": "the objects are back; no journal describes them",
    "restore.journal": "objects and journal are back; keys and ledger are not",
    "restore.filled": "likewise, and a database has all rows of the ledger; they are not committed",
    "restore.ledger": "all is back; the place is still marked as unfinished",
}
"""Likewise, of what is done when a person asks for it, or a rule of the configuration."""

_armed, _, _nth = os.environ.get("WHARF_CRASH", "").partition(":")
_left = int(_nth or 1)
_signal = signal.Signals[os.environ.get("WHARF_CRASH_SIGNAL") or "SIGKILL"]


def point(name: str) -> None:
    """Die here, or stop, if the environment says so."""
    global _left
    if _armed != name:
        return
    _left -= 1
    if _left > 0:
        return
    if _is_first():
        signal.raise_signal(_signal)  # to this thread: another one might take it, and this one go on for a moment


def _is_first() -> bool:
    once = os.environ.get("WHARF_CRASH_ONCE")
    if not once:
        return True
    try:
        os.close(os.open(once, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
