"""What every verb is given: which configuration, how to answer, and the rooms it opens, closed when the command ends."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from wharfinger.config.settings import Settings
    from wharfinger.ledger import Database
    from wharfinger.store import Store


class Session:
    """One run of the command. Rooms open when first asked for."""

    def __init__(self) -> None:
        self.config = Path("wharf.yaml")
        self.json = False
        self._open = ExitStack()

    @cached_property
    def settings(self) -> Settings:
        """The configuration. Raises ConfigError."""
        from wharfinger import config
        from wharfinger.steps.registry import Registry

        return config.read(self.config, Registry(), os.environ)

    @cached_property
    def tries(self) -> dict[str, int]:
        """How often each pipeline tries a file."""
        return {pipeline.name: pipeline.retry.tries for pipeline in self.settings.pipelines}

    @cached_property
    def database(self) -> Database:
        """The ledger's database."""
        from wharfinger import app

        database = app.open_database(self.settings)
        self._open.callback(database.close)
        return database

    @cached_property
    def store(self) -> Store:
        """The store of objects."""
        from wharfinger import app

        return app.open_store(self.settings)

    def move_ledger_aside(self) -> Path:
        """Give the ledger's file another name, and open a new one when it is asked for next."""
        from wharfinger import app

        self.database.close()
        del self.database
        return app.move_ledger_aside(self.settings)

    def close(self) -> None:
        """Let go of what was opened."""
        self._open.close()


pass_session = click.make_pass_decorator(Session)
