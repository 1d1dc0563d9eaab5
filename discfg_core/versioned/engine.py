"""`StorageEngine`, implemented once over any `Substrate`."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

import msgspec

from discfg_core.clock import Deadline
from discfg_core.engine import (
    MAX_COMMIT_ID_BYTES,
    CheckReport,
    ConfigHandle,
    Finding,
    Guarantee,
    HistoryPage,
    KeyCondition,
    News,
    Put,
    Remove,
    Transaction,
    View,
)
from discfg_core.errors import (
    Closed,
    Corrupt,
    DiscfgError,
    InvalidKey,
    InvalidOption,
    KeyNotFound,
    NewerFormat,
)
from discfg_core.keys import check_name, normalize_key, normalize_prefix, under
from discfg_core.model import Change, Commit, ConfigInfo, LargeValue, Node
from discfg_core.substrate import Native, Substrate
from discfg_core.values import check_text
from discfg_core.versioned import blobs, lifecycle
from discfg_core.versioned.blobs import BlobMissing
from discfg_core.versioned.check import check
from discfg_core.versioned.committer import Committer
from discfg_core.versioned.follow import Followers
from discfg_core.versioned.format import BlobRef, decode_head
from discfg_core.versioned.past import revision_at, state_at
from discfg_core.versioned.prepare import Prepared
from discfg_core.versioned.session import Session
from discfg_core.versioned.settle import read, retried
from discfg_core.versioned.snapshot import Snapshot

_VALUE_TIMEOUT = 30.0

_engines: weakref.WeakSet[VersionedEngine] = weakref.WeakSet()


class VersionedEngine:
    """Versioned configs over a register and blobs; every guarantee of `StorageEngine` holds.

    The substrate belongs to the engine from now on, and is closed with it.
    """

    def __init__(self, substrate: Substrate) -> None:
        self._substrate = substrate
        self._closed = False
        self._begin()
        _engines.add(self)

    def _begin(self) -> None:
        # Guards the adding of sessions.
        self._mutex = threading.Lock()
        self._sessions: dict[str, tuple[Session, Committer]] = {}
        self._followers: dict[str, Followers] = {}

    def after_fork(self) -> None:
        """In the child of a fork: forget locks, queues, caches and connections of the parent."""
        self._begin()
        self._substrate.after_fork()

    @property
    def scheme(self) -> str:
        """The URL scheme."""
        return self._substrate.scheme

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """What the substrate promises."""
        return self._substrate.guarantees

    def __repr__(self) -> str:
        return f"<VersionedEngine over {self.scheme}>"

    def _at(self, name: str) -> tuple[Session, Committer]:
        try:
            found = self._sessions[name]
        except (KeyError, TypeError):
            check_name(name)
            with self._mutex:
                found = self._sessions.get(name) or self._open(name)
        if self._closed:
            raise Closed("this store is closed")
        return found

    def _open(self, name: str) -> tuple[Session, Committer]:
        session = Session(self._substrate, name, _VALUE_TIMEOUT)
        self._sessions[name] = found = (session, Committer(session))
        return found

    @contextmanager
    def _locating(self, operation: str, config: str, key: str | None = None) -> Iterator[None]:
        try:
            yield
        except DiscfgError as error:
            if key is not None and not isinstance(error, InvalidKey):
                key = normalize_key(key)
            error.locate(engine=self.scheme, operation=operation, config=config, key=key)
            raise

    # --- configs ---

    def create_config(
        self, name: str, settings: Mapping[str, Any], *, deadline: Deadline
    ) -> ConfigInfo:
        """See `StorageEngine.create_config`."""
        with self._locating("create_config", name):
            session, _ = self._at(name)
            return self._info(session, lifecycle.create(session, settings, deadline), deadline)

    def describe_config(self, handle: ConfigHandle, *, deadline: Deadline) -> ConfigInfo:
        """See `StorageEngine.describe_config`."""
        with self._locating("describe_config", handle.name):
            session, _ = self._at(handle.name)
            return self._info(session, session.view(handle, None, deadline), deadline)

    def delete_config(
        self, handle: ConfigHandle, *, actor: str = "", message: str = "", deadline: Deadline
    ) -> ConfigInfo:
        """See `StorageEngine.delete_config`."""
        with self._locating("delete_config", handle.name):
            session, _ = self._at(handle.name)
            before = lifecycle.drop(session, handle, actor, message, deadline)
            return self._describe(session.name, before, Native())

    def undelete_config(self, name: str, *, deadline: Deadline) -> ConfigInfo:
        """See `StorageEngine.undelete_config`."""
        with self._locating("undelete_config", name):
            session, _ = self._at(name)
            return self._info(session, lifecycle.undrop(session, deadline), deadline)

    def list_configs(self, *, deadline: Deadline) -> list[str]:
        """See `StorageEngine.list_configs`."""
        with self._locating("list_configs", ""):
            if self._closed:
                raise Closed("this store is closed")
            names = retried(lambda: list(self._substrate.names(deadline=deadline)), deadline)
            return sorted(name for name in names if self._lives(name, deadline))

    def _lives(self, name: str, deadline: Deadline) -> bool:
        register = read(self._substrate, name, deadline)
        if register is None:
            return False
        try:
            return decode_head(register.data)[0].dropped is None
        except (NewerFormat, Corrupt):
            # There is something, and whoever opens it is told what.
            return True

    def _info(self, session: Session, snapshot: Snapshot, deadline: Deadline) -> ConfigInfo:
        native = retried(
            lambda: self._substrate.describe(session.name, deadline=deadline), deadline
        )
        return self._describe(session.name, snapshot, native)

    def _describe(self, name: str, snapshot: Snapshot, native: Native) -> ConfigInfo:
        head = snapshot.head
        return ConfigInfo(
            name,
            snapshot.incarnation,
            head.revision,
            head.created,
            head.modified,
            native.state,
            head.settings,
            native.settings,
            self.scheme,
            head.keys,
            head.size,
            head.schema,
        )

    # --- reading ---

    def get(
        self,
        handle: ConfigHandle,
        key: str,
        *,
        max_staleness: float | None = None,
        deadline: Deadline,
    ) -> Node:
        """See `StorageEngine.get`."""
        # No context manager here: this is the path that is taken a million times a second.
        try:
            key = normalize_key(key)
            session = self._at(handle.name)[0]
            snapshot = session.view(handle, max_staleness, deadline)
            node = snapshot.state.get(key)
            if node is not None and not isinstance(node.content, bytes):
                try:
                    node = _whole(key, deadline, snapshot)
                except BlobMissing:
                    node = session.reading(handle, deadline, partial(_whole, key, deadline))
            if node is None:
                raise KeyNotFound(f"key {key} does not exist in config {handle.name!r}")
        except DiscfgError as error:
            error.locate(engine=self.scheme, operation="get", config=handle.name, key=key)
            raise
        return node

    def view(
        self,
        handle: ConfigHandle,
        *,
        at: int | None = None,
        max_staleness: float | None = None,
        deadline: Deadline,
    ) -> View:
        """See `StorageEngine.view`."""
        with self._locating("view", handle.name):
            session = self._at(handle.name)[0]
            if at is None:
                return session.view(handle, max_staleness, deadline)
            if at < 0:
                raise InvalidOption(f"at is {at}", hint="give a revision, from 0")
            return session.reading(handle, deadline, lambda now: state_at(now, at, deadline))

    def revision_at(self, handle: ConfigHandle, time_ns: int, *, deadline: Deadline) -> int:
        """See `StorageEngine.revision_at`."""
        with self._locating("revision_at", handle.name):
            session = self._at(handle.name)[0]
            return session.reading(
                handle, deadline, lambda now: revision_at(now, time_ns, deadline)
            )

    def history(
        self,
        handle: ConfigHandle,
        *,
        prefix: str = "/",
        before: int | None = None,
        after: int = 0,
        actor: str | None = None,
        oldest_first: bool = False,
        limit: int = 100,
        deadline: Deadline,
    ) -> HistoryPage:
        """See `StorageEngine.history`."""
        with self._locating("history", handle.name):
            prefix = normalize_prefix(prefix)
            if limit < 1 or (before is not None and before < 1) or after < 0:
                raise InvalidOption("limit and before are whole numbers from 1, after is from 0")
            session = self._at(handle.name)[0]

            def wanted(commit: Commit) -> bool:
                return (actor is None or commit.actor == actor) and _touches(commit, prefix)

            def page(snapshot: Snapshot) -> HistoryPage:
                commits = _between(
                    snapshot, after, before, oldest_first=oldest_first, deadline=deadline
                )
                return _page(filter(wanted, commits), limit)

            return session.reading(handle, deadline, page)

    def follow(
        self,
        handle: ConfigHandle,
        *,
        after: int,
        prefix: str = "/",
        limit: int = 100,
        fresh_within: float = 30.0,
        deadline: Deadline,
        cancel: threading.Event,
    ) -> News:
        """See `StorageEngine.follow`."""
        with self._locating("follow", handle.name):
            prefix = normalize_prefix(prefix)
            if limit < 1 or after < 0:
                raise InvalidOption("limit is a whole number from 1, after is from 0")
            session = self._at(handle.name)[0]
            # One operation of a dict, so that two threads cannot follow apart.
            followers = self._followers.setdefault(handle.name, Followers(session))
            snapshot = followers.wait(
                handle, after, fresh_within=fresh_within, deadline=deadline, cancel=cancel
            )
            if snapshot is None:
                return News((), after)
            news = partial(_news, after=after, prefix=prefix, limit=limit, deadline=deadline)
            try:
                return news(snapshot)
            except BlobMissing:
                return session.reading(handle, deadline, news)

    def outcome(self, handle: ConfigHandle, commit_id: str, *, deadline: Deadline) -> Commit | None:
        """See `StorageEngine.outcome`."""
        with self._locating("outcome", handle.name):
            check_text("commit id", commit_id, MAX_COMMIT_ID_BYTES)
            return self._at(handle.name)[1].ask(handle, commit_id, deadline)

    # --- writing ---

    def set(
        self,
        handle: ConfigHandle,
        key: str,
        value: bytes,
        content_type: str,
        *,
        condition: KeyCondition | None = None,
        options: Transaction | None = None,
        deadline: Deadline,
    ) -> Change:
        """See `StorageEngine.set`."""
        tx = _single(Put(key, value, content_type), condition, options)
        return self._write_one("set", handle, tx, key, deadline)

    def delete(
        self,
        handle: ConfigHandle,
        key: str,
        *,
        condition: KeyCondition | None = None,
        options: Transaction | None = None,
        deadline: Deadline,
    ) -> Change:
        """See `StorageEngine.delete`."""
        tx = _single(Remove(key), condition, options)
        return self._write_one("delete", handle, tx, key, deadline)

    def _write_one(
        self, operation: str, handle: ConfigHandle, tx: Transaction, key: str, deadline: Deadline
    ) -> Change:
        with self._locating(operation, handle.name, key):
            commit = self._commit(handle, tx, deadline)
            if commit is None or not commit.changes:
                raise Corrupt(f"{operation} of {key} left no change behind")
            return commit.changes[0]

    def commit(
        self, handle: ConfigHandle, transaction: Transaction, *, deadline: Deadline
    ) -> Commit | None:
        """See `StorageEngine.commit`."""
        with self._locating("commit", handle.name):
            return self._commit(handle, transaction, deadline)

    def _commit(
        self, handle: ConfigHandle, transaction: Transaction, deadline: Deadline
    ) -> Commit | None:
        session, committer = self._at(handle.name)
        prepared = Prepared(transaction, self._substrate.limits(session.name))
        if prepared.settings is None:
            return committer.write(handle, prepared, deadline)
        self._substrate.check_settings(prepared.settings)
        commit = committer.write(handle, prepared, deadline)
        # Without a commit too: repeating it is how a resource that lagged is brought in line.
        lifecycle.apply_settings(session, handle, deadline)
        return commit

    # --- the rest ---

    def check(self, name: str, *, deadline: Deadline) -> CheckReport:
        """See `StorageEngine.check`."""
        with self._locating("check", name):
            self._at(name)
            return check(self._substrate, name, deadline)

    def diagnose(self, *, deadline: Deadline) -> Iterator[Finding]:
        """See `StorageEngine.diagnose`."""
        with self._locating("diagnose", ""):
            if self._closed:
                raise Closed("this store is closed")
            yield from self._substrate.diagnose(deadline=deadline)

    def close(self) -> None:
        """See `StorageEngine.close`."""
        self._closed = True
        self._substrate.close()


def _whole(key: str, deadline: Deadline, snapshot: Snapshot) -> Node | None:
    """A node with its value at hand, however large."""
    node = snapshot.state.get(key)
    if node is None or not isinstance(node.content, LargeValue):
        return node
    ref = node.content.same
    if not isinstance(ref, BlobRef):
        raise TypeError(f"the large value of {key} is no blob but {ref!r}")
    return msgspec.structs.replace(node, content=snapshot.blobs.fetch([ref], deadline)[0])


def _between(
    snapshot: Snapshot, after: int, before: int | None, *, oldest_first: bool, deadline: Deadline
) -> Iterator[Commit]:
    """The commits behind `after` and before `before`, exclusive."""
    if oldest_first:
        for resolved in snapshot.commits_after(after, deadline):
            if before is not None and resolved.commit.revision >= before:
                return
            yield resolved.commit
    else:
        for resolved in snapshot.commits_back(before, deadline):
            if resolved.commit.revision <= after:
                return
            yield resolved.commit


def _touches(commit: Commit, prefix: str) -> bool:
    return prefix == "/" or any(under(change.key, prefix) for change in commit.changes)


def _news(snapshot: Snapshot, *, after: int, prefix: str, limit: int, deadline: Deadline) -> News:
    commits = _between(snapshot, after, None, oldest_first=True, deadline=deadline)
    found = tuple(islice((each for each in commits if _touches(each, prefix)), limit))
    return News(found, found[-1].revision if len(found) == limit else snapshot.revision)


def _page(commits: Iterator[Commit], limit: int) -> HistoryPage:
    # One more than asked for, so that a page is known to be the last.
    found = list(islice(commits, limit + 1))
    rest = found[limit - 1].revision if len(found) > limit else None
    return HistoryPage(tuple(found[:limit]), rest)


def _single(
    op: Put | Remove, condition: KeyCondition | None, options: Transaction | None
) -> Transaction:
    tx = options or Transaction()
    conditions = tx.conditions if condition is None else (*tx.conditions, condition)
    return msgspec.structs.replace(tx, ops=(op,), conditions=conditions)


def _after_fork() -> None:
    blobs.after_fork()
    for engine in list(_engines):
        engine.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
