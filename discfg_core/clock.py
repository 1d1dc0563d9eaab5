"""Time, in one place: deadlines, stamps and staleness, each on the clock that fits it.

Stamps are the wall clock in UTC nanoseconds. Deadlines are monotonic. Staleness is measured
on the larger of the boot-time and the wall clock, because a suspended machine, or a frozen
Lambda, stops the monotonic clock while the store moves on.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from discfg_core.errors import ClockSkew

NANOSECONDS = 1_000_000_000
LATEST_STAMP = 1 << 62
"""Stamps are below this; it is in the year 2116."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Linux alone has a clock that goes on while the machine is suspended.
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


def boottime() -> float:
    """Seconds on a clock that goes on during suspension, where the system has one."""
    return time.monotonic() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)


def stamp() -> int:
    """This moment by the wall clock, in nanoseconds since 1970.

    Raises:
        ClockSkew: The clock says something before 1970 or after 2115, which no store could keep.
    """
    now = time.time_ns()
    if not 0 <= now < LATEST_STAMP:
        raise ClockSkew(
            f"this machine's clock says {now // NANOSECONDS} s after 1970",
            hint="set this machine's clock",
        )
    return now


class Instant(NamedTuple):
    """A moment of this process, for measuring how long ago it was."""

    boot: float
    wall: float

    @classmethod
    def now(cls) -> Instant:
        """This moment."""
        return cls(boottime(), time.time())

    def age(self) -> float:
        """Seconds since, on whichever clock saw more of them; never negative."""
        return max(boottime() - self.boot, time.time() - self.wall, 0.0)


class Deadline:
    """A moment by which an operation has ended, one way or the other."""

    __slots__ = ("at",)

    def __init__(self, at: float) -> None:
        self.at = at

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left, 0 when it has passed."""
        return max(self.at - time.monotonic(), 0.0)

    def passed(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self.at


def to_nanoseconds(moment: datetime) -> int:
    """The beginning of a datetime's microsecond; it must have a zone."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def to_datetime(nanoseconds: int) -> datetime:
    """A stamp as an aware UTC datetime, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
