"""One swap, repeated until it is known what became of it.

A swap whose answer was lost may be applied at any later moment: an abandoned request was seen to
land after the register had been read without it. So a register that still has the old token
proves nothing. The very same swap is sent again, against the same token: whichever of the two
lands first makes the other impossible.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

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


class Backoff:
    """Pauses that grow, at random, so that those who collided do not collide again."""

    def __init__(self) -> None:
        self._ceiling = _FIRST_PAUSE

    def pause(self, deadline: Deadline) -> None:
        """Sleep, but not beyond the deadline."""
        time.sleep(min(random.uniform(0, self._ceiling), deadline.remaining()))
        self._ceiling = min(self._ceiling * 2, _LONGEST_PAUSE)


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
    backoff = Backoff()
    while True:
        try:
            return call()
        except DiscfgError as error:
            again = error.retryable or isinstance(error, OutcomeUnknown)
            if not again or deadline.passed():
                raise
        backoff.pause(deadline)


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
    backoff = Backoff()
    sent = in_doubt
    failure: Exception | None = None
    while not deadline.passed():
        try:
            return Landed(substrate.swap(name, expected, data, blobs, deadline=deadline))
        except SwapConflict as conflict:
            try:
                # Even a first conflict may be of this swap's making: proxies repeat requests.
                current = _current(substrate, name, conflict, deadline)
                if (None if current is None else current.token) != expected:
                    happened = ours(current)
                    if happened and current is not None:
                        return Landed(current.token, current)
                    if happened is None and sent:
                        raise InDoubt(final=True)
                    return Lost(current)
            except DiscfgError as error:
                if not error.retryable:
                    if sent:
                        raise InDoubt from error
                    raise
                failure = error
            else:
                failure = conflict
        except StoreError as error:
            if sent:
                # This request did nothing, but an earlier one may have.
                failure = error
            elif error.retryable:
                failure = error
            else:
                raise
        except Timeout as error:
            failure = error
        except Exception as error:
            # OutcomeUnknown; and whatever else a substrate lets out: it may have been sent.
            sent, failure = True, error
        backoff.pause(deadline)
    if sent:
        raise InDoubt from failure
    if isinstance(failure, StoreError):
        raise failure
    raise Timeout(f"config {name!r} could not be written in time", config=name) from failure


def _current(
    substrate: Substrate, name: str, conflict: SwapConflict, deadline: Deadline
) -> Register | None:
    current = conflict.current
    if current is None or isinstance(current, Register):
        return current
    return read(substrate, name, deadline)
