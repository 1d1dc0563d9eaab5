"""`doctor`: whether a store does what discfg needs of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from discfg_core import urls, wire
from discfg_core.cli.options import Command, session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from discfg_core.doctor import Report


@click.command("doctor", cls=Command)
@click.argument("url", required=False)
@click.option(
    "--read-only",
    is_flag=True,
    help="Write nothing: connect, list, and read the config of -C, or any.",
)
@click.pass_context
def doctor(context: click.Context, url: str | None, read_only: bool) -> int:
    """Examine a store.

    Connects, asks the store for its version and for settings that endanger the data, compares
    clocks, and does on a config of its own what applications do: create, set, get, delete, read
    the history, race 8 clients for the same write, fsck. Measures how long that takes. The config
    is removed at the end. All of it takes 60 s at most, or what --timeout says. The exit code
    is 1 if a check failed.
    """
    from discfg_core.arguments import check_timeout
    from discfg_core.doctor import DEFAULT_TIMEOUT_SECONDS, examine
    from discfg_core.engine import FindingStatus
    from discfg_core.keys import check_name
    from discfg_core.registry import open_engine

    this = session(context)
    timeout = check_timeout(DEFAULT_TIMEOUT_SECONDS if this.timeout is None else this.timeout)
    config = None if this.config is None else check_name(this.config)
    store = urls.parse(this.url(url, makes=not read_only))
    report = examine(
        partial(open_engine, store),
        store=str(store),
        read_only=read_only,
        config=config,
        timeout=timeout,
        scrub=store.scrub,
        remark=this.output.note,
    )
    this.output.table(
        lambda: {"action": "doctor"} | wire.doctor_json(report),
        ("", "CHECK", "RESULT"),
        _rows(report),
        nothing="",
    )
    return int(report.status is FindingStatus.FAILED)


def _rows(report: Report) -> Iterator[tuple[str, str, str]]:
    for check in report.checks:
        yield str(check.status), check.check, ": ".join(filter(None, (check.message, check.hint)))
    for timing in report.timings:
        figures = f"median {timing.median:,.3g} ms, 95 of 100 within {timing.p95:,.3g} ms"
        yield "", timing.what, f"{figures}, {timing.times} times"
