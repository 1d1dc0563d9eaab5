"""`watch`: changes, as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from discfg_core import wire
from discfg_core.cli.options import Command, session
from discfg_core.cli.text import moment, was_and_is
from discfg_core.errors import WatchStale
from discfg_core.watching import DEFAULT_STALE_AFTER_SECONDS

if TYPE_CHECKING:
    from discfg_core.model import Commit


@click.command("watch", cls=Command)
@click.argument("prefix", default="/")
@click.option(
    "--after",
    type=click.IntRange(min=0),
    help="Begin after this revision, 0 for all there is; else with what comes now.",
)
@click.option("--idle", type=float, metavar="SECONDS", help="End after so long without a commit.")
@click.option(
    "--stale-after",
    type=float,
    metavar="SECONDS",
    default=DEFAULT_STALE_AFTER_SECONDS,
    show_default=True,
    help="Say so when the store was not reached for so long; the watch goes on.",
)
@click.pass_context
def watch(
    context: click.Context,
    prefix: str,
    after: int | None,
    idle: float | None,
    stale_after: float,
) -> None:
    """Show changes as they come, all or under PREFIX.

    Until it is interrupted, a line for each change. None is left out, even if the store is
    away for a while; --after the last revision shown goes on where another watch ended.
    """
    this = session(context)
    config = this.config_name()
    with (
        this.open() as store,
        store.config(config).watch(
            prefix, after=after, timeout=idle, stale_after=stale_after
        ) as changes,
    ):
        while True:
            try:
                for commit in changes:
                    for answer, human in _lines(commit):
                        this.output.event(lambda answer=answer: answer, human)  # type: ignore[misc]  # the loop's variable is bound
            except WatchStale as stale:
                this.output.note(str(stale))
            else:
                return


def _lines(commit: Commit) -> list[tuple[wire.Answer, str]]:
    start = f"{commit.revision}  {moment(commit.time)}  {commit.actor}"
    lines = [
        (
            wire.watch_json(commit, change),
            f"{start}  {change.action.value}  {change.key}  {was_and_is(change)}".rstrip(),
        )
        for change in commit.changes
    ]
    lines += [(wire.watch_json(commit, word), f"{start}  {word}") for word in wire.governed(commit)]
    return lines
