"""Watching a config: its commits as they come, none left out, through every interruption."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Self

from discfg_core._override import override
from discfg_core.backoff import Backoff
from discfg_core.clock import Deadline
from discfg_core.engine import ConfigHandle, StorageEngine
from discfg_core.errors import DiscfgError, Timeout, WatchStale

if TYPE_CHECKING:
    from types import TracebackType

    from discfg_core.model import Commit

DEFAULT_STALE_AFTER_SECONDS = 60.0

_LONGEST_CALL_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
_PAGE = 100

_log = logging.getLogger("discfg")


class Watch(Iterator["Commit"]):
    """The commits of a config after a revision: each once, in order, with previous nodes.

    Iterating waits for the next one. A connection that breaks is made anew by itself, and
    nothing is left out meanwhile. For one thread; `close` may be called by any.

    Attributes:
        revision: Up to here all is told; where another watch goes on, after a restart too.

    Iterating raises:
        WatchStale: The store could not be reached for as long as was asked; go on, or give up.
        ConfigNotFound, ConfigReplaced: The config is gone.
        StoreError: What does not pass by waiting, such as `AccessDenied`.
    """

    def __init__(
        self,
        engine: StorageEngine,
        handle: ConfigHandle,
        *,
        prefix: str,
        after: int,
        timeout: float | None,
        stale_after: float,
    ) -> None:
        self._engine = engine
        self._handle = handle
        self._prefix = prefix
        self._timeout = timeout
        self._stale_after = stale_after
        self._told: deque[Commit] = deque()
        self._asked = after
        self._reached = monotonic()
        self._cancel = threading.Event()
        self.revision = after

    @property
    def stale_for(self) -> float:
        """Seconds since the store was last known to be reached; about 0 while all is well."""
        return monotonic() - self._reached

    @override
    def __iter__(self) -> Watch:
        return self

    @override
    def __next__(self) -> Commit:
        if not self._told:
            self._wait()
        if not self._told:
            raise StopIteration
        commit = self._told.popleft()
        self.revision = commit.revision if self._told else self._asked
        return commit

    def _wait(self) -> None:
        """Until there is something to tell, the watch is closed, or its time is up."""
        until = None if self._timeout is None else Deadline.after(self._timeout)
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        # A call goes on trying until its deadline, and tells of its failures only then.
        longest = min(_LONGEST_CALL_SECONDS, self._stale_after / 2)
        while not (self._told or self._cancel.is_set() or (until is not None and until.passed())):
            left = longest if until is None else min(longest, until.remaining())
            call = Deadline.after(left)
            try:
                self._follow(call)
            except DiscfgError as error:
                if not error.retryable:
                    raise
                self._failed(error)
                self._cancel.wait(min(backoff.next(), left))
            else:
                backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)

    def _follow(self, deadline: Deadline) -> None:
        news = self._engine.follow(
            self._handle,
            after=self._asked,
            prefix=self._prefix,
            limit=_PAGE,
            fresh_within=self._stale_after / 2,
            deadline=deadline,
            cancel=self._cancel,
        )
        self._reached = monotonic()
        self._told.extend(news.commits)
        self._asked = news.revision
        if not self._told:
            self.revision = news.revision

    def _failed(self, error: DiscfgError) -> None:
        stale = self.stale_for
        if stale < self._stale_after:
            return
        # So that whoever goes on is told again, after as long again.
        self._reached = monotonic()
        raise WatchStale(
            f"the watch of config {self._handle.name!r} has heard nothing for {stale:.0f} s",
            engine=self._engine.scheme,
            operation="watch",
            config=self._handle.name,
        ) from error

    def close(self) -> None:
        """End it; whoever iterates is told within about a second. Idempotent."""
        self._cancel.set()
        self._told.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Subscription:
    """A thread that hands each commit to a function; see `Config.on_change`.

    Attributes:
        error: What ended it; ``None`` while it goes on, and where `close` did.
    """

    def __init__(self, watch: Watch, callback: Callable[[Commit], object]) -> None:
        self._watch = watch
        self._callback = callback
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="discfg-watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                for commit in self._watch:
                    self._callback(commit)
            except WatchStale as stale:
                _log.warning("%s", stale)
                continue
            except Exception as error:  # noqa: BLE001 - it is the caller's function, or the end
                self.error = error
                _log.error("a subscription to changes ended: %s", error)
            return

    @property
    def alive(self) -> bool:
        """Whether it still hands on commits."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End it; the function is not called again after this returns, unless it called it."""
        self._watch.close()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def wait_for(
    engine: StorageEngine,
    handle: ConfigHandle,
    revision: int,
    deadline: Deadline,
    cancel: threading.Event,
) -> None:
    """What `Config.wait_for` says; cancelled, it is as if the time was up."""
    backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
    failure: DiscfgError | None = None
    while not (deadline.passed() or cancel.is_set()):
        try:
            news = engine.follow(
                handle, after=revision - 1, limit=1, deadline=deadline, cancel=cancel
            )
        except DiscfgError as error:
            if not error.retryable:
                raise
            failure = error
            cancel.wait(min(backoff.next(), deadline.remaining()))
        else:
            if news.revision >= revision:
                return
    raise Timeout(
        f"config {handle.name!r} did not come to revision {revision} in time",
        engine=engine.scheme,
        operation="wait_for",
        config=handle.name,
    ) from failure
