"""When a process holds back, so that others which write the same config get their turn.

Whoever has just swapped knows the latest token and would be the quickest again, for ever. So a
process that sees the commits of others between its own, or has swapped for 50 round trips or a
second without a gap, waits up to two round trips at random before it goes on.
"""

from __future__ import annotations

import time

from discfg_core.backoff import jitter, sleep
from discfg_core.clock import Deadline

_STREAK_SECONDS = 1.0
_STREAK_ROUND_TRIPS = 50
_GAP_ROUND_TRIPS = 4
_MOST_AT_FIRST = 0.25


class Pace:
    """One process's swaps of one config; for one thread at a time."""

    def __init__(self) -> None:
        self._round_trip = 0.0
        self._last_swap = 0.0
        self._streak_began = 0.0
        self._own_revision: int | None = None
        self._hold_back = False
        self._honoured = b""

    @property
    def round_trip(self) -> float:
        """Seconds that a swap takes, lately; 0 before the first."""
        return self._round_trip

    def honours(self, claim: bytes, asked: float) -> bool:
        """Whether to hold back for a claim of so many seconds: once for each, and not for one
        that may be older, as its owner may be gone.
        """
        new, self._honoured = claim != self._honoured, claim
        return new and time.monotonic() - self._last_swap < asked

    def pause(self, min_interval: float, deadline: Deadline) -> None:
        """Wait as long as fairness asks, and as the store's least interval between swaps does."""
        now = time.monotonic()
        if now - self._last_swap > _GAP_ROUND_TRIPS * self._round_trip:
            self._streak_began = now
        elif self._hold_back or now - self._streak_began > self._streak():
            sleep(jitter(2 * self._round_trip), deadline)
            self._streak_began = time.monotonic()
        self._hold_back = False
        if min_interval > 0:
            sleep(self._last_swap + min_interval - time.monotonic(), deadline)

    def _streak(self) -> float:
        """Seconds of swapping without a gap after which others may be waiting unseen."""
        return min(_STREAK_SECONDS, _STREAK_ROUND_TRIPS * self._round_trip)

    def swapping(self, base_revision: int) -> None:
        """A swap is about to be sent."""
        if self._own_revision is not None and base_revision > self._own_revision:
            self._hold_back = True

    def swapped(self, revision: int, seconds: float) -> None:
        """A swap succeeded and left this revision."""
        self._own_revision = revision
        self._last_swap = time.monotonic()
        # Half old, half new: it follows a store that slows down within a few swaps. One that
        # spanned an outage says nothing of the next, and counts for no more than double.
        if self._round_trip:
            self._round_trip = (self._round_trip + min(seconds, 2 * self._round_trip)) / 2
        else:
            self._round_trip = min(seconds, _MOST_AT_FIRST)
