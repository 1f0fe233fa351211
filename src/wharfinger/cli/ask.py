"""A question before something that cannot be undone."""

from __future__ import annotations

import sys

import click

from wharfinger.cli.show import is_terminal
from wharfinger.errors import UsageError


def go_ahead(question: str, *, yes: bool, can_look: bool = True) -> bool:
    """
    Whether to go on: `yes` was given, or a person at the terminal says so. Raises UsageError where nobody can be asked; `can_look`:
    the command has --dry-run.
    """
    if yes:
        return True
    if not is_terminal(sys.stdin):
        raise UsageError(
            f"{question} Nobody is there to answer",
            fix="add --yes, or look first with --dry-run" if can_look else "add --yes",
        )
    return click.confirm(question, err=True)
