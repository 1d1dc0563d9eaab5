"""Trying a compare-and-set again after others were faster."""

from __future__ import annotations

import os
import time

from discfg_core.clock import Deadline
from discfg_core.errors import ConditionFailed, Timeout

_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.25


class Attempts:
    """The pauses between attempts: random, so that rivals part ways, and longer each time.

    Attributes:
        deadline: No further attempt begins after it.
    """

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self._pause = _FIRST_PAUSE_SECONDS

    def failed(self, error: ConditionFailed) -> None:
        """Wait before the next attempt.

        Raises:
            Timeout: No time is left; the attempts so far wrote nothing.
        """
        # Not the module random: a command line pays more for importing it than for this.
        pause = self._pause * int.from_bytes(os.urandom(4), "big") / 2**32
        if pause >= self.deadline.remaining():
            raise Timeout(
                "others changed what this write depends on, each time until the time was up",
                config=error.config,
                key=error.key,
            ) from error
        time.sleep(pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
