"""`commit`: many keys in one commit."""

from __future__ import annotations

import click

from discfg_core import wire
from discfg_core.cli import arguments
from discfg_core.cli.options import Command, session, write_options
from discfg_core.errors import InvalidTransaction

_MAX_BYTES = 256 * 1024 * 1024


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
    raw = arguments.read(file, _MAX_BYTES)
    if len(raw) > _MAX_BYTES:
        raise InvalidTransaction("this transaction exceeds 256 MiB", hint="split it into several")
    request = commit_request(raw)
    with this.open(writes=True) as store:
        transaction = store.config(config).transaction(
            message=message or request.message,
            if_config_revision=request.if_config_revision,
            commit_id=request.commit_id if commit_id is None else commit_id,
        )
        with transaction:
            request.apply(transaction)
        made = transaction.commit
        human = "nothing to change"
        if made is not None:
            count = len(made.changes)
            human = f"revision {made.revision}: {count} {'key' if count == 1 else 'keys'} changed"
        this.output.result(
            lambda: {"action": "commit", "commit": {} if made is None else wire.commit_json(made)},
            human,
        )
