"""Several requests at once, by a bounded number of threads that last until `close`."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Final, TypeVar

from discfg_core.errors import Closed, Timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from discfg_core.clock import Deadline

T = TypeVar("T")

_THREADS: Final = 16


class Parallel:
    """Up to 16 threads, started when they are first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._closed = False

    def run(self, calls: Iterable[Callable[[], T]], deadline: Deadline) -> list[T]:
        """What the calls return, in their order; each ends by the deadline by itself.

        With an error, none of the calls runs any more when it is raised, nor will.

        Raises:
            Timeout: A call was not even begun at the deadline.
            Closed: `close` was called.
            Exception: The first error of a call.
        """
        tasks = list(calls)
        if len(tasks) <= 1:
            return [task() for task in tasks]
        futures = self._submit(tasks)
        try:
            seconds = min(deadline.remaining(), threading.TIMEOUT_MAX)
            wait(futures, timeout=seconds, return_when=FIRST_EXCEPTION)
        finally:
            # What has not begun never will; what has ends by the same deadline.
            for future in futures:
                future.cancel()
            wait(futures)
        for future in futures:
            error = None if future.cancelled() else future.exception()
            if error is not None:
                raise error
        if any(future.cancelled() for future in futures):
            self._check_open()
            raise Timeout("too many requests waited before this one", engine="s3")
        return [future.result() for future in futures]

    def _submit(self, tasks: list[Callable[[], T]]) -> list[Future[T]]:
        with self._lock:
            self._check_open()
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_THREADS, "discfg-s3")
            return [self._threads.submit(task) for task in tasks]

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("this store was closed", engine="s3")

    def close(self) -> None:
        """End the threads, after the requests they are at; idempotent."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=True, cancel_futures=True)
