"""The reading half of `discfg_core.config.Config`, which documents it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from time import monotonic
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from discfg_core import arguments, commit_ids
from discfg_core.arguments import Moment
from discfg_core.clock import Deadline
from discfg_core.document import leaf, nested
from discfg_core.engine import ConfigHandle, StorageEngine, View
from discfg_core.errors import InvalidOption, KeyNotFound, RevisionNotFound
from discfg_core.keys import normalize_key, normalize_prefix
from discfg_core.mapping import NO_DEFAULT, ConfigMapping
from discfg_core.model import Action, Change, Node
from discfg_core.watching import DEFAULT_STALE_AFTER_SECONDS, Subscription, Watch, wait_for

if TYPE_CHECKING:
    from discfg_core.model import Commit, ConfigInfo

_T = TypeVar("_T")

_HISTORY_PAGE = 100


class ConfigReader(ConfigMapping):
    """What a `Config` can be asked; nothing here writes."""

    __slots__ = (
        "_defaults",
        "_engine",
        "_handle",
        "_max_staleness",
        "_plain",
        "_timeout",
        "_where",
    )

    def __init__(
        self,
        engine: StorageEngine,
        handle: ConfigHandle,
        *,
        defaults: arguments.Defaults,
        where: str,
    ) -> None:
        self._engine = engine
        self._handle = handle
        self._defaults = defaults
        self._where = where
        self._max_staleness = defaults.max_staleness
        self._timeout = defaults.timeout
        # The options of a write that says nothing special, made once.
        self._plain = arguments.how_to_commit(defaults, {})

    # --- what it is ---

    @property
    def name(self) -> str:
        """The config's name."""
        return self._handle.name

    def info(self, *, timeout: float | None = None) -> ConfigInfo:
        """The latest description: revision, times, settings, how many keys and bytes.

        Raises:
            ConfigNotFound, ConfigReplaced: See the class.
        """
        return self._engine.describe_config(self._handle, deadline=self._deadline(timeout))

    def __repr__(self) -> str:
        return f"<Config {self._handle.name!r} in {self._where}>"

    # --- reading nodes ---

    @overload
    def get(
        self,
        key: str,
        *,
        at: Moment | None = None,
        max_staleness: float | EllipsisType | None = ...,
        timeout: float | None = None,
    ) -> Node: ...
    @overload
    def get(
        self,
        key: str,
        default: _T,
        *,
        at: Moment | None = None,
        max_staleness: float | EllipsisType | None = ...,
        timeout: float | None = None,
    ) -> Node | _T: ...
    def get(
        self,
        key: str,
        default: Any = NO_DEFAULT,
        *,
        at: Moment | None = None,
        max_staleness: float | EllipsisType | None = ...,
        timeout: float | None = None,
    ) -> Any:
        """The key's node: value, content type, version, revision, times.

        Args:
            key: The key.
            default: Returned where the key is absent; without it that is an error.
            at: A revision, 0 for the empty config, or a time with its zone: then the last
                revision of that time or before. The latest where left out.
            max_staleness: Seconds the answer may be behind; ``None`` for the latest; the
                store's where left out.
            timeout: See the class.

        Raises:
            KeyNotFound: The key is absent, and there is no default. A `KeyError` too.
            RevisionNotFound: There is no revision `at` yet.
            ConfigNotFound, ConfigReplaced, InvalidKey, InvalidOption: See the class.
        """
        if at is not None:
            return self._get_at(key, default, at, timeout)
        # Answered from memory, this costs less than a microsecond: no call is made in vain here.
        try:
            return self._engine.get(
                self._handle,
                key,
                max_staleness=(
                    self._max_staleness
                    if max_staleness is ...
                    else arguments.check_staleness(max_staleness)
                ),
                deadline=Deadline(
                    monotonic()
                    + (self._timeout if timeout is None else arguments.check_timeout(timeout))
                ),
            )
        except KeyNotFound:
            if default is NO_DEFAULT:
                raise
            return default

    def list(
        self,
        prefix: str = "/",
        *,
        after: str | None = None,
        at: Moment | None = None,
        max_staleness: float | EllipsisType | None = ...,
        timeout: float | None = None,
    ) -> Iterator[Node]:
        """The nodes of the prefix itself and below it, sorted by key, all of one revision.

        That revision is taken by the call, not by the iteration, and later commits do not show.

        Args:
            prefix: Whole segments: ``db`` is ``/db`` and ``/db/host``, not ``/dbs``.
            after: Begin behind this key.
            at: As for `get`.
            max_staleness: As for `get`.
            timeout: See the class.

        Raises:
            RevisionNotFound: There is no revision `at` yet.
            ConfigNotFound, ConfigReplaced, InvalidKey, InvalidOption: See the class.
        """
        prefix = normalize_prefix(prefix)
        if after is not None:
            after = normalize_key(after)
        return self._view(at, max_staleness, timeout).list(prefix, after=after)

    def document(
        self,
        prefix: str = "/",
        *,
        at: Moment | None = None,
        max_staleness: float | EllipsisType | None = ...,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """The keys as one nested object, a level for each segment, all of one revision; yours to
        change.

        Values are its leaves, decoded; bytes are ``{"$base64": "…"}``. A key that has others
        below it has its own value under ``""``, and so has the prefix itself. It is a view: a
        value that is a JSON object looks like keys below its own. `values` tells them apart.

        Args:
            prefix: Whole segments; the object is what is below them, empty for nothing.
            at: As for `get`.
            max_staleness: As for `get`.
            timeout: See the class.

        Raises:
            InvalidValue: A stored value is not what its content type says.
            RevisionNotFound: There is no revision `at` yet.
            ConfigNotFound, ConfigReplaced, InvalidKey, InvalidOption: See the class.
        """
        nodes = self.list(prefix, at=at, max_staleness=max_staleness, timeout=timeout)
        return nested(nodes, normalize_prefix(prefix), leaf)

    def _get_at(self, key: str, default: Any, at: Moment, timeout: float | None) -> Any:
        key = normalize_key(key)
        view = self._view(at, None, timeout)
        node = view.get(key)
        if node is not None:
            return node
        if default is NO_DEFAULT:
            raise KeyNotFound(
                f"key {key} did not exist at revision {view.revision}",
                operation="get",
                config=self.name,
                key=key,
            )
        return default

    def diff(
        self, since: Moment, until: Moment | None = None, *, timeout: float | None = None
    ) -> tuple[Change, ...]:
        """What changed from one revision to another: the net difference, sorted by key.

        A key that holds the same bytes of the same content type at both has none. Each change
        is as one commit would have made it: `prev_node` is the node as it was at `since`.

        Args:
            since: As `at` for `get`.
            until: The same; the latest where left out. It may be the earlier of the two.
            timeout: See the class.

        Raises:
            RevisionNotFound: There is no such revision yet.
            ConfigNotFound, ConfigReplaced, InvalidOption: See the class.
        """
        deadline = self._deadline(timeout)
        before = self._view_by(since, deadline)
        return differences(before, self._view_by(until, deadline))

    def history(
        self,
        prefix: str = "/",
        *,
        before: int | None = None,
        after: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        actor: str | None = None,
        limit: int | None = None,
        oldest_first: bool = False,
        timeout: float | None = None,
    ) -> Iterator[Commit]:
        """The commits, newest first, each whole, with previous nodes; fetched as it goes.

        Args:
            prefix: Only commits that changed this key or one below it.
            before: Only those of a lower revision than this.
            after: Only those of a higher revision than this.
            since: Only those of this time or later; with its zone.
            until: Only those of this time or earlier; with its zone.
            actor: Only those of this actor; the empty text is who gave none.
            limit: At most so many; all where left out.
            oldest_first: The other way round.
            timeout: For each fetch.

        Raises:
            ConfigNotFound, ConfigReplaced, InvalidKey, InvalidOption: See the class; bad
                arguments by the call, the rest by the iteration.
        """
        prefix = normalize_prefix(prefix)
        arguments.check_number("before", before, least=1, hint="give a revision, from 1")
        arguments.check_number("after", after, least=0, hint="give a revision, from 0")
        arguments.check_number("limit", limit, least=0, hint="give a number of commits, from 0")
        if timeout is not None:
            arguments.check_timeout(timeout)
        times = (
            None if since is None else arguments.nanoseconds("since", since)[0],
            None if until is None else arguments.nanoseconds("until", until)[-1],
        )
        actor = None if actor is None else arguments.actor(actor)
        return self._commits(
            before,
            after,
            times,
            limit,
            timeout,
            prefix=prefix,
            actor=actor,
            oldest_first=oldest_first,
        )

    def _commits(
        self,
        before: int | None,
        after: int | None,
        times: tuple[int | None, int | None],
        left: int | None,
        timeout: float | None,
        *,
        oldest_first: bool,
        **which: Any,
    ) -> Iterator[Commit]:
        since, until = times
        if since is not None:
            first = self._revision_at(since - 1, self._deadline(timeout))
            after = first if after is None else max(after, first)
        if until is not None:
            last = self._revision_at(until, self._deadline(timeout)) + 1
            before = last if before is None else min(before, last)
        while left is None or left > 0:
            page = self._engine.history(
                self._handle,
                before=before,
                after=after or 0,
                oldest_first=oldest_first,
                **which,
                limit=_HISTORY_PAGE if left is None else min(left, _HISTORY_PAGE),
                deadline=self._deadline(timeout),
            )
            yield from page.commits
            if page.rest is None:
                return
            before, after = (before, page.rest) if oldest_first else (page.rest, after)
            if left is not None:
                left -= len(page.commits)

    # --- watching ---

    def watch(
        self,
        prefix: str = "/",
        *,
        after: int | None = None,
        timeout: float | None = None,
        stale_after: float = DEFAULT_STALE_AFTER_SECONDS,
    ) -> Watch:
        """The commits after a revision, as they come: each once, in order, none left out.

        Iterate over it, in a ``with`` block or with `Watch.close` at the end. All watches of a
        config in one process share one look at the store. A broken connection is made anew.

        Args:
            prefix: Only commits that changed this key or one below it; they come whole.
            after: The revision to go on after: 0 for every commit there is; the latest where
                left out.
            timeout: Seconds without a commit after which the iteration ends; never where left
                out. Not the store's.
            stale_after: Seconds without word from the store after which iterating raises
                `WatchStale`; it may be iterated further.

        Raises:
            RevisionNotFound: There is no revision `after` yet.
            ConfigNotFound, ConfigReplaced, InvalidKey, InvalidOption: See the class.
        """
        prefix = normalize_prefix(prefix)
        arguments.check_number("after", after, least=0, hint="give a revision, from 0")
        if timeout is not None:
            arguments.check_timeout(timeout)
        arguments.check_timeout(stale_after)
        latest = self._view(None, None, None).revision
        if after is not None and after > latest:
            raise RevisionNotFound(
                f"revision {after} is not there yet: the config is at {latest}",
                operation="watch",
                config=self.name,
            )
        return Watch(
            self._engine,
            self._handle,
            prefix=prefix,
            after=latest if after is None else after,
            timeout=timeout,
            stale_after=stale_after,
        )

    def on_change(
        self,
        callback: Callable[[Commit], object],
        prefix: str = "/",
        *,
        after: int | None = None,
        stale_after: float = DEFAULT_STALE_AFTER_SECONDS,
    ) -> Subscription:
        """Call a function with each commit, in a thread of its own, one after the other.

        An error of the function ends the subscription, and is its `Subscription.error`; when
        the store is away for `stale_after` seconds the logger ``discfg`` is told.

        Args:
            callback: The function.
            prefix: As for `watch`.
            after: As for `watch`.
            stale_after: As for `watch`.

        Raises:
            InvalidOption: The callback cannot be called.
            RevisionNotFound, ConfigNotFound, ConfigReplaced, InvalidKey: As for `watch`.
        """
        if not callable(callback):
            raise InvalidOption("on_change takes a function", hint="give one that takes a commit")
        return Subscription(self.watch(prefix, after=after, stale_after=stale_after), callback)

    def wait_for(self, revision: int, *, timeout: float | None = None) -> None:
        """Return once the config has come to a revision: what it holds can be read by then.

        Raises:
            Timeout: It did not in time.
            ConfigNotFound, ConfigReplaced, InvalidOption: See the class.
        """
        self._wait_for(revision, timeout, threading.Event())

    def _wait_for(self, revision: int, timeout: float | None, cancel: threading.Event) -> None:
        """The same, until it is cancelled."""
        hint = "give a revision, from 1"
        if arguments.check_number("revision", revision, least=1, hint=hint) is None:
            raise InvalidOption("revision is None", hint=hint)
        wait_for(self._engine, self._handle, revision, self._deadline(timeout), cancel)

    # --- commit ids ---

    def new_commit_id(self, *, timeout: float | None = None) -> str:
        """A fresh id for `commit_id`, of which `outcome` can always tell whether it was used.

        It holds the config's incarnation and latest revision, besides 128 random bits; asking
        for one is a read.

        Raises:
            ConfigNotFound, ConfigReplaced: See the class.
        """
        view = self._view(None, None, timeout)
        return commit_ids.make(view.incarnation, view.revision)

    def outcome(self, commit_id: str, *, timeout: float | None = None) -> Commit | None:
        """What became of a commit id, for good: ask it after `OutcomeUnknown`.

        Returns:
            The commit; ``None`` if it did not happen and, for an attempt made before this
            call, never will.

        Raises:
            CommitIdExpired: The id is too old to tell.
            ConfigNotFound, ConfigReplaced, and the rest: See the class.
        """
        arguments.check_commit_id(commit_id)
        return self._engine.outcome(self._handle, commit_id, deadline=self._deadline(timeout))

    # --- shared by the above ---

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline.after(arguments.seconds(self._defaults, timeout))

    def _view(
        self,
        at: Moment | None,
        max_staleness: float | EllipsisType | None,
        timeout: float | None,
    ) -> View:
        deadline = self._deadline(timeout)
        if at is not None:
            return self._view_by(at, deadline)
        return self._engine.view(
            self._handle,
            max_staleness=(
                self._max_staleness
                if max_staleness is ...
                else arguments.check_staleness(max_staleness)
            ),
            deadline=deadline,
        )

    def _view_by(self, at: Moment | None, deadline: Deadline) -> View:
        if isinstance(at, datetime):
            at = self._revision_at(arguments.nanoseconds("at", at)[-1], deadline)
        arguments.check_number("at", at, least=0, hint="give a revision, from 0, or a time")
        return self._engine.view(self._handle, at=at, deadline=deadline)

    def _revision_at(self, time_ns: int, deadline: Deadline) -> int:
        return self._engine.revision_at(self._handle, time_ns, deadline=deadline)


def differences(before: View, after: View) -> tuple[Change, ...]:
    """What `Config.diff` says, of two views of one incarnation."""
    old = {node.key: node for node in before.list()}
    new = {node.key: node for node in after.list()}
    changes = []
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        if now is None:
            assert was is not None, "the key is of one of the two"
            gone = Node(
                key,
                None,
                was.content_type,
                was.version + 1,
                after.revision,
                was.created_ns,
                was.modified_ns,
            )
            changes.append(Change(Action.REMOVED, gone, was, after.revision))
        elif was is None:
            changes.append(Change(Action.ADDED, now, None, after.revision))
        elif not now.same_value(was):
            changes.append(Change(Action.UPDATED, now, was, after.revision))
    return tuple(changes)
