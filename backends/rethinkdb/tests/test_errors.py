"""Every row of the table of errors, and that each of the driver's classes has one."""

from __future__ import annotations

import inspect
import ssl
from typing import Any

import pytest
import rethinkdb.errors as reql  # type: ignore[import-untyped]  # the driver has no types
from discfg_rethinkdb.errors import is_missing, translate
from discfg_rethinkdb.wire import NotRethinkDB

from discfg_core.errors import (
    AccessDenied,
    DiscfgError,
    OutcomeUnknown,
    StoreError,
    StoreUnavailable,
    UnsupportedStore,
)

MISSING = reql.ReqlOpFailedError("Table `a.b` does not exist.")

ROWS: list[tuple[Exception, type[DiscfgError], bool, bool]] = [
    # the error, what it becomes, whether it may be tried again, whether it leaves no doubt
    (reql.ReqlAuthError("wrong password"), AccessDenied, False, True),
    (reql.ReqlPermissionError("no `write` permission"), AccessDenied, False, True),
    (
        reql.ReqlInternalError("User `u` does not have the required `read` permission."),
        AccessDenied,
        False,
        True,
    ),
    (MISSING, StoreError, False, True),
    (reql.ReqlOpFailedError("Database `a` does not exist."), StoreError, False, True),
    (reql.ReqlOpFailedError("Table `a.b` is ambiguous; there are"), StoreUnavailable, True, True),
    (reql.ReqlOpFailedError("primary replica not available"), StoreUnavailable, True, True),
    (reql.ReqlOpIndeterminateError("lost contact"), StoreUnavailable, True, False),
    (reql.ReqlResourceLimitError("array over size limit"), StoreError, False, True),
    (reql.ReqlInternalError("a bug"), StoreError, False, False),
    (reql.ReqlNonExistenceError("no attribute"), StoreError, False, True),
    (reql.ReqlQueryLogicError("expected a number"), StoreError, False, True),
    (reql.ReqlUserError("r.error"), StoreError, False, True),
    (reql.ReqlServerCompileError("unknown term"), UnsupportedStore, False, True),
    (reql.ReqlRuntimeError("of a kind unknown here"), StoreError, False, False),
    (reql.ReqlAvailabilityError("of a kind unknown here"), StoreError, False, False),
    (reql.ReqlDriverError("query too large"), StoreError, False, True),
    (ssl.SSLCertVerificationError("expired"), StoreUnavailable, False, True),
    (ssl.SSLError("wrong version number"), StoreUnavailable, True, False),
    (NotRethinkDB("it says b'HTTP/1.1'"), StoreUnavailable, False, True),
    (ConnectionRefusedError("refused"), StoreUnavailable, True, False),
    (ConnectionResetError("reset"), StoreUnavailable, True, False),
    (TimeoutError("no answer"), StoreUnavailable, True, False),
]


def translated(error: Exception, *, in_doubt: bool) -> DiscfgError:
    return translate(error, "h:28015", lambda text: text, in_doubt=in_doubt)


@pytest.mark.parametrize(
    ("error", "kind", "retryable", "certain"), ROWS, ids=[repr(row[0])[:60] for row in ROWS]
)
def test_error_means(
    error: Exception, kind: type[DiscfgError], retryable: bool, certain: bool
) -> None:
    read = translated(error, in_doubt=False)
    assert type(read) is kind
    assert read.retryable is retryable
    assert read.engine == "rethinkdb"
    assert "h:28015" in read.message
    write = translated(error, in_doubt=True)
    assert type(write) is (kind if certain else OutcomeUnknown)


def test_every_class_of_the_driver_means_something() -> None:
    classes: list[Any] = [
        kind
        for _, kind in inspect.getmembers(reql, inspect.isclass)
        if issubclass(kind, reql.ReqlError) and kind.__module__ == reql.__name__
    ]
    assert len(classes) > 10
    for kind in classes:
        assert isinstance(translated(kind("text"), in_doubt=True), DiscfgError)


def test_missing_table_is_told_from_other_failures() -> None:
    assert is_missing(MISSING)
    assert not is_missing(reql.ReqlOpFailedError("Cannot perform write"))
    assert not is_missing(reql.ReqlQueryLogicError("Table `a.b` does not exist"))
    assert not is_missing(None)


def test_message_of_the_server_is_one_short_line() -> None:
    error = reql.ReqlQueryLogicError("bad document:\n" + "\tx" * 5000)
    message = translated(error, in_doubt=False).message
    assert len(message) < 300
    assert "\n" not in message
    assert "\t" not in message


def test_error_without_a_text_has_a_name() -> None:
    assert "TimeoutError" in translated(TimeoutError(), in_doubt=False).message
