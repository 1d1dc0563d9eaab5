"""What an examination finds, and how its findings are worded."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from discfg_core.engine import MAX_CLOCK_SKEW_SECONDS, Finding, FindingStatus
from discfg_core.errors import DiscfgError

OK, WARNING, FAILED = FindingStatus.OK, FindingStatus.WARNING, FindingStatus.FAILED

_NOTABLE_SKEW_SECONDS = 1.0


class Timing(msgspec.Struct, frozen=True):
    """How long something took.

    Attributes:
        what: Such as ``warm set``.
        times: How often it was done.
        median: Milliseconds.
        p95: Milliseconds that 95 of 100 did not exceed.
    """

    what: str
    times: int
    median: float
    p95: float


class Report(msgspec.Struct, frozen=True):
    """What an examination found.

    Attributes:
        store: Its URL, without secrets.
        checks: In the order they were made; one that failed may have kept others from being made.
        timings: What was measured.
        left: The scratch config, if it may still be there.
    """

    store: str
    checks: tuple[Finding, ...]
    timings: tuple[Timing, ...]
    left: str | None = None

    @property
    def status(self) -> FindingStatus:
        """The gravest of the checks."""
        found = {check.status for check in self.checks}
        return next((each for each in (FAILED, WARNING) if each in found), OK)


def failed(check: str, error: Exception) -> Finding:
    """A check that ended with an error."""
    if isinstance(error, DiscfgError):
        return Finding(check, FAILED, error.message, error.hint or "")
    message = f"the engine let {type(error).__name__} out, which is no DiscfgError: {error}"
    return Finding(check, FAILED, message, "tell its authors")


def broken(check: str, message: str) -> Finding:
    """A check that saw a guarantee broken."""
    hint = "do not use this store: discfg cannot keep its guarantees on it"
    return Finding(check, FAILED, message, hint)


def skew(ahead: float, whose: str) -> Finding | str:
    """What a commit means that is `ahead` seconds in the future of this machine's clock."""
    if ahead <= _NOTABLE_SKEW_SECONDS:
        return "no commit is in the future of this machine's clock"
    message = f"{whose} was committed to {ahead:,.0f} s in the future of this machine's clock"
    if ahead <= MAX_CLOCK_SKEW_SECONDS:
        return Finding("clock", WARNING, message, "set the clocks of all writers")
    return Finding("clock", FAILED, f"{message}: writes are refused", "set this machine's clock")


def median(taken: Sequence[float]) -> float:
    """The middle one of some figures, of which there is at least one."""
    ordered, half = sorted(taken), len(taken) // 2
    return ordered[half] if len(taken) % 2 else (ordered[half - 1] + ordered[half]) / 2


def timing(what: str, taken: Sequence[float]) -> Timing:
    """A figure of some times in seconds, of which there is at least one."""
    p95 = sorted(taken)[math.ceil(len(taken) * 0.95) - 1]
    return Timing(what, len(taken), round(median(taken) * 1e3, 3), round(p95 * 1e3, 3))
