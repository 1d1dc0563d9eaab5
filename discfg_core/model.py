"""What callers hold: nodes, changes, commits, and the description of a config.

All are immutable values, safe to share between threads. Times are UTC, as integers of
nanoseconds since 1970 (``*_ns``) with a `datetime` twin cut to microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from discfg_core import values
from discfg_core.clock import to_datetime


class Action(StrEnum):
    """What a commit did to a key."""

    ADDED = "added"
    UPDATED = "updated"
    REMOVED = "removed"
    EXPIRED = "expired"


class LargeValue:
    """A value that lies in the store by itself and is fetched each time it is asked for.

    `same` names the bytes: two large values with one `same` are equal. Pickled or deeply copied
    it is fetched, and becomes the bytes themselves.
    """

    __slots__ = ("load", "same", "size")

    def __init__(self, size: int, same: object, load: Callable[[], bytes]) -> None:
        self.size = size
        self.same = same
        self.load = load

    def __reduce__(self) -> tuple[type[bytes], tuple[bytes]]:
        return (bytes, (self.load(),))


class Node(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A key as it stood at one revision.

    Attributes:
        key: Normalised, with its leading ``/``.
        content: The value, or where it is fetched from; use `value` or `data`.
        content_type: Such as ``application/json``.
        version: Commits that wrote this key since it was created, from 1.
        revision: The config's, when this key was last written; 0 for what is not committed.
        created_ns, modified_ns: When the key was created and last written.
        expires_ns: When it expires; ``None`` for never.
    """

    key: str
    content: bytes | LargeValue | None
    content_type: str
    version: int
    revision: int
    created_ns: int
    modified_ns: int
    expires_ns: int | None = None

    @property
    def value(self) -> bytes:
        """The bytes. Empty for a removed key, see `has_value`.

        A large value of a list, a history or a previous node is fetched here, each time.

        Raises:
            Corrupt: A large value is missing although the config refers to it.
            StoreError: It cannot be fetched now.
        """
        content = self.content
        if isinstance(content, bytes):
            return content
        return b"" if content is None else content.load()

    @property
    def has_value(self) -> bool:
        """Whether the key has a value: not so in the node of a removed key."""
        return self.content is not None

    @property
    def size(self) -> int:
        """Bytes of the value; nothing is fetched."""
        content = self.content
        if isinstance(content, bytes):
            return len(content)
        return 0 if content is None else content.size

    @property
    def data(self) -> Any:
        """The value decoded by its content type: JSON to Python (a fresh object each time),
        text to ``str``, else bytes; ``None`` for a removed key.

        Raises:
            InvalidValue: The bytes are not what the content type says.
            Corrupt, StoreError: As for `value`.
        """
        return values.decode(self.value, self.content_type) if self.has_value else None

    @property
    def created(self) -> datetime:
        """When the key was created."""
        return to_datetime(self.created_ns)

    @property
    def modified(self) -> datetime:
        """When the key was last written."""
        return to_datetime(self.modified_ns)

    @property
    def expires(self) -> datetime | None:
        """When the key expires, ``None`` for never."""
        return None if self.expires_ns is None else to_datetime(self.expires_ns)

    def same_value(self, other: Node) -> bool:
        """Whether both hold the same bytes of the same content type.

        Raises:
            Corrupt, StoreError: As for `value`; two that lie in one place are not fetched.
        """
        if self.content_type != other.content_type or self.size != other.size:
            return False
        mine, theirs = self.content, other.content
        if isinstance(mine, LargeValue) and isinstance(theirs, LargeValue):
            return mine.same == theirs.same or mine.load() == theirs.load()
        return self.value == other.value

    def _identity(self) -> tuple[object, ...]:
        return (
            self.key,
            self.content_type,
            self.version,
            self.revision,
            self.created_ns,
            self.modified_ns,
            self.expires_ns,
            self.has_value,
            self.size,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        if self is other:
            return True
        return self._identity() == other._identity() and self.same_value(other)

    def __ne__(self, other: object) -> bool:
        # The base class has one of its own, which `__eq__` alone does not replace.
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        return hash((self.key, self.revision, self.version))


class Change(msgspec.Struct, frozen=True):
    """What one commit did to one key, net.

    Attributes:
        action: Added, updated, removed or expired.
        node: The key after the commit; for a removed key its version + 1 and no value.
        prev_node: The very node this commit replaced; ``None`` for an added key.
        revision: The commit's.
    """

    action: Action
    node: Node
    prev_node: Node | None
    revision: int

    @property
    def key(self) -> str:
        """The key."""
        return self.node.key


class Commit(msgspec.Struct, frozen=True):
    """One revision of a config.

    Attributes:
        revision: From 1, dense.
        id: The caller's commit id, or 32 hex digits of randomness.
        actor: Who; the empty text where nobody said.
        message: Why; the empty text where nobody said.
        time_ns: When; later than the commit before.
        changes: One a key, sorted by key.
        settings: The settings after this commit, where it changed them; else ``None``.
        prev_settings: The settings before it, where it changed them; else ``None``.
        reverted_to: The revision that this commit went back to; else ``None``.
        schema: The JSON text of the schema after this commit, empty for no schema, where it
            changed it; else ``None``.
        prev_schema: The same before it.
    """

    revision: int
    id: str
    actor: str
    message: str
    time_ns: int
    changes: tuple[Change, ...]
    settings: Mapping[str, Any] | None = None
    prev_settings: Mapping[str, Any] | None = None
    reverted_to: int | None = None
    schema: str | None = None
    prev_schema: str | None = None

    @property
    def time(self) -> datetime:
        """When."""
        return to_datetime(self.time_ns)

    def __getitem__(self, key: str) -> Change:
        """The change of a key given in its normalised spelling; `KeyError` if it has none."""
        for change in self.changes:
            if change.node.key == key:
                return change
        raise KeyError(key)


class ConfigState(StrEnum):
    """Whether a config can be used now."""

    ACTIVE = "ACTIVE"
    CREATING = "CREATING"
    UPDATING = "UPDATING"
    DELETING = "DELETING"


class ConfigInfo(msgspec.Struct, frozen=True):
    """A config, described.

    Attributes:
        name: As given at creation.
        incarnation: 32 hex digits, other ones each time a config of this name is created.
        revision: The latest; 0 for a config without a commit.
        created_ns, modified_ns: When it was created and last changed.
        state: Of the native resource, where the store has one; else ``ACTIVE``.
        settings: As desired.
        actual_settings: As the store reports them; empty where it has none.
        engine: The URL scheme.
        keys: How many there are.
        size: Bytes of all keys and values.
        schema: The JSON text of the schema; empty where there is none.
    """

    name: str
    incarnation: str
    revision: int
    created_ns: int
    modified_ns: int
    state: ConfigState
    settings: Mapping[str, Any]
    actual_settings: Mapping[str, Any]
    engine: str
    keys: int
    size: int
    schema: str = ""

    @property
    def created(self) -> datetime:
        """When the config was created."""
        return to_datetime(self.created_ns)

    @property
    def modified(self) -> datetime:
        """When the config was last changed."""
        return to_datetime(self.modified_ns)
