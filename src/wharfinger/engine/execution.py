"""One run's way through the steps of its pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from wharfinger.config.place import CHECKPOINTS
from wharfinger.config.settings import BoundBranch
from wharfinger.engine import member
from wharfinger.engine.destination import Recorder
from wharfinger.engine.failure import Fate, Fault, fate, incomplete, shortfall
from wharfinger.engine.input import Content, Input, arrived, made
from wharfinger.engine.member import Member
from wharfinger.engine.plan import Crossing, Plan, Stage
from wharfinger.engine.router import view
from wharfinger.errors import StepError, StoreError
from wharfinger.ledger import MANY
from wharfinger.model import (
    Checkpoint,
    Child,
    Delivered,
    Failure,
    Family,
    ObjectRef,
    Outcome,
    Run,
    State,
    Status,
    StepRecord,
    derive,
)
from wharfinger.steps import FACTS, Output, Reader, Result, Scratch
from wharfinger.store import Delivery, Put, Store


class Execution:
    """
    A claimed run between its claim and its settling. `advance` runs one step; what the step delivers waits in `orders`, what a
    checkpoint is to keep is told by `unkept`, so that a group of runs shares these effects. Errors of any kind end in `fault`.

    A step that calls pipelines leaves in `calling` which; once their children are there the run `waits`, and goes on another time.
    """

    __slots__ = (
        "_facts",
        "_inputs",
        "_records",
        "_room",
        "_store",
        "at",
        "calling",
        "delivered",
        "fault",
        "kept",
        "orders",
        "plan",
        "run",
        "unnamed",
        "waits",
    )

    def __init__(self, run: Run, plan: Plan, store: Store, room: str) -> None:
        """`room` is the real path of the run's scratch directory, which need not be there yet."""
        self.run = run
        self.plan = plan
        self.at = 0  # index of the next step
        self.fault: Fault | None = None
        self.orders: list[tuple[str, Delivery]] = []  # by destination; of the step that ran last
        self.delivered: list[Delivered] = []
        self.unnamed = 0  # deliveries of children beside those in `delivered`
        self.kept: dict[ObjectRef, None] = {}  # by checkpoints of this run
        self.calling: tuple[BoundBranch, ...] = ()  # of the step that ran last: no child has been made yet
        self.waits = False  # for children
        self._store = store
        self._room = room
        self._facts: dict[str, Mapping[str, Any]] = {}
        self._records: list[StepRecord] = []
        self._inputs = self._beginning()
        if run.checkpoint:
            self._resume(run.checkpoint)

    def _beginning(self) -> list[Input]:
        child = self.run.child
        return self._kept_inputs(child.inputs) if child else [arrived(self._store, self.run.arrival)]

    def _kept_inputs(self, inputs: Sequence[tuple[ObjectRef, str, str]]) -> list[Input]:
        return [self._input(Content(ref.size, ref=ref), name, media_type) for ref, name, media_type in inputs]

    def _input(self, content: Content, name: str, media_type: str) -> Input:
        member = self.run.child.member if self.run.child else ""
        return Input(self._store, self.run.arrival, content, name, media_type, member)

    def _resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint, unless it counts the steps of another revision or its objects are gone."""
        refs = [ref for ref, _, _ in checkpoint.inputs]
        self.kept = dict.fromkeys(checkpoint.kept)
        try:
            if checkpoint.revision != self.plan.pipeline.revision or None in self._store.head(refs):
                return
        except (StoreError, OSError) as error:
            self.fault = Fault.of(error, "")
        self.at = checkpoint.step
        self.delivered, self.unnamed = list(checkpoint.delivered), checkpoint.unnamed
        self._facts = dict(checkpoint.facts)
        self._inputs = self._kept_inputs(checkpoint.inputs)
        self.waits = self.at > 0 and isinstance(self.last, Crossing)

    @property
    def goes_on(self) -> bool:
        """Whether there is a step left to run now."""
        return self.fault is None and not self.calling and not self.waits and self.at < len(self.plan.stages)

    @property
    def stage(self) -> Stage | Crossing:
        """The next step."""
        return self.plan.stages[self.at]

    @property
    def last(self) -> Stage | Crossing:
        """The step that ran last."""
        return self.plan.stages[self.at - 1]

    @property
    def ends_file(self) -> bool:
        """Whether the file has come to its end with this run, as far as is known."""
        return self.fault is None and not self.waits and self.run.child is None

    def advance(self) -> None:
        """Run the next step, or pass it by where its `when` says so."""
        stage = self.stage
        if stage.bound.when and not stage.bound.when(self._view()):
            self._record(stage, 0.0, "skipped")
        else:
            started = time.perf_counter()
            try:
                if isinstance(stage, Crossing):
                    self._cross(stage)
                else:
                    self._accept(stage, self._run(stage))
            except BaseException as error:  # a step may raise anything; a panic of Rust code is not even an Exception
                self.fault = Fault.of(error, stage.name)
                self.orders.clear()
            self._record(stage, time.perf_counter() - started, self.fault.kind if self.fault else "ok")
        self.at += 1

    def _view(self) -> Mapping[str, Any]:
        return view(self.run.arrival, self._facts, self.run.child)

    def _cross(self, stage: Crossing) -> None:
        """Find out which pipelines are to be called. An archive whose members they are called for must be sound."""
        sight = self._view()
        taken = tuple([branch for branch in stage.bound.branches if branch.when is None or branch.when(sight)])
        if stage.bound.kind == "each":
            with closing(self._archive()) as source:
                member.check(source, stage.bound.members, Scratch(f"{self._room}/{self.at}").path)
        self.calling = taken[:1] if stage.bound.kind == "choose" else taken
        if not taken:
            self._facts[stage.name] = _told(Family(0, 0, 0, 0))

    def _archive(self) -> Input:
        if len(self._inputs) != 1:
            raise StepError(f"one archive is expected here, and {len(self._inputs)} files came", code="STEP_ERROR")
        return self._inputs[0]

    @property
    def is_for_members(self) -> bool:
        """Whether the step that ran last calls for each member of an archive."""
        return isinstance(self.last, Crossing) and self.last.bound.kind == "each"

    def children(self) -> list[Child]:
        """Those that `calling` calls for with what the run has now, which is in the store."""
        inner = self.run.child.member if self.run.child else ""
        return [self._child(branch, inner, self.checkpoint().inputs) for branch in self.calling]

    def members(self) -> Iterator[list[tuple[Child, Put]]]:
        """In groups of at most MANY, a child for each member of the archive, and how the store is to keep what it works on."""
        stage = self.last
        assert isinstance(stage, Crossing)
        with closing(self._archive()) as source:
            for group in member.groups(source, stage.bound.members, Path(f"{self._room}/{self.at - 1}")):
                yield [self._member_child(stage, each) for each in group]

    def _member_child(self, stage: Crossing, each: Member) -> tuple[Child, Put]:
        key = f"{self.run.id}/{self.run.replays}/{stage.name}/member/{each.n}"
        ref = ObjectRef(CHECKPOINTS, key, self._version(stage, f"member {each.n}"), each.size, each.sha256)
        inner = "/".join(filter(None, (self.run.child.member if self.run.child else "", each.member)))
        child = self._child(self.calling[0], inner, ((ref, each.name, each.media_type),), (ref,))
        return child, Put(ref, each.path, self._about(stage))

    def _child(
        self,
        branch: BoundBranch,
        inner: str,
        inputs: tuple[tuple[ObjectRef, str, str], ...],
        kept: tuple[ObjectRef, ...] = (),
    ) -> Child:
        stage = self.last
        assert isinstance(stage, Crossing)
        return Child(branch.pipeline, stage.revisions[branch.pipeline], stage.name, inner, inputs, kept)

    @property
    def call(self) -> str:
        """The id of the call by the step that ran last."""
        return derive(self.run.id, self.plan.pipeline.revision, self.last.name, str(self.run.replays))

    def await_children(self) -> None:
        """They are there, and so is the checkpoint behind the call."""
        self.calling, self.waits = (), True

    def reunite(self, family: Family) -> None:
        """Go on where all children have ended, if they ended as they must."""
        stage = self.last
        assert isinstance(stage, Crossing)
        if family.pending:
            return
        self.waits = False
        amiss = shortfall(family, "member" if stage.bound.kind == "each" else "child run")
        self._facts[stage.name] = {**_told(family), **({SHORTFALL: amiss} if amiss else {})}
        self._tell(family)
        if family.clash:
            self.fault = Fault.of_clash(family.clash, stage.name)
        elif stage.bound.on_child_failure == "fail" and family.failed + family.quarantined:
            self.fault = Fault.of_children(family, stage.name)

    def _tell(self, family: Family) -> None:
        """Of what children delivered, name up to MANY with all that is named already, and count the rest."""
        named = family.delivered[: max(MANY - len(self.delivered), 0)]
        self.delivered += named
        self.unnamed += family.unnamed + len(family.delivered) - len(named)

    def _run(self, stage: Stage) -> Result:
        room = f"{self._room}/{self.at}"
        destinations = {
            name: Recorder(target, self._room, partial(self._order, name)) for name, target in stage.targets.items()
        }
        try:
            return stage.step.run(self._inputs, stage.bound.options, Scratch(room, destinations))
        finally:
            for each in self._inputs:
                each.close()

    def _order(self, destination: str, content: Content, key: str) -> None:
        version = self._version(self.stage, f"delivery {len(self.orders)}")
        sha256 = content.sha256(self._store)
        self.orders.append(
            (destination, Delivery(content.source(), key, version, content.size, sha256, self._about(self.stage)))
        )

    def _version(self, stage: Stage | Crossing, what: str) -> str:
        """
        The version of something that this step brings about: the same at every repeat, another once the pipeline has changed,
        since its bytes may be others then.
        """
        return derive(self.run.arrival.version, self.run.id, self.plan.pipeline.revision, stage.name, what)

    def _about(self, stage: Stage | Crossing) -> Mapping[str, str]:
        return {"run": self.run.id, "step": stage.name, "customer": self.run.arrival.customer}

    def _accept(self, stage: Stage, result: Result) -> None:
        found: dict[Path, Content] = {}  # a file may be handed on under several names
        self._inputs = [self._handed_on(output, found) for output in result.outputs]
        if result.facts:
            self._facts[stage.name] = _bounded(result.facts)

    def _handed_on(self, output: Output, found: dict[Path, Content]) -> Input:
        content = self._content(output.source, found)
        if not _is_text(output.name):
            raise StepError("the name of the step's output is no text that UTF-8 can write", code="STEP_ERROR")
        return self._input(content, output.name, output.media_type)

    def _content(self, source: Path | Reader, found: dict[Path, Content]) -> Content:
        if isinstance(source, Input):
            return source.content
        if not isinstance(source, Path):
            raise StepError("the step hands on something that is none of its inputs", code="STEP_ERROR")
        return found.setdefault(source, made(self._room, source))

    def _record(self, stage: Stage | Crossing, seconds: float, outcome: str) -> None:
        self._records.append(StepRecord(stage.name, stage.uses, seconds, outcome))

    def fail(self, error: BaseException) -> None:
        """What the last step ordered, or was to keep, could not be brought about."""
        self.fault = Fault.of(error, self._records[-1].name if self._records else "")
        self._records[-1:] = [replace(last, outcome=self.fault.kind) for last in self._records[-1:]]

    def give_up(self, error: BaseException, seconds: float) -> None:
        """The step that is running now has been left to itself after so many seconds."""
        self.fault = Fault.of(error, self.stage.name)
        self._record(self.stage, seconds, self.fault.kind)

    @property
    def is_to_be_kept(self) -> bool:
        """Whether the step that ran last asks for a checkpoint to which the run comes back."""
        return bool(self.calling) or (self.goes_on and self.last.checkpoint)

    def unkept(self) -> list[tuple[Content, Put]]:
        """The outputs that lie in scratch, and how the store is to keep them. Raises OSError where one cannot be read."""
        stage = self.last
        contents = {id(each.content): each.content for each in self._inputs if not each.content.ref}
        return [
            (content, Put(self._kept_ref(stage, n, content), Path(content.path), self._about(stage)))
            for n, content in enumerate(contents.values())
        ]

    def _kept_ref(self, stage: Stage | Crossing, n: int, content: Content) -> ObjectRef:
        """The same at every repeat, another at each replay: somebody may still be removing what the run kept until it ended."""
        key = f"{self.run.id}/{self.run.replays}/{stage.name}/{n}"
        version = self._version(stage, f"output {n}")
        return ObjectRef(CHECKPOINTS, key, version, content.size, content.sha256(self._store))

    def checkpoint(self) -> Checkpoint:
        """What the run has behind it, once nothing of it is unkept."""
        inputs = tuple([(each.content.ref, each.name, each.media_type) for each in self._inputs if each.content.ref])
        revision, delivered = self.plan.pipeline.revision, tuple(self.delivered)
        return Checkpoint(self.at, inputs, self._facts, revision, delivered, tuple(self.kept), self.unnamed)

    def outcome(self, *, now: float, rand: Callable[[], float]) -> Outcome:
        """What is to be settled; `now` is epoch s."""
        pipeline, fault = self.plan.pipeline, self.fault
        end = fate(fault, self.run.tries, pipeline.retry, now=now, rand=rand) if fault else self._end
        return Outcome(
            run=self.run.id,
            token=self.run.token,
            state=end.state,
            status=end.status,
            pipeline=pipeline.name,
            revision=pipeline.revision,
            failure=fault.failure if fault else None if self.waits else self.lack,
            due=end.due,
            counts=fault.counts if fault else True,
            steps=tuple(self._records),
            delivered=() if self.waits else tuple(self.delivered),
            facts={} if self.waits else self._facts,
            unnamed=0 if self.waits else self.unnamed,
        )

    @property
    def lack(self) -> Failure | None:
        """What the run went on without, so far."""
        crossings = [stage.name for stage in self.plan.stages if isinstance(stage, Crossing)]
        found = {name: self._facts.get(name, {}).get(SHORTFALL, "") for name in crossings}
        return incomplete({name: amiss for name, amiss in found.items() if amiss})

    @property
    def _end(self) -> Fate:
        return _WAITING if self.waits else _DELIVERED


SHORTFALL = "shortfall"
"""The fact of a step that called: what the run went on without, in words; not there where all succeeded."""

_DELIVERED = Fate(State.DONE, Status.TRANSFERRED)
_WAITING = Fate(State.WAITING, Status.PROCESSING)


def _told(family: Family) -> Mapping[str, Any]:
    """What later conditions see of a call; `config.call.FACTS` declares it."""
    return {
        "children": family.count,
        "transferred": family.transferred,
        "failed": family.failed,
        "quarantined": family.quarantined,
        "unsuccessful": family.failed + family.quarantined,
    }


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bounded(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    facts = dict(facts)
    try:
        size = len(orjson.dumps(facts))
    except TypeError as exc:
        raise StepError("the step's facts are no JSON", code="STEP_ERROR") from exc
    if size > FACTS:
        raise StepError(f"the step's facts take {size} bytes of JSON; at most {FACTS} are kept", code="STEP_ERROR")
    return facts
