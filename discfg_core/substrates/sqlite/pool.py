"""Connections to one database file: one user at a time, none across a fork, none left over."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from discfg_core.clock import Deadline
from discfg_core.errors import Closed, DiscfgError, StoreBusy, StoreUnavailable
from discfg_core.substrate import SwapConflict
from discfg_core.substrates.sqlite.errors import is_busy
from discfg_core.substrates.sqlite.file import Connection, Identity, create, identify, open_existing

_Result = TypeVar("_Result")

_MAX_IDLE: Final = 8
# How long `close` and a fork wait for statements that are running; these end by themselves
# unless the disk hangs.
_QUIET_SECONDS: Final = 10.0
_SLICE_SECONDS: Final = 0.01


class Pool:
    """Connections to the file at `path`, opened when needed.

    A connection whose file is no longer the one at `path` is not lent: a file that was removed
    or replaced is treated as the new one it is.

    Attributes:
        path: The file.
        writer: Held while writing, so that threads of one process queue for SQLite's single
            write lock here, and do not poll for it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._closed = False
        self._stranded = False
        self._renew()
        _POOLS.add(self)

    def _renew(self) -> None:
        self.writer = threading.RLock()
        # Taken and given back without a lock, which would cost a read a tenth of its time: a
        # list does either as a whole.
        self._idle: list[Connection] = []
        # Guards the rest. Entered by itself and not through the condition, whose `__enter__` is
        # Python: a signal's handler that raises in there would leave it locked for good.
        self._lock = threading.RLock()
        # Notified of everything below.
        self._changed = threading.Condition(self._lock)
        self._open: set[Connection] = set()
        self._opening = 0
        self._pauses = 0
        # The threads that may have a connection. A set's methods are atomic, and may be done twice.
        self._inside: set[int] = set()
        # Whether to look at `_closed` and `_pauses`. Set before `_idle` is emptied, so that
        # whoever did not see it set has taken its connection before, or finds none.
        self._halted = self._closed
        self._process = os.getpid()

    def run(
        self,
        work: Callable[[Connection], _Result],
        *,
        deadline: Deadline,
        absent: _Result,
        make: bool = False,
    ) -> _Result:
        """What `work` returns, called with a connection that it has for itself.

        A transaction that it leaves open with an error is rolled back.

        Args:
            work: Begins and commits what it needs.
            deadline: Until when to wait for the end of a pause; `work` has its own.
            absent: What to return, without calling it, where there is no database.
            make: Make the database where there is none.

        Raises:
            Closed: `close` was called.
            StoreBusy: There was a pause until the deadline.
            StoreError: There is a file, but not one to use; see `open_existing`.
            sqlite3.Error: SQLite's own.
        """
        me = threading.get_ident()
        try:
            self._inside.add(me)
            return self._run(work, deadline=deadline, absent=absent, make=make)
        finally:
            try:
                self._inside.discard(me)
            except BaseException:
                self._inside.discard(me)
                raise

    def _run(
        self,
        work: Callable[[Connection], _Result],
        *,
        deadline: Deadline,
        absent: _Result,
        make: bool,
    ) -> _Result:
        connection = self._take(deadline, make=make)
        if connection is None:
            return absent
        sound = False
        try:
            try:
                result = work(connection)
                sound = True
            except (DiscfgError, sqlite3.Error) as error:
                sound = _rolled_back(connection, error)
                raise
        finally:
            # A signal's handler may raise at any line, here too: no transaction stays open.
            try:
                self._give_back(connection, sound=sound)
            except BaseException:
                if not sound:
                    self._discard(connection)
                raise
        return result

    def check_open(self) -> None:
        """Raises `Closed` after `close`."""
        if self._closed:
            raise Closed("this store was closed")

    def _take(self, deadline: Deadline, *, make: bool) -> Connection | None:
        identity = identify(self.path)
        while not self._halted:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            if connection.identity == identity:
                return connection
            self._discard(connection)
        return self._take_new(deadline, make=make)

    def _take_new(self, deadline: Deadline, *, make: bool) -> Connection | None:
        with self._lock:
            while self._pauses and not self._closed:
                # Whoever pauses waits for those inside.
                self._inside.discard(threading.get_ident())
                woken = self._changed.wait(min(deadline.remaining(), threading.TIMEOUT_MAX))
                self._inside.add(threading.get_ident())
                if not woken:
                    raise StoreBusy(f"{self.path}: this process was forking, or closing the file")
            self.check_open()
            self._opening += 1
        opened: Connection | None = None
        try:
            opened = self._connect(make=make)
        finally:
            with self._lock:
                self._opening -= 1
                if opened is not None:
                    self._open.add(opened)
                self._changed.notify_all()
        return opened

    def _connect(self, *, make: bool) -> Connection | None:
        if self._stranded or identify(self.path) in _STRANDED:
            raise StoreUnavailable(
                f"{self.path} was in use by the parent when this process was forked",
                retryable=False,
                hint="fork with os.fork or multiprocessing, or start the process anew",
            )
        connection = open_existing(self.path)
        while connection is None and make:
            create(self.path)
            connection = open_existing(self.path)
        return connection

    def _give_back(self, connection: Connection, *, sound: bool) -> None:
        if not sound or len(self._idle) >= _MAX_IDLE:
            self._discard(connection)
            return
        self._idle.append(connection)
        if self._halted:
            with self._lock:
                if self._halted:
                    self._empty()
                self._changed.notify_all()

    def _discard(self, connection: Connection) -> None:
        try:
            connection.close()
        finally:
            with self._lock:
                self._open.discard(connection)
                self._changed.notify_all()

    def close(self) -> None:
        """Closes every connection, after the statements that are running; idempotent."""
        if self._closed:
            return
        self._closed = True
        # SQLite keeps the descriptors of closed connections until the process has no open
        # connection to the file, because closing one would drop the locks of all. So for a
        # moment no pool has one.
        deadline = Deadline.after(_QUIET_SECONDS)
        pools = [pool for pool in list(_POOLS) if pool.path == self.path]
        for pool in pools:
            pool.pause(deadline)
        for pool in pools:
            pool.resume()

    def pause(self, deadline: Deadline) -> None:
        """Closes every connection, and opens none until `resume`; pauses add up.

        Statements that still run at the deadline are let run, and their connections closed
        when they come back.
        """
        with self._lock:
            self._pauses += 1
            self._halted = True
            self._changed.notify_all()
            # By slices: who leaves says so to nobody.
            while not (self._empty() or deadline.passed()):
                self._changed.wait(min(deadline.remaining(), _SLICE_SECONDS))

    def resume(self) -> None:
        """Goes on after a `pause`."""
        with self._lock:
            # A pool that came to be in the midst of a fork was never paused.
            self._pauses = max(self._pauses - 1, 0)
            self._halted = self._closed or self._pauses > 0
            self._changed.notify_all()

    def _empty(self) -> bool:
        # Whether nothing is open any more. With `_lock` held.
        while self._idle:
            connection = self._idle.pop()
            connection.close()
            self._open.discard(connection)
        if not self._inside:
            # A signal's handler that raised in a thread may have parted it from its connection.
            for connection in self._open:
                connection.close()
            self._open.clear()
            self._opening = 0
        return not (self._open or self._opening)

    # --- fork ---
    #
    # SQLite keeps the locks of all connections to a file in one record of the process. A fork
    # copies the record, but not the locks: a child that opens the file itself is taken to have
    # them, asks the system for none, and when the parent closes the file, the log with the
    # child's acknowledged commits is removed under it. SQLite's mutexes are copied as they
    # are, too, and one that another thread held is never released. So nothing is open, and no
    # statement runs, while a process forks.

    def after_fork_in_child(self) -> None:
        """Begins anew, with nothing of the parent's; idempotent.

        Where the parent could not be stopped in time, or was forked by something that does not
        say so, what was inherited is neither used nor closed, ever, and the file is refused.
        """
        if self._process == os.getpid():
            return
        self._stranded = self._stranded or bool(self._open or self._opening)
        _STRANDED.update(connection.identity for connection in self._open)
        _keep_for_good(self._open)
        self._renew()


def _rolled_back(connection: Connection, error: BaseException) -> bool:
    """Whether the connection is as good as new after an error; closing it rolls back as well."""
    if isinstance(error, SwapConflict) or (isinstance(error, sqlite3.Error) and is_busy(error)):
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            return False
        return True
    return False


_POOLS: Final[weakref.WeakSet[Pool]] = weakref.WeakSet()
_STRANDED: Final[set[Identity]] = set()


def _keep_for_good(connections: Iterable[Connection]) -> None:
    # The interpreter closes what it still finds at its end; nothing but a reference that
    # nobody owns keeps it from that.
    for connection in connections:
        import ctypes  # noqa: PLC0415 - a few ms, and hardly any process needs it

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def _before_fork() -> None:
    deadline = Deadline.after(_QUIET_SECONDS)
    for pool in list(_POOLS):
        pool.pause(deadline)


def _after_fork_in_parent() -> None:
    for pool in list(_POOLS):
        pool.resume()


def _after_fork_in_child() -> None:
    for pool in list(_POOLS):
        pool.after_fork_in_child()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
