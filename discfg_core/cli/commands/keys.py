"""`set`, `get` and `delete`: one key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from discfg_core.cli import arguments
from discfg_core.cli.options import Command, at_option, condition_options, session, write_options

if TYPE_CHECKING:
    from datetime import datetime

    from discfg_core.model import Change, Node


@click.command("set", cls=Command)
@click.argument("words", nargs=-1, metavar="[CONFIG] KEY [VALUE]", type=click.UNPROCESSED)
@click.option("-d", "--data", metavar="FILE", help="Take the value from this file; - is stdin.")
@click.option("--content-type", metavar="TYPE", help="What the value is; else JSON, text or bytes.")
@click.option("--if-absent", is_flag=True, help="Only if there is no such key.")
@condition_options
@write_options
@click.pass_context
def set_key(  # noqa: PLR0917 - Click gives each by name
    context: click.Context,
    words: tuple[str, ...],
    data: str | None,
    content_type: str | None,
    if_absent: bool,
    if_version: int | None,
    if_revision: int | None,
    if_value: str | None,
    message: str,
    commit_id: str | None,
) -> None:
    """Set a key.

    To VALUE, to what FILE holds, or to standard input, where either is -. The bytes are kept
    as they are: as JSON if they are JSON, else as text, else as bytes.
    """
    from discfg_core.values import MAX_VALUE_BYTES, from_person

    this = session(context)
    if data is None:
        missing = "give a key and a value: [CONFIG] KEY VALUE, or KEY -d FILE"
        name, (key, word) = arguments.with_config(words, 2, missing)
        data = arguments.STDIN if word == arguments.STDIN else None
    else:
        name, (key,) = arguments.with_config(words, 1, "give a key")
        word = ""
    config = this.config_name(name)
    raw = arguments.typed(word) if data is None else arguments.read(data, MAX_VALUE_BYTES)
    value, kind = from_person(raw)
    with this.open(writes=True) as store:
        change = store.config(config).set(
            key,
            value,
            content_type=content_type or kind,
            if_version=if_version,
            if_revision=if_revision,
            if_absent=if_absent,
            if_value=None if if_value is None else arguments.typed(if_value),
            message=message,
            commit_id=commit_id,
        )
        this.output.result(lambda: _answer("set", change.node, change.prev_node), _written(change))


@click.command("get", cls=Command)
@click.argument("words", nargs=-1, metavar="[CONFIG] KEY", type=click.UNPROCESSED)
@at_option
@click.pass_context
def get_key(context: click.Context, words: tuple[str, ...], at: int | datetime | None) -> None:
    """Print a key's value.

    The stored bytes, nothing added, unless the output is a terminal.
    """
    this = session(context)
    name, (key,) = arguments.with_config(words, 1, "give a key: [CONFIG] KEY")
    config = this.config_name(name)
    with this.open() as store:
        node = store.config(config).get(key, at=at)
        this.output.value(lambda: _answer("get", node), node)


@click.command("delete", cls=Command)
@click.argument("words", nargs=-1, metavar="[CONFIG] KEY", type=click.UNPROCESSED)
@condition_options
@write_options
@click.pass_context
def delete_key(  # noqa: PLR0917 - Click gives each by name
    context: click.Context,
    words: tuple[str, ...],
    if_version: int | None,
    if_revision: int | None,
    if_value: str | None,
    message: str,
    commit_id: str | None,
) -> None:
    """Delete a key; its history stays."""
    this = session(context)
    name, (key,) = arguments.with_config(words, 1, "give a key: [CONFIG] KEY")
    config = this.config_name(name)
    with this.open(writes=True) as store:
        change = store.config(config).delete(
            key,
            if_version=if_version,
            if_revision=if_revision,
            if_value=None if if_value is None else arguments.typed(if_value),
            message=message,
            commit_id=commit_id,
        )
        this.output.result(
            lambda: _answer("delete", change.node, change.prev_node), _written(change)
        )


def _answer(action: str, node: Node, prev: Node | None = None) -> dict[str, Any]:
    from discfg_core import wire

    return wire.answer(action, node, prev)


def _written(change: Change) -> str:
    before = "" if change.prev_node is None else f" (was version {change.prev_node.version})"
    what = f"version {change.node.version}" if change.node.has_value else "deleted"
    return f"{change.key} {what}{before}, revision {change.revision}"
