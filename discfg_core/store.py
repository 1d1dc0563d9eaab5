"""`connect` and `Store`: the way in for applications."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from discfg_core import arguments
from discfg_core.clock import Deadline
from discfg_core.config import Config
from discfg_core.engine import (
    MAX_CLOCK_SKEW_SECONDS,
    CheckReport,
    ConfigHandle,
    Guarantee,
    StorageEngine,
)
from discfg_core.keys import check_name
from discfg_core.registry import open_engine
from discfg_core.urls import StoreURL, parse

if TYPE_CHECKING:
    from discfg_core.model import ConfigInfo


def connect(
    url: str | StoreURL,
    *,
    actor: str = "",
    max_staleness: float | None = None,
    timeout: float = arguments.DEFAULT_TIMEOUT_SECONDS,
    require: Iterable[Guarantee | str] = frozenset(),
    max_clock_skew: float | None = MAX_CLOCK_SKEW_SECONDS,
) -> Store:
    """Open the store that a URL names; the same guarantees hold on every one.

    Close it, or use it as a context manager: ``with connect("sqlite:///app.db") as store``.

    Args:
        url: Such as ``sqlite:///app.db`` or ``memory://name``; text, or parsed already.
        actor: Who writes, for the history, where a write does not say; at most 256 bytes.
        max_staleness: Seconds a read may be behind where it does not say; such reads are
            answered from memory. ``None``: every read sees the latest.
        timeout: Seconds a call may take where it does not say; above 0, at most a day.
        require: What the store must guarantee, such as ``{Guarantee.SHARED}``.
        max_clock_skew: Seconds this machine's clock may lie behind a config's last commit,
            else a write is refused with `ClockSkew`; ``None``: any.

    Raises:
        InvalidURL, InvalidOption, TextTooLong: Bad input; nothing was opened.
        UnknownEngine, DuplicateEngine, EngineLoadFailed: No engine can serve this URL.
        GuaranteeNotMet: The engine lacks something of `require`.
        StoreError: The store cannot be used.
    """
    defaults = arguments.Defaults(actor, max_staleness, timeout, max_clock_skew).check()
    wanted = arguments.guarantees(require)
    parsed = url if isinstance(url, StoreURL) else parse(url)
    return Store(
        open_engine(parsed, wanted), defaults=defaults, where=str(parsed), owns_engine=True
    )


class Store:
    """The configs in one store. `connect` makes these. Thread-safe.

    What holds for all methods: `timeout` is seconds, that of the store where it is left out.
    Any call that asks the store may raise `StoreError` subclasses, `Timeout` (surely nothing
    happened) and `Closed`.
    """

    def __init__(
        self,
        engine: StorageEngine,
        *,
        defaults: arguments.Defaults | None = None,
        where: str = "",
        owns_engine: bool = False,
    ) -> None:
        """A store on an engine that is open already.

        Args:
            engine: It.
            defaults: What `connect` would be told.
            where: The store in messages and reprs, without secrets; else the engine's scheme.
            owns_engine: `close` closes the engine. Else whoever opened it does.

        Raises:
            InvalidOption, TextTooLong: Bad defaults.
        """
        self._engine = engine
        self._defaults = (defaults or arguments.Defaults()).check()
        self._where = where or engine.scheme
        self._owns_engine = owns_engine

    @property
    def engine(self) -> StorageEngine:
        """The engine underneath."""
        return self._engine

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """What this store guarantees beyond what every store does."""
        return self._engine.guarantees

    def config(self, name: str) -> Config:
        """A config of this name, which need not exist yet; nothing is sent.

        Raises:
            InvalidName: Not 1 to 128 of ``[A-Za-z0-9._-]``, the first alphanumeric.
        """
        return self._open(ConfigHandle(check_name(name)))

    def create_config(
        self,
        name: str,
        settings: Mapping[str, Any] | str | bytes | None = None,
        *,
        timeout: float | None = None,
    ) -> Config:
        """Create a config, empty, at revision 0; of concurrent callers exactly one does.

        Args:
            name: Its name. That of a dropped config may be used again; it can then no longer
                be undropped, and shares nothing with the new one.
            settings: A mapping that is a JSON object, or its JSON text.
            timeout: See the class.

        Raises:
            ConfigExists: It is there.
            InvalidName, InvalidSettings, InvalidOption: Bad input; nothing was sent.
            OutcomeUnknown: Nobody can tell; repeat it, and take `ConfigExists` for done.
        """
        check_name(name)
        info = self._engine.create_config(
            name, arguments.settings(settings), deadline=self._deadline(timeout)
        )
        return self._open(ConfigHandle(name, info.incarnation))

    def drop_config(
        self,
        name: str,
        *,
        message: str = "",
        actor: str | None = None,
        timeout: float | None = None,
    ) -> ConfigInfo:
        """Drop a config, atomically: from then on every client finds it absent.

        Args:
            name: Its name.
            message: Why, at most 4 KiB.
            actor: Who, at most 256 bytes; the store's where left out.
            timeout: See the class.

        Returns:
            Its last description.

        Raises:
            ConfigNotFound: There is none, or no longer.
            InvalidName, InvalidOption, TextTooLong: Bad input; nothing was sent.
            OutcomeUnknown: Nobody can tell; repeat it, and take `ConfigNotFound` for done.
        """
        options = arguments.how_to_commit(self._defaults, {"actor": actor, "message": message})
        return self._engine.delete_config(
            ConfigHandle(check_name(name)),
            actor=options.actor,
            message=options.message,
            deadline=self._deadline(timeout),
        )

    def undrop(self, name: str, *, timeout: float | None = None) -> Config:
        """Bring back a dropped config, the same one with its whole history.

        Works while its data is there: until the name is used again, or the store lets go of it.

        Raises:
            ConfigExists: It is there.
            ConfigNotFound: There is nothing to bring back.
            InvalidName, InvalidOption: Bad input; nothing was sent.
            OutcomeUnknown: Nobody can tell; repeat it.
        """
        check_name(name)
        info = self._engine.undelete_config(name, deadline=self._deadline(timeout))
        return self._open(ConfigHandle(name, info.incarnation))

    def configs(self, *, timeout: float | None = None) -> list[str]:
        """The names of all configs, sorted; dropped ones are left out.

        Not atomic: a config created or dropped meanwhile may be in it or not.
        """
        return self._engine.list_configs(deadline=self._deadline(timeout))

    def check(self, name: str, *, timeout: float | None = None) -> CheckReport:
        """Read all of a config, dropped or not, and compare its parts; changes nothing.

        Raises:
            ConfigNotFound: There is nothing of this name.
            InvalidName, InvalidOption: Bad input; nothing was sent.
        """
        return self._engine.check(check_name(name), deadline=self._deadline(timeout))

    def close(self) -> None:
        """Release everything that `connect` opened; idempotent. Later calls raise `Closed`.

        An engine that was given to `Store` stays open: whoever opened it closes it.
        """
        if self._owns_engine:
            self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self._where}>"

    def _open(self, handle: ConfigHandle) -> Config:
        return Config(self._engine, handle, defaults=self._defaults, where=self._where)

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline.after(arguments.seconds(self._defaults, timeout))
