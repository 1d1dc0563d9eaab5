"""The queries of a register: a document with the fields ``id``, ``token`` and ``data``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from discfg_rethinkdb.wire import Prepared, r

SAME: Final = True
"""The answer where the token is the one that was asked about."""


class Queries:
    """The queries on a table of registers.

    Attributes:
        read: (id) The document; None where there is none.
        check: (id, token) `SAME` where it has the token, else as `read`.
        token: (id) Its token; None where there is none.
        create: (document) Put it where there is none.
        swap: (document, token) Put it in the place of the one that has the token.

    The last two change one document, atomically, and answer `SAME` where they did; else what is
    there instead; or a text, why the server refused.
    """

    def __init__(self, table: Any) -> None:
        self._table = table

        def read(key: Any) -> Any:
            return table.get(key)

        def check(key: Any, token: Any) -> Any:
            return table.get(key).do(lambda found: r.branch(_token(found).eq(token), SAME, found))

        def token_of(key: Any) -> Any:
            return _token(table.get(key))

        def create(document: Any) -> Any:
            return _put(table, document, lambda found: found.eq(None))

        def swap(document: Any, token: Any) -> Any:
            return _put(table, document, lambda found: _token(found).eq(token))

        self.read: Final = Prepared(read)
        self.check: Final = Prepared(check)
        self.token: Final = Prepared(token_of)
        self.create: Final = Prepared(create)
        self.swap: Final = Prepared(swap)

    def feed(self, key: str) -> Any:
        """The changefeed of a document: its token, now and after each change."""
        changes = self._table.get(key).changes(include_initial=True, squash=True)
        return changes.map(lambda change: _token(change["new_val"]))


def _put(table: Any, document: Any, holds: Callable[[Any], Any]) -> Any:
    """Put the document into its place where `holds` of what is there."""
    written = table.get(document["id"]).replace(
        lambda found: r.branch(holds(found), document, found),
        durability="hard",
        # On a conflict, too: they tell what is there instead.
        return_changes="always",
        non_atomic=False,
    )
    return written.do(lambda result: _told(result, document["token"]))


def _told(result: Any, token: Any) -> Any:
    after = result["changes"][0]["new_val"]
    return r.branch(
        result["errors"].gt(0),
        result["first_error"],
        r.branch(_token(after).eq(token), SAME, after),
    )


def _token(document: Any) -> Any:
    return document["token"].default(None)
