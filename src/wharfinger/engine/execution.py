"""One run's way through the steps of its pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from wharfinger.config.place import CHECKPOINTS
from wharfinger.engine.destination import Recorder
from wharfinger.engine.failure import Fate, Fault, fate
from wharfinger.engine.input import Content, Input, arrived, made
from wharfinger.engine.plan import Plan, Stage
from wharfinger.engine.router import view
from wharfinger.errors import StepError, StoreError
from wharfinger.model import Checkpoint, Delivered, ObjectRef, Outcome, Run, State, Status, StepRecord, derive
from wharfinger.steps import FACTS, Output, Reader, Result, Scratch
from wharfinger.store import Delivery, Put, Store


class Execution:
    """
    A claimed run between its claim and its settling. `advance` runs one step; what the step delivers waits in `orders`, what a
    checkpoint is to keep is told by `unkept`, so that a group of runs shares these effects. Errors of any kind end in `fault`.
    """

    __slots__ = (
        "_facts",
        "_inputs",
        "_records",
        "_room",
        "_store",
        "at",
        "delivered",
        "fault",
        "kept",
        "orders",
        "plan",
        "run",
    )

    def __init__(self, run: Run, plan: Plan, store: Store, room: str) -> None:
        """`room` is the real path of the run's scratch directory, which need not be there yet."""
        self.run = run
        self.plan = plan
        self.at = 0  # index of the next step
        self.fault: Fault | None = None
        self.orders: list[tuple[str, Delivery]] = []  # by destination; of the step that ran last
        self.delivered: list[Delivered] = []
        self.kept: dict[ObjectRef, None] = {}  # by checkpoints of this run
        self._store = store
        self._room = room
        self._facts: dict[str, Mapping[str, Any]] = {}
        self._records: list[StepRecord] = []
        self._inputs = [arrived(store, run.arrival)]
        if run.checkpoint:
            self._resume(run.checkpoint)

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
        self.delivered = list(checkpoint.delivered)
        self._facts = dict(checkpoint.facts)
        self._inputs = [
            Input(self._store, self.run.arrival, Content(ref.size, ref=ref), name, media_type)
            for ref, name, media_type in checkpoint.inputs
        ]

    @property
    def goes_on(self) -> bool:
        """Whether there is a step left to run."""
        return self.fault is None and self.at < len(self.plan.stages)

    @property
    def stage(self) -> Stage:
        """The next step."""
        return self.plan.stages[self.at]

    def advance(self) -> None:
        """Run the next step, or pass it by where its `when` says so."""
        stage = self.stage
        if stage.bound.when and not stage.bound.when(view(self.run.arrival, self._facts)):
            self._record(stage, 0.0, "skipped")
        else:
            started = time.perf_counter()
            try:
                self._accept(stage, self._run(stage))
            except BaseException as error:  # a step may raise anything; a panic of Rust code is not even an Exception
                self.fault = Fault.of(error, stage.bound.name)
                self.orders.clear()
            self._record(stage, time.perf_counter() - started, self.fault.kind if self.fault else "ok")
        self.at += 1

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

    def _version(self, stage: Stage, what: str) -> str:
        """
        The version of something that this step brings about: the same at every repeat, another once the pipeline has changed,
        since its bytes may be others then.
        """
        return derive(self.run.arrival.version, self.run.id, self.plan.pipeline.revision, stage.bound.name, what)

    def _about(self, stage: Stage) -> Mapping[str, str]:
        return {"run": self.run.id, "step": stage.bound.name, "customer": self.run.arrival.customer}

    def _accept(self, stage: Stage, result: Result) -> None:
        found: dict[Path, Content] = {}  # a file may be handed on under several names
        self._inputs = [self._input(output, found) for output in result.outputs]
        if result.facts:
            self._facts[stage.bound.name] = _bounded(result.facts)

    def _input(self, output: Output, found: dict[Path, Content]) -> Input:
        content = self._content(output.source, found)
        if not _is_text(output.name):
            raise StepError("the name of the step's output is no text that UTF-8 can write", code="STEP_ERROR")
        return Input(self._store, self.run.arrival, content, output.name, output.media_type)

    def _content(self, source: Path | Reader, found: dict[Path, Content]) -> Content:
        if isinstance(source, Input):
            return source.content
        if not isinstance(source, Path):
            raise StepError("the step hands on something that is none of its inputs", code="STEP_ERROR")
        return found.setdefault(source, made(self._room, source))

    def _record(self, stage: Stage, seconds: float, outcome: str) -> None:
        self._records.append(StepRecord(stage.bound.name, stage.uses, seconds, outcome))

    def fail(self, error: BaseException) -> None:
        """What the last step ordered, or was to keep, could not be brought about."""
        self.fault = Fault.of(error, self._records[-1].name if self._records else "")
        self._records[-1:] = [replace(last, outcome=self.fault.kind) for last in self._records[-1:]]

    def give_up(self, error: BaseException, seconds: float) -> None:
        """The step that is running now has been left to itself after so many seconds."""
        self.fault = Fault.of(error, self.stage.bound.name)
        self._record(self.stage, seconds, self.fault.kind)

    @property
    def is_to_be_kept(self) -> bool:
        """Whether the step that ran last asks for a checkpoint, and another follows to which it is of use."""
        return self.goes_on and self.plan.stages[self.at - 1].bound.checkpoint

    def unkept(self) -> list[tuple[Content, Put]]:
        """The outputs that lie in scratch, and how the store is to keep them. Raises OSError where one cannot be read."""
        stage = self.plan.stages[self.at - 1]
        contents = {id(each.content): each.content for each in self._inputs if not each.content.ref}
        return [
            (content, Put(self._kept_ref(stage, n, content), Path(content.path), self._about(stage)))
            for n, content in enumerate(contents.values())
        ]

    def _kept_ref(self, stage: Stage, n: int, content: Content) -> ObjectRef:
        """The same at every repeat, another at each replay: somebody may still be removing what the run kept until it ended."""
        key = f"{self.run.id}/{self.run.replays}/{stage.bound.name}/{n}"
        version = self._version(stage, f"output {n}")
        return ObjectRef(CHECKPOINTS, key, version, content.size, content.sha256(self._store))

    def checkpoint(self) -> Checkpoint:
        """What the run has behind it, once nothing of it is unkept."""
        inputs = tuple([(each.content.ref, each.name, each.media_type) for each in self._inputs if each.content.ref])
        revision, delivered = self.plan.pipeline.revision, tuple(self.delivered)
        return Checkpoint(self.at, inputs, self._facts, revision, delivered, tuple(self.kept))

    def outcome(self, *, now: float, rand: Callable[[], float]) -> Outcome:
        """What is to be settled; `now` is epoch s."""
        pipeline, fault = self.plan.pipeline, self.fault
        end = fate(fault, self.run.tries, pipeline.retry, now=now, rand=rand) if fault else _DELIVERED
        return Outcome(
            run=self.run.id,
            token=self.run.token,
            state=end.state,
            status=end.status,
            pipeline=pipeline.name,
            revision=pipeline.revision,
            failure=fault.failure if fault else None,
            due=end.due,
            counts=fault.counts if fault else True,
            steps=tuple(self._records),
            delivered=tuple(self.delivered),
            facts=self._facts,
        )


_DELIVERED = Fate(State.DONE, Status.TRANSFERRED)


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
