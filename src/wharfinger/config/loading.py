"""One file of YAML or JSON, and the environment, become settings; or a ConfigError that tells all that is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from wharfinger.config import call, document
from wharfinger.config.check import Check
from wharfinger.config.entry import PipelineEntry
from wharfinger.config.environment import overlay
from wharfinger.config.known import Bound, Known, StepKind, check_names
from wharfinger.config.mistake import Mistakes
from wharfinger.config.node import Node
from wharfinger.config.pipeline import bind, resolve
from wharfinger.config.settings import BoundStep, Customer, Document, Pipeline, Settings
from wharfinger.config.words import found
from wharfinger.errors import ConfigError

T = TypeVar("T")

_KEYS = tuple(field.name for field in fields(Document))


def read(path: Path, registry: Mapping[str, StepKind], environ: Mapping[str, str]) -> Settings:
    """The settings in a file. `registry` holds the steps that can be used, by name. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            text = file.read(4 * document.LARGEST + 1).decode("utf-8-sig")  # a character has four bytes at most
    except FileNotFoundError as exc:
        raise ConfigError(
            f"{path}: there is no such file", fix="make one with `wharf init`, or name it by --config"
        ) from exc
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}", fix="name another file by --config") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: byte {exc.start + 1} is no UTF-8", fix="save the file as UTF-8") from exc
    return load(text, registry, path=path.absolute(), environ=environ)


def load(text: str, registry: Mapping[str, StepKind], *, path: Path, environ: Mapping[str, str]) -> Settings:
    """
    The settings in a text that stands in the file `path`; pure. Relative paths in it start at the directory of `path`. Raises
    ConfigError with a line for each mistake: `wharf.yaml:12:9: pipelines.claims.steps[2].uses: no step 'unzp'; ...`.
    """
    mistakes = Mistakes(path)
    root = overlay(_sections(document.parse(text, path.name, mistakes), mistakes), environ, _KEYS, mistakes)
    check = Check(root, mistakes)
    written = check.take(Document, ())
    known = Known(registry, _names(root, "customers"), _names(root, "destinations"), _names(root, "pipelines"))
    _check_customers(root, known, check)
    steps = {name: bind(name, known, check) for name in known.pipelines}
    call.check_graph(steps, check)
    mistakes.check()
    assert written is not None, "there is a mistake where there is no document"
    steps |= call.copies(steps, known)
    return _settings(path, _anchored(written, path.parent), _anchored(steps, path.parent), registry)


def _sections(root: Node, mistakes: Mistakes) -> Node:
    """The top of the tree; a key with nothing after it counts as none, so that all below it can be commented out."""
    if root.value is not None and not isinstance(root.value, dict):
        mistakes.stop(root.at, f"expected a mapping, such as `data: ./wharf-data`, found {found(root.value)}")
    return Node({key: node for key, node in root.items() if node.value is not None}, root.at)


def _names(root: Node, section: str) -> list[str]:
    below = root.child(section)
    return [name for name, _ in below.items()] if below else []


def _check_customers(root: Node, known: Known, check: Check) -> None:
    """
    Every source has a customer that there is, and so has what is to be in order. A rule of retention may be for files of a customer, or a
    pipeline, that there is no more.
    """
    for name in _names(root, "sources"):
        check_names(("sources", name, "customer"), "customer", known.customers, check)
    order = root.child("order")
    for n in range(len(order.value) if order and isinstance(order.value, list) else 0):
        check_names(("order", n, "customer"), "customer", known.customers, check)


def _settings(
    path: Path, written: Document, steps: Mapping[str, tuple[Bound, ...]], registry: Mapping[str, StepKind]
) -> Settings:
    return Settings(
        path=path,
        data=written.data,
        store=written.store,
        ledger=written.ledger,
        bucket=written.bucket,
        min_free=written.min_free,
        listeners=written.listeners,
        workers=written.workers,
        log=written.log,
        metrics=written.metrics,
        customers={name: customer or Customer() for name, customer in written.customers.items()},
        sources=written.sources,
        order=written.order,
        destinations=written.destinations,
        retention=written.retention,
        pipelines=_pipelines(written, steps, registry),
    )


def _pipelines(
    written: Document, steps: Mapping[str, tuple[Bound, ...]], registry: Mapping[str, StepKind]
) -> tuple[Pipeline, ...]:
    """All of them in the order of the file; each is resolved after those that it calls, whose revisions are part of its own."""
    is_called = {name for each in steps.values() for name in call.called(each)}
    resolved: dict[str, Pipeline] = {}
    for name in call.inner_first(steps):
        revisions = {inner: resolved[inner].revision for inner in call.called(steps[name])}
        to = {each: written.destinations[each] for each in _destinations(steps[name], registry)}
        entry = _entry(name, written)
        resolved[name] = resolve(name, entry, steps[name], to, revisions, is_called=name in is_called)
    return tuple(resolved[name] for name in steps)


def _entry(name: str, written: Document) -> PipelineEntry:
    """What is written of this pipeline; one that only copies tries as often as the one that calls it."""
    caller = name.partition(":")[0]
    return written.pipelines[name] if caller == name else replace(written.pipelines[caller], route=None)


def _destinations(steps: Sequence[Bound], registry: Mapping[str, StepKind]) -> list[str]:
    wanted = (registry[step.uses].destinations(step.options) for step in steps if isinstance(step, BoundStep))
    return [each for names in wanted for each in names]


def _anchored(value: T, base: Path) -> T:
    """The same value, every relative path in it below `base`."""
    return cast(T, _moved(value, base))


def _moved(value: Any, base: Path) -> Any:
    if isinstance(value, Path):
        return base / value
    if isinstance(value, Mapping):
        return {key: _moved(each, base) for key, each in value.items()}
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(_moved(each, base) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {field.name: _moved(getattr(value, field.name), base) for field in fields(value) if field.init}
        return replace(value, **changed)
    return value
