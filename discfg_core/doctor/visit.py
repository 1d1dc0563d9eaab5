"""What is asked of any store: of one that nothing may be written to, too."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from discfg_core.clock import NANOSECONDS
from discfg_core.doctor.bench import SCRATCH, Bench
from discfg_core.doctor.report import WARNING, failed, skew
from discfg_core.engine import ConfigHandle, Finding
from discfg_core.errors import (
    AccessDenied,
    ConfigNotFound,
    Corrupt,
    NewerFormat,
    StoreUnavailable,
    Timeout,
)

_CONNECTING_SECONDS = 10.0
_ASKING_SECONDS = 15.0
_LOOKED_AT = 20
_LEFT_OVER_SECONDS = 3600.0
_COLD_CLIENTS = 3


class Visit:
    """Checks that write nothing of discfg's.

    Args:
        bench: What they are made with.
        config: The config to read; else any there is.
    """

    def __init__(self, bench: Bench, config: str | None) -> None:
        self._bench = bench
        self._config = config
        self._names: list[str] = []

    def begin(self) -> None:
        """Open the store and reach it.

        Raises:
            Over: It cannot be used at all.
        """
        self._bench.check("engine", self._start, needed=True)
        self._bench.check("connection", self._reach, needed=True)

    def diagnose(self) -> None:
        """Hear what the store says of itself. Its engine may write to find that out."""
        try:
            for finding in self._bench.engine.diagnose(
                deadline=self._bench.within(_ASKING_SECONDS)
            ):
                self._bench.found(finding)
        except Exception as error:  # noqa: BLE001 - as for every check
            self._bench.found(failed("diagnosis", error))

    def look_round(self) -> None:
        """List the store, and compare its commits with this machine's clock."""
        self._bench.check("listing", self._list)
        self._bench.check("clock", self._compare_clocks)

    def read(self) -> None:
        """Read a config, as far as there is one."""
        self._bench.check("reading", self._read)

    def _start(self) -> str:
        engine = self._bench.open()
        given = ", ".join(sorted(engine.guarantees)) or "none"
        return f"{engine.scheme}, which guarantees beyond what every engine does: {given}"

    def _reach(self) -> str:
        name = self._config or f"{SCRATCH}none"
        began = time.perf_counter()
        with suppress(ConfigNotFound):
            self._bench.engine.describe_config(
                ConfigHandle(name), deadline=self._bench.within(_CONNECTING_SECONDS)
            )
        took = (time.perf_counter() - began) * 1e3
        return f"the store answers, the first time after {took:,.1f} ms"

    def _list(self) -> Finding | str:
        try:
            self._names = self._bench.engine.list_configs(
                deadline=self._bench.within(_ASKING_SECONDS)
            )
        except (AccessDenied, Timeout) as error:
            return Finding("listing", WARNING, error.message, "only `discfg configs` needs this")
        return f"{len(self._names):,} configs"

    def _compare_clocks(self) -> Finding | str:
        """This machine's clock, and the latest commits of others."""
        ahead, whose = 0.0, ""
        left_over: list[str] = []
        for name, off in self._commit_times():
            if off > ahead:
                ahead, whose = off, name
            if name.startswith(SCRATCH) and -off > _LEFT_OVER_SECONDS:
                left_over.append(name)
        if left_over:
            self._tell_left_over(left_over)
        return skew(ahead, whose)

    def _commit_times(self) -> list[tuple[str, float]]:
        """Some configs, each with the seconds by which its latest commit is in the future."""
        deadline = self._bench.within(_ASKING_SECONDS)
        found = []
        # The doctor's own first: there are few.
        ordered = sorted(self._names, key=lambda name: not name.startswith(SCRATCH))
        for name in ordered[:_LOOKED_AT]:
            try:
                info = self._bench.engine.describe_config(ConfigHandle(name), deadline=deadline)
            except (ConfigNotFound, AccessDenied):
                continue
            except (Corrupt, NewerFormat) as error:
                message = f"{name}: {error.message}"
                self._bench.found(Finding("configs", WARNING, message, error.hint or ""))
            except (StoreUnavailable, Timeout):
                # Slow, or full of configs; the checks to come tell more of that.
                break
            else:
                found.append((name, (info.modified_ns - time.time_ns()) / NANOSECONDS))
        return found

    def _tell_left_over(self, names: Sequence[str]) -> None:
        message = f"an examination that was killed left behind: {', '.join(names)}"
        hint = "; ".join(f"discfg drop {name}" for name in names)
        self._bench.found(Finding("leftovers", WARNING, message, hint))

    def _read(self) -> Finding | str:
        bench, deadline = self._bench, self._bench.deadline
        name = self._config or next(
            (each for each in self._names if not each.startswith(SCRATCH)), None
        )
        if name is None:
            return Finding("reading", WARNING, "there is no config to read", "name one with -C")
        handle = ConfigHandle(name)
        info = bench.engine.describe_config(handle, deadline=deadline)
        page = bench.engine.history(handle, limit=10, deadline=deadline)
        node = next(bench.engine.view(handle, deadline=deadline).list("/"), None)
        if node is None:
            return f"{name} has revision {info.revision} and no key to measure the reading of"
        key = node.key
        for _ in range(_COLD_CLIENTS):
            bench.meet(bench.open(), handle, key)
        bench.measure("freshness check", lambda: bench.engine.get(handle, key, deadline=deadline))
        return f"{name} at revision {info.revision}, and {len(page.commits)} of its commits"
