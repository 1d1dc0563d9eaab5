"""The database file: whose it is, how it comes to be, how it is opened.

A file that is not discfg's, or of a newer format, is refused untouched: not a byte, not its
times, no file beside it. A new one is made in one exclusive transaction, so that of processes
that race, or die in it, none leaves half a file.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from typing import Final, NamedTuple
from urllib.parse import quote_from_bytes

from discfg_core.errors import Corrupt, NewerFormat, StoreUnavailable, UnsupportedStore
from discfg_core.substrates.sqlite.errors import from_system, missing_directory

# The letters "dcfg", in the place SQLite's file format has for them.
APPLICATION_ID: Final = 0x64636667
FORMAT: Final = 1

# Tables with a rowid, because a row of theirs stays in its leaf page up to 4 KB (without one:
# 1 KB), so that replacing a small register writes one page, and looking at a large one's
# token reads one. UNIQUE and not PRIMARY KEY says the same of a text column.
_SCHEMA: Final = (
    """
    CREATE TABLE register (
        name TEXT NOT NULL UNIQUE, token BLOB NOT NULL, data BLOB NOT NULL
    )
    """,
    """
    CREATE TABLE blob (
        config TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL, UNIQUE (config, name)
    )
    """,
)
_MARKS: Final = (
    "SELECT application_id, user_version FROM pragma_application_id, pragma_user_version"
)
# What a single huge commit leaves of the log beside the file.
_LOG_BYTES: Final = 64 * 1024 * 1024


class Identity(NamedTuple):
    """Which file it is, whatever it is called."""

    device: int
    inode: int


class Connection(sqlite3.Connection):
    """A connection that knows the file it was opened on."""

    identity: Identity


def identify(path: str) -> Identity | None:
    """The file at `path`; ``None`` where there is none, or an empty one.

    Raises:
        StoreUnavailable: It is no regular file, or in no directory.
        AccessDenied: The system does not tell.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - each read and swap pays for it; Path.stat is twice
    except FileNotFoundError:
        missing = missing_directory(path)
        if missing is not None:
            raise missing from None
        return None
    except OSError as error:
        raise from_system(error, path) from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a directory" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise StoreUnavailable(
            f"{path} is {kind}", retryable=False, hint="give the path of a file, new or discfg's"
        )
    return Identity(found.st_dev, found.st_ino) if found.st_size else None


def open_existing(path: str) -> Connection | None:
    """A connection to the database; ``None`` while there is none, and then nothing is made.

    Raises:
        UnsupportedStore, NewerFormat: It is not a file for us; it is untouched.
        StoreUnavailable, AccessDenied: See `identify`.
        sqlite3.Error: SQLite's own.
    """
    while True:
        identity = identify(path)
        if identity is None or not _is_ours(path):
            return None
        connection = _connect(path, "mode=rw")
        try:
            ready = _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
        # The same file before and after is the one that was opened in between.
        if ready and identify(path) == identity:
            connection.identity = identity
            return connection
        connection.close()
        if not ready:
            return None


def create(path: str) -> None:
    """Make the database, unless it was made meanwhile; atomic.

    Raises:
        UnsupportedStore, NewerFormat: Another file took the place; it is untouched.
        StoreUnavailable, AccessDenied: See `identify`.
        sqlite3.Error: SQLite's own.
    """
    if identify(path) is not None and _is_ours(path):
        return
    connection = _connect(path, "mode=rwc")
    try:
        # Not in WAL yet: only a rollback journal makes the first page, which says whose file it
        # is, appear together with the tables.
        connection.execute("BEGIN EXCLUSIVE")
        if identify(path) is None:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            for statement in _SCHEMA:
                connection.execute(statement)
        connection.execute("COMMIT")
    finally:
        connection.close()


def _is_ours(path: str) -> bool:
    """Whether the first page is that of a database of ours; ``False`` for an empty file.

    Through SQLite, as a file that never changes: that reads the page without a lock, makes no
    file beside it, and follows no log. Not with `open`: closing any other descriptor of a
    file drops every lock the process has on it, those of SQLite's connections too.
    """
    try:
        connection = _connect(path, "mode=ro&immutable=1")
        try:
            # Lets the first page of a damaged file be read, or of one whose creator died.
            connection.execute("PRAGMA writable_schema = ON")
            marks = connection.execute(_MARKS).fetchone()
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_NOTADB:
            raise
        raise UnsupportedStore(
            f"{path} is not an SQLite database", hint="it was left untouched; use another path"
        ) from error
    # A creator that died is rolled back by whoever comes next, to an empty file.
    if marks == (0, 0) and identify(path) is None:
        return False
    _check_marks(path, marks)
    return True


def _check_marks(path: str, marks: tuple[int, int]) -> None:
    application, version = marks
    if application != APPLICATION_ID:
        raise UnsupportedStore(
            f"{path} is another application's database",
            hint="it was left untouched; use another path",
        )
    if version > FORMAT:
        raise NewerFormat(f"{path} has format {version}; this discfg knows up to {FORMAT}")
    if version < FORMAT:
        raise Corrupt(f"{path} has format {version}, which no discfg wrote")


def _connect(path: str, how: str) -> Connection:
    # No statement waits inside SQLite (timeout=0), see `SQLiteSubstrate`.
    return sqlite3.connect(
        f"file:{quote_from_bytes(os.fsencode(path))}?{how}",
        uri=True,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
        factory=Connection,
    )


def _prepare(connection: Connection, path: str) -> bool:
    """Whether the database is there, once a dead creator's journal is rolled back."""
    marks = connection.execute(_MARKS).fetchone()
    if marks == (0, 0) and identify(path) is None:
        return False
    _check_marks(path, marks)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    try:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    except sqlite3.OperationalError as error:
        # The creator died just before this, and now the file may only be read.
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            raise
    else:
        if mode != "wal":
            raise UnsupportedStore(
                f"{path}: SQLite cannot keep a write-ahead log there",
                hint="put the file on a local file system",
            )
    return True
