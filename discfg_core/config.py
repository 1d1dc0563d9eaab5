"""`Config`: one versioned config, as applications hold it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Unpack, cast, overload

import msgspec

from discfg_core import arguments, rewriting
from discfg_core.arguments import CommitOptions, Moment
from discfg_core.clock import Deadline
from discfg_core.engine import (
    KeyCondition,
    PrefixCondition,
    Put,
    Remove,
    RemovePrefix,
    Transaction,
    View,
)
from discfg_core.errors import ConditionFailed, InvalidOption, KeyNotFound
from discfg_core.governing import GovernedConfig
from discfg_core.keys import normalize_key, normalize_prefix
from discfg_core.retry import Attempts
from discfg_core.transaction import ConfigTransaction

if TYPE_CHECKING:
    from _typeshed import SupportsKeysAndGetItem

    from discfg_core.model import Change, Commit, Node


class Config(GovernedConfig):
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

    __slots__ = ()

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

    def replace(
        self,
        values: Mapping[str, Any] | Iterable[tuple[str, Any]],
        **options: Unpack[CommitOptions],
    ) -> Commit | None:
        """Make these the whole of the config, in one commit: what is not among them is removed.

        A key whose data are what they should be keeps its version, revision and content type,
        so that ``replace(values())`` changes nothing. Whoever changes a key meanwhile is not
        overwritten unseen: the difference is worked out anew.

        Args:
            values: Every key and its data, as for `set`.
            **options: See the class.

        Returns:
            The commit; ``None`` where all of it is so already, which makes none.

        Raises:
            Timeout: Others changed the config each time; nothing was written.
            InvalidValue, ValueTooLarge: As for `set`.
            CommitTooLarge: More than 100,000 keys change.
            ConditionFailed: `if_config_revision` does not hold.
            ConfigNotFound, ConfigReplaced, OutcomeUnknown, and the rest: See the class.
        """
        stored = {
            normalize_key(key): arguments.encode(data, None)
            for key, data in arguments.pairs(values)
        }
        asked = blake2b(digest_size=16)
        for key in sorted(stored):
            for part in (key.encode(), *(stored[key][0], stored[key][1].encode())):
                asked.update(b"%d:" % len(part))
                asked.update(part)
        return self._rewrite(
            lambda present: rewriting.to_values(present, stored),
            ("/",),
            b"replace" + asked.digest(),
            options,
        )

    def revert(
        self,
        to: Moment,
        keys: Iterable[str] | None = None,
        **options: Unpack[CommitOptions],
    ) -> Commit | None:
        """Put the keys back to what they were at a revision, in a new commit that names it.

        Nothing of the history is rewritten: the commit writes what was, with new versions, and
        removes what was not there then; `reverted_to` of it is the revision. Settings stay.

        Args:
            to: As `at` for `get`.
            keys: Only these, and what is below them; all where left out.
            **options: See the class.

        Returns:
            The commit; ``None`` where nothing differs, which makes none.

        Raises:
            RevisionNotFound: There is no such revision yet.
            Timeout: Others changed these keys each time; nothing was written.
            CommitTooLarge: More than 100,000 keys change.
            ConditionFailed: `if_config_revision` does not hold.
            ConfigNotFound, ConfigReplaced, OutcomeUnknown, and the rest: See the class.
        """
        how = self._how(options)
        prefixes = ("/",) if keys is None else arguments.prefixes(keys)
        past = self._view_by(to, self._deadline(options.get("timeout")))
        return self._rewrite(
            lambda present: rewriting.to_past(present, past, prefixes),
            prefixes,
            msgspec.json.encode(("revert", past.revision, prefixes)),
            options,
            how=msgspec.structs.replace(how, reverted_to=past.revision),
        )

    def _rewrite(
        self,
        work_out: Callable[[View], tuple[Put | Remove, ...]],
        prefixes: tuple[str, ...],
        asked: bytes,
        options: CommitOptions,
        *,
        how: Transaction | None = None,
    ) -> Commit | None:
        """Commit what makes the present into something else, if it is still the present then."""
        how = how or self._how(options)
        attempts = Attempts(self._deadline(options.get("timeout")))
        while True:
            present = self._engine.view(self._handle, deadline=attempts.deadline)
            transaction = msgspec.structs.replace(
                how,
                ops=work_out(present),
                conditions=tuple(
                    PrefixCondition(prefix, present.fingerprint(prefix)) for prefix in prefixes
                ),
                asked=asked,
            )
            try:
                return self._engine.commit(self._handle, transaction, deadline=attempts.deadline)
            except ConditionFailed as error:
                wanted = how.if_config_revision
                if wanted is not None and error.revision != wanted:
                    raise
                attempts.failed(error)
