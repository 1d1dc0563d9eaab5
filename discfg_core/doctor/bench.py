"""The clients of one examination, and the checks and measurements made with them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from discfg_core.clock import Deadline
from discfg_core.doctor.report import FAILED, OK, Report, failed, median, timing
from discfg_core.engine import ConfigHandle, Finding, StorageEngine
from discfg_core.errors import AccessDenied, ConfigNotFound, DiscfgError
from discfg_core.model import Node

SCRATCH = "discfg-doctor-"
"""How the names of the doctor's own configs begin."""

_NOBODYS = f"{SCRATCH}none"
_SAMPLES = 20
_MEASURING_SECONDS = 5.0


class Over(Exception):
    """Raised when a check failed that all the others need."""


class Bench:
    """What the checks of one examination share.

    Args:
        open_engine: Opens a client.
        deadline: The end of the examination.
        scrub: Takes secrets out of a text.
    """

    def __init__(
        self,
        open_engine: Callable[[], StorageEngine],
        deadline: Deadline,
        scrub: Callable[[str], str],
    ) -> None:
        self.deadline = deadline
        self._open_engine = open_engine
        self._scrub = scrub
        self._opened: list[StorageEngine] = []
        self._checks: list[Finding] = []
        self._samples: dict[str, list[float]] = {}

    # --- clients ---

    def open(self) -> StorageEngine:
        """Another client, which `close` closes."""
        engine = self._open_engine()
        self._opened.append(engine)
        return engine

    @property
    def engine(self) -> StorageEngine:
        """The first client."""
        return self._opened[0]

    def within(self, seconds: float) -> Deadline:
        """A deadline of so many seconds, but not beyond that of the examination."""
        return Deadline.after(min(seconds, self.deadline.remaining()))

    def close(self) -> None:
        """Close every client."""
        while self._opened:
            try:
                self._opened.pop().close()
            except Exception as error:  # noqa: BLE001 - as for every check
                self.found(failed("close", error))

    # --- checks ---

    def check(self, name: str, how: Callable[[], Finding | str], *, needed: bool = False) -> None:
        """Make a check: it tells what is well, or returns a finding, or raises.

        Raises:
            Over: It failed, and all that follows needs it.
        """
        try:
            found = how()
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and it is told
            self.found(failed(name, error))
        else:
            self.found(Finding(name, OK, found) if isinstance(found, str) else found)
        if needed and self._checks[-1].status == FAILED:
            raise Over

    def found(self, finding: Finding) -> None:
        """Keep a finding, without any secret in it."""
        clean = {"message": self._scrub(finding.message), "hint": self._scrub(finding.hint)}
        self._checks.append(msgspec.structs.replace(finding, **clean))

    def report(self, store: str, left: str | None) -> Report:
        """All that was found."""
        timings = tuple(timing(what, taken) for what, taken in self._samples.items())
        return Report(store, tuple(self._checks), timings, left)

    # --- measurements ---

    def measure(self, what: str, how: Callable[[], object]) -> None:
        """Time something, often; what it raises is the affair of a check that does the same."""
        until = self.within(_MEASURING_SECONDS)
        with suppress(DiscfgError):
            for _ in range(_SAMPLES):
                began = time.perf_counter()
                how()
                self._sample(what, began)
                if until.passed():
                    return

    def meet(self, client: StorageEngine, handle: ConfigHandle, key: str) -> Node:
        """Read with a client that never did; its connection and its cache are timed apart."""
        began = time.perf_counter()
        # Whoever may read one config alone is refused here, and connected all the same.
        with suppress(ConfigNotFound, AccessDenied):
            client.describe_config(ConfigHandle(_NOBODYS), deadline=self.deadline)
        self._sample("connect", began)
        began = time.perf_counter()
        node = client.get(handle, key, deadline=self.deadline)
        self._sample("cold get", began)
        return node

    def typical(self, what: str) -> float:
        """The median of what was measured, in seconds; 0 if nothing was."""
        return median(self._samples.get(what, [0.0]))

    def _sample(self, what: str, began: float) -> None:
        self._samples.setdefault(what, []).append(time.perf_counter() - began)
