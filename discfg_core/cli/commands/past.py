"""`diff`, `revert` and `replace`: between revisions, back to one, and to a whole new set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from discfg_core import wire
from discfg_core.cli import arguments
from discfg_core.cli.options import Command, MomentType, session, write_options
from discfg_core.cli.text import committed, was_and_is

if TYPE_CHECKING:
    from datetime import datetime


@click.command("diff", cls=Command)
@click.argument("since", type=MomentType())
@click.argument("until", type=MomentType(), required=False)
@click.pass_context
def diff(context: click.Context, since: int | datetime, until: int | datetime | None) -> None:
    """Show what changed from SINCE to UNTIL.

    Both are revisions or times, such as 3 or 2026-03-01T09:14:00Z; UNTIL is the latest revision
    where it is left out. A key that is the same at both is not shown, whatever it was between.
    """
    this = session(context)
    config = this.config_name()
    with this.open() as store:
        changes = store.config(config).diff(since, until)
        this.output.table(
            lambda: {"action": "diff", "changes": [wire.change_json(each) for each in changes]},
            ("CHANGE", "KEY", "VERSION", "VALUE"),
            (
                [each.action.value, each.key, str(each.node.version), was_and_is(each)]
                for each in changes
            ),
            nothing="no difference",
        )


@click.command("revert", cls=Command)
@click.argument("to", type=MomentType())
@click.argument("keys", nargs=-1)
@click.option("--if-config-revision", type=int, help="Only if the config is at this revision.")
@write_options
@click.pass_context
def revert(  # noqa: PLR0917 - Click gives each by name
    context: click.Context,
    to: int | datetime,
    keys: tuple[str, ...],
    if_config_revision: int | None,
    message: str,
    commit_id: str | None,
) -> None:
    """Put the keys back to what they were at TO, in a new commit.

    TO is a revision or a time, such as 3 or 2026-03-01T09:14:00Z. With KEYS only these, and
    what is below them. The history stays as it is; so do the settings.
    """
    this = session(context)
    config = this.config_name()
    with this.open(writes=True) as store:
        made = store.config(config).revert(
            to,
            keys or None,
            if_config_revision=if_config_revision,
            message=message,
            commit_id=commit_id,
        )
        this.output.result(lambda: wire.commit_answer("revert", made), committed(made))


@click.command("replace", cls=Command)
@click.argument("file")
@click.option("--if-config-revision", type=int, help="Only if the config is at this revision.")
@write_options
@click.pass_context
def replace(
    context: click.Context,
    file: str,
    if_config_revision: int | None,
    message: str,
    commit_id: str | None,
) -> None:
    """Make the keys and values in FILE the whole of the config.

    FILE (- is standard input) holds a JSON object of keys and values. What differs becomes one
    commit: other keys are removed, and those that have their value already are left alone.
    """
    from discfg_core.requests import values_request

    this = session(context)
    config = this.config_name()
    values = values_request(arguments.read_request(file))
    with this.open(writes=True) as store:
        made = store.config(config).replace(
            values,
            if_config_revision=if_config_revision,
            message=message,
            commit_id=commit_id,
        )
        this.output.result(lambda: wire.commit_answer("replace", made), committed(made))
