"""`AsyncWatch` and `AsyncSubscription`: the twins of those in `discfg_core.watching`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Self

from discfg_core._override import override
from discfg_core.aio.calls import Calls, in_own_thread
from discfg_core.aio.opening import Closing
from discfg_core.watching import Subscription, Watch

if TYPE_CHECKING:
    from discfg_core.model import Commit


class AsyncWatch(Closing, AsyncIterator["Commit"]):
    """The commits of a config after a revision: each once, in order, with previous nodes.

    All that `Watch` says. It begins when it is entered by ``async with``, or first iterated: where
    it was not told a revision it goes on after the latest of that moment. Iterating occupies a
    thread while it waits, and none otherwise.

    A cancelled iteration loses nothing and stops its thread, within about a second: what it did
    not hand over comes when it is iterated again.

    Attributes:
        revision: As of `Watch`; 0 before it has begun, if it was not told another.
    """

    def __init__(
        self, calls: Calls, begin: Callable[[int | None], Watch], after: int | None
    ) -> None:
        self._calls = calls
        self._begin = begin
        self._after = after
        self._watch: Watch | None = None
        self._closed = False
        self._turn = asyncio.Lock()

    @property
    def revision(self) -> int:
        """As of `Watch`; see the class."""
        return self._after or 0

    @property
    def stale_for(self) -> float:
        """As `Watch.stale_for`; 0 while nothing is waited for."""
        return 0.0 if self._watch is None else self._watch.stale_for

    @override
    async def __aenter__(self) -> Self:
        async with self._turn:
            await self._begun()
        return self

    @override
    def __aiter__(self) -> AsyncWatch:
        return self

    @override
    async def __anext__(self) -> Commit:
        async with self._turn:
            if self._closed:
                raise StopAsyncIteration
            watch = await self._begun()
            # Those that came along with the last one are at hand, and worth no thread.
            commit, self._after = (
                _next(watch)
                if watch._told
                else await in_own_thread(partial(_next, watch), stop=partial(self._forsake, watch))
            )
            if commit is None:
                raise StopAsyncIteration
            return commit

    async def _begun(self) -> Watch:
        if self._watch is None:
            self._watch = await self._calls.run(partial(self._begin, self._after))
            self._after = self._watch.revision
        return self._watch

    def _forsake(self, watch: Watch) -> None:
        # It may have taken commits that nobody got. Another one begins before those.
        watch.close()
        self._watch = None

    @override
    async def close(self) -> None:
        """End it; whoever iterates is told within about a second. Idempotent."""
        self._closed = True
        if self._watch is not None:
            self._watch.close()


def _next(watch: Watch) -> tuple[Commit | None, int]:
    return next(watch, None), watch.revision


class InLoop:
    """A function that a thread calls and the event loop runs; the thread waits for its end."""

    def __init__(self, function: Callable[[Commit], object]) -> None:
        self._function = function
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None

    def __call__(self, commit: Commit) -> None:
        """Call the function, as the thread."""
        running = self._run(commit)
        try:
            future = asyncio.run_coroutine_threadsafe(running, self._loop)
        except RuntimeError:
            # The loop was closed.
            running.close()
            raise
        future.result()

    @property
    def calls_now(self) -> bool:
        """Whether it is the function that asks."""
        return self._task is not None and self._task is asyncio.current_task()

    async def _run(self, commit: Commit) -> None:
        self._task = asyncio.current_task()
        try:
            answer = self._function(commit)
            if inspect.isawaitable(answer):
                await answer
        finally:
            self._task = None


class AsyncSubscription(Closing):
    """What hands each commit to a function in the event loop; see `AsyncConfig.on_change`."""

    def __init__(self, subscription: Subscription, function: InLoop) -> None:
        self._sync = subscription
        self._function = function

    @property
    def error(self) -> Exception | None:
        """What ended it; ``None`` while it goes on, and where `close` did."""
        return self._sync.error

    @property
    def alive(self) -> bool:
        """Whether it still hands on commits."""
        return self._sync.alive

    @override
    async def close(self) -> None:
        """End it; the function is not called again after this returns, unless it called it."""
        if self._function.calls_now:
            self._sync._watch.close()
        else:
            await in_own_thread(self._sync.close)
