"""Every error that leaves discfg, under one root.

A caller needs three things of an error: what it means for its data (nothing
happened, something happened, nobody can tell), whether trying again can help
(`retryable`, decided per cause and never per class alone), and what to do
(`hint`). Classes are grouped by the first. The docstring of each class begins
with "Raised when".

No message, hint or attribute ever holds a credential: text that comes from a
URL goes through `discfg_core.urls.redact` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from discfg_core.model import Node
    from discfg_core.schema import Violation


class DiscfgError(Exception):
    """Raised when discfg cannot do what it was asked; the root of all its errors.

    Attributes:
        code: A stable word for programs, the same on every surface.
        engine: The engine's URL scheme, where one was involved.
        operation: What was being done, such as ``"set"``.
        config: The config's name.
        key: The key.
        hint: What the caller can do about it, one sentence.
        retryable: Whether the same call may succeed later, unchanged.
        __cause__: The store's own error, where there was one.
    """

    code: ClassVar[str] = "error"
    default_hint: ClassVar[str | None] = None
    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        engine: str | None = None,
        operation: str | None = None,
        config: str | None = None,
        key: str | None = None,
        hint: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.engine = engine
        self.operation = operation
        self.config = config
        self.key = key
        self.hint = hint if hint is not None else self.default_hint
        self.retryable = self.default_retryable if retryable is None else retryable

    def locate(
        self,
        *,
        engine: str | None = None,
        operation: str | None = None,
        config: str | None = None,
        key: str | None = None,
    ) -> DiscfgError:
        """Fill in what a lower layer did not know; what is set already stays.

        Returns:
            This very error, so that ``raise error.locate(...)`` reads well.
        """
        self.engine = self.engine or engine
        self.operation = self.operation or operation
        self.config = self.config or config
        self.key = self.key or key
        return self

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}: {self.hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions pickle by their positional arguments, which would lose the
        # keyword ones; a process pool must be able to hand an error back whole.
        return (_rebuild, (type(self), dict(self.__dict__)))


def _rebuild(cls: type[DiscfgError], attributes: dict[str, Any]) -> DiscfgError:
    error = cls.__new__(cls)
    Exception.__init__(error, attributes["message"])
    error.__dict__.update(attributes)
    return error


# --- bad input: refused before anything is sent --------------------------------------


class InvalidInput(DiscfgError):
    """Raised when the caller's input is refused; nothing was sent to the store."""

    code = "invalid_input"


class InvalidKey(InvalidInput):
    """Raised when a key or prefix is not a path discfg accepts."""

    code = "invalid_key"
    default_hint = (
        "a key is a path such as /db/host: segments separated by one '/', none empty, "
        "'.' or '..', no control characters, valid UTF-8, at most 1,024 bytes in all"
    )


class InvalidName(InvalidInput):
    """Raised when a config's name is not one discfg accepts."""

    code = "invalid_name"
    default_hint = (
        "a config's name has 1 to 128 of A-Z a-z 0-9 . _ - and begins with a letter or digit"
    )


class InvalidURL(InvalidInput):
    """Raised when a store's URL cannot be understood; the URL is quoted without its secrets."""

    code = "invalid_url"
    default_hint = "a store's URL looks like sqlite:///app.db or scheme://host:port/path?option=x"


class InvalidOption(InvalidInput):
    """Raised when a URL option or call argument is unknown, or its value out of range."""

    code = "invalid_option"


class InvalidValue(InvalidInput):
    """Raised when a value cannot be stored as, or decoded from, its content type."""

    code = "invalid_value"


class InvalidSettings(InvalidInput):
    """Raised when a config's settings are not a JSON object."""

    code = "invalid_settings"
    default_hint = """settings are one JSON object, such as '{"setting": 1}'"""


class InvalidSchema(InvalidInput):
    """Raised when a schema is none of JSON Schema 2020-12, or one that discfg refuses."""

    code = "invalid_schema"
    default_hint = (
        "a schema is one JSON object of JSON Schema 2020-12; it refers to nothing outside of "
        "itself, and its patterns have no look-around and no back-references"
    )


class ValueTooLarge(InvalidInput):
    """Raised when a value exceeds 16 MiB."""

    code = "value_too_large"
    default_hint = "split it over several keys, or store a reference to it"


class CommitTooLarge(InvalidInput):
    """Raised when a commit touches more than 100,000 keys."""

    code = "commit_too_large"
    default_hint = "split it into several commits"


class TextTooLong(InvalidInput):
    """Raised when a message exceeds 4 KiB, or an actor or commit id 256 bytes."""

    code = "text_too_long"
    default_hint = "shorten it"


class InvalidTransaction(InvalidInput):
    """Raised when a transaction is malformed, or used outside its ``with`` block."""

    code = "invalid_transaction"


class InvalidDotfile(InvalidInput):
    """Raised when the working directory's ``.discfg`` is not one that discfg wrote."""

    code = "invalid_dotfile"


class FileUnreadable(InvalidInput):
    """Raised when a file that the caller named cannot be read."""

    code = "file_unreadable"
    default_hint = "check the path and its permissions"


# --- what was asked for is not there, or is there already ------------------------------


class NotFound(DiscfgError):
    """Raised when what was named does not exist."""

    code = "not_found"


class ConfigNotFound(NotFound):
    """Raised when the config does not exist, or was deleted."""

    code = "config_not_found"
    default_hint = "create it first, or list what exists with `discfg configs`"


class KeyNotFound(NotFound, KeyError):
    """Raised when the key is absent; also a `KeyError`, because `Config` is a mapping."""

    code = "key_not_found"

    # KeyError would print the repr of its argument.
    __str__ = DiscfgError.__str__


class RevisionNotFound(NotFound):
    """Raised when a config has not come to a revision yet."""

    code = "revision_not_found"
    default_hint = "see which there are with `discfg history`"


class ConfigExists(DiscfgError):
    """Raised when a config that should be created exists already."""

    code = "config_exists"
    default_hint = "open it, or choose another name"


class ConfigReplaced(DiscfgError):
    """Raised when the config a handle belongs to was deleted and created anew.

    Nothing of the new config was read or changed.
    """

    code = "config_replaced"
    default_hint = "open the config again to work with the new one"


# --- the condition of a write did not hold ----------------------------------------------


class ConditionFailed(DiscfgError):
    """Raised when a write's condition does not hold; nothing was written.

    Attributes:
        node: The node that stands there instead, ``None`` where the key is absent.
        revision: The config's revision at which the condition was judged.
    """

    code = "condition_failed"
    default_hint = "read it again and decide anew"

    def __init__(
        self, message: str, *, node: Node | None = None, revision: int = 0, **where: Any
    ) -> None:
        super().__init__(message, **where)
        self.node = node
        self.revision = revision


class SchemaViolated(DiscfgError):
    """Raised when a commit would leave a document that the config's schema forbids, or set a
    schema that forbids the document; nothing was written.

    Attributes:
        violations: Each `discfg_core.schema.Violation` that was found, the first 1,000.
    """

    code = "schema_violated"
    default_hint = "see `discfg schema show`; `discfg schema check` judges what is there"

    def __init__(
        self, message: str, *, violations: tuple[Violation, ...] = (), **where: Any
    ) -> None:
        super().__init__(message, **where)
        self.violations = violations


class DocumentTooLarge(DiscfgError):
    """Raised when a config with a schema would come to exceed 1 MiB; nothing was written."""

    code = "document_too_large"
    default_hint = "keep large values in a config without a schema, or take the schema away"


class CommitIdReused(DiscfgError):
    """Raised when a commit id was used before for something else; nothing was written."""

    code = "commit_id_reused"
    default_hint = "use a new commit id for a new change"


class CommitIdExpired(DiscfgError):
    """Raised when a commit id is too old to tell whether it was used; nothing was written."""

    code = "commit_id_expired"
    default_hint = "look at the history, then write with a new commit id if it is not there"


class ClockSkew(DiscfgError):
    """Raised when this machine's clock is far behind the config's last commit."""

    code = "clock_skew"
    default_hint = "set this machine's clock, or connect with max_clock_skew=None"


# --- the store --------------------------------------------------------------------------


class StoreError(DiscfgError):
    """Raised when the store itself is in the way; nothing was written."""

    code = "store_error"


class StoreUnavailable(StoreError):
    """Raised when the store cannot be reached or does not serve; surely nothing happened."""

    code = "store_unavailable"
    default_retryable = True
    default_hint = "see whether the store is up and can be reached from here, then try again"


class WatchStale(StoreUnavailable):
    """Raised when a watch could not reach its store for longer than asked. Nothing is lost:
    asked for the next commit, it goes on where it was.
    """

    code = "watch_stale"
    default_hint = "go on with the same watch once the store is back, or fall back to what you have"


class StoreBusy(StoreUnavailable):
    """Raised when the store is locked or throttled for longer than the time-out."""

    code = "store_busy"
    default_hint = "try again, with a longer timeout if others hold it for long"


class StoreFull(StoreError):
    """Raised when the store has no room left."""

    code = "store_full"
    default_hint = "free or add space, then try again"


class AccessDenied(StoreError):
    """Raised when the store refuses these credentials or permissions."""

    code = "access_denied"
    default_hint = "check the credentials and the permissions they carry"


class UnsupportedStore(StoreError):
    """Raised when the store is not one that discfg may write to; it is left untouched."""

    code = "unsupported_store"


class NewerFormat(UnsupportedStore):
    """Raised when the data was written by a newer discfg than this one; it is left untouched."""

    code = "newer_format"
    default_hint = "upgrade discfg"


class Corrupt(StoreError):
    """Raised when stored data is damaged or a part of it is missing."""

    code = "corrupt"
    default_hint = "run `discfg fsck` on the store, and restore it from a backup"


# --- time ---------------------------------------------------------------------------------


class Timeout(DiscfgError):
    """Raised when the deadline passed first; surely nothing happened."""

    code = "timeout"
    default_retryable = True
    default_hint = "try again, with a longer timeout"


class OutcomeUnknown(DiscfgError):
    """Raised when nobody can tell whether the write happened.

    Attributes:
        commit_id: What `Config.outcome` can be asked about; ``None`` for what is no commit.
    """

    code = "outcome_unknown"
    default_hint = "ask `outcome` about the commit id before you write again"

    def __init__(self, message: str, *, commit_id: str | None = None, **where: Any) -> None:
        super().__init__(message, **where)
        self.commit_id = commit_id


class SettingsNotApplied(DiscfgError):
    """Raised when settings were committed and the store's own resource could not be changed to
    them; no other commit is made when the same settings are given again.
    """

    code = "settings_not_applied"
    default_retryable = True
    default_hint = "give the same settings again; `discfg info` shows what the store has"


# --- engines --------------------------------------------------------------------------------


class EngineError(DiscfgError):
    """Raised when no engine can serve a URL as asked."""

    code = "engine_error"


class UnknownEngine(EngineError):
    """Raised when no installed engine has the URL's scheme."""

    code = "unknown_engine"


class EngineNotInstalled(UnknownEngine):
    """Raised when the scheme is one of discfg's own whose distribution is not installed."""

    code = "engine_not_installed"


class DuplicateEngine(EngineError):
    """Raised when two installed distributions claim one scheme."""

    code = "duplicate_engine"
    default_hint = "uninstall one of them"


class EngineLoadFailed(EngineError):
    """Raised when an engine is installed but cannot be imported or started."""

    code = "engine_load_failed"


class GuaranteeNotMet(EngineError):
    """Raised when the engine cannot give a guarantee the caller requires."""

    code = "guarantee_not_met"
    default_hint = "choose another store, or require less"


class Closed(DiscfgError):
    """Raised when a store is used after it was closed."""

    code = "closed"
    default_hint = "connect again"
