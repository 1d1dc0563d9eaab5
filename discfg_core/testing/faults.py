"""Substrates that fail on purpose, as networks and stores do.

Both wrap any substrate and are substrates themselves, so an engine runs over them unknowing.
"""

from __future__ import annotations

import random
import threading
import time
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

import msgspec

from discfg_core._override import override
from discfg_core.clock import Deadline
from discfg_core.errors import DiscfgError, OutcomeUnknown, StoreUnavailable
from discfg_core.substrate import SwapConflict
from discfg_core.testing.delegate import DelegatingSubstrate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from discfg_core.substrate import BlobRange, Register, Substrate, Token, Unchanged

T = TypeVar("T")


class Fault(StrEnum):
    """What was done to a call."""

    BEFORE = "before"
    """`StoreUnavailable`; the inner substrate was never asked."""
    AFTER = "after"
    """`OutcomeUnknown`, although the inner substrate was asked and answered."""
    LOST = "lost"
    """`OutcomeUnknown`, and the inner substrate was never asked."""
    CONFLICT = "conflict"
    """`SwapConflict` that does not tell the register, although nobody changed it."""
    DELAY = "delay"
    """The call began late."""


class FaultPlan(msgspec.Struct, frozen=True):
    """How often a call fails, each a probability from 0 to 1; the faults exclude one another.

    Attributes:
        read_before: Of `read` and `get_blobs`: certain failure.
        swap_before: Of `swap`: certain failure.
        swap_after: Of `swap`: done, and yet unknown.
        swap_lost: Of `swap`: not done, and unknown.
        conflict: Of `swap`: a storm begins.
        storm: Swaps in a row that one storm refuses.
        put_before: Of `put_blob`: certain failure.
        put_after: Of `put_blob`: done, and yet unknown.
        delay: Of any of these calls, besides the others: it begins late.
        delay_seconds: Late by up to so much, and never beyond the deadline.
    """

    read_before: float = 0.0
    swap_before: float = 0.0
    swap_after: float = 0.0
    swap_lost: float = 0.0
    conflict: float = 0.0
    storm: int = 1
    put_before: float = 0.0
    put_after: float = 0.0
    delay: float = 0.0
    delay_seconds: float = 0.01


class Injected(msgspec.Struct, frozen=True):
    """A fault, as it was injected.

    Attributes:
        operation: The method.
        call: Which call of this method it was, from 0.
        name: The config.
        fault: What was done.
        applied: Whether the inner substrate carried the call out; decided by its answer.
    """

    operation: str
    call: int
    name: str
    fault: Fault
    applied: bool


class FaultySubstrate(DelegatingSubstrate):
    """Fails by a seeded plan; all else is the inner substrate's.

    The n-th call of a method always gets the same faults for the same seed and plan, whatever
    other methods were called meanwhile. With several threads that is still so; which of them
    makes the n-th call is theirs.

    Attributes:
        plan: May be replaced at any time, for the calls that begin afterwards.
        injected: Every fault so far, in the order injected.
    """

    def __init__(self, inner: Substrate, seed: int, plan: FaultPlan) -> None:
        super().__init__(inner)
        self.seed = seed
        self.plan = plan
        self.injected: list[Injected] = []
        self._calls: dict[str, int] = {}
        self._storm_left = 0
        self._lock = threading.Lock()

    @override
    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline
    ) -> Register | Unchanged | None:
        """See `Substrate.read`."""
        return self._run(
            "read",
            name,
            ((Fault.BEFORE, self.plan.read_before),),
            lambda: self.inner.read(name, known, deadline=deadline),
            deadline,
        )

    @override
    def get_blobs(
        self, name: str, wanted: Sequence[BlobRange], *, deadline: Deadline
    ) -> list[bytes | None]:
        """See `Substrate.get_blobs`."""
        return self._run(
            "get_blobs",
            name,
            ((Fault.BEFORE, self.plan.read_before),),
            lambda: self.inner.get_blobs(name, wanted, deadline=deadline),
            deadline,
        )

    @override
    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        """See `Substrate.swap`."""
        plan = self.plan
        return self._run(
            "swap",
            name,
            (
                (Fault.BEFORE, plan.swap_before),
                (Fault.AFTER, plan.swap_after),
                (Fault.LOST, plan.swap_lost),
                (Fault.CONFLICT, plan.conflict),
            ),
            lambda: self.inner.swap(name, expected, data, blobs, deadline=deadline),
            deadline,
        )

    @override
    def put_blob(self, name: str, blob: str, data: bytes, *, deadline: Deadline) -> None:
        """See `Substrate.put_blob`."""
        self._run(
            "put_blob",
            name,
            ((Fault.BEFORE, self.plan.put_before), (Fault.AFTER, self.plan.put_after)),
            lambda: self.inner.put_blob(name, blob, data, deadline=deadline),
            deadline,
        )

    @override
    def after_fork(self) -> None:
        """See `Substrate.after_fork`."""
        self._lock = threading.Lock()
        super().after_fork()

    def _run(
        self,
        operation: str,
        name: str,
        odds: tuple[tuple[Fault, float], ...],
        call: Callable[[], T],
        deadline: Deadline,
    ) -> T:
        number, fault, late = self._decide(operation, odds)
        if late > 0:
            time.sleep(min(late, deadline.remaining()))
            self._record(operation, number, name, Fault.DELAY, applied=fault is None)
        if fault is None:
            return call()
        applied = False
        if fault is Fault.AFTER:
            # The answer is lost whatever it was: a conflict, too, is then unknown.
            try:
                call()
                applied = True
            except DiscfgError:
                applied = False
        self._record(operation, number, name, fault, applied=applied)
        if fault is Fault.BEFORE:
            raise StoreUnavailable("an injected failure, before anything was sent")
        if fault is Fault.CONFLICT:
            raise SwapConflict("an injected conflict")
        raise OutcomeUnknown("an injected failure: the answer is lost")

    def _decide(
        self, operation: str, odds: tuple[tuple[Fault, float], ...]
    ) -> tuple[int, Fault | None, float]:
        plan = self.plan
        with self._lock:
            number = self._calls.get(operation, 0)
            self._calls[operation] = number + 1
            # A generator of its own for each call: no call shifts the luck of another.
            chance = random.Random(f"{self.seed} {operation} {number}")
            late = chance.random() * plan.delay_seconds if chance.random() < plan.delay else 0.0
            if operation == "swap" and self._storm_left > 0:
                self._storm_left -= 1
                return number, Fault.CONFLICT, late
            lot = chance.random()
            for fault, probability in odds:
                if lot < probability:
                    if fault is Fault.CONFLICT:
                        self._storm_left = plan.storm - 1
                    return number, fault, late
                lot -= probability
            return number, None, late

    def _record(self, operation: str, call: int, name: str, fault: Fault, *, applied: bool) -> None:
        with self._lock:
            self.injected.append(Injected(operation, call, name, fault, applied))


class LateSwap:
    """A swap whose caller was told `OutcomeUnknown` and that reaches the store later.

    Attributes:
        name, expected, data, blobs: As the caller gave them.
        landed: ``None`` while it is under way; then whether the store took it.
    """

    __slots__ = ("blobs", "data", "expected", "landed", "name", "reads_left")

    def __init__(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes],
        reads_left: int | None,
    ) -> None:
        self.name = name
        self.expected = expected
        self.data = data
        self.blobs = blobs
        self.reads_left = reads_left
        self.landed: bool | None = None


class LateSubstrate(DelegatingSubstrate):
    """Applies swaps late: after the caller was told `OutcomeUnknown` and has looked.

    Swaps pass through until `arm` is called. A late swap keeps its expected token, so it lands
    only where nothing else was swapped in meanwhile, as an abandoned request does that a slow
    server finds in its queue.

    Args:
        inner: The substrate.
        after_reads: A late swap is applied right after so many further reads of its register
            were answered, from 1; ``None``: only by `apply_pending`.

    Attributes:
        swaps: Every late swap so far, in order.
    """

    def __init__(self, inner: Substrate, *, after_reads: int | None = None) -> None:
        super().__init__(inner)
        self.swaps: list[LateSwap] = []
        self._after_reads = after_reads
        self._armed = 0
        self._lock = threading.Lock()

    def arm(self, swaps: int = 1) -> None:
        """The next so many swaps, of whichever register, are late."""
        with self._lock:
            self._armed = swaps

    @property
    def pending(self) -> int:
        """Late swaps that did not reach the store yet."""
        return sum(swap.landed is None for swap in self.swaps)

    def apply_pending(self, *, deadline: Deadline | None = None) -> int:
        """Let every late swap reach the store, in the order they were made.

        Returns:
            How many landed; the others found another token.
        """
        with self._lock:
            due = [swap for swap in self.swaps if swap.landed is None]
            return self._apply(due, deadline or Deadline.after(30))

    @override
    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        """See `Substrate.swap`."""
        with self._lock:
            late = self._armed > 0
            if late:
                self._armed -= 1
                self.swaps.append(LateSwap(name, expected, data, dict(blobs), self._after_reads))
        if late:
            raise OutcomeUnknown("no answer to this swap; it is still under way")
        return super().swap(name, expected, data, blobs, deadline=deadline)

    @override
    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline
    ) -> Register | Unchanged | None:
        """See `Substrate.read`."""
        answer = super().read(name, known, deadline=deadline)
        with self._lock:
            due = []
            for swap in self.swaps:
                if swap.name == name and swap.landed is None and swap.reads_left is not None:
                    swap.reads_left -= 1
                    if swap.reads_left <= 0:
                        due.append(swap)
            self._apply(due, Deadline.after(30))
        return answer

    @override
    def after_fork(self) -> None:
        """See `Substrate.after_fork`."""
        # What the parent has under way is the parent's.
        self._lock = threading.Lock()
        self._armed = 0
        self.swaps = []
        super().after_fork()

    def _apply(self, due: Sequence[LateSwap], deadline: Deadline) -> int:
        landed = 0
        for swap in due:
            try:
                self.inner.swap(swap.name, swap.expected, swap.data, swap.blobs, deadline=deadline)
                swap.landed = True
                landed += 1
            except SwapConflict:
                swap.landed = False
        return landed
