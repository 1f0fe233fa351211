"""The frame around all verbs: finds them, gives each --config and --json, and turns every end into an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from wharfinger.cli.problem import Exit, problem
from wharfinger.cli.session import Session
from wharfinger.cli.show import complain, silence

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Start": ("demo", "init", "check", "serve", "worker", "doctor"),
    "Files": (
        "put",
        "status",
        "files",
        "file",
        "runs",
        "replay",
        "cancel",
        "purge",
        "pause",
        "resume",
        "reconcile",
        "route",
    ),
    "Set up": ("users", "sign", "steps", "schema"),
    "Custody": ("store", "ledger", "backup", "restore", "receipt", "evidence", "audit", "signing"),
}
"""The verbs, as `wharf --help` shows them. Each is `command` in the module of its name."""

ROLES = ("listen", "http", "watch", "retain", "metrics")
"""What `wharf serve` starts beside workers; nobody types it."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the answer is its exit code. Nothing that goes wrong shows a traceback, unless WHARF_DEBUG is set."""
    session = Session()
    try:
        with closing(session):
            return _run(arguments, session)
    except click.exceptions.Exit as exit:
        return exit.exit_code
    except click.exceptions.NoArgsIsHelpError as bare:
        bare.show()
        return Exit.USAGE
    except BrokenPipeError:
        silence()
        return Exit.PIPE_CLOSED
    except (KeyboardInterrupt, click.Abort):
        complain("stopped")
        return Exit.INTERRUPTED
    except Exception as error:  # the edge of the process: whatever it is, a person reads it
        if os.environ.get("WHARF_DEBUG"):
            raise
        return _tell(error)


def _run(arguments: Sequence[str], session: Session) -> int:
    asked = os.environ.get("_WHARF_COMPLETE")
    if asked:
        from click.shell_completion import shell_complete

        return shell_complete(wharf, {}, "wharf", "_WHARF_COMPLETE", asked)
    with wharf.make_context("wharf", list(arguments), obj=session, color=_color()) as context:
        ended = wharf.invoke(context)
    sys.stdout.flush()
    return int(ended or Exit.OK)


def _color() -> bool | None:
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def _tell(error: Exception) -> int:
    told = problem(error)
    complain(told.message, code=told.code, fix=told.fix)
    return told.exit


def _set_config(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.find_object(Session).config = value  # type: ignore[union-attr]


def _set_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.find_object(Session).json = True  # type: ignore[union-attr]


def _common() -> list[click.Parameter]:
    return [
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path),
            envvar="WHARF_CONFIG",
            metavar="PATH",
            expose_value=False,
            callback=_set_config,
            help="The configuration.  [default: wharf.yaml, or $WHARF_CONFIG]",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_set_json,
            help="Answer with one JSON document.",
        ),
    ]


class Verb(click.Command):
    """A command that takes --config and --json beside its own options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _common()


class Verbs(click.Group):
    """A verb with verbs of its own (`users add`); an unknown one is answered with the nearest."""

    command_class = Verb

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that `args` name. Raises UsageError with a suggestion."""
        if args and not args[0].startswith("-") and self.get_command(context, args[0]) is None:
            near = get_close_matches(args[0], self.list_commands(context), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self.list_commands(context))}"
            raise click.UsageError(f"no command {args[0]!r}; {hint}", context)
        return super().resolve_command(context, args)


class Root(Verbs):
    """`wharf` itself: every verb is imported when it is used."""

    def list_commands(self, context: click.Context) -> list[str]:  # noqa: ARG002
        """All verbs, in the order of the help."""
        return [name for names in SECTIONS.values() for name in names]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The verb of this name."""
        if name not in (*self.list_commands(context), *ROLES):
            return None
        command: click.Command = import_module(f"wharfinger.cli.{name}").command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs by section, each with its first sentence."""
        for section, lines in self._sections(context):
            with formatter.section(section):
                formatter.write_dl(lines)

    def _sections(self, context: click.Context) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        for section, names in SECTIONS.items():
            commands = [(name, self.get_command(context, name)) for name in names]
            yield section, [(name, c.get_short_help_str(75)) for name, c in commands if c and not c.hidden]


def _version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from wharfinger import __version__

        click.echo(f"wharf {__version__}")
        context.exit()


wharf = Root(
    "wharf",
    help="Wharfinger takes custody of files: receives, remembers, processes and delivers them, and can prove every step.",
    epilog="A first time: wharf init, then wharf serve. Every verb answers --help.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[
        *_common(),
        click.Option(
            ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version, help="The version."
        ),
    ],
)
