"""`use` and `which`: what this directory works on."""

from __future__ import annotations

import click

from discfg_core import urls
from discfg_core.cli import dotfile
from discfg_core.cli.options import Command, session
from discfg_core.errors import InvalidInput, InvalidOption


@click.command("use", cls=Command)
@click.argument("name", required=False)
@click.pass_context
def use(context: click.Context, name: str | None) -> None:
    """Use a config in this directory.

    With --store also that store. Writes the file .discfg; nothing is asked of the store.
    """
    this = session(context)
    config = this.config_name(name, explicit=True)
    store: str | None
    if this.store is not None:
        store = this.url()
        if urls.redact(store) != store:
            raise InvalidOption(
                f"{dotfile.NAME} would keep the password of {urls.redact(store)}",
                hint="name this store by DISCFG_STORE, and use the config without --store",
            )
    else:
        try:
            store = this.in_use.store
        except InvalidInput:
            # A damaged file: this command is the cure.
            store = None
    dotfile.write(config, store)
    where = f" in {urls.redact(store)}" if store is not None else ""
    this.output.result(
        lambda: {"action": "use", "currentDiscfg": config} | ({"store": store} if store else {}),
        f"using {config}{where}",
    )


@click.command("which", cls=Command)
@click.pass_context
def which(context: click.Context) -> None:
    """Show the config and the store in use."""
    this = session(context)
    config, store = this.config_name(), urls.redact(this.url())
    this.output.result(
        lambda: {"action": "which", "currentDiscfg": config, "store": store},
        f"{config} in {store}",
    )
