"""`schema`: what every commit's document must meet."""

from __future__ import annotations

import click

from discfg_core import wire
from discfg_core.cli import arguments
from discfg_core.cli.app import LazyGroup
from discfg_core.cli.options import Command, session, write_options
from discfg_core.cli.text import committed
from discfg_core.errors import InvalidSchema

# Far above what a schema may have: what is said of a large one is not that it ends too soon.
_MOST_BYTES = 16 * 1024 * 1024

schema = LazyGroup(
    "schema",
    lazy={
        "set": "schema:set_schema",
        "show": "schema:show",
        "drop": "schema:drop",
        "check": "schema:check",
    },
    help="Set, show, drop or check the schema that every commit must meet.",
)


@click.command("set", cls=Command)
@click.argument("file")
@click.option("--if-config-revision", type=int, help="Only if the config is at this revision.")
@write_options
@click.pass_context
def set_schema(
    context: click.Context,
    file: str,
    if_config_revision: int | None,
    message: str,
    commit_id: str | None,
) -> None:
    """Make the JSON Schema in FILE the config's.

    FILE (- is standard input) holds a schema of JSON Schema 2020-12. It judges the document, see
    `discfg document`. One that the present document violates is refused, and so is every later
    commit that would violate it.
    """
    this = session(context)
    config = this.config_name()
    wanted = _read(file)
    with this.open(writes=True) as store:
        made = store.config(config).set_schema(
            wanted,
            if_config_revision=if_config_revision,
            message=message,
            commit_id=commit_id,
        )
        this.output.result(lambda: wire.commit_answer("set", made), committed(made))


@click.command("show", cls=Command)
@click.pass_context
def show(context: click.Context) -> None:
    """Print the config's schema."""
    this = session(context)
    with this.open() as store:
        info = store.config(this.config_name()).info()
    this.output.result(
        lambda: {"action": "show", "schema": wire.schema_json(info.schema)},
        info.schema or "no schema",
    )


@click.command("drop", cls=Command)
@write_options
@click.pass_context
def drop(context: click.Context, message: str, commit_id: str | None) -> None:
    """Allow every document again."""
    this = session(context)
    config = this.config_name()
    with this.open(writes=True) as store:
        made = store.config(config).drop_schema(message=message, commit_id=commit_id)
        this.output.result(lambda: wire.commit_answer("drop", made), committed(made))


@click.command("check", cls=Command)
@click.argument("file", required=False)
@click.pass_context
def check(context: click.Context, file: str | None) -> int:
    """Check the present document.

    By the JSON Schema in FILE (- is standard input), or by the config's own. Changes nothing. The
    exit code is 1 if the document violates it.
    """
    this = session(context)
    config = this.config_name()
    wanted = None if file is None else _read(file)
    with this.open() as store:
        found = store.config(config).check_schema(wanted)
    this.output.lines(
        lambda: {"action": "check", "violations": [wire.violation_json(each) for each in found]},
        [str(each) for each in found],
        nothing="no violation",
    )
    return int(bool(found))


def _read(file: str) -> bytes:
    raw = arguments.read(file, _MOST_BYTES)
    if len(raw) > _MOST_BYTES:
        raise InvalidSchema("the schema exceeds 16 KiB of JSON")
    return raw
