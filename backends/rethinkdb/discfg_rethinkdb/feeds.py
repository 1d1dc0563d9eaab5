"""Changefeeds: one connection for all that a process waits for, however many wait.

RethinkDB runs any number of queries on a connection at a time, so all waiters share one, and a
feed serves all who wait for the same document. No thread is kept for it: one of the waiters
looks after the connection and wakes the others.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import rethinkdb.errors as reql  # type: ignore[import-untyped]  # the driver has no types

from discfg_core.clock import Deadline
from discfg_core.errors import StoreUnavailable
from discfg_rethinkdb.client import Pool
from discfg_rethinkdb.errors import SCHEME
from discfg_rethinkdb.wire import Answer, Connection

# Nobody wakes a waiter when its caller sets `cancel`; this is how late it is noticed.
_SLICE_SECONDS: Final = 0.05

# For sending some hundred bytes to a server that reads at all.
_SEND_SECONDS: Final = 1.0

# A feed that nobody waits on is kept for the next who does, up to so many.
_MOST_FEEDS: Final = 256


class _Feed:
    """What the server says of one document.

    Attributes:
        query: Its number on the connection.
        heard: How many values came.
        value: The last of them.
        waiters: How many wait on it.
        failure: What ended it.
    """

    def __init__(self, query: int) -> None:
        self.query = query
        self.heard = 0
        self.value: object = None
        self.waiters = 0
        self.failure: Exception | None = None


class _Line:
    """A connection and the feeds on it; when it fails, it fails for all."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        # By document, the least recently used first.
        self.feeds: OrderedDict[str, _Feed] = OrderedDict()
        # Whether a waiter is looking at the connection, without the lock.
        self.watched = False
        self.failure: Exception | None = None


class Feeds:
    """What is waited for in one store.

    Args:
        pool: Where the connection comes from; it is one more than those of the pool.
        query: The changefeed of a document. Its rows are values that tell the document's
            versions apart, the first of them the one that it has now.
    """

    def __init__(self, pool: Pool, query: Callable[[str], Any]) -> None:
        self._pool = pool
        self._query = query
        self._renew()

    def _renew(self) -> None:
        # Guards all that follows, and the connection.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._line: _Line | None = None
        self._connecting = False

    def wait(
        self,
        document: str,
        known: object,
        moved: Callable[[], bool],
        *,
        deadline: Deadline,
        cancel: threading.Event,
    ) -> None:
        """Returns when the document's value is another than `known`, `cancel` is set, or the
        deadline has passed.

        Args:
            document: Its id.
            known: A value.
            moved: Asks the store whether the document has another value than `known`; called
                once at most.
            deadline: The end of it.
            cancel: Noticed within 50 ms.

        Raises:
            StoreError: The store cannot be reached, or ended the feed.
            Closed: The store was closed, before or meanwhile.
        """

        def over() -> bool:
            return cancel.is_set() or deadline.passed()

        self._pool.check_open()
        if over() or not self._connected(over, deadline):
            return
        with self._joined(document) as (line, feed):
            if not self._listen(line, feed, lambda: feed.heard > 0, over):
                return
            heard = feed.heard
            # A feed that others began may lag behind what this caller knows from elsewhere.
            if feed.value != known and moved():
                return
            self._listen(line, feed, lambda: feed.heard > heard and feed.value != known, over)

    # --- the connection ---

    def _connected(self, over: Callable[[], bool], deadline: Deadline) -> bool:
        """Whether there is a line, after making one; of several callers one makes it."""
        with self._lock:
            while self._line is None and self._connecting:
                if over():
                    return False
                self._changed.wait(_SLICE_SECONDS)
            if self._line is not None:
                return True
            self._connecting = True
        connection = None
        try:
            connection = self._pool.connect(deadline)
        finally:
            with self._lock:
                self._connecting = False
                if connection is not None:
                    self._line = _Line(connection)
                self._changed.notify_all()
        return True

    @contextmanager
    def _joined(self, document: str) -> Iterator[tuple[_Line, _Feed]]:
        """The line, and the document's feed on it, begun if there is none."""
        with self._lock:
            line = self._line
            if line is None:
                self._pool.check_open()
                raise StoreUnavailable("the changefeeds' connection failed", engine=SCHEME)
            feed = line.feeds.get(document) or self._begin(line, document)
            line.feeds.move_to_end(document)
            feed.waiters += 1
        try:
            yield line, feed
        finally:
            with self._lock:
                feed.waiters -= 1

    def _begin(self, line: _Line, document: str) -> _Feed:
        soon = Deadline.after(_SEND_SECONDS)
        try:
            for old in [each for each, feed in line.feeds.items() if not feed.waiters]:
                if len(line.feeds) < _MOST_FEEDS:
                    break
                line.connection.stop(line.feeds.pop(old).query, soon)
            feed = _Feed(line.connection.start(self._query(document), soon))
        except OSError as error:
            self._fail(line, error)
            self._pool.check_open()
            found = self._pool.error(error, line.connection)
            raise found from found.__cause__
        line.feeds[document] = feed
        return feed

    def _fail(self, line: _Line, error: Exception) -> None:
        """Nothing of the line is used again; with the lock held."""
        line.failure = error
        self._pool.drop(line.connection)
        if self._line is line:
            self._line = None
        self._changed.notify_all()

    # --- listening ---

    def _listen(
        self, line: _Line, feed: _Feed, heard: Callable[[], bool], over: Callable[[], bool]
    ) -> bool:
        """Whether `heard` became true, before `over` did."""
        with self._lock:
            while not heard():
                failure = feed.failure or line.failure
                if failure is not None:
                    self._pool.check_open()
                    found = self._pool.error(failure, line.connection)
                    raise found from found.__cause__
                if over():
                    return False
                if line.watched:
                    self._changed.wait(_SLICE_SECONDS)
                else:
                    self._watch(line)
            return True

    def _watch(self, line: _Line) -> None:
        """Look at the connection for a while; with the lock held, which is let go meanwhile."""
        line.watched = True
        try:
            self._lock.release()
            try:
                line.connection.poll(_SLICE_SECONDS)
            finally:
                self._lock.acquire()
            if line.failure is None:
                for number, answer in line.connection.receive_all():
                    self._take(line, number, answer)
        except OSError as error:
            self._fail(line, error)
        finally:
            line.watched = False
            # One of those who wait looks next.
            self._changed.notify_all()

    def _take(self, line: _Line, number: int, answer: Answer) -> None:
        document = next((each for each in line.feeds if line.feeds[each].query == number), None)
        if document is None:
            return  # a late word of a feed that was stopped
        feed = line.feeds[document]
        try:
            answer.check()
        except reql.ReqlError as error:
            feed.failure = error
            del line.feeds[document]
            return
        if answer.rows:
            feed.heard += len(answer.rows)
            feed.value = answer.rows[-1]
        if answer.more:
            line.connection.go_on(number, Deadline.after(_SEND_SECONDS))
        else:
            feed.failure = ConnectionResetError("the server ended the changefeed")
            del line.feeds[document]

    # --- life ---

    def after_fork(self) -> None:
        """Begin anew, in a forked child; the parent's connection stays as it is."""
        line = self._line
        self._renew()
        if line is not None:
            line.connection.close()

    def close(self) -> None:
        """End the connection and those who wait, with `Closed`, once the pool is closed."""
        with self._lock:
            line = self._line
            if line is None:
                return
            if line.watched:
                # Its descriptor is in use; who uses it is woken by this, and closes it.
                line.connection.interrupt()
            else:
                self._fail(line, ConnectionResetError("closed"))
