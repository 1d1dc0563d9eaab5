"""`create`, `info`, `update`, `configs`, `drop` and `undrop`: whole configs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from discfg_core import wire
from discfg_core.cli import arguments
from discfg_core.cli.options import Command, actor_option, session, write_options
from discfg_core.cli.text import moment

if TYPE_CHECKING:
    from discfg_core.model import ConfigInfo


@click.command("create", cls=Command)
@click.argument("name", required=False)
@click.argument("settings", required=False)
@click.pass_context
def create(context: click.Context, name: str | None, settings: str | None) -> None:
    """Create a config.

    SETTINGS are a JSON object, some of which its store may act on.
    """
    this = session(context)
    config = this.config_name(name, explicit=True)
    with this.open(writes=True) as store:
        info = store.create_config(config, settings).info()
    this.output.result(lambda: {"action": "create"} | wire.info_json(info), f"created {config}")


@click.command("info", cls=Command)
@click.argument("name", required=False)
@click.pass_context
def info(context: click.Context, name: str | None) -> None:
    """Describe a config."""
    this = session(context)
    config = this.config_name(name)
    with this.open() as store:
        found = store.config(config).info()
    this.output.result(lambda: {"action": "info"} | wire.info_json(found), _described(found))


@click.command("update", cls=Command)
@click.argument("words", nargs=-1, metavar="[CONFIG] SETTINGS", type=click.UNPROCESSED)
@write_options
@click.pass_context
def update(
    context: click.Context, words: tuple[str, ...], message: str, commit_id: str | None
) -> None:
    """Replace a config's settings.

    SETTINGS are a JSON object, which takes the place of the whole of the old one.
    """
    this = session(context)
    name, (settings,) = arguments.with_config(words, 1, "give the settings: [CONFIG] SETTINGS")
    config = this.config_name(name)
    with this.open(writes=True) as store:
        opened = store.config(config)
        made = opened.update_settings(settings, message=message, commit_id=commit_id)
        found = opened.info()
    human = f"settings of {config} updated, revision {found.revision}"
    if made is None:
        human = f"the settings of {config} are these already"
    this.output.result(lambda: {"action": "update"} | wire.info_json(found), human)


@click.command("configs", cls=Command)
@click.pass_context
def configs(context: click.Context) -> None:
    """List the store's configs."""
    this = session(context)
    with this.open() as store:
        names = store.configs()
    this.output.lines(lambda: {"action": "configs", "configs": names}, names, nothing="no configs")


@click.command("drop", cls=Command)
@click.argument("name", required=False)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("-m", "--message", default="", help="Why.")
@actor_option
@click.pass_context
def drop(context: click.Context, name: str | None, yes: bool, message: str) -> None:
    """Drop a config, after asking.

    `discfg undrop` brings it back while its data is there.
    """
    this = session(context)
    config = this.config_name(name, explicit=True)
    if not yes:
        this.output.ask(f"Drop the config {config} and its history? [y/N] ")
        said = sys.stdin.readline() if sys.stdin is not None else ""
        if said.strip().lower() not in {"y", "yes"}:
            raise click.ClickException("nothing was dropped: answer y, or give -y")
    with this.open(writes=True) as store:
        dropped = store.drop_config(config, message=message)
    this.output.result(lambda: {"action": "drop"} | wire.info_json(dropped), f"dropped {config}")


@click.command("undrop", cls=Command)
@click.argument("name", required=False)
@actor_option
@click.pass_context
def undrop(context: click.Context, name: str | None) -> None:
    """Bring back a dropped config."""
    this = session(context)
    config = this.config_name(name, explicit=True)
    with this.open(writes=True) as store:
        info = store.undrop(config).info()
    human = f"{config} is back, revision {info.revision}"
    this.output.result(lambda: {"action": "undrop"} | wire.info_json(info), human)


def _described(info: ConfigInfo) -> str:
    lines = {
        "config": info.name,
        "revision": str(info.revision),
        "keys": f"{info.keys:,} ({info.size:,} bytes)",
        "created": moment(info.created),
        "modified": moment(info.modified),
        "state": info.state.value,
        "engine": info.engine,
        "incarnation": info.incarnation,
        "settings": _json(info.settings),
    }
    if info.actual_settings:
        lines["actual settings"] = _json(info.actual_settings)
    width = max(map(len, lines))
    return "\n".join(f"{name:{width}}  {value}" for name, value in lines.items())


def _json(settings: object) -> str:
    import msgspec

    return msgspec.json.encode(settings).decode()
