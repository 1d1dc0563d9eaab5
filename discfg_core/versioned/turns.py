"""Taking turns: of all threads that want the same work done, one does it for all that wait.

The thread at the head of the queue leads, takes all that wait, and hands over to the next head
when it is done. Each waits on a lock of its own: with one shared lock every hand-over woke all of
them, and 64 threads were slower than one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

from discfg_core.clock import Deadline

Item = TypeVar("Item")


class Ticket(Generic[Item]):
    """One thread's place in the queue.

    Attributes:
        item: What it wants.
        deadline: How long it waits.
        settled: Whether a leader has answered it; the answer lies in `item`.
        abandoned: Its thread gave up while a leader had it.
    """

    __slots__ = ("_leads", "_wake", "abandoned", "deadline", "item", "settled")

    def __init__(self, item: Item, deadline: Deadline) -> None:
        self.item = item
        self.deadline = deadline
        self.settled = False
        self.abandoned = False
        self._leads = False
        self._wake: threading.Lock | None = None


class GaveUp(Exception):
    """Raised when a deadline passed in the queue; `taken` tells whether a leader had it."""

    def __init__(self, taken: bool) -> None:
        super().__init__(taken)
        self.taken = taken


class Turns(Generic[Item]):
    """The queue. Whoever `enter` lets lead must call `hand_over`, whatever happens."""

    def __init__(self) -> None:
        # Guards all that follows, and the flags of every ticket.
        self._mutex = threading.Lock()
        self._queue: deque[Ticket[Item]] = deque()
        self._led = False

    def enter(self, ticket: Ticket[Item]) -> bool:
        """Wait for an answer, or for the lead.

        Returns:
            True if this thread leads from now on, with its ticket the first in the queue or
            answered already; False if it was answered.

        Raises:
            GaveUp: The ticket's deadline passed.
        """
        with self._mutex:
            self._queue.append(ticket)
            if not self._led:
                self._led = True
                return True
            wake = ticket._wake = threading.Lock()
            wake.acquire()
        try:
            # Far deadlines overflow the platform's wait.
            woken = wake.acquire(timeout=min(ticket.deadline.remaining(), threading.TIMEOUT_MAX))
        except BaseException:
            # An interrupted thread must not keep the lead that was handed to it meanwhile.
            with self._mutex:
                leads = ticket._leads
                self._withdraw(ticket)
            if leads:
                self.hand_over()
            raise
        if woken:
            return ticket._leads
        with self._mutex:
            if ticket.settled or ticket._leads:
                return ticket._leads
            raise GaveUp(self._withdraw(ticket))

    def _withdraw(self, ticket: Ticket[Item]) -> bool:
        try:
            self._queue.remove(ticket)
        except ValueError:
            ticket.abandoned = True
            return True
        return False

    def take(self) -> list[Ticket[Item]]:
        """All tickets that wait, in order, the leader's own the first."""
        with self._mutex:
            taken = list(self._queue)
            self._queue.clear()
            return taken

    def give_back(self, tickets: Iterable[Ticket[Item]]) -> None:
        """Put tickets that were taken back to the front, in their order."""
        with self._mutex:
            self._queue.extendleft(reversed([ticket for ticket in tickets if not ticket.abandoned]))

    def settle(self, tickets: Iterable[Ticket[Item]]) -> None:
        """Wake those that were answered."""
        with self._mutex:
            for ticket in tickets:
                ticket.settled = True
                if ticket._wake is not None and not ticket._leads:
                    ticket._wake.release()

    def hand_over(self) -> None:
        """End the lead: the first in the queue has it now, or nobody."""
        with self._mutex:
            # A leader that was interrupted before it took anything stands there itself.
            while self._queue and self._queue[0].settled:
                self._queue.popleft()
            if not self._queue:
                self._led = False
                return
            heir = self._queue[0]
            heir._leads = True
            if heir._wake is not None:
                heir._wake.release()
