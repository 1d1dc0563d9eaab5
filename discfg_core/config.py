"""`Config`: one versioned config, as applications hold it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload

import msgspec

from discfg_core import arguments, commit_ids
from discfg_core.arguments import CommitOptions
from discfg_core.clock import Deadline
from discfg_core.engine import (
    ConfigHandle,
    KeyCondition,
    Put,
    RemovePrefix,
    StorageEngine,
    Transaction,
    View,
)
from discfg_core.errors import ConditionFailed, InvalidOption, KeyNotFound
from discfg_core.keys import normalize_key, normalize_prefix
from discfg_core.mapping import NO_DEFAULT, ConfigMapping
from discfg_core.retry import Attempts
from discfg_core.transaction import ConfigTransaction

if TYPE_CHECKING:
    from _typeshed import SupportsKeysAndGetItem

    from discfg_core.model import Change, Commit, ConfigInfo, Node

_T = TypeVar("_T")

_HISTORY_PAGE = 100


class Config(ConfigMapping):
    """A versioned config. `Store` makes these; making one sends nothing.

    Linearizable: a call sees every write acknowledged before it began, by whatever client,
    unless the store was opened, or the call is made, with `max_staleness`. Every write is one
    commit, atomic and durable once it returns. Thread-safe.

    It stays with the incarnation that it first meets. When that one is dropped, each call
    raises `ConfigNotFound`, or `ConfigReplaced` once another config has the name.

    As a mapping it holds each key's decoded data, ``cfg["db/host"]``. Three methods differ from
    a dict's, and say so: `get` returns a `Node`, `values` a dict, `update` also takes a
    function. What is iterated over is of one revision, and does not change meanwhile. Two
    configs are equal only if they are the same object.

    What holds for all methods: `timeout` is seconds, that of the store where it is left out.
    Any call may raise `StoreError` subclasses, `Timeout` (surely nothing happened) and `Closed`.
    Keys may leave out their leading ``/``; a bad one is `InvalidKey`, a bad argument
    `InvalidOption`, a text over its limit `TextTooLong`; then nothing was sent.

    What holds for all writes: they take the options of `CommitOptions`. `if_config_revision` is
    the config's revision before the commit, else `ConditionFailed`. `message` and `actor` say why
    and who; the actor is the store's where it is left out. A `commit_id` makes a repetition safe:
    a write that this actor made under it already is answered with its commit and not done again
    (`CommitIdReused`, `CommitIdExpired`). `OutcomeUnknown` says that nobody can tell, and names
    the id to ask `outcome` about; `ClockSkew` that this machine's clock is too far behind.
    """

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
        max_staleness: float | EllipsisType | None = ...,
        timeout: float | None = None,
    ) -> Node: ...
    @overload
    def get(
        self,
        key: str,
        default: _T,
        *,
        max_staleness: float | EllipsisType | None = ...,
        timeout: float | None = None,
    ) -> Node | _T: ...
    def get(
        self,
        key: str,
        default: Any = NO_DEFAULT,
        *,
        max_staleness: float | EllipsisType | None = ...,
        timeout: float | None = None,
    ) -> Any:
        """The key's node: value, content type, version, revision, times.

        Args:
            key: The key.
            default: Returned where the key is absent; without it that is an error.
            max_staleness: Seconds the answer may be behind; ``None`` for the latest; the
                store's where left out.
            timeout: See the class.

        Raises:
            KeyNotFound: The key is absent, and there is no default. A `KeyError` too.
            ConfigNotFound, ConfigReplaced, InvalidKey, InvalidOption: See the class.
        """
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
        max_staleness: float | EllipsisType | None = ...,
        timeout: float | None = None,
    ) -> Iterator[Node]:
        """The nodes of the prefix itself and below it, sorted by key, all of one revision.

        That revision is taken by the call, not by the iteration, and later commits do not show.

        Args:
            prefix: Whole segments: ``db`` is ``/db`` and ``/db/host``, not ``/dbs``.
            after: Begin behind this key.
            max_staleness: As for `get`.
            timeout: See the class.

        Raises:
            ConfigNotFound, ConfigReplaced, InvalidKey, InvalidOption: See the class.
        """
        prefix = normalize_prefix(prefix)
        if after is not None:
            after = normalize_key(after)
        return self._view(max_staleness, timeout).list(prefix, after=after)

    def history(
        self,
        prefix: str = "/",
        *,
        before: int | None = None,
        limit: int | None = None,
        timeout: float | None = None,
    ) -> Iterator[Commit]:
        """The commits, newest first, each whole, with previous nodes; fetched as it goes.

        Args:
            prefix: Only commits that changed this key or one below it.
            before: Only those of a lower revision than this.
            limit: At most so many; all where left out.
            timeout: For each fetch.

        Raises:
            ConfigNotFound, ConfigReplaced, InvalidKey, InvalidOption: See the class; bad
                arguments by the call, the rest by the iteration.
        """
        prefix = normalize_prefix(prefix)
        arguments.check_number("before", before, least=1, hint="give a revision, from 1")
        arguments.check_number("limit", limit, least=0, hint="give a number of commits, from 0")
        if timeout is not None:
            arguments.check_timeout(timeout)
        return self._commits(prefix, before, limit, timeout)

    def _commits(
        self, prefix: str, before: int | None, limit: int | None, timeout: float | None
    ) -> Iterator[Commit]:
        left = limit
        while left is None or left > 0:
            page = self._engine.history(
                self._handle,
                prefix=prefix,
                before=before,
                limit=_HISTORY_PAGE if left is None else min(left, _HISTORY_PAGE),
                deadline=self._deadline(timeout),
            )
            yield from page.commits
            if page.before is None:
                return
            before = page.before
            if left is not None:
                left -= len(page.commits)

    # --- writing ---

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
        **options: Unpack[CommitOptions],
    ) -> Change:
        """Write a key; atomic, and only if every condition given holds at that moment.

        Args:
            key: The key.
            data: ``bytes`` are stored as they are, ``str`` as text, anything else as JSON.
            content_type: ``type/subtype``; with it bytes and text keep their own bytes, and
                with a JSON type text is JSON too.
            if_version: The node's version now.
            if_revision: The node's revision now: the safe thing to compare, since a key that
                is deleted and created anew counts its versions from 1 again.
            if_absent: The key is absent now.
            if_value: The stored bytes now: ``bytes`` as they are, anything else in the form
                that `data` would get. ``b"null"`` for a JSON null; ``None`` is no condition.
            **options: See the class.

        Returns:
            The change: the node written, and the very node it replaced.

        Raises:
            ConditionFailed: A condition does not hold; carries the node that stands there.
            InvalidValue: The data has no stored form, see `content_type`.
            ValueTooLarge: It exceeds 16 MiB.
            ConfigNotFound, ConfigReplaced, OutcomeUnknown, and the rest: See the class.
        """
        value, kind = arguments.encode(data, content_type)
        return self._engine.set(
            self._handle,
            key,
            value,
            kind,
            condition=arguments.key_condition(
                key,
                version=if_version,
                revision=if_revision,
                absent=if_absent,
                value=if_value,
                content_type=content_type,
            ),
            options=self._how(options),
            deadline=self._deadline(options.get("timeout")),
        )

    def delete(
        self,
        key: str,
        *,
        if_version: int | None = None,
        if_revision: int | None = None,
        if_value: Any = None,
        **options: Unpack[CommitOptions],
    ) -> Change:
        """Remove a key; atomic, and only if every condition given holds at that moment.

        Arguments are as for `set`.

        Returns:
            The change: its node is the key with version + 1 and no value.

        Raises:
            KeyNotFound: The key is absent, and no condition was given. A `KeyError` too.
            ConditionFailed: A condition does not hold; carries the node that stands there.
            ConfigNotFound, ConfigReplaced, OutcomeUnknown, and the rest: See the class.
        """
        return self._engine.delete(
            self._handle,
            key,
            condition=arguments.key_condition(
                key, version=if_version, revision=if_revision, absent=False, value=if_value
            ),
            options=self._how(options),
            deadline=self._deadline(options.get("timeout")),
        )

    def delete_prefix(
        self,
        prefix: str,
        **options: Unpack[CommitOptions],
    ) -> Commit | None:
        """Remove the prefix itself and every key below it, whole segments, in one commit.

        Returns:
            The commit; ``None`` where there was nothing to remove, which makes none.

        Raises:
            ConditionFailed: `if_config_revision` does not hold.
            CommitTooLarge: More than 100,000 keys.
            ConfigNotFound, ConfigReplaced, OutcomeUnknown, and the rest: See the class.
        """
        return self._commit(options, RemovePrefix(normalize_prefix(prefix)))

    # A mapping's `update` returns None and takes no function; ours is called the same way.
    @overload  # type: ignore[override]  # other than a dict's, and said so
    def update(
        self,
        key: str,
        fn: Callable[[Any], Any],
        /,
        *,
        content_type: str | None = None,
        message: str = "",
        actor: str | None = None,
        timeout: float | None = None,
    ) -> Change: ...
    @overload
    def update(
        self,
        other: SupportsKeysAndGetItem[str, Any] | Iterable[tuple[str, Any]] = ...,
        /,
        *,
        content_type: str | None = None,
        if_config_revision: int | None = None,
        commit_id: str | None = None,
        message: str = "",
        actor: str | None = None,
        timeout: float | None = None,
    ) -> Commit | None: ...
    def update(
        self,
        other: Any = (),
        fn: Callable[[Any], Any] | None = None,
        /,
        *,
        content_type: str | None = None,
        **options: Any,
    ) -> Change | Commit | None:
        """Change one key by a function, or write many keys at once.

        ``update(key, fn)`` loses no update: it reads the key, calls `fn` with the decoded data
        (``None`` for an absent key), and writes what `fn` returns only if the key is still what
        was read; else it does all of that again, until it holds or the time is up. `fn` may run
        several times. What it raises comes out as it is, with nothing written.

        ``update(mapping)`` and ``update(pairs)`` are atomic: one commit writes every key. Other
        than with a dict, a keyword is an option and never a key.

        Args:
            other: The key, or a mapping or pairs of keys and data.
            fn: From the data that are there to the data to write.
            content_type: As for `set`, of everything written.
            **options: See the class; `if_config_revision` and `commit_id` not along with `fn`.

        Returns:
            The change of the key; or the commit, ``None`` where no keys were given.

        Raises:
            Timeout: Others changed the key each time; nothing was written.
            InvalidValue, ValueTooLarge: As for `set`.
            ConditionFailed: `if_config_revision` does not hold.
            CommitTooLarge: More than 100,000 keys.
            ConfigNotFound, ConfigReplaced, OutcomeUnknown, and the rest: See the class.
        """
        if fn is None and not isinstance(other, str):
            # Not a key for each keyword, as with a dict: a mistyped option would be written.
            how = cast("CommitOptions", options)
            self._how(how)
            ops = [
                Put(normalize_key(key), *arguments.encode(data, content_type))
                for key, data in arguments.pairs(other)
            ]
            return self._commit(how, *ops) if ops else None
        if not callable(fn):
            raise InvalidOption(
                "update takes a key and a function, or a mapping",
                hint="write one value with set(key, data)",
            )
        for name in ("if_config_revision", "commit_id"):
            if name in options:
                raise InvalidOption(
                    f"update with a function takes no {name}", hint="use a transaction, or set"
                )
        return self._change(normalize_key(other), fn, content_type, cast("CommitOptions", options))

    def _change(
        self,
        key: str,
        fn: Callable[[Any], Any],
        content_type: str | None,
        options: CommitOptions,
    ) -> Change:
        how = self._how(options)
        attempts = Attempts(self._deadline(options.get("timeout")))
        while True:
            node = self._find(key, attempts.deadline)
            value, kind = arguments.encode(fn(None if node is None else node.data), content_type)
            try:
                return self._engine.set(
                    self._handle,
                    key,
                    value,
                    kind,
                    condition=(
                        KeyCondition(key, absent=True)
                        if node is None
                        else KeyCondition(key, revision=node.revision)
                    ),
                    options=how,
                    deadline=attempts.deadline,
                )
            except ConditionFailed as error:
                attempts.failed(error)

    def _find(self, key: str, deadline: Deadline) -> Node | None:
        try:
            return self._engine.get(self._handle, key, deadline=deadline)
        except KeyNotFound:
            return None

    def transaction(self, **options: Unpack[CommitOptions]) -> ConfigTransaction:
        """Reads and writes that become one commit when the ``with`` block ends, or nothing.

        Serializable: the commit happens only if all that the block read is still so.

        A block that is run again with the `commit_id` of its commit reads what that commit left,
        so it may ask for something else; then it is refused with `CommitIdReused`.

        Args:
            **options: See the class; the timeout is for each request: the first read, the commit.

        Raises:
            InvalidOption, TextTooLong: See the class.
        """
        return ConfigTransaction(
            self._engine,
            self._handle,
            options=self._how(options),
            timeout=arguments.seconds(self._defaults, options.get("timeout")),
        )

    def update_settings(
        self,
        settings: Mapping[str, Any] | str | bytes,
        **options: Unpack[CommitOptions],
    ) -> Commit | None:
        """Replace the whole of the config's settings, in one commit.

        Args:
            settings: A mapping that is a JSON object, or its JSON text.
            **options: See the class.

        Returns:
            The commit; ``None`` where the settings are these already, which makes none.

        Raises:
            InvalidSettings: They are no JSON object, or the store cannot take them.
            ConditionFailed: `if_config_revision` does not hold.
            ConfigNotFound, ConfigReplaced, OutcomeUnknown, and the rest: See the class.
        """
        return self._commit(options, settings=arguments.settings(settings))

    # --- commit ids ---

    def new_commit_id(self, *, timeout: float | None = None) -> str:
        """A fresh id for `commit_id`, of which `outcome` can always tell whether it was used.

        It holds the config's incarnation and latest revision, besides 128 random bits; asking
        for one is a read.

        Raises:
            ConfigNotFound, ConfigReplaced: See the class.
        """
        view = self._view(None, timeout)
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

    def _view(self, max_staleness: float | EllipsisType | None, timeout: float | None) -> View:
        return self._engine.view(
            self._handle,
            max_staleness=(
                self._max_staleness
                if max_staleness is ...
                else arguments.check_staleness(max_staleness)
            ),
            deadline=self._deadline(timeout),
        )

    def _how(self, options: CommitOptions) -> Transaction:
        return arguments.how_to_commit(self._defaults, options) if options else self._plain

    def _commit(
        self,
        options: CommitOptions,
        *ops: Put | RemovePrefix,
        settings: Mapping[str, Any] | None = None,
    ) -> Commit | None:
        return self._engine.commit(
            self._handle,
            msgspec.structs.replace(self._how(options), ops=ops, settings=settings),
            deadline=self._deadline(options.get("timeout")),
        )
