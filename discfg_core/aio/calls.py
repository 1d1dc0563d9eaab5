"""Calls in threads: how a coroutine waits for one, and what becomes of it when it does not."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Generic, TypeVar

from discfg_core.errors import Closed

_T = TypeVar("_T")

# What ends a coroutine that waits: its task was cancelled, or its loop was closed under it.
_ABANDONED = (asyncio.CancelledError, GeneratorExit)


class _Answer(Generic[_T]):
    """A call that a thread makes, and the future that tells the event loop what came of it."""

    def __init__(
        self, call: Callable[[], _T], discard: Callable[[_T], object] | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._call = call
        self._discard = discard
        self._context = copy_context()
        self.future: asyncio.Future[_T] = self._loop.create_future()

    def __call__(self) -> None:
        try:
            result = self._context.run(self._call)
        except StopIteration as error:
            # A future refuses it, and whoever awaits that one would wait for ever.
            wrapped = RuntimeError("a function that was called raised StopIteration")
            wrapped.__cause__ = error
            self._tell(partial(self._failed, wrapped))
        except BaseException as error:  # noqa: BLE001 - it is for whoever awaits the call
            self._tell(partial(self._failed, error))
        else:
            if not self._tell(partial(self._done, result)) and self._discard is not None:
                self._discard(result)

    def _tell(self, news: Callable[[], None]) -> bool:
        # RuntimeError: the loop was closed meanwhile; nobody waits any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(news)
            return True
        return False

    def _failed(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def _done(self, result: _T) -> None:
        if not self.future.done():
            self.future.set_result(result)
        elif self._discard is not None:
            _start(partial(self._discard, result))


class Calls:
    """The threads of one store: so many calls at once, the others wait for their turn."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._closed = False
        self._make_pool()

    def _make_pool(self) -> None:
        self._process = os.getpid()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="discfg-aio")

    async def run(self, call: Callable[[], _T]) -> _T:
        """Make a call that ends by itself soon.

        When the task is cancelled before a thread has begun it, it is not made.

        Raises:
            Closed: `close` was called.
        """
        if self._process != os.getpid() and not self._closed:
            # A fork takes no thread along, and the pool would wait for those it had.
            self._make_pool()
        answer = _Answer(call)
        try:
            job = self._pool.submit(answer)
        except RuntimeError:
            if not self._closed:
                raise
            raise Closed("this store was closed") from None
        try:
            return await answer.future
        except _ABANDONED:
            job.cancel()
            raise

    async def close(self, last: Callable[[], object]) -> None:
        """Make one last call, which ends all others soon, and wait for them. Idempotent."""
        self._closed = True
        await in_own_thread(partial(self._end, last))

    def _end(self, last: Callable[[], object]) -> None:
        try:
            last()
        finally:
            self._pool.shutdown()


async def in_own_thread(
    call: Callable[[], _T],
    *,
    stop: Callable[[], object] | None = None,
    discard: Callable[[_T], object] | None = None,
) -> _T:
    """Make a call that may wait for long, in a thread of its own, which keeps no process alive.

    Args:
        call: It.
        stop: Makes it end; called where the task is cancelled.
        discard: Takes its result, in a thread, where the task was cancelled.
    """
    answer = _Answer(call, discard)
    _start(answer)
    try:
        return await answer.future
    except _ABANDONED:
        if stop is not None:
            stop()
        raise


def _start(call: Callable[[], object]) -> None:
    threading.Thread(target=call, name="discfg-aio-wait", daemon=True).start()
