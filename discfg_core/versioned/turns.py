"""Taking turns: of all threads that want the same work done, one does it for all that wait.

The thread at the head of the queue leads, takes all that wait, and hands over to the next head
when it is done. Each waits on a lock of its own: with one shared lock every hand-over woke all of
them, and 64 threads were slower than one.

An exception may hit a thread at any line (a signal's handler raised it); so everything that ends
a turn can be done twice, and `run` does it again where it was interrupted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from discfg_core.clock import Deadline


class Answerable(Protocol):
    """What a thread wants, and whether it has been answered."""

    @property
    def answered(self) -> bool:
        """Whether the answer is there."""

    @property
    def weight(self) -> int:
        """What it adds to a batch."""


Item = TypeVar("Item", bound=Answerable)


class Ticket(Generic[Item]):
    """One thread's place in the queue.

    Attributes:
        item: What it wants.
        deadline: How long it waits.
        abandoned: Its thread waits no more, and has no answer.
    """

    __slots__ = ("_wake", "abandoned", "deadline", "item")

    def __init__(self, item: Item, deadline: Deadline) -> None:
        self.item = item
        self.deadline = deadline
        self.abandoned = False
        self._wake: threading.Lock | None = None


class GaveUp(Exception):
    """Raised when a deadline passed in the queue; `taken` tells whether a leader had it."""

    def __init__(self, taken: bool) -> None:
        super().__init__(taken)
        self.taken = taken


class Turns(Generic[Item]):
    """The queue."""

    def __init__(self) -> None:
        # Guards all that follows, and the flags of every ticket.
        self._mutex = threading.Lock()
        self._queue: deque[Ticket[Item]] = deque()
        self._leader: Ticket[Item] | None = None
        self._taken: list[Ticket[Item]] = []

    def run(self, ticket: Ticket[Item], lead: Callable[[Ticket[Item]], None]) -> None:
        """Wait until the ticket is answered by another, or lead.

        What a leader took and did not answer goes back to the front of the queue.

        Args:
            ticket: A new one.
            lead: What a leader does: `take`, and answer what it took.

        Raises:
            GaveUp: The ticket's deadline passed.
        """
        try:
            if self._wait(ticket):
                lead(ticket)
        finally:
            try:
                self._leave(ticket)
            except BaseException:
                self._leave(ticket)
                raise

    def _wait(self, ticket: Ticket[Item]) -> bool:
        with self._mutex:
            if self._leader is not None:
                ticket._wake = threading.Lock()
                ticket._wake.acquire()
            self._queue.append(ticket)
            if self._leader is None:
                self._leader = ticket
                return True
            wake = ticket._wake
        if wake is None:
            return True
        # Far deadlines overflow the platform's wait.
        if not wake.acquire(timeout=min(ticket.deadline.remaining(), threading.TIMEOUT_MAX)):
            with self._mutex:
                if not (ticket.item.answered or self._leader is ticket):
                    raise GaveUp(taken=ticket not in self._queue)
        return self._leader is ticket

    def take(self, limit: int) -> list[Ticket[Item]]:
        """For the leader: all tickets that wait, in order, up to a weight; one at least."""
        with self._mutex:
            weight = 0
            while self._queue:
                head = self._queue[0]
                weight += head.item.weight
                if weight > limit and self._taken:
                    break
                self._taken.append(head)
                self._queue.popleft()
            return list(self._taken)

    def _leave(self, ticket: Ticket[Item]) -> None:
        """End a thread's part, whatever that was; may be done twice."""
        with self._mutex:
            # Not by flags of the ticket's own: an interrupt between the queue and the flag would
            # leave them apart.
            if not ticket.item.answered:
                ticket.abandoned = True
                if ticket in self._queue:
                    self._queue.remove(ticket)
            if self._leader is ticket:
                for taken in reversed(self._taken):
                    if taken.item.answered:
                        _wake(taken)
                    elif not taken.abandoned and taken not in self._queue:
                        self._queue.appendleft(taken)
                self._taken = []
                self._leader = self._queue[0] if self._queue else None
            # An heir that was named and not woken, because that was interrupted, is woken now.
            if self._leader is not None:
                _wake(self._leader)


def _wake(ticket: Ticket[Item]) -> None:
    # Not by a flag: an interrupt between the two would release twice, or never. A ticket that was
    # woken holds its lock again, and nobody waits for that.
    if ticket._wake is not None and ticket._wake.locked():
        ticket._wake.release()
