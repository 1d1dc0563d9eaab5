"""What each error of the driver, the connection and the server means: is it certain that nothing
happened, and whose move is it now? The one table of this store.

The server's classes are those of https://rethinkdb.com/docs/error-types/. An answer of the server
is certain but for two: OP_INDETERMINATE (it lost sight of a replica in the midst of the write)
and INTERNAL. No answer, or a connection that broke, is certain until the last byte of the query
was handed to the system, and unknown from then on; a query that only reads is always certain.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from typing import Final, NamedTuple

import rethinkdb.errors as reql  # type: ignore[import-untyped]  # the driver has no types

from discfg_core.errors import (
    AccessDenied,
    DiscfgError,
    OutcomeUnknown,
    StoreError,
    StoreUnavailable,
    UnsupportedStore,
)
from discfg_rethinkdb.wire import NotRethinkDB

SCHEME: Final = "rethinkdb"


class _Meaning(NamedTuple):
    """What one class says.

    Attributes:
        error: The class it becomes.
        certain: Whether it is certain that a write did not happen.
        retryable: Whether the same call may succeed later; ``None``: as the class says.
        hint: What to do; ``None``: as the class says.
    """

    error: type[StoreError]
    certain: bool = True
    retryable: bool | None = None
    hint: str | None = None


_ADMIN: Final = "look at the table's issues and status in RethinkDB's web interface"
_RIGHTS: Final = "grant the user `read`, `write` and `config` on discfg's two tables"
_SERVER: Final = "check that the server runs, and its address"
_DROPPED: Final = (
    "the table or its database was dropped: restore it, or drop both tables and connect anew to "
    "begin without data"
)
_CERTIFICATE: Final = (
    "renew the server's certificate, or give `ca` the file of the authority that signed it; "
    "the host must be one that the certificate names"
)
_TLS: Final = (
    "`tls` and `ca` are for a driver port that speaks TLS (`--driver-tls-cert`), and no others"
)
_PORT: Final = "28015 is RethinkDB's driver port; if it speaks TLS the URL needs `ca` or `tls=true`"
_AMBIGUOUS: Final = (
    "two of one name were made at one moment: drop the empty one, by its id in "
    'r.db("rethinkdb").table("table_config") or "db_config"'
)

# The first that fits. What the server says of a table that is not there has no class of its own.
_ANSWERS: Final[tuple[tuple[type[Exception], str, _Meaning], ...]] = (
    (reql.ReqlAuthError, "", _Meaning(AccessDenied, hint="check the user and the password")),
    (reql.ReqlPermissionError, "", _Meaning(AccessDenied, hint=_RIGHTS)),
    # So says a changefeed.
    (
        reql.ReqlInternalError,
        r"does not have the required `\w+` permission",
        _Meaning(AccessDenied, hint=_RIGHTS),
    ),
    (
        reql.ReqlOpFailedError,
        r"(?:Table|Database) `.*` does not exist",
        _Meaning(StoreError, hint=_DROPPED),
    ),
    (reql.ReqlOpFailedError, r"is ambiguous", _Meaning(StoreUnavailable, hint=_AMBIGUOUS)),
    (reql.ReqlOpFailedError, "", _Meaning(StoreUnavailable, hint=_ADMIN)),
    (
        reql.ReqlOpIndeterminateError,
        "",
        _Meaning(StoreUnavailable, certain=False, hint=_ADMIN),
    ),
    (
        reql.ReqlResourceLimitError,
        "",
        _Meaning(StoreError, hint="the server is at a limit of its own; see its log"),
    ),
    (reql.ReqlInternalError, "", _Meaning(StoreError, certain=False, hint="see the server's log")),
    # Of the query itself: the server refused to run it, or a document was not what it must be.
    (reql.ReqlQueryLogicError, "", _Meaning(StoreError)),
    (reql.ReqlUserError, "", _Meaning(StoreError)),
    (
        reql.ReqlServerCompileError,
        "",
        _Meaning(UnsupportedStore, hint="discfg needs RethinkDB 2.4 or later"),
    ),
    # A class the table does not know.
    (reql.ReqlRuntimeError, "", _Meaning(StoreError, certain=False)),
    (reql.ReqlError, "", _Meaning(StoreError)),
)
_FAILURES: Final[tuple[tuple[type[Exception], _Meaning], ...]] = (
    (
        ssl.SSLCertVerificationError,
        _Meaning(StoreUnavailable, retryable=False, hint=_CERTIFICATE),
    ),
    (ssl.SSLError, _Meaning(StoreUnavailable, certain=False, hint=_TLS)),
    (NotRethinkDB, _Meaning(StoreUnavailable, retryable=False, hint=_PORT)),
    (OSError, _Meaning(StoreUnavailable, certain=False, hint=_SERVER)),
)

# What an error of the server may quote of a document is cut.
_MESSAGE_CHARACTERS: Final = 200
_MISSING: Final = re.compile(r"(?:Table|Database) `[^`]*` does not exist")


def is_missing(error: BaseException | None) -> bool:
    """Whether the server says that the table, or its database, is not there."""
    return isinstance(error, reql.ReqlOpFailedError) and bool(_MISSING.match(str(error)))


def translate(
    error: Exception, server: str, scrub: Callable[[str], str], *, in_doubt: bool
) -> DiscfgError:
    """What to raise for an error of the server or of the connection to it.

    Args:
        error: From `wire`.
        server: Whom it is about, for the message.
        scrub: Takes the secrets out of a text.
        in_doubt: It was a write, and the server may have had all of it.

    Returns:
        A `StoreError`, certain; or `OutcomeUnknown`.
    """
    if isinstance(error, reql.ReqlError):
        meaning = next(
            meaning
            for kind, text, meaning in _ANSWERS
            if isinstance(error, kind) and re.search(text, str(error))
        )
    else:
        meaning = next(meaning for kind, meaning in _FAILURES if isinstance(error, kind))
    message = f"RethinkDB at {server}: {_cut(scrub(str(error)) or type(error).__name__)}"
    if in_doubt and not meaning.certain:
        return OutcomeUnknown(f"the write was cut short, {message}", engine=SCHEME)
    return meaning.error(message, hint=meaning.hint, retryable=meaning.retryable, engine=SCHEME)


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MESSAGE_CHARACTERS else f"{text[:_MESSAGE_CHARACTERS]}…"
