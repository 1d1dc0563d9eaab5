"""`ConfigTransaction`: reads and writes that become one commit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from discfg_core import arguments
from discfg_core.clock import Deadline
from discfg_core.engine import (
    ConfigHandle,
    KeyCondition,
    PrefixCondition,
    Put,
    Remove,
    RemovePrefix,
    StorageEngine,
    Transaction,
    View,
)
from discfg_core.errors import InvalidOption, InvalidTransaction
from discfg_core.keys import normalize_key, normalize_prefix, under
from discfg_core.model import Commit, Node


class ConfigTransaction:
    """Reads and writes that become one commit when the ``with`` block ends, or nothing.

    Atomic and serializable. Writes are kept back until the block ends; reads come from one
    revision, that of the first of them, and see the block's own writes. The commit happens only
    if every key and every prefix that was read is still what the block saw, absent keys
    included; else the block's end raises `ConditionFailed`. An exception in the block sends
    nothing. A block that only reads sends nothing at its end: what it saw was all of one
    revision.

    `Config.transaction` makes these. Good for one ``with`` block; for one thread at a time.
    """

    def __init__(
        self, engine: StorageEngine, handle: ConfigHandle, *, options: Transaction, timeout: float
    ) -> None:
        self._engine = engine
        self._handle = handle
        self._options = options
        self._timeout = timeout
        self._phase: Literal["new", "open", "ended"] = "new"
        self._commit: Commit | None = None
        self._view: View | None = None
        self._ops: list[Put | Remove | RemovePrefix] = []
        self._conditions: list[KeyCondition] = []
        self._read_keys: dict[str, KeyCondition] = {}
        self._read_prefixes: dict[str, PrefixCondition] = {}
        # What this block left of the keys it wrote, a node without its base, `None` for a key
        # that it removed; and what it removed by prefix besides.
        self._own: dict[str, Node | None] = {}
        self._removed_prefixes: set[str] = set()

    @property
    def commit(self) -> Commit | None:
        """The commit, once the block has ended.

        ``None`` before that, where the transaction had no effect, and where it failed.
        """
        return self._commit

    def __enter__(self) -> Self:
        if self._phase != "new":
            raise InvalidTransaction(
                "this transaction was entered before", hint="begin another with transaction()"
            )
        self._phase = "open"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._phase = "ended"
        if kind is not None:
            return
        # A block that says when to commit is judged, even if it writes nothing.
        asked = (
            self._options.commit_id is not None
            or self._options.if_config_revision is not None
            or self._conditions
        )
        if self._ops or asked:
            self._commit = self._engine.commit(
                self._handle,
                msgspec.structs.replace(
                    self._options,
                    ops=tuple(self._ops),
                    conditions=(
                        *self._conditions,
                        *self._read_keys.values(),
                        *self._read_prefixes.values(),
                    ),
                ),
                deadline=Deadline.after(self._timeout),
            )

    # --- reads ---

    def get(self, key: str) -> Node | None:
        """The key's node, ``None`` for an absent key; checked at the commit.

        A key that this block wrote shows what it wrote, at the version it will get, with
        revision 0.

        Raises:
            InvalidKey, InvalidTransaction: A bad key; the block has ended.
            ConfigNotFound, ConfigReplaced, StoreError, Timeout: By the first read.
        """
        view = self._reading()
        key = normalize_key(key)
        node = view.get(key)
        if key not in self._read_keys:
            self._read_keys[key] = (
                KeyCondition(key, absent=True)
                if node is None
                else KeyCondition(key, revision=node.revision)
            )
        return self._with_own(key, node)

    def list(self, prefix: str = "/") -> Iterator[Node]:
        """The nodes of the prefix and below it, whole segments, sorted; checked at the commit.

        Keys that this block wrote show as for `get`. Writing while iterating is fine: the nodes
        are those of the moment of the call.

        Raises:
            InvalidKey, InvalidTransaction: A bad prefix; the block has ended.
            ConfigNotFound, ConfigReplaced, StoreError, Timeout: By the first read.
        """
        view = self._reading()
        prefix = normalize_prefix(prefix)
        if prefix not in self._read_prefixes:
            self._read_prefixes[prefix] = PrefixCondition(prefix, view.fingerprint(prefix))
        nodes: dict[str, Node | None] = {node.key: node for node in view.list(prefix)}
        for key in self._own:
            if under(key, prefix):
                nodes.setdefault(key, None)
        shown = (self._with_own(key, nodes[key]) for key in sorted(nodes))
        return iter([node for node in shown if node is not None])

    # --- writes ---

    def set(
        self,
        key: str,
        data: Any,
        *,
        content_type: str | None = None,
        if_version: int | None = None,
        if_revision: int | None = None,
        if_absent: bool = False,
        if_value: Any = None,
    ) -> None:
        """Write a key. Arguments are as for `Config.set`.

        Conditions are judged at the commit, on the key as it is before any of this block's
        writes.

        Raises:
            InvalidKey, InvalidOption, InvalidValue, ValueTooLarge: As for `Config.set`.
            InvalidTransaction: The block has ended.
        """
        self._check_open()
        key = normalize_key(key)
        put = Put(key, *arguments.encode(data, content_type))
        condition = arguments.key_condition(
            key,
            version=if_version,
            revision=if_revision,
            absent=if_absent,
            value=if_value,
            content_type=content_type,
        )
        self._add(put, condition)
        now = time.time_ns()
        self._own[key] = Node(
            key, put.value, put.content_type, version=1, revision=0, created_ns=now, modified_ns=now
        )

    def delete(
        self,
        key: str,
        *,
        missing_ok: bool = False,
        if_version: int | None = None,
        if_revision: int | None = None,
        if_value: Any = None,
    ) -> None:
        """Remove a key. Conditions are as for `set`.

        Where the key is absent the commit is refused with `KeyNotFound`, unless `missing_ok`.

        Raises:
            InvalidKey, InvalidOption, InvalidValue, ValueTooLarge: As for `Config.delete`.
            InvalidTransaction: The block has ended.
        """
        self._check_open()
        key = normalize_key(key)
        if not isinstance(missing_ok, bool):
            raise InvalidOption(f"missing_ok is {missing_ok!r}", hint="give True or False")
        condition = arguments.key_condition(
            key, version=if_version, revision=if_revision, absent=False, value=if_value
        )
        self._add(Remove(key, missing_ok=missing_ok), condition)
        self._own[key] = None

    def delete_prefix(self, prefix: str) -> None:
        """Remove the prefix itself and every key below it, whole segments; none is fine too.

        Raises:
            InvalidKey, InvalidTransaction: A bad prefix; the block has ended.
        """
        self._check_open()
        prefix = normalize_prefix(prefix)
        self._add(RemovePrefix(prefix), None)
        for key in self._own:
            if under(key, prefix):
                self._own[key] = None
        self._removed_prefixes.add(prefix)

    def check(
        self,
        key: str,
        *,
        if_version: int | None = None,
        if_revision: int | None = None,
        if_absent: bool = False,
        if_value: Any = None,
    ) -> None:
        """Commit only if a key is like this, without writing it. Conditions are as for `set`.

        Raises:
            InvalidKey, InvalidOption, InvalidValue, ValueTooLarge: As for `Config.set`; no
                condition is `InvalidOption` too.
            InvalidTransaction: The block has ended.
        """
        self._check_open()
        key = normalize_key(key)
        condition = arguments.key_condition(
            key,
            version=if_version,
            revision=if_revision,
            absent=if_absent,
            value=if_value,
        )
        if condition is None:
            raise InvalidOption("check needs a condition", hint="such as if_version=3", key=key)
        self._conditions.append(condition)

    # --- shared by the above ---

    def _check_open(self) -> None:
        if self._phase != "open":
            raise InvalidTransaction(
                "this transaction has ended"
                if self._phase == "ended"
                else "this transaction has not begun",
                hint="use it inside its with block: with cfg.transaction() as tx",
            )

    def _reading(self) -> View:
        self._check_open()
        if self._view is None:
            self._view = self._engine.view(self._handle, deadline=Deadline.after(self._timeout))
        return self._view

    def _add(self, op: Put | Remove | RemovePrefix, condition: KeyCondition | None) -> None:
        self._ops.append(op)
        if condition is not None:
            self._conditions.append(condition)

    def _with_own(self, key: str, node: Node | None) -> Node | None:
        """What a key is after this block's own writes, where `node` is what the view has."""
        if key not in self._own:
            return None if self._is_under_removed(key) else node
        own = self._own[key]
        if own is None or node is None:
            return own
        # One commit counts one version, and keeps the time of creation, whatever it does between.
        return msgspec.structs.replace(own, version=node.version + 1, created_ns=node.created_ns)

    def _is_under_removed(self, key: str) -> bool:
        if not self._removed_prefixes:
            return False
        ancestors = (key[:end] for end, char in enumerate(key) if char == "/" and end)
        return any(prefix in self._removed_prefixes for prefix in ("/", key, *ancestors))
