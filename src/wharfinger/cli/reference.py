"""The reference page of the commands, made from the commands: `python -m wharfinger.cli.reference > docs/reference/cli.md`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

import click

from wharfinger.cli.frame import SECTIONS, wharf
from wharfinger.cli.problem import Exit

OPENING = """\
# Commands

<!-- Made by `python -m wharfinger.cli.reference`; edit the commands, not this page. -->

`wharf VERB --help` says the same. Every verb takes `--config PATH` (default `wharf.yaml` here, or `$WHARF_CONFIG`) and `--json`;
both may stand before the verb as well.

- stdout is the answer, stderr is talk. On a terminal lists are tables; in a pipe they are tab-separated lines under a
  header, with whole ids, sizes in bytes and times in UTC. `NO_COLOR` is respected.
- `--json` prints one JSON document: an object, or for a list an array with one element a line. Files have the same names
  everywhere: `file_id`, `source_bucket`, `destination_bucket`, `key`, `customer_id`, `upload_timestamp`,
  `transfer_timestamp`, `status`, `error_message`, ...; times are RFC 3339 in UTC, sizes are bytes.
- What goes wrong is told in two lines on stderr, `error: CODE: what and why` and `fix: what to do next`
  ([all codes](errors.md)). Should wharf itself be at fault, `WHARF_DEBUG=1` shows where.
- What cannot be undone asks first; `--yes` answers; `--dry-run`, where there is one, only looks.
- Completion for bash: `eval "$(_WHARF_COMPLETE=bash_source wharf)"`; `zsh_source` and `fish_source` do the same there.
"""

EXITS = {
    Exit.OK: "done",
    Exit.FAILED: "it failed",
    Exit.USAGE: "the command line asks for something that cannot be",
    Exit.NOT_FOUND: "no such file, user, customer, step, ...",
    Exit.NOT_ALLOWED: "a name that is refused, or something that this user of the machine may not do",
    Exit.PARTLY: "done for some, not for others; stderr says which",
    Exit.INTERRUPTED: "stopped by Ctrl-C; `wharf serve`: by a second signal, before all was finished",
    Exit.PIPE_CLOSED: "nobody read the rest (`wharf files | head`)",
}


def page() -> str:
    """The whole page, in Markdown."""
    context = click.Context(wharf, info_name="wharf")
    sections = [line for title in SECTIONS for line in _section(title, context)]
    return "\n".join([OPENING, *_exits(), *sections])


def _exits() -> Iterator[str]:
    yield from ("| Exit code | Meaning |", "| --- | --- |")
    yield from (f"| {int(code)} | {meaning} |" for code, meaning in EXITS.items())
    yield ""


def _section(title: str, context: click.Context) -> Iterator[str]:
    yield from (f"## {title}", "")
    for name in SECTIONS[title]:
        command = wharf.get_command(context, name)
        if command and not command.hidden:
            yield from _command(command, click.Context(command, info_name=name, parent=context))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield from (f"### {context.command_path}", "")
    yield from (inspect.cleandoc(command.help or "").replace("\b\n", ""), "")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below
            yield from _command(below, click.Context(below, info_name=name, parent=context))
        return
    yield from ("```", command.get_usage(context).removeprefix("Usage: "), "```", "")
    options = [record for record in map(_option, _own(command, context)) if record]
    if options:
        yield from ("| Option | Meaning |", "| --- | --- |", *options, "")


def _own(command: click.Command, context: click.Context) -> list[tuple[str, str]]:
    """The options as --help shows them, without those that every verb has."""
    shown = [p.get_help_record(context) for p in command.params if p.name not in ("config", "json")]
    return [record for record in shown if record]


def _option(record: tuple[str, str]) -> str:
    names, meaning = (" ".join(text.split()).replace("|", "\\|") for text in record)
    return f"| `{names}` | {meaning} |"


if __name__ == "__main__":
    sys.stdout.write(page())
