"""Each of SQLite's errors has a class, and says whether it is certain."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

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
from discfg_core.substrates.sqlite.errors import is_busy, translate

if TYPE_CHECKING:
    from pathlib import Path


def error_of(code: int | None) -> sqlite3.Error:
    error = sqlite3.OperationalError("what SQLite says")
    if code is not None:
        error.sqlite_errorcode = code
    return error


CASES = [
    (sqlite3.SQLITE_BUSY, StoreBusy, StoreBusy, True),
    (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreBusy, StoreBusy, True),
    (sqlite3.SQLITE_BUSY_RECOVERY, StoreBusy, StoreBusy, True),
    (sqlite3.SQLITE_LOCKED, StoreBusy, StoreBusy, True),
    (sqlite3.SQLITE_PROTOCOL, StoreBusy, OutcomeUnknown, True),
    (sqlite3.SQLITE_FULL, StoreFull, StoreFull, False),
    (sqlite3.SQLITE_IOERR_SHMSIZE, StoreFull, OutcomeUnknown, False),
    (sqlite3.SQLITE_READONLY, AccessDenied, AccessDenied, False),
    (sqlite3.SQLITE_READONLY_DIRECTORY, AccessDenied, AccessDenied, False),
    (sqlite3.SQLITE_READONLY_DBMOVED, StoreUnavailable, OutcomeUnknown, True),
    (sqlite3.SQLITE_PERM, AccessDenied, AccessDenied, False),
    (sqlite3.SQLITE_AUTH, AccessDenied, AccessDenied, False),
    (sqlite3.SQLITE_IOERR, StoreUnavailable, OutcomeUnknown, False),
    (sqlite3.SQLITE_IOERR_FSYNC, StoreUnavailable, OutcomeUnknown, False),
    (sqlite3.SQLITE_CORRUPT, Corrupt, OutcomeUnknown, False),
    (sqlite3.SQLITE_NOTADB, Corrupt, OutcomeUnknown, False),
    (sqlite3.SQLITE_ERROR, Corrupt, OutcomeUnknown, False),
    (sqlite3.SQLITE_CONSTRAINT_UNIQUE, Corrupt, OutcomeUnknown, False),
    (sqlite3.SQLITE_NOMEM, StoreUnavailable, OutcomeUnknown, True),
    (sqlite3.SQLITE_CANTOPEN, StoreUnavailable, OutcomeUnknown, True),
    (sqlite3.SQLITE_NOLFS, StoreFull, StoreFull, False),
    (sqlite3.SQLITE_TOOBIG, StoreError, StoreError, False),
    (sqlite3.SQLITE_INTERNAL, StoreError, OutcomeUnknown, False),
    (None, StoreError, OutcomeUnknown, False),
]


@pytest.mark.parametrize(("code", "before", "at_commit", "retryable"), CASES)
def test_code_has_its_class(
    tmp_path: Path,
    code: int | None,
    before: type[DiscfgError],
    at_commit: type[DiscfgError],
    *,
    retryable: bool,
) -> None:
    path = str(tmp_path / "app.db")
    error = translate(error_of(code), path)
    assert type(error) is before
    assert error.retryable is retryable
    assert path in error.message
    assert type(translate(error_of(code), path, committing=True)) is at_commit


@pytest.mark.parametrize("code", [case[0] for case in CASES])
def test_waiting_is_for_locks_alone(code: int | None) -> None:
    locks = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    assert is_busy(error_of(code)) == (code is not None and code & 0xFF in locks)
