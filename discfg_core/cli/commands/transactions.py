"""`commit`: many keys in one commit."""

from __future__ import annotations

import click

from discfg_core import wire
from discfg_core.cli import arguments
from discfg_core.cli.options import Command, session, write_options
from discfg_core.cli.text import committed


@click.command("commit", cls=Command)
@click.argument("file")
@write_options
@click.pass_context
def commit(context: click.Context, file: str, message: str, commit_id: str | None) -> None:
    """Carry out a transaction.

    All the operations in FILE (- is standard input) become one commit, or none of them does.

    \b
    FILE holds JSON:
      [{"op": "set", "key": "db/host", "value": "10.0.0.1", "ifVersion": 3},
       {"op": "delete", "key": "db/old"},
       {"op": "deletePrefix", "prefix": "cache"},
       {"op": "check", "key": "db/owner", "ifValue": "ann"}]
    or {"ops": [...], "message": "why", "ifConfigRevision": 7, "commitId": "..."}
    """  # noqa: D301 - Click wants the backspace itself, which keeps the lines below as they are
    from discfg_core.requests import commit_request

    this = session(context)
    config = this.config_name()
    request = commit_request(arguments.read_request(file))
    with this.open(writes=True) as store:
        transaction = store.config(config).transaction(
            message=message or request.message,
            if_config_revision=request.if_config_revision,
            commit_id=request.commit_id if commit_id is None else commit_id,
        )
        with transaction:
            request.apply(transaction)
        made = transaction.commit
        this.output.result(lambda: wire.commit_answer("commit", made), committed(made))
