"""What each of SQLite's error codes means: is it certain that nothing happened, and whose move
is it now? The one table of this store.

The statement decides as well as the code. Until COMMIT, everything is certain: a transaction
that did not commit is rolled back, by this process or by the next that opens the file. COMMIT
writes the pages, then a mark, then syncs; whatever fails behind the mark may have left a commit
that the next recovery of the log brings back.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from discfg_core.errors import (
    AccessDenied,
    Corrupt,
    DiscfgError,
    OutcomeUnknown,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreUnavailable,
)


class _Meaning(NamedTuple):
    """What one code says.

    Attributes:
        error: The class it becomes.
        commit: Whether it is certain that nothing happened when COMMIT itself answers it.
        retryable: Whether the same call may succeed later; ``None``: as the class says.
        hint: What to do; ``None``: as the class says.
    """

    error: type[StoreError]
    commit: bool = False
    retryable: bool | None = None
    hint: str | None = None


_PERMISSIONS: Final = (
    "this user needs to read and write the file, and to make files in its directory"
)
_LOCKED: Final = (
    "another process, such as a backup or an open sqlite3 shell, holds its write lock: "
    "`fuser FILE` names it; end that, or use a longer timeout"
)

_MEANINGS: Final[dict[int, _Meaning]] = {
    # COMMIT answers BUSY before it writes anything, and leaves the transaction open.
    sqlite3.SQLITE_BUSY: _Meaning(StoreBusy, commit=True, hint=_LOCKED),
    sqlite3.SQLITE_LOCKED: _Meaning(StoreBusy, commit=True, hint=_LOCKED),
    # The log's locking protocol lost a race many times over; says nothing of the data.
    sqlite3.SQLITE_PROTOCOL: _Meaning(StoreBusy, hint=_LOCKED),
    # A page did not fit into the log; the mark is written behind the last page, or never.
    sqlite3.SQLITE_FULL: _Meaning(StoreFull, commit=True),
    # The index of the log (its -shm file) could not grow. COMMIT does that behind the mark.
    sqlite3.SQLITE_IOERR_SHMSIZE: _Meaning(StoreFull),
    # Refused before anything is written.
    sqlite3.SQLITE_READONLY: _Meaning(AccessDenied, commit=True, hint=_PERMISSIONS),
    sqlite3.SQLITE_PERM: _Meaning(AccessDenied, commit=True, hint=_PERMISSIONS),
    sqlite3.SQLITE_AUTH: _Meaning(AccessDenied, commit=True, hint=_PERMISSIONS),
    sqlite3.SQLITE_READONLY_DBMOVED: _Meaning(StoreUnavailable),
    # A read, write or sync failed; behind the mark, nobody knows what reached the disk.
    sqlite3.SQLITE_IOERR: _Meaning(
        StoreUnavailable, retryable=False, hint="look into the system's log for a failing disk"
    ),
    # What is damaged may be behind the mark: COMMIT also reads pages.
    sqlite3.SQLITE_CORRUPT: _Meaning(Corrupt),
    sqlite3.SQLITE_NOTADB: _Meaning(Corrupt),
    # No such table or column: the schema this file's mark promises is not there.
    sqlite3.SQLITE_ERROR: _Meaning(Corrupt),
    sqlite3.SQLITE_CONSTRAINT: _Meaning(Corrupt),
    # The process has no memory, or no file descriptor, left.
    sqlite3.SQLITE_NOMEM: _Meaning(StoreUnavailable, hint="this process is out of memory"),
    sqlite3.SQLITE_CANTOPEN: _Meaning(
        StoreUnavailable, hint="check the path, its permissions, and the limit on open files"
    ),
    sqlite3.SQLITE_NOLFS: _Meaning(StoreFull, commit=True),
    sqlite3.SQLITE_TOOBIG: _Meaning(
        StoreError, commit=True, hint="SQLite stores at most 1,000,000,000 bytes in a row"
    ),
}

# A code the table does not know, or none at all: the client library, not the store, objected.
_UNKNOWN: Final = _Meaning(StoreError)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection is in the way; nothing happened, and waiting can help."""
    meaning = _meaning(error)
    return issubclass(meaning.error, StoreBusy) and meaning.commit


def translate(error: sqlite3.Error, path: str, *, committing: bool = False) -> DiscfgError:
    """What to raise for SQLite's error, with the error as its cause.

    Args:
        error: From SQLite.
        path: The database file.
        committing: It came from COMMIT.

    Returns:
        A `StoreError`, certain; or `OutcomeUnknown`.
    """
    meaning = _meaning(error)
    text = f"{path}: {error}"
    if committing and not meaning.commit:
        return OutcomeUnknown(f"the commit failed half-way, {text}")
    if _primary(error) == sqlite3.SQLITE_CANTOPEN:
        return _why_not_opened(path) or meaning.error(text, hint=meaning.hint)
    return meaning.error(text, hint=meaning.hint, retryable=meaning.retryable)


def from_system(error: OSError, path: str) -> DiscfgError:
    """What to raise when the system does not even tell what `path` is."""
    if isinstance(error, PermissionError):
        return AccessDenied(f"{path}: {error.strerror}", hint=_PERMISSIONS)
    return StoreUnavailable(
        f"{path}: {error.strerror}", retryable=False, hint="check the path of the database"
    )


def missing_directory(path: str) -> StoreUnavailable | None:
    """The error for a path in a directory that is not there; ``None`` if it is."""
    parent = Path(path).parent
    if parent.is_dir():
        return None
    return StoreUnavailable(
        f"there is no directory {parent}",
        retryable=False,
        hint="make it first; a database is made by its first write, a directory is not",
    )


def _why_not_opened(path: str) -> DiscfgError | None:
    # SQLite has one code for all of these.
    missing = missing_directory(path)
    if missing is not None:
        return missing
    parent = Path(path).parent
    if Path(path).exists() and not os.access(path, os.R_OK):
        return AccessDenied(f"{path} cannot be read", hint=_PERMISSIONS)
    if not os.access(parent, os.W_OK | os.X_OK):
        return AccessDenied(
            f"{path}: the directory cannot be written, and SQLite keeps its log beside the file",
            hint=_PERMISSIONS,
        )
    return None


def _primary(error: sqlite3.Error) -> int | None:
    # An error that the client library raises by itself has no code.
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _meaning(error: sqlite3.Error) -> _Meaning:
    primary = _primary(error)
    if primary is None:
        return _UNKNOWN
    return _MEANINGS.get(error.sqlite_errorcode) or _MEANINGS.get(primary, _UNKNOWN)
