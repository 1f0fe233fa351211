"""What every verb is given: which configuration, how to answer, and the rooms it opens, closed when the command ends."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from wharfinger.config.place import Glance, Place
    from wharfinger.config.settings import Settings
    from wharfinger.ledger import Database, Hint
    from wharfinger.ledger.keyring import Keyring
    from wharfinger.ledger.trust import Trust
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
        from wharfinger import app, config

        return config.read(self.config, app.registry(), os.environ)

    @cached_property
    def place(self) -> Place:
        """Where ledger and store are. Raises ConfigError only where that cannot be told."""
        return self._glance or self.settings

    @cached_property
    def tries(self) -> Mapping[str, int]:
        """How often each pipeline tries a file."""
        if self._glance:
            return self._glance.tries
        return {pipeline.name: pipeline.retry.tries for pipeline in self.settings.pipelines}

    @cached_property
    def _glance(self) -> Glance | None:
        from wharfinger.config.place import glance

        return glance(self.config, os.environ)

    @cached_property
    def database(self) -> Database:
        """The ledger's database."""
        from wharfinger import app

        database = app.open_database(self.place)
        self._open.callback(database.close)
        return database

    @cached_property
    def keyring(self) -> Keyring:
        """The keys that this installation signs with. Raises LedgerError where this node's are not those of the ledger."""
        from wharfinger import app

        return app.open_keyring(self.place, self.database.audit)

    @property
    def trust(self) -> Trust:
        """Whose signatures hold."""
        from wharfinger.ledger.trust import Trust

        return Trust(self.keyring, self.database.audit)

    @cached_property
    def store(self) -> Store:
        """The store of objects."""
        from wharfinger import app

        store = app.open_store(self.place)
        self._open.callback(store.close)
        return store

    @contextmanager
    def hint(self) -> Iterator[Hint]:
        """The line to waiting workers."""
        from wharfinger import app

        hint = app.open_hint(self.place)
        try:
            yield hint
        finally:
            hint.close()

    def wake(self, files: Sequence[str]) -> None:
        """Tell waiting workers that these files are in line; without it they look within a second."""
        with self.hint() as hint:
            hint.send(files)

    def move_ledger_aside(self) -> str:
        """Give the ledger's file another name, and open a new one when it is asked for next."""
        from wharfinger import app

        self.database.close()
        del self.database
        return app.move_ledger_aside(self.place)

    def close(self) -> None:
        """Let go of what was opened."""
        self._open.close()


pass_session = click.make_pass_decorator(Session)
