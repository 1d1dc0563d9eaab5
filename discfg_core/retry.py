"""Trying a compare-and-set again after others were faster."""

from __future__ import annotations

from discfg_core.backoff import Backoff, sleep
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
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)

    def failed(self, error: ConditionFailed) -> None:
        """Wait before the next attempt.

        Raises:
            Timeout: No time is left; the attempts so far wrote nothing.
        """
        pause = self._backoff.next()
        if pause >= self.deadline.remaining():
            raise Timeout(
                "others changed what this write depends on, each time until the time was up",
                config=error.config,
                key=error.key,
            ) from error
        sleep(pause, self.deadline)
