"""`wharf schema`: the JSON Schema of wharf.yaml, for editors."""

from __future__ import annotations

import click

from wharfinger.cli.frame import Verb


@click.command(cls=Verb)
def command() -> None:
    """Print the JSON Schema of wharf.yaml, for editors.

    Save it, and begin wharf.yaml with: # yaml-language-server: $schema=wharf.schema.json
    """
    import orjson

    from wharfinger import app
    from wharfinger.config import schema

    click.echo(orjson.dumps(schema(app.registry()), option=orjson.OPT_INDENT_2).decode())
