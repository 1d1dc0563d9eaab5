"""`list` and `history`: tables."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import click

from discfg_core import wire
from discfg_core.cli.options import Command, session
from discfg_core.cli.text import moment, preview, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from discfg_core.model import Commit

_HISTORY = ("REVISION", "TIME", "ACTOR", "CHANGE", "KEY", "VERSION", "VALUE", "MESSAGE")

_MOST_COMMITS = 1_000_000_000


@click.command("list", cls=Command)
@click.argument("prefix", default="/")
@click.pass_context
def list_keys(context: click.Context, prefix: str) -> None:
    """List the keys, all or under PREFIX.

    A prefix matches whole segments. Long values are cut.
    """
    this = session(context)
    config = this.config_name()
    with this.open() as store:
        nodes = list(store.config(config).list(prefix))
        this.output.table(
            lambda: {"action": "list", "nodes": [wire.node_json(node) for node in nodes]},
            ("KEY", "VERSION", "VALUE"),
            ([node.key, str(node.version), preview(node)] for node in nodes),
            nothing="no keys",
        )


@click.command("history", cls=Command)
@click.argument("key", default="/")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1, max=_MOST_COMMITS),
    default=20,
    show_default=True,
    help="At most so many commits.",
)
@click.option("--before", type=click.IntRange(min=1), help="Only older ones than this revision.")
@click.pass_context
def history(context: click.Context, key: str, limit: int, before: int | None) -> None:
    """List the commits, newest first.

    With KEY only those that changed it or a key below it.
    """
    this = session(context)
    config = this.config_name()
    with this.open() as store:
        # One more, to tell whether there are older ones.
        commits = list(islice(store.config(config).history(key, before=before), limit + 1))
        older = commits[limit - 1].revision if len(commits) > limit else None
        commits = commits[:limit]
        this.output.table(
            lambda: {
                "action": "history",
                "commits": [wire.commit_json(commit) for commit in commits],
                "before": older,
            },
            _HISTORY,
            (row for commit in commits for row in _rows(commit)),
            nothing="no commits",
            more=None if older is None else f"there are older ones: --before {older}",
        )


def _rows(commit: Commit) -> Iterator[Sequence[str]]:
    """A line a change; what is the commit's own stands in the first of them."""
    start = [str(commit.revision), moment(commit.time), shortened(commit.actor, 24)]
    end = shortened(commit.message)
    changes = [
        [change.action.value, change.key, str(change.node.version), preview(change.node)]
        for change in commit.changes
    ]
    if commit.settings is not None:
        changes.append(["settings", "", "", ""])
    for change in changes or [["", "", "", ""]]:
        yield [*start, *change, end]
        start, end = ["", "", ""], ""
