"""
Names made by a small template: `{customer}/{date:%Y/%m}/{name}`.

The language knows the variables below and nothing else: no attributes, no indexes, no conversions, so that nothing in a file's
name can reach into the program. `{{` and `}}` stand for braces.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from posixpath import splitext
from typing import Any

from pydantic_core import CoreSchema, core_schema

from wharfinger.config.template import parts
from wharfinger.config.words import nearest
from wharfinger.names import key_fault
from wharfinger.steps import Reader
from wharfinger.steps.name import safe_key, safe_name


@dataclass(frozen=True, slots=True)
class Variable:
    """A word that a template may have in braces."""

    help: str
    example: str
    of: Callable[[Reader], str]


def _folder(source: Reader) -> str:
    return "/".join(filter(None, (source.arrival.key.rpartition("/")[0], source.member.rpartition("/")[0])))


VARIABLES: Mapping[str, Variable] = {
    "name": Variable("the name, as the steps before have left it", "orders.csv.gz", lambda r: r.name),
    "stem": Variable("the name without its last suffix", "orders.csv", lambda r: splitext(r.name)[0]),
    "suffix": Variable("the last suffix with its dot, or nothing", ".gz", lambda r: splitext(r.name)[1]),
    "folder": Variable(
        "the folder it arrived in; of a member of an archive, with its folder there", "acme/inbound", _folder
    ),
    "member": Variable(
        "the path of a member in its archive; of anything else its name",
        "2026/orders.csv",
        lambda r: r.member or r.name,
    ),
    "key": Variable("the whole key it arrived under", "acme/inbound/orders.csv.gz", lambda r: r.arrival.key),
    "customer": Variable("the customer", "acme", lambda r: r.arrival.customer),
    "user": Variable("the user who sent it", "acme-erp", lambda r: r.arrival.user),
    "version": Variable("the version in custody", "01J9ZQ3V5M8X2K7C4T6B0WARF1", lambda r: r.arrival.version),
    "file_id": Variable("the file's id", "01J9ZQ3V5M4N7D2S9G5H8KQETY", lambda r: r.arrival.file_id),
    "sha256": Variable("SHA-256 of the file as it arrived, in hex", "9f86d081" * 8, lambda r: r.arrival.sha256),
}
"""Each variable by name. Beside these there is `date`: the day of the arrival, or with a format any part of its time, in UTC."""

DATE = "%Y-%m-%d"
"""How `{date}` is written; `{date:%Y/%m}` says otherwise."""

_DATE = re.compile(r"(?:%[YmdHMSjGVu%]|[^%])+")  # the directives that read the same in every locale


class Template(str):
    """A text and what it means. Making one raises ValueError with the mistake and the nearest valid word."""

    __slots__ = ("_parts",)
    _parts: tuple[str | Variable, ...]

    def __new__(cls, text: str) -> Template:  # noqa: D102
        self = super().__new__(cls, text)
        self._parts = tuple(parts(text, _variable))
        return self

    def render(self, source: Reader) -> str:
        """The text for this input. Much of it was chosen by the file's sender: check it before it names anything."""
        return "".join([part if isinstance(part, str) else part.of(source) for part in self._parts])

    def key(self, source: Reader) -> str:
        """The text as a key. Raises Rejected (NAME_UNSAFE)."""
        return safe_key(self.render(source))

    def name(self, source: Reader) -> str:
        """The text as a name without folders. Raises Rejected (NAME_UNSAFE)."""
        return safe_name(self.render(source))

    def example(self) -> str:
        """The text for a file like any other."""
        return "".join([part if isinstance(part, str) else part.example for part in self._parts])

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> CoreSchema:
        """In a configuration a template is its text."""
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema())


def makes_key(template: Template) -> Template:
    """`template`, if what it makes of an ordinary file is a safe key; else raises ValueError."""
    if why := key_fault(template.example()):
        raise ValueError(f"'{template}' makes '{template.example()}', which {why}")
    return template


def makes_name(template: Template) -> Template:
    """`template`, if what it makes of an ordinary file is a safe name without folders; else raises ValueError."""
    if "/" in template.example():
        raise ValueError(
            f"'{template}' makes '{template.example()}', which has a folder in it; only a name is possible here"
        )
    return makes_key(template)


def _variable(name: str, style: str | None) -> Variable:
    if name == "date":
        return _date(DATE if style is None else style)
    if style is not None and name in VARIABLES:
        raise ValueError(f"'{{{name}:{style}}}': only 'date' takes a format; write '{{{name}}}'")
    if name not in VARIABLES:
        raise ValueError(f"no variable '{name}'{nearest(name, [*VARIABLES, 'date'])}")
    return VARIABLES[name]


def _date(style: str) -> Variable:
    if not _DATE.fullmatch(style):
        raise ValueError(
            f"'{{date:{style}}}': the format may have %Y %m %d %H %M %S %j %G %V %u and text, such as %Y/%m/%d"
        )
    return Variable("", time.strftime(style, time.gmtime(0)), lambda r: time.strftime(style, time.gmtime(r.arrival.at)))
