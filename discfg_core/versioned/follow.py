"""Following a config: of all threads that wait for its next commit, one asks the store for all.

No thread of its own, see ``docs/decisions/0011-no-thread-of-our-own.md``: whoever is at the head
of the queue waits at the store, and hands over when its time is up.
"""

from __future__ import annotations

import threading
from copy import copy
from functools import partial

from discfg_core.clock import Deadline
from discfg_core.engine import ConfigHandle
from discfg_core.errors import DiscfgError
from discfg_core.versioned.session import Session
from discfg_core.versioned.snapshot import Snapshot
from discfg_core.versioned.turns import GaveUp, Ticket, Turns

# A thread in the queue notices within this many seconds that it was cancelled, or that what is
# known has grown old.
_SLICE = 1.0
# A look at the store is made this often at least, in seconds, by whoever waits there.
_LONGEST_WAIT = 30.0
_NO_LIMIT = 1 << 62


class _Following:
    """What a thread waits for: news, or why there are none."""

    __slots__ = ("after", "error", "news")

    def __init__(self, after: int) -> None:
        self.after = after
        self.news = False
        self.error: DiscfgError | None = None

    @property
    def answered(self) -> bool:
        return self.news or self.error is not None

    @property
    def weight(self) -> int:
        return 0


class Followers:
    """Those of one config. Thread-safe."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._turns: Turns[_Following] = Turns()

    def wait(
        self,
        handle: ConfigHandle,
        after: int,
        *,
        fresh_within: float,
        deadline: Deadline,
        cancel: threading.Event,
    ) -> Snapshot | None:
        """The config, once it is beyond a revision; ``None`` if that was not so in time.

        Raises:
            ConfigNotFound, ConfigReplaced: It is gone.
            StoreError, Timeout: The store cannot be asked.
        """
        session = self._session
        while True:
            latest = session.latest
            snapshot = None if latest is None else latest.snapshot
            if (
                latest is None
                or snapshot is None
                or snapshot.head.dropped is not None
                or handle.incarnation not in (None, snapshot.incarnation)
                or latest.checked.age() > fresh_within
            ):
                snapshot = session.view(handle, None, deadline)
            handle.pin(snapshot.incarnation)
            if snapshot.revision > after:
                return snapshot
            if cancel.is_set() or deadline.passed():
                return None
            item = _Following(after)
            ticket = Ticket(item, Deadline.after(min(_SLICE, deadline.remaining())))
            try:
                self._turns.run(
                    ticket, partial(self._lead, snapshot, fresh_within, deadline, cancel)
                )
            except GaveUp:
                continue
            if item.error is not None:
                raise copy(item.error) from item.error.__cause__

    def _lead(
        self,
        seen: Snapshot,
        fresh_within: float,
        deadline: Deadline,
        cancel: threading.Event,
        own: Ticket[_Following],  # noqa: ARG002 - the signature is that of `Turns`
    ) -> None:
        session = self._session
        longest = min(deadline.remaining(), fresh_within, _LONGEST_WAIT)
        error: DiscfgError | None = None
        try:
            session.substrate.wait(
                session.name, seen.token, deadline=Deadline.after(longest), cancel=cancel
            )
            if cancel.is_set() or deadline.passed():
                return
            session.refresh(deadline)
        except DiscfgError as failure:
            error = failure
        latest = session.latest
        now = None if latest is None else latest.snapshot
        gone = now is None or now.incarnation != seen.incarnation or now.head.dropped is not None
        for ticket in self._turns.take(_NO_LIMIT):
            ticket.item.error = error
            ticket.item.news = gone or (now is not None and now.revision > ticket.item.after)
