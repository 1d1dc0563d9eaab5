"""Pauses at random, so that those who collided part ways."""

from __future__ import annotations

import os
import time

from discfg_core.clock import Deadline


def jitter(ceiling: float) -> float:
    """A number from 0 to `ceiling`; independent in every process, `fork` or not."""
    # Not the module `random`: a command line pays more for importing it than for this.
    return ceiling * int.from_bytes(os.urandom(4), "big") / 2**32


def sleep(seconds: float, deadline: Deadline) -> None:
    """Sleep, but not beyond the deadline."""
    seconds = min(seconds, deadline.remaining())
    if seconds > 0:
        time.sleep(seconds)


class Backoff:
    """Pauses whose ceiling doubles each time.

    Args:
        first: The first ceiling, in seconds.
        longest: The last.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._ceiling = first
        self._longest = longest

    def next(self) -> float:
        """How long the next pause is."""
        seconds = jitter(self._ceiling)
        self._ceiling = min(self._ceiling * 2, self._longest)
        return seconds

    def pause(self, deadline: Deadline) -> None:
        """Make the next pause, but not beyond the deadline."""
        sleep(self.next(), deadline)
