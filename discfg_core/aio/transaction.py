"""`AsyncTransaction`: the twin of `discfg_core.transaction.ConfigTransaction`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, cast

from discfg_core.aio.calls import Calls
from discfg_core.aio.twins import Method, awaited, iterated
from discfg_core.errors import InvalidTransaction
from discfg_core.transaction import ConfigTransaction

if TYPE_CHECKING:
    from discfg_core.model import Commit

_P = ParamSpec("_P")
_S = TypeVar("_S")
_T = TypeVar("_T")


class _OneByOne:
    """Calls of one task: a transaction is not for two threads, nor for one that was left alone."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._busy = False

    def check_free(self) -> None:
        if self._busy:
            raise InvalidTransaction(
                "another call of this transaction is under way, or was cancelled",
                hint="use a transaction in one task, and begin another after a cancelled call",
            )

    async def run(self, call: Callable[[], _T]) -> _T:
        self.check_free()
        self._busy = True
        # Cancelled, it stays busy: the thread may be at work for some time.
        try:
            result = await self._calls.run(call)
        except Exception:
            self._busy = False
            raise
        self._busy = False
        return result


def _kept_back(method: Callable[Concatenate[_S, _P], _T]) -> Method[_P, _T]:
    """The same method as it is: it only notes what will be committed."""

    @wraps(method)
    def call(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        self._calls.check_free()
        return method(self._sync, *args, **kwargs)

    return cast("Method[_P, _T]", call)


class AsyncTransaction:
    """Reads and writes that become one commit when the ``async with`` block ends, or nothing.

    All that `ConfigTransaction` says. Reads are awaited; writes and checks, which are kept back
    until the block ends, are plain calls. For one task at a time. When the end of the block is
    cancelled the commit may still happen.

    `AsyncConfig.transaction` makes these.
    """

    def __init__(self, calls: Calls, transaction: ConfigTransaction) -> None:
        self._calls = _OneByOne(calls)
        self._sync = transaction

    @property
    def commit(self) -> Commit | None:
        """As `ConfigTransaction.commit`."""
        return self._sync.commit

    async def __aenter__(self) -> Self:
        self._sync.__enter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            try:
                self._calls.check_free()
            except InvalidTransaction as busy:
                self._sync.__exit__(type(busy), busy, None)
                raise
            await self._calls.run(lambda: self._sync.__exit__(None, None, None))
        else:
            # Nothing is sent, so that there is nothing to wait for, busy or not.
            self._sync.__exit__(kind, error, traceback)

    get = awaited(ConfigTransaction.get)
    list = iterated(ConfigTransaction.list)
    set = _kept_back(ConfigTransaction.set)
    delete = _kept_back(ConfigTransaction.delete)
    delete_prefix = _kept_back(ConfigTransaction.delete_prefix)
    check = _kept_back(ConfigTransaction.check)
