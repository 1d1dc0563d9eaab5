"""The contract, on DynamoDB: the register is an item that is put on a condition."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from discfg_core.backoff import jitter, sleep
from discfg_core.clock import Deadline
from discfg_core.engine import Finding
from discfg_core.errors import DiscfgError, OutcomeUnknown, StoreUnavailable, Timeout
from discfg_core.substrate import (
    NOT_TOLD,
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
from discfg_core.urls import StoreURL
from discfg_dynamodb.blobs import Blobs
from discfg_dynamodb.capacity import capacity_of
from discfg_dynamodb.client import Client
from discfg_dynamodb.diagnose import diagnose
from discfg_dynamodb.errors import ConditionFailed, TableMissing, certain
from discfg_dynamodb.items import HEAD, expecting, register_of
from discfg_dynamodb.names import config_of
from discfg_dynamodb.profile import GUARANTEES, LIMITS, Options
from discfg_dynamodb.tables import Tables, state_of

# Between two looks at a register, in seconds. A look is a read that is paid for: at the longest
# pause a watcher of an idle config reads 1.3 million times a month.
_POLL_FIRST: Final = 0.05
_POLL_LAST: Final = 2.0
_POLL_GROWTH: Final = 1.5
# What one look takes at most, so that a caller who cancels need not wait for a store that is away.
_LOOK: Final = 5.0

_UNREADY_PAUSE: Final = 0.1


class _Condemned(SwapConflict):
    """Raised when nothing was expected, and nothing is there but a table that is about to go."""


class DynamoDBSubstrate:
    """Linearizable and durable, shared by whoever has access; see the package.

    Args:
        url: Its region and, perhaps, credentials.
        options: The URL's.
    """

    scheme: Final = "dynamodb"
    guarantees: Final = GUARANTEES

    def __init__(self, url: StoreURL, options: Options) -> None:
        self._prefix = options.prefix
        self._client = Client(url, options)
        self._begin()

    def _begin(self) -> None:
        self._tables = Tables(self._client, self._prefix)
        self._blobs = Blobs(self._client)

    def limits(self, name: str) -> Limits:  # noqa: ARG002 - the same for every config
        """As in `Substrate.limits`."""
        return LIMITS

    # --- registers ---

    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline
    ) -> Register | Unchanged | None:
        """As in `Substrate.read`; one consistent read, and where there is no table one more look.

        Raises:
            StoreError: See `discfg_dynamodb.errors`.
            Timeout: The deadline had passed.
            Closed: This was closed.
        """
        with self._of(name):
            register = self._read(name, deadline)
        if register is not None and register.token == known:
            return UNCHANGED
        return register

    def _read(self, name: str, deadline: Deadline) -> Register | None:
        request = {"TableName": self._tables.name_of(name), "Key": HEAD, "ConsistentRead": True}
        while True:
            try:
                answer = self._client.ask("get_item", request, deadline=deadline)
            except TableMissing:
                if self._tables.is_absent(name, deadline):
                    return None
                if deadline.passed():
                    raise
                # A table that is just ready is not known at once to all that serve it.
                sleep(_UNREADY_PAUSE, deadline)
            else:
                return register_of(answer.get("Item"))

    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        """As in `Substrate.swap`; the blobs first, in batches, then one conditional write.

        Raises:
            SwapConflict: With the register as it is.
            OutcomeUnknown: The write had no answer, or one that says nothing.
            StoreError: Nothing happened.
            Timeout: The deadline had passed.
            Closed: This was closed.
        """
        with self._of(name):
            while True:
                try:
                    self._prepare(name, blobs, deadline)
                    return self._put_register(name, expected, data, deadline)
                except (TableMissing, _Condemned) as gone:
                    self._make_anew(name, expected, gone, deadline)

    def _make_anew(
        self, name: str, expected: Token | None, gone: DiscfgError, deadline: Deadline
    ) -> None:
        """Between `provision` and the first swap somebody created the config, and dropped it
        again: it is this creator's turn once more.

        Raises:
            SwapConflict: Something was expected of the table that is gone.
            DiscfgError: `gone`, if nobody asked this client for a table.
        """
        if expected is not None and self._tables.is_absent(name, deadline):
            raise SwapConflict(current=None) from gone
        if expected is not None or not self._tables.again(name, deadline):
            raise gone

    def _prepare(self, name: str, blobs: Mapping[str, bytes], deadline: Deadline) -> None:
        self._client.check_open()
        self._tables.admit(name, deadline)
        if not blobs:
            return
        try:
            self._blobs.put(self._tables.name_of(name), blobs, deadline)
        except OutcomeUnknown as unknown:
            # Some of the blobs may be there; the register, surely, is what it was.
            raise certain(unknown) from unknown.__cause__

    def _put_register(
        self, name: str, expected: Token | None, data: bytes, deadline: Deadline
    ) -> Token:
        token = os.urandom(16)
        item = {**HEAD, "token": {"B": token}, "data": {"B": bytes(data)}}
        try:
            self._client.call(
                "put_item",
                {
                    "TableName": self._tables.name_of(name),
                    "Item": item,
                    **expecting(expected),
                },
                deadline=deadline,
                writes=True,
            )
        except ConditionFailed as conflict:
            current = register_of(conflict.item)
            if current is None and expected is None:
                raise _Condemned(current=NOT_TOLD) from conflict
            raise SwapConflict(current=current) from conflict
        return token

    def names(self, *, deadline: Deadline) -> Iterator[str]:
        """As in `Substrate.names`, by the tables there are; one whose register is not there yet,
        or no longer, may be among them.

        Raises:
            StoreError, Timeout, Closed: As by `read`.
        """
        return iter(list(self._names(deadline)))

    def _names(self, deadline: Deadline) -> Iterator[str]:
        with self._of(None):
            page: dict[str, Any] = {}
            while True:
                answer = self._client.ask("list_tables", page, deadline=deadline)
                for table in answer.get("TableNames", ()):
                    name = config_of(self._prefix, table)
                    if name is not None:
                        yield name
                if not answer.get("LastEvaluatedTableName"):
                    return
                page = {"ExclusiveStartTableName": answer["LastEvaluatedTableName"]}

    def wait(
        self, name: str, known: Token | None, *, deadline: Deadline, cancel: threading.Event
    ) -> None:
        """As in `Substrate.wait`, by looking: after 50 ms at first, every 2 s when idle.

        Raises:
            StoreError, Closed: As by `read`.
        """
        pause = _POLL_FIRST
        self._client.check_open()
        while not (cancel.is_set() or deadline.passed()):
            try:
                with self._of(name):
                    register = self._read(name, Deadline.after(min(_LOOK, deadline.remaining())))
            except (StoreUnavailable, Timeout):
                if deadline.passed():
                    return
                raise
            if (None if register is None else register.token) != known:
                return
            cancel.wait(min(pause / 2 + jitter(pause), deadline.remaining()))
            pause = min(pause * _POLL_GROWTH, _POLL_LAST)

    # --- blobs ---

    def get_blobs(
        self, name: str, wanted: Sequence[BlobRange], *, deadline: Deadline
    ) -> list[bytes | None]:
        """As in `Substrate.get_blobs`; for up to 100 small ones one request.

        Raises:
            StoreError, Timeout, Closed: As by `read`.
        """
        with self._of(name):
            self._client.check_open()
            try:
                return self._blobs.get(self._tables.name_of(name), wanted, deadline)
            except TableMissing:
                return [None] * len(wanted)

    def put_blob(self, name: str, blob: str, data: bytes, *, deadline: Deadline) -> None:
        """As in `Substrate.put_blob`; one request for up to 128 KiB.

        Raises:
            OutcomeUnknown: A write had no answer.
            StoreError, Timeout, Closed: As by `read`; also where there is no table.
        """
        with self._of(name):
            self._client.check_open()
            self._tables.admit(name, deadline)
            self._blobs.put(self._tables.name_of(name), {blob: data}, deadline)

    def delete_blobs(self, name: str, blobs: Sequence[str], *, deadline: Deadline) -> None:
        """As in `Substrate.delete_blobs`; two requests for up to 25 small ones.

        Raises:
            OutcomeUnknown, StoreError, Timeout, Closed: As by `put_blob`.
        """
        with self._of(name):
            self._client.check_open()
            try:
                self._blobs.delete(self._tables.name_of(name), blobs, deadline)
            except TableMissing as missing:
                if not self._tables.is_absent(name, deadline):
                    raise
                del missing

    def list_blobs(self, name: str, *, deadline: Deadline) -> Iterator[BlobInfo]:
        """As in `Substrate.list_blobs`, in pages; it reads the whole table.

        Raises:
            StoreError, Timeout, Closed: Now, or while iterating.
        """
        self._client.check_open()
        return self._list_blobs(name, deadline)

    def _list_blobs(self, name: str, deadline: Deadline) -> Iterator[BlobInfo]:
        with self._of(name):
            try:
                yield from self._blobs.listed(self._tables.name_of(name), deadline)
            except TableMissing:
                if not self._tables.is_absent(name, deadline):
                    raise

    # --- the table of a config ---

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """``ReadCapacityUnits`` and ``WriteCapacityUnits``: both, whole numbers from 1, or none.

        Raises:
            InvalidSettings: They are something else.
        """
        capacity_of(settings)

    def provision(self, name: str, settings: Mapping[str, Any], *, deadline: Deadline) -> None:
        """As in `Substrate.provision`: there is a table, with deletion protection, that can be
        used, and its capacity is, or becomes, what `settings` say.

        Raises:
            InvalidSettings: See `check_settings`.
            UnsupportedStore: The table is not discfg's, or a global one that loses writes.
            StoreBusy: It was not ready in time.
            StoreError, Timeout, Closed: As by `read`.
        """
        wanted = capacity_of(settings)
        with self._of(name):
            self._tables.provision(name, wanted, deadline)

    def describe(self, name: str, *, deadline: Deadline) -> Native:
        """The table's state, and its capacity if it is reserved. Without a table: it is on its
        way out, or nothing.

        Raises:
            StoreError, Timeout, Closed: As by `read`.
        """
        with self._of(name):
            table = self._tables.describe(name, deadline)
        if table is None:
            return Native()
        settings = {} if table.capacity is None else table.capacity.as_settings()
        return Native(state_of(table), settings)

    def drop(self, name: str, expected: Token | None, *, deadline: Deadline) -> None:
        """As in `Substrate.drop`; returns when DynamoDB has begun to delete the table.

        Raises:
            StoreBusy: The table was being changed until the deadline.
            StoreError, Timeout, Closed: As by `read`.
        """
        with self._of(name):
            self._tables.drop(name, expected, deadline)

    # --- the store as a whole ---

    def diagnose(self, *, deadline: Deadline) -> Iterator[Finding]:
        """As in `Substrate.diagnose`; changes nothing. Raises `Closed`."""
        self._client.check_open()
        return diagnose(self._client, self._tables, self._prefix, self.names, deadline)

    # --- life ---

    def after_fork(self) -> None:
        """As in `Substrate.after_fork`."""
        self._client.after_fork()
        self._begin()

    def close(self) -> None:
        """As in `Substrate.close`; calls in progress end as they would have."""
        self._client.close()

    @contextmanager
    def _of(self, name: str | None) -> Iterator[None]:
        try:
            yield
        except DiscfgError as error:
            error.locate(engine=self.scheme, config=name)
            if isinstance(error, TableMissing) and error.hint is None:
                error.hint = "the config was dropped, or its table was deleted by someone else"
            raise


if TYPE_CHECKING:
    _fits: type[Substrate] = DynamoDBSubstrate
