"""One config as one process knows it: the shared cache, and the shared check that it is fresh."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from copy import copy
from typing import TypeVar

import msgspec

from discfg_core.clock import Deadline, Instant
from discfg_core.engine import ConfigHandle
from discfg_core.errors import Corrupt, DiscfgError, Timeout
from discfg_core.substrate import Register, Substrate, Token, Unchanged
from discfg_core.versioned.blobs import BlobMissing, Blobs
from discfg_core.versioned.format import decode_head
from discfg_core.versioned.settle import read, retried
from discfg_core.versioned.snapshot import Snapshot, load, not_found
from discfg_core.versioned.turns import GaveUp, Ticket, Turns

Answer = TypeVar("Answer")

_NO_LIMIT = 1 << 62


class Confirmed(msgspec.Struct, frozen=True):
    """What a register held (``None``: nothing), and since when that is known.

    Attributes:
        snapshot: The config; ``None`` where there is no register.
        since: Monotonic seconds at which the request began that showed it.
        checked: The same moment, for measuring staleness.
        obtained: Monotonic seconds at which its answer was there.
    """

    snapshot: Snapshot | None
    since: float
    checked: Instant
    obtained: float


class _Check:
    """What a reader waits for: an answer from the store that was asked for after it came."""

    __slots__ = ("answer", "error")

    def __init__(self) -> None:
        self.answer: Confirmed | None = None
        self.error: DiscfgError | None = None

    @property
    def answered(self) -> bool:
        return self.answer is not None or self.error is not None

    @property
    def weight(self) -> int:
        return 0


class Session:
    """Thread-safe. The cache only moves forward; each reader is answered from what its own
    check returned.
    """

    def __init__(self, substrate: Substrate, name: str, value_timeout: float) -> None:
        self.substrate = substrate
        self.name = name
        self._value_timeout = value_timeout
        # Guards `_latest` and `_blobs` while they are replaced; reading them needs no lock.
        self._mutex = threading.Lock()
        self._latest: Confirmed | None = None
        self._blobs: tuple[bytes, Blobs] | None = None
        self._checks: Turns[_Check] = Turns()

    # --- reading ---

    def view(
        self, handle: ConfigHandle, max_staleness: float | None, deadline: Deadline
    ) -> Snapshot:
        """The config, no older than asked.

        Raises:
            ConfigNotFound, ConfigReplaced: It is gone.
            StoreError, Timeout: It cannot be read now.
        """
        latest = self._latest
        if max_staleness is not None and latest is not None:
            snapshot = latest.snapshot
            # That a config is gone is never said from the cache: the caller may have made it.
            if (
                snapshot is not None
                and snapshot.head.dropped is None
                and handle.incarnation in (None, snapshot.incarnation)
                and latest.checked.age() <= max_staleness
            ):
                handle.pin(snapshot.incarnation)
                return snapshot
        return self.live(self.fresh(deadline).snapshot, handle)

    def reading(
        self, handle: ConfigHandle, deadline: Deadline, use: Callable[[Snapshot], Answer]
    ) -> Answer:
        """What `use` makes of the config, from blobs that may be deleted under it.

        Raises:
            ConfigNotFound, ConfigReplaced: It is gone, and its blobs with it.
            Corrupt: A blob that the latest head needs is missing.
            StoreError, Timeout: It cannot be read now.
        """
        snapshot = self.view(handle, None, deadline)
        while True:
            try:
                return use(snapshot)
            except BlobMissing:
                newer = self.view(handle, None, deadline)
                if newer.token == snapshot.token:
                    raise
                snapshot = newer

    def live(self, snapshot: Snapshot | None, handle: ConfigHandle) -> Snapshot:
        """The snapshot, if it is of a config that exists and that the handle means.

        Raises:
            ConfigNotFound, ConfigReplaced: It is not.
        """
        if snapshot is None or snapshot.head.dropped is not None:
            raise not_found(self.name)
        handle.pin(snapshot.incarnation)
        return snapshot

    def fresh(self, deadline: Deadline) -> Confirmed:
        """What the register holds, by a read that began after this call did.

        One read serves all that came before it began.

        Raises:
            StoreError, Timeout, Corrupt: It cannot be read.
        """
        while True:
            ticket = Ticket(_Check(), deadline)
            try:
                self._checks.run(ticket, self._lead_check)
            except GaveUp as gave_up:
                raise self._late() from gave_up
            answer, error = ticket.item.answer, ticket.item.error
            if answer is not None:
                return answer
            # A failure that may pass may have been for want of its leader's time alone.
            if error is not None and (not error.retryable or deadline.passed()):
                raise copy(error) from error.__cause__

    def _late(self) -> Timeout:
        return Timeout(f"config {self.name!r} could not be read in time", config=self.name)

    def _lead_check(self, own: Ticket[_Check]) -> None:
        taken = self._checks.take(_NO_LIMIT)
        try:
            answer = self.refresh(own.deadline)
        except DiscfgError as error:
            for ticket in taken:
                ticket.item.error = error
        else:
            for ticket in taken:
                ticket.item.answer = answer

    def refresh(self, deadline: Deadline) -> Confirmed:
        """What the register holds, by a read of this thread's own; published.

        Raises:
            StoreError, Timeout, Corrupt: It cannot be read.
        """
        latest = self._latest
        known = None if latest is None or latest.snapshot is None else latest.snapshot.token
        since, checked = time.monotonic(), Instant.now()
        answer = retried(lambda: self.substrate.read(self.name, known, deadline=deadline), deadline)
        if isinstance(answer, Unchanged):
            if latest is None:
                raise Corrupt(f"{self.substrate.scheme} answered `unchanged` to no token")
            return self.publish(latest.snapshot, since, checked)
        return self.publish(self.snapshot_of(answer, deadline), since, checked)

    # --- the cache ---

    @property
    def latest(self) -> Confirmed | None:
        """What is cached; unconfirmed for whoever came after `since`."""
        return self._latest

    def publish(self, snapshot: Snapshot | None, since: float, checked: Instant) -> Confirmed:
        """Put what was learnt into the cache, unless that has moved further already.

        Args:
            snapshot: What the register held.
            since: When the request began that showed it, monotonic.
            checked: The same moment.

        Returns:
            The answer for whoever asked: this, or something newer.

        Raises:
            Corrupt: The store has gone back to before what it had acknowledged.
        """
        fresh = Confirmed(snapshot, since, checked, time.monotonic())
        with self._mutex:
            latest = self._latest
            if latest is None or latest.snapshot is None or snapshot is None:
                # Nothing to compare with: only a request that began later tells the later state.
                if latest is None or since > latest.obtained:
                    self._latest = fresh
                return fresh
            new, old = snapshot.head, latest.snapshot.head
            if new.incarnation != old.incarnation:
                if since > latest.obtained:
                    self._latest = fresh
                return fresh
            if new.sequence < old.sequence:
                if since > latest.obtained:
                    raise Corrupt(
                        f"config {self.name!r} has gone back from its revision {old.revision} "
                        f"to {new.revision}",
                        config=self.name,
                        hint="if the store was restored from a backup, restart its clients",
                    )
                return latest
            if new.sequence == old.sequence and since < latest.since:
                return latest
            self._latest = fresh
            return fresh

    def snapshot_of(self, register: Register | None, deadline: Deadline) -> Snapshot | None:
        """The snapshot of a register as it was read.

        Raises:
            Corrupt, NewerFormat: It cannot be understood, now and when read again.
            StoreError, Timeout: Its parts cannot be read.
        """
        missing: Token | None = None
        while register is not None:
            head, unknown = decode_head(register.data)
            latest = self._latest
            known = None if latest is None else latest.snapshot
            if known is not None and (
                known.head.incarnation != head.incarnation or known.head.sequence > head.sequence
            ):
                known = None
            blobs = self.blobs_of(head.incarnation)
            try:
                return load(
                    head,
                    unknown,
                    register.token,
                    blobs=blobs,
                    known=known,
                    deadline=deadline,
                )
            except BlobMissing:
                # A writer may have folded those blobs away since the head was read. If the head
                # is still the same it means what it says.
                if missing == register.token:
                    raise
                missing = register.token
                register = read(self.substrate, self.name, deadline)
        return None

    def blobs_of(self, incarnation: bytes) -> Blobs:
        """The blobs of an incarnation, with the cache of those read before."""
        with self._mutex:
            if self._blobs is None or self._blobs[0] != incarnation:
                blobs = Blobs(self.substrate, self.name, incarnation, self._value_timeout)
                self._blobs = (incarnation, blobs)
            return self._blobs[1]
