"""A config as a mapping of keys to decoded data, made of its calls that handle nodes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import ItemsView, Iterator, KeysView, MutableMapping
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from discfg_core.clock import Deadline
from discfg_core.errors import ConditionFailed, KeyNotFound
from discfg_core.keys import normalize_key
from discfg_core.retry import Attempts

if TYPE_CHECKING:
    from discfg_core.arguments import Moment
    from discfg_core.model import Change, Commit, Node

_T = TypeVar("_T")

NO_DEFAULT: Any = object()
"""Where no default was given; ``None`` is one."""


class ConfigMapping(MutableMapping[str, Any]):
    """The mapping half of `discfg_core.config.Config`, which documents it."""

    __slots__ = ()

    @overload
    @abstractmethod
    def get(
        self,
        key: str,
        *,
        at: Moment | None = None,
        max_staleness: float | EllipsisType | None = ...,
        timeout: float | None = None,
    ) -> Node: ...
    @overload
    @abstractmethod
    def get(
        self,
        key: str,
        default: _T,
        *,
        at: Moment | None = None,
        max_staleness: float | EllipsisType | None = ...,
        timeout: float | None = None,
    ) -> Node | _T: ...
    @abstractmethod
    def get(
        self,
        key: str,
        default: Any = NO_DEFAULT,
        *,
        at: Moment | None = None,
        max_staleness: float | EllipsisType | None = ...,
        timeout: float | None = None,
    ) -> Any:
        """The key's node."""

    @abstractmethod
    def list(
        self,
        prefix: str = "/",
        *,
        after: str | None = None,
        at: Moment | None = None,
        max_staleness: float | EllipsisType | None = ...,
        timeout: float | None = None,
    ) -> Iterator[Node]:
        """The nodes of a prefix, of one revision."""

    @abstractmethod
    def set(self, key: str, data: Any, *, if_absent: bool = False) -> Change:
        """Write a key."""

    @abstractmethod
    def delete(self, key: str, *, if_revision: int | None = None) -> Change:
        """Remove a key."""

    @abstractmethod
    def delete_prefix(self, prefix: str) -> Commit | None:
        """Remove every key of a prefix."""

    @abstractmethod
    def _deadline(self, timeout: float | None) -> Deadline:
        """That of a call which begins now."""

    # A mapping's `values` is a view of the values alone; discfg's term is the flat mapping.
    def values(  # type: ignore[override]  # other than a dict's, and said so
        self,
        *,
        at: Moment | None = None,
        max_staleness: float | EllipsisType | None = ...,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Every key, normalised, with its decoded data, all of one revision; yours to change.

        Unlike a dict's `values` this is the mapping of keys to data; the data alone are
        ``values().values()``. Prefer it to ``dict(cfg)``, which reads key by key.

        Args:
            at: As for `get`.
            max_staleness: As for `get`.
            timeout: See the class.

        Raises:
            InvalidValue: A stored value is not what its content type says.
            RevisionNotFound: There is no revision `at` yet.
            ConfigNotFound, ConfigReplaced, InvalidOption: See the class.
        """
        nodes = self.list(at=at, max_staleness=max_staleness, timeout=timeout)
        return {node.key: node.data for node in nodes}

    def keys(self) -> KeysView[str]:
        """Every key, normalised and sorted, of one revision; later commits do not show.

        Raises:
            ConfigNotFound, ConfigReplaced: See the class.
        """
        return dict.fromkeys(self).keys()

    def items(self) -> ItemsView[str, Any]:
        """Every key with its decoded data, of one revision; later commits do not show.

        Raises:
            InvalidValue: As for `values`.
            ConfigNotFound, ConfigReplaced: See the class.
        """
        return self.values().items()

    def __iter__(self) -> Iterator[str]:
        return (node.key for node in self.list())

    def __len__(self) -> int:
        return sum(1 for _ in self.list())

    def __contains__(self, key: object) -> bool:
        path = normalize_key(cast("str", key))
        # By the list, which fetches no value: a large one is a request of its own.
        first = next(self.list(path), None)
        return first is not None and first.key == path

    def __getitem__(self, key: str) -> Any:
        return self.get(key).data

    def __setitem__(self, key: str, data: Any) -> None:
        self.set(key, data)

    def __delitem__(self, key: str) -> None:
        self.delete(key)

    # Two configs with the same keys are not the same config.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return object.__hash__(self)

    def pop(self, key: str, default: Any = NO_DEFAULT) -> Any:
        """Remove a key and return its decoded data: the very value that was removed.

        Args:
            key: The key.
            default: Returned where the key is absent; without it that is an error.

        Raises:
            KeyNotFound: The key is absent, and there is no default.
            ConfigNotFound, ConfigReplaced, OutcomeUnknown, and the rest: See the class.
        """
        try:
            removed = self.delete(key).prev_node
        except KeyNotFound:
            if default is NO_DEFAULT:
                raise
            return default
        assert removed is not None, "what is removed was there"
        return removed.data

    def popitem(self) -> tuple[str, Any]:
        """Remove the first key and return it with its data; of concurrent callers one gets it.

        Raises:
            KeyNotFound: The config is empty.
            Timeout: Others changed the first key each time; nothing was removed.
            ConfigNotFound, ConfigReplaced, OutcomeUnknown, and the rest: See the class.
        """
        attempts = Attempts(self._deadline(None))
        while True:
            node = next(self.list(max_staleness=None), None)
            if node is None:
                raise KeyNotFound("the config is empty", operation="popitem")
            # Before the key is removed, so that a value that cannot be read stays there.
            item = node.key, node.data
            try:
                self.delete(node.key, if_revision=node.revision)
            except ConditionFailed as error:
                attempts.failed(error)
            else:
                return item

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The key's data; where it is absent `default` is written first, by one caller only.

        Args:
            key: The key.
            default: As the data of `set`; ``None`` is JSON null.

        Raises:
            InvalidValue, ValueTooLarge: As for `set`.
            ConfigNotFound, ConfigReplaced, OutcomeUnknown, and the rest: See the class.
        """
        node = self.get(key, None, max_staleness=None)
        while node is None:
            try:
                node = self.set(key, default, if_absent=True).node
            except ConditionFailed as error:
                node = error.node
        return node.data

    def clear(self) -> None:
        """Remove every key, in one commit.

        Raises:
            CommitTooLarge: More than 100,000 keys.
            ConfigNotFound, ConfigReplaced, OutcomeUnknown, and the rest: See the class.
        """
        self.delete_prefix("/")
