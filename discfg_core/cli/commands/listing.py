"""`list`, `document` and `history`: many keys, many commits."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import click

from discfg_core import wire
from discfg_core.cli.options import Command, TimeType, at_option, session
from discfg_core.cli.text import moment, preview, shortened, was_and_is
from discfg_core.keys import normalize_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from discfg_core.model import Commit

_HISTORY = ("REVISION", "TIME", "ACTOR", "CHANGE", "KEY", "VERSION", "VALUE", "MESSAGE")

_MOST_COMMITS = 1_000_000_000


@click.command("list", cls=Command)
@click.argument("prefix", default="/")
@at_option
@click.pass_context
def list_keys(context: click.Context, prefix: str, at: int | datetime | None) -> None:
    """List the keys, all or under PREFIX.

    A prefix matches whole segments. Long values are cut.
    """
    this = session(context)
    config = this.config_name()
    with this.open() as store:
        nodes = list(store.config(config).list(prefix, at=at))
        this.output.table(
            lambda: {"action": "list", "nodes": [wire.node_json(node) for node in nodes]},
            ("KEY", "VERSION", "VALUE"),
            ([node.key, str(node.version), preview(node)] for node in nodes),
            nothing="no keys",
        )


@click.command("document", cls=Command)
@click.argument("prefix", default="/")
@at_option
@click.pass_context
def document(context: click.Context, prefix: str, at: int | datetime | None) -> None:
    """Print the config, or what is under PREFIX, as JSON.

    One nested object, a level for each segment of the keys. A key that has others below it has
    its own value under the empty name, and so has PREFIX itself; bytes are {"$base64": "…"}.
    """
    this = session(context)
    config = this.config_name()
    prefix = normalize_prefix(prefix)
    with this.open() as store:
        whole = wire.document_json(store.config(config).list(prefix, at=at), prefix)
        this.output.json(lambda: {"action": "document", "document": whole}, whole)


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
@click.option("--after", type=click.IntRange(min=0), help="Only newer ones than this revision.")
@click.option("--since", type=TimeType(), help="Only those of this time or later.")
@click.option("--until", type=TimeType(), help="Only those of this time or earlier.")
@click.option("--actor", help="Only those of this actor.")
@click.option("--oldest-first", is_flag=True, help="The other way round.")
@click.pass_context
def history(  # noqa: PLR0917 - Click gives each by name
    context: click.Context,
    key: str,
    limit: int,
    before: int | None,
    after: int | None,
    since: datetime | None,
    until: datetime | None,
    actor: str | None,
    oldest_first: bool,
) -> None:
    """List the commits, newest first.

    With KEY only those that changed it or a key below it. A time has its zone, as in
    2026-03-01T09:14:00Z.
    """
    this = session(context)
    config = this.config_name()
    with this.open() as store:
        found = store.config(config).history(
            key,
            before=before,
            after=after,
            since=since,
            until=until,
            actor=actor,
            oldest_first=oldest_first,
        )
        # One more, to tell whether there are others.
        commits = list(islice(found, limit + 1))
        rest = commits[limit - 1].revision if len(commits) > limit else None
        commits = commits[:limit]
        way, others = ("after", "newer") if oldest_first else ("before", "older")
        this.output.table(
            lambda: {
                "action": "history",
                "commits": [wire.commit_json(commit) for commit in commits],
                way: rest,
            },
            _HISTORY,
            (row for commit in commits for row in _rows(commit)),
            nothing="no commits",
            more=None if rest is None else f"there are {others} ones: --{way} {rest}",
        )


def _rows(commit: Commit) -> Iterator[Sequence[str]]:
    """A line a change; what is the commit's own stands in the first of them."""
    start = [str(commit.revision), moment(commit.time), shortened(commit.actor, 24)]
    end = shortened(commit.message)
    changes = [
        [change.action.value, change.key, str(change.node.version), was_and_is(change)]
        for change in commit.changes
    ]
    changes += [[word, "", "", ""] for word in wire.governed(commit)]
    for change in changes or [["", "", "", ""]]:
        yield [*start, *change, end]
        start, end = ["", "", ""], ""
