"""The register and the blobs of ``rethinkdb://``: two tables of one database."""

# ruff: noqa: ARG002 - the signatures are those of the contract

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from discfg_core.clock import Deadline
from discfg_core.engine import Finding
from discfg_core.errors import Corrupt, DiscfgError, OutcomeUnknown, StoreError, StoreUnavailable
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
from discfg_rethinkdb.blobs import Blobs
from discfg_rethinkdb.client import Pool, Target
from discfg_rethinkdb.diagnose import diagnose
from discfg_rethinkdb.errors import SCHEME
from discfg_rethinkdb.feeds import Feeds
from discfg_rethinkdb.profile import GUARANTEES, LIMITS
from discfg_rethinkdb.queries import SAME, Queries
from discfg_rethinkdb.tables import Tables
from discfg_rethinkdb.wire import binary, from_binary

# https://rethinkdb.com/limitations/
_ID_CHARACTERS: Final = 127

# Between two looks at whether somebody made the tables.
_LOOK_SECONDS: Final = 0.25


class RethinkDBSubstrate:
    """Linearizable and durable, as far as RethinkDB is: a swap is one atomic change of one
    document, acknowledged when a majority of its replicas has it on disk; a read asks a majority.

    Args:
        target: Whom to connect to. Nothing is, before the first call.
    """

    scheme: Final = SCHEME
    guarantees: Final = GUARANTEES

    def __init__(self, target: Target) -> None:
        self._pool = Pool(target)
        self._tables = Tables(self._pool)
        self._queries = Queries(self._tables.registers)
        self._blobs = Blobs(self._tables)
        self._feeds = Feeds(self._pool, self._queries.feed)

    def limits(self, name: str) -> Limits:
        """As in `Substrate.limits`."""
        return LIMITS

    # --- registers ---

    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline
    ) -> Register | Unchanged | None:
        """As in `Substrate.read`; one round trip, in which data that is known does not travel.

        Raises:
            StoreError: See `discfg_rethinkdb.errors`.
            Timeout: The deadline had passed.
            Closed: This was closed.
        """
        if known is None:
            query = self._queries.read.of(_id(name))
        else:
            query = self._queries.check.of(_id(name), _text(known))
        with self._located(name):
            found = self._tables.read(query, deadline, absent=None)
            return UNCHANGED if found is SAME else _register(name, found)

    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        """As in `Substrate.swap`: the blobs first, then one document, atomically.

        Raises:
            SwapConflict: With the register as it is.
            OutcomeUnknown: The server may have had the query, and did not say what became of it.
            StoreError, Timeout: Nothing happened.
            Closed: This was closed, and nothing happened.
        """
        token = os.urandom(16).hex()
        document = {"id": _id(name), "token": token, "data": binary(data)}
        if document["id"] != name:
            document["name"] = name
        with self._located(name):
            if blobs:
                self._put_first(name, blobs, deadline)
            if expected is None:
                query = self._queries.create.of(document)
            else:
                query = self._queries.swap.of(document, _text(expected))
            answer = self._tables.write(query, deadline)
            if answer is SAME:
                return token.encode()
            if isinstance(answer, str):
                raise StoreError(f"RethinkDB refused the register: {answer[:200]}")
            raise SwapConflict(current=_register(name, answer))

    def _put_first(self, name: str, blobs: Mapping[str, bytes], deadline: Deadline) -> None:
        try:
            self._blobs.put(name, blobs, deadline)
        except OutcomeUnknown as error:
            # Some of the blobs may be there; the register is surely what it was.
            raise StoreUnavailable(error.message) from error.__cause__

    def names(self, *, deadline: Deadline) -> Iterator[str]:
        """As in `Substrate.names`. Raises `StoreError`, `Timeout`, `Closed`."""
        with self._located(None):
            names: list[str] = self._tables.read(
                self._tables.registers.map(lambda each: each["name"].default(each["id"])),
                deadline,
                absent=[],
            )
        return iter(names)

    def wait(
        self, name: str, known: Token | None, *, deadline: Deadline, cancel: threading.Event
    ) -> None:
        """As in `Substrate.wait`, told by a changefeed, which all waiters of a process share.

        `cancel` is noticed within 50 ms.

        Raises:
            StoreError: The server cannot be reached, or ended the feed.
            Closed: This was closed, before or meanwhile.
        """
        token = None if known is None else _text(known)

        def moved() -> bool:
            query = self._queries.token.of(_id(name))
            return bool(self._tables.read(query, deadline, absent=None) != token)

        with self._located(name):
            self._pool.check_open()
            while not (cancel.is_set() or deadline.passed() or self._tables.there(deadline)):
                # A feed needs a table; where there is none a register that was known is gone.
                if known is not None:
                    return
                cancel.wait(min(_LOOK_SECONDS, deadline.remaining()))
            self._feeds.wait(_id(name), token, moved, deadline=deadline, cancel=cancel)

    # --- blobs ---

    def get_blobs(
        self, name: str, wanted: Sequence[BlobRange], *, deadline: Deadline
    ) -> list[bytes | None]:
        """As in `Substrate.get_blobs`; of a large blob only the chunks that are needed.

        Raises:
            StoreError: They cannot be read now.
            Corrupt: A document is not what discfg wrote.
            Timeout: The deadline had passed.
            Closed: This was closed.
        """
        with self._located(name):
            self._pool.check_open()
            return self._blobs.get(name, wanted, deadline)

    def put_blob(self, name: str, blob: str, data: bytes, *, deadline: Deadline) -> None:
        """As in `Substrate.put_blob`.

        Raises:
            OutcomeUnknown: It may be there; putting it again is safe.
            StoreError, Timeout: It is not there.
            Closed: This was closed.
        """
        with self._located(name):
            self._blobs.put(name, {blob: data}, deadline)

    def delete_blobs(self, name: str, blobs: Sequence[str], *, deadline: Deadline) -> None:
        """As in `Substrate.delete_blobs`.

        Raises:
            OutcomeUnknown: Some may be gone; deleting again is safe.
            StoreError, Timeout: None, or some, are gone.
            Closed: This was closed.
        """
        with self._located(name):
            self._pool.check_open()
            self._blobs.delete(name, blobs, deadline)

    def list_blobs(self, name: str, *, deadline: Deadline) -> Iterator[BlobInfo]:
        """As in `Substrate.list_blobs`. Raises `StoreError`, `Timeout`, `Closed`."""
        with self._located(name):
            return iter(list(self._blobs.list(name, deadline)))

    # --- the native resource: there is none ---

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Takes any."""

    def provision(self, name: str, settings: Mapping[str, Any], *, deadline: Deadline) -> None:
        """Makes the two tables, if they are not there, and looks at their settings.

        Raises:
            UnsupportedStore: They endanger the data.
            StoreError, Timeout: It could not be done.
            Closed: This was closed.
        """
        with self._located(name):
            self._pool.check_open()
            self._tables.make_ready(deadline)

    def describe(self, name: str, *, deadline: Deadline) -> Native:
        """Always active, without settings of its own. Raises `Closed`."""
        self._pool.check_open()
        return Native()

    def drop(self, name: str, expected: Token | None, *, deadline: Deadline) -> None:
        """Nothing to remove; the register stays. Raises `Closed`."""
        self._pool.check_open()

    # --- the store as a whole ---

    def diagnose(self, *, deadline: Deadline) -> Iterator[Finding]:
        """As in `Substrate.diagnose`. Raises `Closed`."""
        self._pool.check_open()
        return diagnose(self._pool, self._tables, deadline)

    # --- life ---

    def after_fork(self) -> None:
        """As in `Substrate.after_fork`."""
        self._feeds.after_fork()
        self._pool.after_fork()
        self._tables.after_fork()

    def close(self) -> None:
        """As in `Substrate.close`. Calls that are under way fail."""
        self._pool.close()
        self._feeds.close()

    @contextmanager
    def _located(self, name: str | None) -> Iterator[None]:
        try:
            yield
        except DiscfgError as error:
            error.locate(engine=self.scheme, config=name)
            raise


def _id(name: str) -> str:
    """A register's primary key: the name, or, where that is too long for one, its hash behind a
    character that no name has.
    """
    if len(name) <= _ID_CHARACTERS:
        return name
    return f"~{hashlib.sha256(name.encode()).hexdigest()}"


def _text(token: Token) -> str:
    # A token of another store may be any bytes; it equals none of ours.
    return token.decode("latin-1")


def _register(name: str, document: Any) -> Register | None:
    if document is None:
        return None
    try:
        if document.get("name", document["id"]) == name:
            return Register(from_binary(document["data"]), document["token"].encode("latin-1"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Corrupt(f"the document of register {name!r} is not what discfg writes") from error
    raise Corrupt(f"the document of register {name!r} is another one's")


if TYPE_CHECKING:
    _fits: type[Substrate] = RethinkDBSubstrate
