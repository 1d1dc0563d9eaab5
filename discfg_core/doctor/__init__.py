"""Whether a store does what discfg needs of it, found out by doing it: `discfg doctor`.

It works on any `StorageEngine`, through its public contract alone. What it writes is one config
of its own, which it removes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from discfg_core.clock import Deadline
from discfg_core.doctor.bench import SCRATCH, Bench, Over
from discfg_core.doctor.report import Report, Timing
from discfg_core.doctor.scratch import Scratch
from discfg_core.doctor.visit import Visit
from discfg_core.engine import StorageEngine

__all__ = ["DEFAULT_TIMEOUT_SECONDS", "SCRATCH", "Report", "Timing", "examine"]

DEFAULT_TIMEOUT_SECONDS = 60.0


def examine(
    open_engine: Callable[[], StorageEngine],
    *,
    store: str,
    read_only: bool = False,
    config: str | None = None,
    timeout: float = DEFAULT_TIMEOUT_SECONDS,
    scrub: Callable[[str], str] = str,
    remark: Callable[[str], None] | None = None,
) -> Report:
    """Examine a store; what is wrong with it is in the report, never raised.

    The examination ends by its time-out, the removal of what it wrote at most 20 s later. An
    interrupt ends it too, and that is raised, after the removal.

    Args:
        open_engine: Opens a client; called several times. Each is closed.
        store: What the report calls the store; without secrets.
        read_only: Write nothing; then the engine is not asked to diagnose, for which it may.
        config: What to read, when writing nothing; else any config there is.
        timeout: Seconds.
        scrub: Takes secrets out of a text; every text of the report goes through it.
        remark: Is told what an interrupted examination left behind.
    """
    bench = Bench(open_engine, Deadline.after(timeout), scrub)
    visit, scratch = Visit(bench, config), Scratch(bench)
    try:
        with suppress(Over):
            visit.begin()
            if not read_only:
                visit.diagnose()
            visit.look_round()
            if read_only:
                visit.read()
            else:
                scratch.work()
        scratch.remove()
    except BaseException:
        try:
            scratch.remove()
        finally:
            if scratch.left is not None and remark is not None:
                remark(f"the config {scratch.left} may be left behind: discfg drop {scratch.left}")
        raise
    finally:
        bench.close()
    return bench.report(store, scratch.left)
