"""`fsck` and `version`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from discfg_core import wire
from discfg_core._version import __version__
from discfg_core.cli.options import Command, session
from discfg_core.engine import CheckReport
from discfg_core.errors import Corrupt

if TYPE_CHECKING:
    from discfg_core.store import Store


@click.command("fsck", cls=Command)
@click.argument("url", required=False)
@click.pass_context
def fsck(context: click.Context, url: str | None) -> int:
    """Check a store.

    Every config of it, or one by -C, a dropped one too: that every reference exists, and that the
    history replays to the state. Changes nothing. The exit code is 1 if something is wrong.
    """
    this = session(context)
    with this.open(url) as store:
        names = store.configs() if this.config is None else [this.config]
        reports = [_checked(store, name) for name in names]
    this.output.lines(
        lambda: {"action": "fsck", "configs": [wire.check_json(report) for report in reports]},
        [line for report in reports for line in _lines(report)],
        nothing="no configs",
    )
    return int(any(report.problems for report in reports))


@click.command("version", cls=Command)
@click.pass_context
def version(context: click.Context) -> None:
    """Print the version."""
    session(context).output.result(
        lambda: {"action": "version", "version": __version__}, f"discfg {__version__}"
    )


def _checked(store: Store, name: str) -> CheckReport:
    try:
        return store.check(name)
    except Corrupt as error:
        # So damaged that there is no report; the other configs may be sound.
        return CheckReport(config=name, problems=(error.message,))


def _lines(report: CheckReport) -> list[str]:
    orphans = (
        f", {report.orphans} orphans ({report.orphan_bytes:,} bytes)" if report.orphans else ""
    )
    counts = f"{report.commits} commits, {report.keys} keys, {report.blobs} blobs{orphans}"
    verdict = f"{len(report.problems)} problems" if report.problems else "sound"
    return [
        f"{report.config}: {verdict}; {counts}",
        *(f"{report.config}: {problem}" for problem in report.problems),
    ]
