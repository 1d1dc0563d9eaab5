"""The engine as the suite sees it: every call has a deadline and is judged.

Only a `DiscfgError` may leave an engine, and none that is its own affair; so no test calls an
engine but through a `Client`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack

import pytest

from discfg_core.clock import Deadline
from discfg_core.engine import ConfigHandle, Guarantee, Put, Remove, RemovePrefix, Transaction
from discfg_core.errors import ConfigNotFound, DiscfgError, KeyNotFound
from discfg_core.substrate import SwapConflict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from discfg_core.engine import (
        CheckReport,
        HistoryPage,
        KeyCondition,
        PrefixCondition,
        StorageEngine,
        View,
    )
    from discfg_core.model import Change, Commit, ConfigInfo, Node

# `list` is a method here.
Nodes: TypeAlias = "list[Node]"
Keys: TypeAlias = "list[str]"

# Far above what any call takes on a loaded machine: no test fails for being slow.
TIMEOUT = 120.0
BYTES = "application/octet-stream"

Op = Put | Remove | RemovePrefix


class Options(TypedDict, total=False):
    """What a write may carry besides its ops: the rest of a `Transaction`."""

    conditions: tuple[KeyCondition | PrefixCondition, ...]
    if_config_revision: int | None
    settings: Mapping[str, Any] | None
    schema: str | None
    actor: str
    message: str
    commit_id: str | None
    max_clock_skew: float | None
    reverted_to: int | None
    asked: bytes | None


@contextmanager
def judged(operation: str) -> Iterator[None]:
    """Let only errors through that callers are told of.

    Raises:
        AssertionError: Another exception left the engine; it is the cause.
        DiscfgError: What the engine raised.
    """
    try:
        yield
    except SwapConflict as error:
        raise AssertionError(f"{operation} let a SwapConflict out") from error
    except DiscfgError as error:
        assert error.code != DiscfgError.code, f"{operation} raised an error of no class"
        assert str(error), f"{operation} raised an error without a message"
        raise
    except Exception as error:
        raise AssertionError(
            f"{operation} let {type(error).__qualname__} out, which is no DiscfgError: {error}"
        ) from error


class JudgedView:
    """A `View` whose calls are judged, too."""

    def __init__(self, view: View) -> None:
        self._view = view

    @property
    def revision(self) -> int:
        """The view's."""
        return self._view.revision

    @property
    def incarnation(self) -> str:
        """The view's."""
        return self._view.incarnation

    def get(self, key: str) -> Node | None:
        """The node; ``None`` for an absent key."""
        with judged("View.get"):
            return self._view.get(key)

    def list(self, prefix: str = "/", *, after: str | None = None) -> Nodes:
        """The nodes."""
        with judged("View.list"):
            return list(self._view.list(prefix, after=after))

    def keys(self, prefix: str = "/", *, after: str | None = None) -> Keys:
        """The keys of `list`."""
        return [node.key for node in self.list(prefix, after=after)]

    def fingerprint(self, prefix: str) -> bytes:
        """What `PrefixCondition` compares."""
        with judged("View.fingerprint"):
            return self._view.fingerprint(prefix)


class Client:
    """One client of a store: an engine of its own."""

    def __init__(self, engine: StorageEngine, timeout: float = TIMEOUT) -> None:
        self.engine = engine
        self.timeout = timeout

    def deadline(self) -> Deadline:
        """The deadline of a call that begins now."""
        return Deadline.after(self.timeout)

    def create(self, name: str, settings: Mapping[str, Any] | None = None) -> ConfigInfo:
        """`StorageEngine.create_config`."""
        with judged("create_config"):
            return self.engine.create_config(name, settings or {}, deadline=self.deadline())

    def config(self, name: str) -> Config:
        """A handle that belongs to no incarnation yet."""
        return Config(self, ConfigHandle(name))

    def new(self, name: str, settings: Mapping[str, Any] | None = None) -> Config:
        """A config created now, and a handle to it."""
        return Config(self, ConfigHandle(name, self.create(name, settings).incarnation))

    def undelete(self, name: str) -> ConfigInfo:
        """`StorageEngine.undelete_config`."""
        with judged("undelete_config"):
            return self.engine.undelete_config(name, deadline=self.deadline())

    def bring_back(self, name: str) -> ConfigInfo | None:
        """Undelete a config that was deleted last: where `Guarantee.UNDROP` is promised it comes
        back; elsewhere there is nothing (``None``), and the engine says so.
        """
        if Guarantee.UNDROP in self.engine.guarantees:
            return self.undelete(name)
        with pytest.raises(ConfigNotFound):
            self.undelete(name)
        return None

    def names(self) -> list[str]:
        """`StorageEngine.list_configs`."""
        with judged("list_configs"):
            return self.engine.list_configs(deadline=self.deadline())

    def check(self, name: str) -> CheckReport:
        """`StorageEngine.check`."""
        with judged("check"):
            return self.engine.check(name, deadline=self.deadline())

    def close(self) -> None:
        """`StorageEngine.close`."""
        with judged("close"):
            self.engine.close()


class Config:
    """One client's handle to one config."""

    def __init__(self, client: Client, handle: ConfigHandle) -> None:
        self.client = client
        self.handle = handle

    @property
    def name(self) -> str:
        """The config's name."""
        return self.handle.name

    def seen_by(self, client: Client) -> Config:
        """Another client's handle to the same incarnation."""
        return Config(client, ConfigHandle(self.name, self.handle.incarnation))

    # --- the config itself ---

    def info(self) -> ConfigInfo:
        """`StorageEngine.describe_config`."""
        with judged("describe_config"):
            return self.client.engine.describe_config(self.handle, deadline=self.client.deadline())

    def drop(self, actor: str = "", message: str = "") -> ConfigInfo:
        """`StorageEngine.delete_config`."""
        with judged("delete_config"):
            return self.client.engine.delete_config(
                self.handle, actor=actor, message=message, deadline=self.client.deadline()
            )

    # --- reading ---

    def get(self, key: str, *, max_staleness: float | None = None) -> Node:
        """`StorageEngine.get`."""
        with judged("get"):
            return self.client.engine.get(
                self.handle, key, max_staleness=max_staleness, deadline=self.client.deadline()
            )

    def find(self, key: str) -> Node | None:
        """The node; ``None`` for an absent key."""
        try:
            return self.get(key)
        except KeyNotFound:
            return None

    def value(self, key: str) -> bytes:
        """The bytes under a key."""
        with judged("Node.value"):
            return self.get(key).value

    def view(self, *, max_staleness: float | None = None) -> JudgedView:
        """`StorageEngine.view`."""
        with judged("view"):
            return JudgedView(
                self.client.engine.view(
                    self.handle, max_staleness=max_staleness, deadline=self.client.deadline()
                )
            )

    def keys(self, prefix: str = "/") -> Keys:
        """All keys under a prefix, in the order listed."""
        return self.view().keys(prefix)

    def values(self, prefix: str = "/") -> dict[str, bytes]:
        """Keys and bytes under a prefix, in the order listed."""
        with judged("Node.value"):
            return {node.key: node.value for node in self.view().list(prefix)}

    def revision(self) -> int:
        """The config's latest."""
        return self.info().revision

    def page(
        self, prefix: str = "/", *, before: int | None = None, limit: int = 100, **which: Any
    ) -> HistoryPage:
        """`StorageEngine.history`."""
        with judged("history"):
            return self.client.engine.history(
                self.handle,
                prefix=prefix,
                before=before,
                limit=limit,
                deadline=self.client.deadline(),
                **which,
            )

    def history(
        self, prefix: str = "/", *, before: int | None = None, limit: int = 100
    ) -> list[Commit]:
        """All pages of the history, newest first, each judged by its size and its progress."""
        commits: list[Commit] = []
        while True:
            page = self.page(prefix, before=before, limit=limit)
            assert len(page.commits) <= limit, f"a page of {limit} has {len(page.commits)} commits"
            commits += page.commits
            if page.rest is None:
                return commits
            assert before is None or page.rest < before, "the history's pages make no progress"
            before = page.rest

    def revision_at(self, time_ns: int) -> int:
        """`StorageEngine.revision_at`."""
        with judged("revision_at"):
            return self.client.engine.revision_at(
                self.handle, time_ns, deadline=self.client.deadline()
            )

    def at(self, revision: int) -> JudgedView:
        """`StorageEngine.view` of an earlier revision."""
        with judged("view"):
            return JudgedView(
                self.client.engine.view(self.handle, at=revision, deadline=self.client.deadline())
            )

    def outcome(self, commit_id: str) -> Commit | None:
        """`StorageEngine.outcome`."""
        with judged("outcome"):
            return self.client.engine.outcome(
                self.handle, commit_id, deadline=self.client.deadline()
            )

    # --- writing ---

    def set(
        self,
        key: str,
        value: bytes = b"value",
        content_type: str = BYTES,
        *,
        condition: KeyCondition | None = None,
        **options: Unpack[Options],
    ) -> Change:
        """`StorageEngine.set`."""
        with judged("set"):
            return self.client.engine.set(
                self.handle,
                key,
                value,
                content_type,
                condition=condition,
                options=Transaction(**options) if options else None,
                deadline=self.client.deadline(),
            )

    def delete(
        self, key: str, *, condition: KeyCondition | None = None, **options: Unpack[Options]
    ) -> Change:
        """`StorageEngine.delete`."""
        with judged("delete"):
            return self.client.engine.delete(
                self.handle,
                key,
                condition=condition,
                options=Transaction(**options) if options else None,
                deadline=self.client.deadline(),
            )

    def commit(self, *ops: Op, **options: Unpack[Options]) -> Commit | None:
        """`StorageEngine.commit`."""
        with judged("commit"):
            return self.client.engine.commit(
                self.handle, Transaction(ops=ops, **options), deadline=self.client.deadline()
            )

    def committed(self, *ops: Op, **options: Unpack[Options]) -> Commit:
        """A commit of which the caller knows that it has an effect."""
        commit = self.commit(*ops, **options)
        assert commit is not None, "a transaction with an effect made no commit"
        return commit


def put(key: str, value: bytes = b"value", content_type: str = BYTES) -> Put:
    """A `Put` of bytes."""
    return Put(key, value, content_type)
