"""The register and the blobs of ``sqlite://``: two tables of one file."""

# ruff: noqa: ARG002 - the signatures are those of the contract

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from discfg_core.backoff import jitter, sleep
from discfg_core.clock import Deadline
from discfg_core.engine import Finding, FindingStatus, Guarantee
from discfg_core.errors import (
    Corrupt,
    DiscfgError,
    OutcomeUnknown,
    StoreBusy,
    StoreUnavailable,
    Timeout,
)
from discfg_core.substrate import (
    UNCHANGED,
    BlobInfo,
    BlobRange,
    Limits,
    Native,
    Register,
    Substrate,
    SwapConflict,
    Token,
    Unchanged,
)
from discfg_core.substrates.sqlite.errors import is_busy, translate
from discfg_core.substrates.sqlite.file import Connection, identify
from discfg_core.substrates.sqlite.pool import Pool

_Result = TypeVar("_Result")

_ROW_BYTES: Final = 999_000_000
LIMITS: Final = Limits(
    register_budget=3900,
    register_max=_ROW_BYTES,
    blob_max=_ROW_BYTES,
    blobs_ride=True,
    why={
        "register_budget": "what fits one page of 4 KiB; a swap writes every page of the register anew",
        "register_max": "SQLite's limit on a row, 1,000,000,000 bytes, names included",
        "blob_max": "SQLite's limit on a row, 1,000,000,000 bytes, names included",
        "blobs_ride": "a swap and its blobs are one transaction, and one sync",
    },
)

GUARANTEES: Final = frozenset({Guarantee.DURABLE, Guarantee.SHARED, Guarantee.UNDROP})

_SEEN: Final = "SELECT token FROM register WHERE name = ?"
_READ: Final = "SELECT token, data FROM register WHERE name = ?"
# The token first: SQLite reads no page of the data that nobody asks for.
_READ_UNLESS: Final = (
    "SELECT token, CASE WHEN token = ? THEN NULL ELSE data END FROM register WHERE name = ?"
)
_REPLACE: Final = "UPDATE register SET token = ?, data = ? WHERE name = ? AND token = ?"
_INSERT: Final = "INSERT INTO register (token, data, name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_NAMES: Final = "SELECT name FROM register"
_PUT_BLOB: Final = "INSERT INTO blob (config, name, data) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_GET_BLOB: Final = "SELECT data FROM blob WHERE config = ? AND name = ?"
# Of an empty value, substr makes NULL.
_GET_RANGE: Final = (
    "SELECT coalesce(substr(data, ?, ?), x'') FROM blob WHERE config = ? AND name = ?"
)
_DELETE_BLOB: Final = "DELETE FROM blob WHERE config = ? AND name = ?"
_LIST_BLOBS: Final = (
    "SELECT name, length(data) FROM blob WHERE config = ? AND name > ? ORDER BY name LIMIT ?"
)

# So many blobs a transaction: others get the write lock in between.
_DELETE_BATCH: Final = 200
_LIST_PAGE: Final = 1000

# Between two looks at a register, in seconds.
_POLL_FIRST: Final = 0.003
_POLL_LAST: Final = 0.25
_POLL_GROWTH: Final = 1.5

_LOW_ON_DISK: Final = 100 << 20

# Between two tries to get the write lock, in seconds: at first, in proportion to the time
# already waited, at most.
_RETRY_FIRST: Final = 0.0005
_RETRY_GROWTH: Final = 0.005
_RETRY_LAST: Final = 0.01


class SQLiteSubstrate:
    """Linearizable and durable, shared by the processes of one machine; see the module.

    A transaction that has begun is not interrupted: on a disk that hangs, a call ends late.

    Args:
        path: The file. It need not exist: reading finds nothing then, and the first write
            makes it. Relative to the working directory as it is now.
    """

    scheme: Final = "sqlite"
    guarantees: Final = GUARANTEES

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            self.path: Final = os.path.abspath(path)  # noqa: PTH100 - as text; links stay as given
        except OSError as error:
            raise StoreUnavailable(
                f"{os.fspath(path)} is relative to a working directory that is gone",
                engine=self.scheme,
                hint="go to a directory that exists, or give an absolute path",
                retryable=False,
            ) from error
        self._pool = Pool(self.path)

    def limits(self, name: str) -> Limits:
        """As in `Substrate.limits`."""
        return LIMITS

    # --- registers ---

    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline
    ) -> Register | Unchanged | None:
        """As in `Substrate.read`.

        Raises:
            StoreError: See `discfg_core.substrates.sqlite.errors`.
            Closed: This was closed.
        """

        def work(connection: Connection) -> tuple[Token, bytes | None] | None:
            row: tuple[Token, bytes | None] | None
            if known is None:
                row = connection.execute(_READ, (name,)).fetchone()
            else:
                row = connection.execute(_READ_UNLESS, (known, name)).fetchone()
            return row

        row = self._run(name, deadline, work, absent=None)
        if row is None:
            return None
        token, data = row
        if not isinstance(token, bytes) or not isinstance(data, bytes | NoneType):
            raise Corrupt(
                f"{self.path}: the register of {name!r} holds no bytes",
                engine=self.scheme,
                config=name,
            )
        return UNCHANGED if data is None else Register(data, token)

    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        """As in `Substrate.swap`; one transaction with the blobs, one sync.

        Raises:
            SwapConflict: With the register as it is.
            OutcomeUnknown: COMMIT failed half-way, or the file was removed under it.
            StoreError: Nothing happened.
            Closed: This was closed.
        """
        token = os.urandom(16)

        def work(connection: Connection) -> Token:
            if expected is None:
                changed = connection.execute(_INSERT, (token, data, name))
            else:
                changed = connection.execute(_REPLACE, (token, data, name, expected))
            if changed.rowcount != 1:
                row = connection.execute(_READ, (name,)).fetchone()
                current = None if row is None else Register(data=row[1], token=row[0])
                raise SwapConflict(current=current)
            for blob, content in blobs.items():
                connection.execute(_PUT_BLOB, (name, blob, content))
            return token

        # What is expected to be there is not, without a database.
        written = self._write(name, deadline, work, absent=b"", make=expected is None)
        if not written:
            raise SwapConflict(current=None, engine=self.scheme, config=name)
        return written

    def names(self, *, deadline: Deadline) -> Iterator[str]:
        """As in `Substrate.names`; those of one moment. Raises `StoreError`, `Closed`."""

        def work(connection: Connection) -> list[str]:
            return [name for (name,) in connection.execute(_NAMES)]

        none: list[str] = []
        return iter(self._run(None, deadline, work, absent=none))

    def wait(
        self, name: str, known: Token | None, *, deadline: Deadline, cancel: threading.Event
    ) -> None:
        """As in `Substrate.wait`, by looking: after 3 ms at first, every 250 ms when idle.

        Raises:
            StoreError: The register cannot be read now.
            Closed: This was closed, before or meanwhile.
        """

        def work(connection: Connection) -> Token | None:
            row = connection.execute(_SEEN, (name,)).fetchone()
            return None if row is None else row[0]

        pause = _POLL_FIRST
        while not (cancel.is_set() or deadline.passed()):
            if self._run(name, deadline, work, absent=None) != known:
                return
            cancel.wait(min(_around(pause), deadline.remaining()))
            pause = min(pause * _POLL_GROWTH, _POLL_LAST)

    # --- blobs ---

    def get_blobs(
        self, name: str, wanted: Sequence[BlobRange], *, deadline: Deadline
    ) -> list[bytes | None]:
        """As in `Substrate.get_blobs`; those of one moment. Raises `StoreError`, `Closed`."""

        def work(connection: Connection) -> list[bytes | None]:
            # One look at the log for all of them.
            connection.execute("BEGIN")
            found = [_get_blob(connection, name, part) for part in wanted]
            connection.execute("COMMIT")
            return found

        return self._run(name, deadline, work, absent=[None] * len(wanted))

    def put_blob(self, name: str, blob: str, data: bytes, *, deadline: Deadline) -> None:
        """As in `Substrate.put_blob`. Raises `OutcomeUnknown`, `StoreError`, `Closed`."""

        def work(connection: Connection) -> None:
            connection.execute(_PUT_BLOB, (name, blob, data))

        self._write(name, deadline, work, absent=None, make=True)

    def delete_blobs(self, name: str, blobs: Sequence[str], *, deadline: Deadline) -> None:
        """As in `Substrate.delete_blobs`, in transactions of up to 200.

        Raises:
            OutcomeUnknown, StoreError, Closed: As in `Substrate.delete_blobs`.
        """
        self._pool.check_open()
        for start in range(0, len(blobs), _DELETE_BATCH):
            if start and deadline.passed():
                raise StoreUnavailable(
                    f"time was up when {start:,} of {len(blobs):,} blobs were deleted",
                    engine=self.scheme,
                    config=name,
                )
            batch = [(name, blob) for blob in blobs[start : start + _DELETE_BATCH]]

            def work(connection: Connection, batch: list[tuple[str, str]] = batch) -> None:
                connection.executemany(_DELETE_BLOB, batch)

            self._write(name, deadline, work, absent=None, make=False)

    def list_blobs(self, name: str, *, deadline: Deadline) -> Iterator[BlobInfo]:
        """As in `Substrate.list_blobs`, sorted, in pages; a blob put meanwhile may be missed.

        Raises:
            StoreError, Closed: Now, or while iterating.
        """
        self._pool.check_open()
        return self._list_blobs(name, deadline)

    def _list_blobs(self, name: str, deadline: Deadline) -> Iterator[BlobInfo]:
        last = ""
        none: list[BlobInfo] = []
        while True:

            def work(connection: Connection, last: str = last) -> list[BlobInfo]:
                rows = connection.execute(_LIST_BLOBS, (name, last, _LIST_PAGE))
                return [BlobInfo(blob, size) for blob, size in rows]

            page = self._run(name, deadline, work, absent=none)
            yield from page
            if len(page) < _LIST_PAGE:
                return
            last = page[-1].blob

    # --- the native resource: there is none ---

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Takes any."""

    def provision(self, name: str, settings: Mapping[str, Any], *, deadline: Deadline) -> None:
        """Nothing to make ready. Raises `Closed`."""
        self._pool.check_open()

    def describe(self, name: str, *, deadline: Deadline) -> Native:
        """Always active, without settings of its own. Raises `Closed`."""
        self._pool.check_open()
        return Native()

    def drop(self, name: str, expected: Token | None, *, deadline: Deadline) -> None:
        """Nothing to remove; the register stays. Raises `Closed`."""
        self._pool.check_open()

    # --- the store as a whole ---

    def diagnose(self, *, deadline: Deadline) -> Iterator[Finding]:
        """As in `Substrate.diagnose`; looks at the file from outside. Raises `Closed`."""
        self._pool.check_open()
        yield Finding("server", FindingStatus.OK, f"SQLite {sqlite3.sqlite_version}, no server")
        folder = Path(self.path).parent
        try:
            free = shutil.disk_usage(folder).free
        except OSError as error:
            yield Finding(
                "disk",
                FindingStatus.FAILED,
                f"{folder} cannot be looked at: {error.strerror}",
                "give a path in a directory that exists and that this user may enter",
            )
            return
        low = free < _LOW_ON_DISK
        yield Finding(
            "disk",
            FindingStatus.WARNING if low else FindingStatus.OK,
            f"{free // (1 << 20)} MiB free in {folder}",
            "free some space: a commit needs room for what it writes, twice" if low else "",
        )

    # --- life ---

    def after_fork(self) -> None:
        """As in `Substrate.after_fork`; a fork that Python knows of has done it already."""
        self._pool.after_fork_in_child()

    def close(self) -> None:
        """Closes every connection, after waiting up to 10 s for statements in progress."""
        self._pool.close()

    # --- how statements are run ---

    def _run(
        self,
        name: str | None,
        deadline: Deadline,
        work: Callable[[Connection], _Result],
        *,
        absent: _Result,
        make: bool = False,
    ) -> _Result:
        """`Pool.run`, tried again while others are in its way, until the deadline.

        SQLite's own waiting lengthens its sleeps to 100 ms, and so misses the short moments
        that a process which writes without a pause leaves to others.
        """
        began = 0.0
        try:
            while True:
                try:
                    return self._pool.run(work, deadline=deadline, absent=absent, make=make)
                except sqlite3.Error as error:
                    if deadline.passed() or not is_busy(error):
                        raise translate(error, self.path) from error
                began = began or time.monotonic()
                pause = max((time.monotonic() - began) * _RETRY_GROWTH, _RETRY_FIRST)
                sleep(_around(min(pause, _RETRY_LAST)), deadline)
        except DiscfgError as error:
            error.locate(engine=self.scheme, config=name)
            raise

    def _write(
        self,
        name: str,
        deadline: Deadline,
        work: Callable[[Connection], _Result],
        *,
        absent: _Result,
        make: bool,
    ) -> _Result:
        """`work` in a transaction, committed; `absent` where there is no database to write to."""

        def transaction(connection: Connection) -> _Result:
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            self._commit(connection)
            return result

        self._pool.check_open()
        if deadline.passed():
            raise Timeout("the deadline had passed", engine=self.scheme, config=name)
        try:
            if not self._pool.writer.acquire(
                timeout=min(deadline.remaining(), threading.TIMEOUT_MAX)
            ):
                raise StoreBusy(
                    f"{self.path}: other threads of this process wrote all the time",
                    engine=self.scheme,
                    config=name,
                )
            return self._run(name, deadline, transaction, absent=absent, make=make)
        finally:
            # A signal's handler may raise between the lock's answer and the next line: so the
            # lock itself is asked whether this thread has it, twice if it must be.
            try:
                self._release_writer()
            except BaseException:
                self._release_writer()
                raise

    def _release_writer(self) -> None:
        with suppress(RuntimeError):
            self._pool.writer.release()

    def _commit(self, connection: Connection) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if is_busy(error):
                raise
            raise translate(error, self.path, committing=True) from error
        try:
            moved = identify(self.path) != connection.identity
        except DiscfgError:
            moved = True
        if moved:
            raise OutcomeUnknown(f"{self.path} was removed or replaced during the commit")


def _get_blob(connection: Connection, name: str, part: BlobRange) -> bytes | None:
    if part.start == 0 and part.length is None:
        row = connection.execute(_GET_BLOB, (name, part.blob)).fetchone()
    else:
        # substr takes the low 32 bits of its numbers.
        start = min(part.start, _ROW_BYTES) + 1
        length = _ROW_BYTES if part.length is None else min(part.length, _ROW_BYTES)
        row = connection.execute(_GET_RANGE, (start, length, name, part.blob)).fetchone()
    return None if row is None else row[0]


def _around(seconds: float) -> float:
    return seconds / 2 + jitter(seconds)


if TYPE_CHECKING:
    _fits: type[Substrate] = SQLiteSubstrate
