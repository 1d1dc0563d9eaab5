"""One swap, repeated until it is known what became of it.

A swap whose answer was lost may be applied at any later moment: an abandoned request was seen to
land after the register had been read without it. So a register that still has the old token
proves nothing. The very same swap is sent again, against the same token: whichever of the two
lands first makes the other impossible.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import msgspec

from discfg_core.backoff import Backoff
from discfg_core.clock import Deadline
from discfg_core.errors import DiscfgError, OutcomeUnknown, StoreError, Timeout
from discfg_core.substrate import Register, Substrate, SwapConflict, Token, Unchanged

Answer = TypeVar("Answer")

_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 1.0


class Landed(msgspec.Struct, frozen=True):
    """The swap happened. `token` is its own; `seen` the register, if it was learnt from that."""

    token: Token
    seen: Register | None = None


class Lost(msgspec.Struct, frozen=True):
    """The swap did not happen and never will; the register is something else."""

    current: Register | None


class InDoubt(Exception):
    """Raised when nobody can tell whether a swap happened. Never leaves this package.

    Attributes:
        final: Nobody ever can; else the deadline passed first.
    """

    def __init__(self, final: bool = False) -> None:
        super().__init__(final)
        self.final = final


def read(substrate: Substrate, name: str, deadline: Deadline) -> Register | None:
    """A register, tried again while the store is away.

    Raises:
        StoreError: It cannot be read, and trying again is no use or the deadline has passed.
        Timeout: The deadline passed.
    """
    answer = retried(lambda: substrate.read(name, None, deadline=deadline), deadline)
    if isinstance(answer, Unchanged):
        raise StoreError(f"{substrate.scheme} answered `unchanged` to a read without a token")
    return answer


def retried(call: Callable[[], Answer], deadline: Deadline) -> Answer:
    """What `call` returns, called again while it fails in a way that may pass.

    For calls that may be repeated whatever became of them.

    Raises:
        DiscfgError: The last failure.
    """
    backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
    while True:
        try:
            return call()
        except DiscfgError as error:
            again = error.retryable or isinstance(error, OutcomeUnknown)
            if not again or deadline.passed():
                raise
            failure = error
        backoff.pause(deadline)
        if deadline.passed():
            # Another call would say that it had no time, and not what was wrong all the time.
            raise failure


def settle(
    substrate: Substrate,
    name: str,
    expected: Token | None,
    data: bytes,
    blobs: Mapping[str, bytes],
    *,
    ours: Callable[[Register | None], bool | None],
    deadline: Deadline,
    in_doubt: bool = False,
) -> Landed | Lost:
    """Swap, and find out what became of it.

    Args:
        substrate: The store.
        name: The config.
        expected: The token the register must have; ``None`` for no register.
        data: What it becomes.
        blobs: Those of the swap.
        ours: Whether a register that has another token shows that this swap happened;
            ``None`` if that cannot be told from it.
        deadline: The end of it.
        in_doubt: This very swap was sent before, and its answer never came.

    Raises:
        InDoubt: The deadline passed with a request sent whose answer never came, or the
            register can no longer tell.
        Timeout: The deadline passed, and it surely did not happen.
        StoreError: The store refused it; it surely did not happen.
    """
    swap = partial(substrate.swap, name, expected, data, blobs, deadline=deadline)
    look = partial(read, substrate, name, deadline)
    return _Settling(expected, swap, look, ours, in_doubt=in_doubt).run(name, deadline)


class _Settling:
    """A swap under way. `sent`: a request went out whose answer never came."""

    def __init__(
        self,
        expected: Token | None,
        swap: Callable[[], Token],
        look: Callable[[], Register | None],
        ours: Callable[[Register | None], bool | None],
        *,
        in_doubt: bool,
    ) -> None:
        self._expected = expected
        self._swap = swap
        self._look = look
        self._ours = ours
        self._sent = in_doubt
        self._failure: Exception | None = None

    def run(self, name: str, deadline: Deadline) -> Landed | Lost:
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while not deadline.passed():
            outcome = self._once()
            if outcome is not None:
                return outcome
            backoff.pause(deadline)
        if self._sent:
            raise InDoubt from self._failure
        if isinstance(self._failure, StoreError):
            raise self._failure
        raise Timeout(
            f"config {name!r} could not be written in time", config=name
        ) from self._failure

    def _once(self) -> Landed | Lost | None:
        """One request, and what is known after it; ``None``: not yet enough."""
        try:
            return Landed(self._swap())
        except SwapConflict as conflict:
            return self._after_conflict(conflict)
        except OutcomeUnknown as error:
            return self._after_unknown(error)
        except DiscfgError as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001 - a class nobody decided on: it may be sent
            return self._after_unknown(error)
        return None

    def _after_conflict(self, conflict: SwapConflict) -> Landed | Lost | None:
        try:
            told = conflict.current
            return self._judge(self._look() if isinstance(told, str) else told, conflict)
        except DiscfgError as error:
            self._failed(error)
            return None

    def _after_unknown(self, error: Exception) -> Landed | Lost | None:
        again = self._sent
        self._sent, self._failure = True, error
        if not again:
            return None
        # Twice without an answer: a store that applies swaps and loses the answers is asked.
        try:
            return self._judge(self._look(), error)
        except DiscfgError:
            # What became of the swap matters more than that one cannot look.
            return None

    def _judge(self, current: Register | None, cause: Exception) -> Landed | Lost | None:
        if (None if current is None else current.token) == self._expected:
            # The old token proves nothing, whoever says so: the same request once more.
            self._failure = cause
            return None
        # Even a first conflict may be of this swap's making: proxies repeat requests.
        happened = self._ours(current)
        if happened and current is not None:
            return Landed(current.token, current)
        if happened is None and self._sent:
            raise InDoubt(final=True) from cause
        return Lost(current)

    def _failed(self, error: DiscfgError) -> None:
        """A request that surely did nothing; but one before it may have."""
        self._failure = error
        if error.retryable:
            return
        if self._sent:
            raise InDoubt from error
        raise error
