"""
Finds steps by name: those that come with wharfinger, and those that installed packages offer as entry points of the group
`wharfinger.steps`. Names are known without importing anything; a step is imported when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points

from wharfinger import __version__
from wharfinger.errors import ConfigError
from wharfinger.steps import BUILTIN, Step

GROUP = "wharfinger.steps"
"""The group of entry points: each one's name is the step's name, its value is `module:STEP`."""


class Registry(Mapping[str, Step]):
    """
    Every step that can be used, by name. An unknown name is a KeyError. A step that is known and cannot be used is a
    ConfigError (STEP_UNUSABLE) whenever it is asked for, and no hindrance to any other.
    """

    def __init__(self, builtin: Mapping[str, str] = BUILTIN) -> None:
        self._builtin = builtin
        self._loaded: dict[str, Step] = {}

    def __getitem__(self, name: str) -> Step:
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._found))

    def __len__(self) -> int:
        return len(self._found)

    def origin(self, name: str) -> str:
        """The package that offers this step, with its version; several where they clash. An unknown name is a KeyError."""
        return " and ".join(_origin(point) for point in self._found[name])

    @cached_property
    def _found(self) -> Mapping[str, Sequence[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {
            name: [EntryPoint(name, spec, "")] for name, spec in self._builtin.items()
        }
        for point in entry_points(group=GROUP):
            found.setdefault(point.name, []).append(point)
        return found

    def _load(self, name: str) -> Step:
        points = self._found[name]
        if len(points) > 1:
            raise _unusable(
                f"several packages offer a step '{name}': {self.origin(name)}",
                fix="uninstall all but one, or ask an author for another name",
            )
        return _import(points[0])


def _import(point: EntryPoint) -> Step:
    try:
        step = point.load()
    except Exception as exc:  # a package of others may raise anything while it is imported
        why = f"{type(exc).__name__}: {exc}".split("\n", 1)[0]
        raise _unusable(
            f"the step '{point.name}' of {_origin(point)} cannot be imported from {point.value}: {why}",
            fix="repair or uninstall that package, or remove the step from the pipeline",
        ) from exc
    if not isinstance(step, Step):
        raise _unusable(
            f"the step '{point.name}' of {_origin(point)}: {point.value} is a {type(step).__name__}, not a Step",
            fix="ask the package's author to let the entry point name a wharfinger.steps.Step",
        )
    if step.name != point.name:
        raise _unusable(
            f"the step '{point.name}' of {_origin(point)} calls itself '{step.name}'",
            fix="ask the package's author to use one name in both places",
        )
    return step


def _origin(point: EntryPoint) -> str:
    if not point.group:
        return f"wharfinger {__version__}"
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unnamed package"


def _unusable(what: str, *, fix: str) -> ConfigError:
    return ConfigError(what, code="STEP_UNUSABLE", fix=fix)
