"""The contract between discfg and an engine: versioned configs, on whatever store.

`Store` and `Config` (what applications hold) are written against `StorageEngine` and nothing
else. `discfg_core.versioned.VersionedEngine` implements it once over any
`discfg_core.substrate.Substrate`; that is the ordinary way to add a store. An engine that
implements it by itself passes the same suite, `discfg_core.testing`.

What holds for every method:

* **Thread-safety.** Any method, from any number of threads, at any time.
* **Deadline.** The call ends by it. `Timeout` says that surely nothing happened;
  `OutcomeUnknown` that nobody can tell, and names the commit id to ask about.
* **Linearizable.** A read that begins after a write was acknowledged sees it, from whatever
  client; only `max_staleness` loosens that.
* **Identity.** A `ConfigHandle` is pinned to the incarnation it is first answered from. Once
  that one is gone every method raises `ConfigReplaced` (another one took its name) or
  `ConfigNotFound` (none did), and does nothing.
* **Input** is judged before anything is sent: `InvalidInput` subclasses leave no trace.
* **Errors** are `DiscfgError` subclasses, the store's own chained as the cause. Any method may
  raise `StoreError` subclasses, `Timeout` and `Closed`, besides those it lists.
* **Units.** Sizes in bytes, times in UTC nanoseconds, durations in seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import msgspec

from discfg_core.clock import Deadline
from discfg_core.errors import ConfigReplaced
from discfg_core.model import Change, Commit, ConfigInfo, Node

if TYPE_CHECKING:
    from discfg_core.substrate import Limits

MAX_COMMIT_KEYS = 100_000
MAX_MESSAGE_BYTES = 4096
MAX_ACTOR_BYTES = 256
MAX_COMMIT_ID_BYTES = 256
MAX_CLOCK_SKEW_SECONDS = 60.0


class Guarantee(StrEnum):
    """What differs between engines; a caller demands it with ``connect(require=...)``."""

    DURABLE = "durable"
    """An acknowledged commit survives the death of the process."""
    SHARED = "shared"
    """Other processes see the same configs."""
    DISTRIBUTED = "distributed"
    """Other machines do."""
    PUSH_WATCH = "push_watch"
    """The store announces a change by itself; nobody polls."""
    UNDROP = "undrop"
    """A dropped config can be brought back until its name is used anew."""


class ConfigHandle:
    """A config as one caller knows it: its name, and the incarnation it was first seen in."""

    __slots__ = ("incarnation", "name")

    def __init__(self, name: str, incarnation: str | None = None) -> None:
        self.name = name
        self.incarnation = incarnation

    def pin(self, incarnation: str) -> None:
        """Stay with this incarnation from now on; engines call it with what they found.

        Raises:
            ConfigReplaced: The handle belongs to another one.
        """
        if self.incarnation is None:
            self.incarnation = incarnation
        elif self.incarnation != incarnation:
            raise ConfigReplaced(
                f"config {self.name!r} was deleted and created anew", config=self.name
            )


# --- what a commit is asked to do ---------------------------------------------------------


class Put(msgspec.Struct, frozen=True):
    """Write a key: created at version 1, or its version counted up, equal bytes or not."""

    key: str
    value: bytes
    content_type: str


class Remove(msgspec.Struct, frozen=True):
    """Remove a key. An absent one is `KeyNotFound`, unless `missing_ok`."""

    key: str
    missing_ok: bool = False


class RemovePrefix(msgspec.Struct, frozen=True):
    """Remove the prefix itself and every key below it; whole segments; none is fine too."""

    prefix: str


class KeyCondition(msgspec.Struct, frozen=True):
    """What a key must be **before** the commit; each field that is given must hold.

    An absent key fulfils `absent` alone. `value` compares the stored bytes.
    """

    key: str
    version: int | None = None
    revision: int | None = None
    absent: bool = False
    value: bytes | None = None


class PrefixCondition(msgspec.Struct, frozen=True):
    """The keys under a prefix and their revisions must be what `View.fingerprint` gave."""

    prefix: str
    fingerprint: bytes


class Transaction(msgspec.Struct, frozen=True):
    """One commit, as it is asked for.

    Attributes:
        ops: Carried out in order, each on what the one before left.
        conditions: Judged before the first of them, on what the last commit left.
        if_config_revision: The revision the config must have before the commit.
        settings: New settings, replacing the whole of the old; ``None`` leaves them.
        schema: The JSON text of a new schema, `schema.NO_SCHEMA` to take it away; ``None``
            leaves it. Judged with the document that `ops` leave.
        actor: Who, at most 256 bytes.
        message: Why, at most 4 KiB.
        commit_id: The caller's own id, at most 256 bytes; makes a repetition safe.
        max_clock_skew: Seconds this clock may lie behind the last commit; ``None``: any.
        reverted_to: The revision whose values `ops` put back; kept with the commit.
        asked: What tells a repetition under one `commit_id`, where `ops` were worked out from
            the state and may be others the second time; ``None``: `ops` themselves.
    """

    ops: tuple[Put | Remove | RemovePrefix, ...] = ()
    conditions: tuple[KeyCondition | PrefixCondition, ...] = ()
    if_config_revision: int | None = None
    settings: Mapping[str, Any] | None = None
    schema: str | None = None
    actor: str = ""
    message: str = ""
    commit_id: str | None = None
    max_clock_skew: float | None = MAX_CLOCK_SKEW_SECONDS
    reverted_to: int | None = None
    asked: bytes | None = None


# --- what an engine answers -----------------------------------------------------------------


class View(Protocol):
    """A config at one revision; immutable, and usable after later commits."""

    @property
    def revision(self) -> int:
        """The revision all of it is of."""

    @property
    def incarnation(self) -> str:
        """The incarnation all of it is of."""

    def get(self, key: str) -> Node | None:
        """The node; ``None`` for an absent key. Raises `InvalidKey`."""

    def list(self, prefix: str = "/", *, after: str | None = None) -> Iterator[Node]:
        """The nodes of the prefix and below it, whole segments, sorted by key.

        Args:
            prefix: Where; ``/`` is everything.
            after: Begin behind this key.

        Raises:
            InvalidKey: A bad prefix or key.
        """

    def fingerprint(self, prefix: str) -> bytes:
        """What `PrefixCondition` compares. Raises `InvalidKey`."""


class HistoryPage(msgspec.Struct, frozen=True):
    """A part of the history.

    Attributes:
        commits: In the order asked for.
        rest: The `before` that continues it, or the `after` where the oldest came first;
            ``None`` at its end.
    """

    commits: tuple[Commit, ...]
    rest: int | None


class News(msgspec.Struct, frozen=True):
    """What `StorageEngine.follow` came to know.

    Attributes:
        commits: Those asked for, oldest first, none left out; empty where there are none.
        revision: Where to go on: there is nothing asked for up to here but `commits`.
    """

    commits: tuple[Commit, ...]
    revision: int


class CheckReport(msgspec.Struct, frozen=True):
    """What a check of one config found.

    Attributes:
        config: Its name.
        problems: One sentence each; none for a sound config.
        commits: Replayed.
        keys: Compared with what the replay gave.
        blobs: In the store for this config.
        orphans: Of those, referred to by nothing. Harmless: left by lost races and deaths.
        orphan_bytes: Their size.
    """

    config: str
    problems: tuple[str, ...]
    commits: int = 0
    keys: int = 0
    blobs: int = 0
    orphans: int = 0
    orphan_bytes: int = 0


class FindingStatus(StrEnum):
    """How grave a `Finding` is."""

    OK = "ok"
    WARNING = "warning"
    """It works; it may cost data or money later."""
    FAILED = "failed"
    """discfg cannot keep its guarantees on this store as it is."""


class Finding(msgspec.Struct, frozen=True):
    """One answer of `StorageEngine.diagnose`.

    Attributes:
        check: What was looked at, in a word.
        status: How grave it is.
        message: What was found.
        hint: The remedy; empty where none is needed.
    """

    check: str
    status: FindingStatus
    message: str
    hint: str = ""


class EngineProfile(msgspec.Struct, frozen=True):
    """What can be said of an engine before any store is opened; `discfg engines` shows it.

    Attributes:
        url: How its URLs are written, such as ``sqlite:///path``.
        options: Its URL's options, a frozen struct; each field is ``Annotated`` with a
            ``msgspec.Meta(description=...)``.
        guarantees: Those it gives on every store that it accepts.
        limits: Its figures, each with a reason.
    """

    url: str
    options: type[msgspec.Struct]
    guarantees: frozenset[Guarantee]
    limits: Limits


_Factory = TypeVar("_Factory", bound=Callable[..., "StorageEngine"])


def engine_factory(profile: EngineProfile) -> Callable[[_Factory], _Factory]:
    """Marks the callable behind an entry point with what its engine is, as ``profile``."""

    def mark(factory: _Factory) -> _Factory:
        factory.profile = profile  # type: ignore[attr-defined]  # a function takes attributes
        return factory

    return mark


@runtime_checkable
class StorageEngine(Protocol):
    """Versioned configs in one store. What holds for all methods is said in the module."""

    @property
    def scheme(self) -> str:
        """The URL scheme, for errors and `ConfigInfo.engine`."""

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """Those it gives; a demand for another fails when the store is opened."""

    # --- configs ---

    def create_config(
        self, name: str, settings: Mapping[str, Any], *, deadline: Deadline
    ) -> ConfigInfo:
        """Exactly one of concurrent callers creates it, at revision 0, usable at once.

        Not idempotent. A config deleted before may be created anew: a fresh incarnation
        that shares nothing with the old one, which can no longer be undeleted.

        Raises:
            ConfigExists: It is there.
            InvalidName, InvalidSettings: Bad input.
            OutcomeUnknown: Nobody can tell; repeat it, and take `ConfigExists` for done.
        """

    def describe_config(self, handle: ConfigHandle, *, deadline: Deadline) -> ConfigInfo:
        """The config's latest description; linearizable.

        Raises:
            ConfigNotFound, ConfigReplaced, InvalidName: See the module.
        """

    def delete_config(
        self, handle: ConfigHandle, *, actor: str = "", message: str = "", deadline: Deadline
    ) -> ConfigInfo:
        """Atomic: from then on every client finds the config absent.

        Returns:
            Its last description. Not idempotent: the second time is `ConfigNotFound`.

        Raises:
            ConfigNotFound, ConfigReplaced, InvalidName, TextTooLong: See the module.
            OutcomeUnknown: Nobody can tell; repeat it, and take `ConfigNotFound` for done.
        """

    def undelete_config(self, name: str, *, deadline: Deadline) -> ConfigInfo:
        """Bring back a deleted config, the same incarnation with its whole history.

        Works until the name is created anew or the store drops the config's resource.

        Raises:
            ConfigExists: It is there.
            ConfigNotFound: There is nothing to bring back.
            InvalidName: Bad input.
            OutcomeUnknown: Nobody can tell; repeat it.
        """

    def list_configs(self, *, deadline: Deadline) -> list[str]:
        """The names of all configs, sorted; deleted ones are left out.

        Not atomic: a config created or deleted meanwhile may be in it or not.
        """

    # --- reading ---

    def get(
        self,
        handle: ConfigHandle,
        key: str,
        *,
        max_staleness: float | None = None,
        deadline: Deadline,
    ) -> Node:
        """One key, its value at hand.

        Args:
            handle: The config.
            key: In any accepted spelling.
            max_staleness: Seconds the answer may be behind; ``None`` is linearizable.
            deadline: The end of it.

        Raises:
            KeyNotFound: It is absent.
            ConfigNotFound, ConfigReplaced, InvalidName, InvalidKey: See the module.
        """

    def view(
        self,
        handle: ConfigHandle,
        *,
        at: int | None = None,
        max_staleness: float | None = None,
        deadline: Deadline,
    ) -> View:
        """The whole config at one revision, the latest or an earlier one.

        Args:
            handle: The config.
            at: As this revision left it, 0 for the empty config; ``None`` for the latest.
            max_staleness: As for `get`; of no effect along with `at`, since what was is so
                for good.
            deadline: The end of it.

        Raises:
            RevisionNotFound: `at` is not there yet.
            InvalidOption: `at` is below 0.
            ConfigNotFound, ConfigReplaced, InvalidName: See the module.
        """

    def revision_at(self, handle: ConfigHandle, time_ns: int, *, deadline: Deadline) -> int:
        """The last revision of that time or before; 0 where there is none. Linearizable.

        Raises:
            ConfigNotFound, ConfigReplaced, InvalidName: See the module.
        """

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
        """Commits newest first, each whole, with previous nodes.

        Args:
            handle: The config.
            prefix: Only commits that changed the prefix itself or a key below it.
            before: Only those of a lower revision than this.
            after: Only those of a higher revision than this.
            actor: Only those of this actor; ``None`` for any.
            oldest_first: The other way round.
            limit: At most so many, from 1.
            deadline: The end of it.

        Raises:
            InvalidOption: `limit`, `before` or `after` is out of range.
            ConfigNotFound, ConfigReplaced, InvalidName, InvalidKey: See the module.
        """

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
        """The commits after a revision, as soon as there are any: lossless, in order, once.

        All that follow one config in a process share one look at the store. Who follows may be
        behind the store, by `fresh_within` at most; it never goes back.

        Args:
            handle: The config.
            after: Only commits of a higher revision than this, which may be one to come.
            prefix: Only commits that changed the prefix itself or a key below it.
            limit: At most so many, from 1.
            fresh_within: Seconds; older than this, what is known is asked for anew.
            deadline: The end of it; what there is by then is the answer, if only nothing.
            cancel: Ends it within about a second, with nothing.

        Raises:
            StoreError, Timeout: The store cannot be reached; ask again.
            InvalidOption: `limit` or `after` is out of range.
            ConfigNotFound, ConfigReplaced, InvalidName, InvalidKey: See the module.
        """

    def outcome(self, handle: ConfigHandle, commit_id: str, *, deadline: Deadline) -> Commit | None:
        """What became of a commit id, for good.

        Returns:
            The commit; ``None`` if it did not happen, and no request sent so far can make it
            happen. A writer that has not returned yet may still commit, by a request to come.

        Raises:
            CommitIdExpired: The id is too old to tell.
            ConfigNotFound, ConfigReplaced, InvalidName, TextTooLong: See the module.
        """

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
        """A commit of one `Put`; all that `commit` says holds.

        Args:
            handle: The config.
            key: In any accepted spelling.
            value: The bytes.
            content_type: Theirs.
            condition: On this key.
            options: A `Transaction` without ops, for the rest of its fields.
            deadline: The end of it.

        Returns:
            The change: the node written and the very node it replaced.

        Raises:
            ConditionFailed, OutcomeUnknown, ClockSkew, and the rest of `commit`.
        """

    def delete(
        self,
        handle: ConfigHandle,
        key: str,
        *,
        condition: KeyCondition | None = None,
        options: Transaction | None = None,
        deadline: Deadline,
    ) -> Change:
        """A commit of one `Remove`; arguments and the rest as for `set`.

        Returns:
            The change; its node has the version + 1 and no value.

        Raises:
            KeyNotFound: It is absent, and no condition was given that says so first.
            ConditionFailed, OutcomeUnknown, ClockSkew, and the rest of `commit`.
        """

    def commit(
        self, handle: ConfigHandle, transaction: Transaction, *, deadline: Deadline
    ) -> Commit | None:
        """Atomic, durable, exactly once: one commit at one revision, or nothing at all.

        Returns:
            The commit; ``None`` where the transaction has no effect, which makes none. With
            a `commit_id` that was committed before: that commit, nothing written.

        Raises:
            ConditionFailed: A condition does not hold; carries the node that stands there.
            KeyNotFound: A `Remove` of an absent key.
            CommitIdReused, CommitIdExpired: See the classes; the id is the actor's own. Ops and
                settings make out a repetition; conditions, which the first time judged, do not.
            ClockSkew: This clock is too far behind.
            InvalidKey, InvalidSettings, InvalidValue, ValueTooLarge, CommitTooLarge,
            TextTooLong, InvalidOption: Bad input.
            ConfigNotFound, ConfigReplaced, InvalidName: See the module.
            OutcomeUnknown: Nobody can tell; carries the commit id.
        """

    # --- the rest ---

    def check(self, name: str, *, deadline: Deadline) -> CheckReport:
        """Read all of a config, deleted or not, and compare its parts; changes nothing.

        Raises:
            ConfigNotFound: There is nothing of this name.
            InvalidName: Bad input.
        """

    def diagnose(self, *, deadline: Deadline) -> Iterator[Finding]:
        """What an operator should know of the store as it is set up: its server's version (the
        check ``server``), permissions, settings that endanger the data or cost money.

        Nothing of a config is read or written. A store that cannot be asked is a finding too.
        """

    def close(self) -> None:
        """Release everything; idempotent. Later calls of other methods raise `Closed`."""
