"""`AsyncConfig`: the twin of `discfg_core.config.Config`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from discfg_core.aio.calls import Calls, in_own_thread
from discfg_core.aio.opening import Opening
from discfg_core.aio.transaction import AsyncTransaction
from discfg_core.aio.twins import awaited, iterated
from discfg_core.aio.watching import AsyncSubscription, AsyncWatch, InLoop
from discfg_core.arguments import CommitOptions, Moment
from discfg_core.config import Config
from discfg_core.mapping import NO_DEFAULT
from discfg_core.watching import DEFAULT_STALE_AFTER_SECONDS, Subscription

if TYPE_CHECKING:
    from _typeshed import SupportsKeysAndGetItem

    from discfg_core.model import Change, Commit, Node

_T = TypeVar("_T")


class AsyncConfig:
    """A versioned config, for asyncio. `AsyncStore` makes these; making one sends nothing.

    Each method is that of `Config`, whose guarantees and errors hold. Methods that give one
    thing are awaited, `list`, `history` and `watch` are iterated by ``async for``. A function
    given to `update` runs in a thread, one given to `on_change` in the event loop. For any number
    of tasks at a time.

    It is no mapping: what Python cannot await (``cfg["db/host"]``, ``in``, ``len``) is `get`,
    `keys` and `values`. What cancelling does is told in `discfg_core.aio`.
    """

    def __init__(self, calls: Calls, config: Config) -> None:
        self._calls = calls
        self._sync = config

    @property
    def name(self) -> str:
        """The config's name."""
        return self._sync.name

    def __repr__(self) -> str:
        return f"<Async{repr(self._sync)[1:]}"

    info = awaited(Config.info)
    list = iterated(Config.list)
    values = awaited(Config.values)
    document = awaited(Config.document)
    keys = awaited(Config.keys)
    items = awaited(Config.items)
    diff = awaited(Config.diff)
    history = iterated(Config.history)
    new_commit_id = awaited(Config.new_commit_id)
    outcome = awaited(Config.outcome)

    set = awaited(Config.set)
    delete = awaited(Config.delete)
    delete_prefix = awaited(Config.delete_prefix)
    replace = awaited(Config.replace)
    revert = awaited(Config.revert)
    update_settings = awaited(Config.update_settings)
    schema = awaited(Config.schema)
    set_schema = awaited(Config.set_schema)
    drop_schema = awaited(Config.drop_schema)
    check_schema = awaited(Config.check_schema)
    pop = awaited(Config.pop)
    popitem = awaited(Config.popitem)
    setdefault = awaited(Config.setdefault)
    clear = awaited(Config.clear)

    # What follows spells its arguments: an overload, or a result of another kind, cannot be
    # derived. A test holds them to those of `Config`.

    @overload
    async def get(
        self,
        key: str,
        *,
        at: Moment | None = None,
        max_staleness: float | EllipsisType | None = ...,
        timeout: float | None = None,  # noqa: ASYNC109 - the argument of the twin
    ) -> Node: ...
    @overload
    async def get(
        self,
        key: str,
        default: _T,
        *,
        at: Moment | None = None,
        max_staleness: float | EllipsisType | None = ...,
        timeout: float | None = None,  # noqa: ASYNC109 - the argument of the twin
    ) -> Node | _T: ...
    async def get(
        self,
        key: str,
        default: Any = NO_DEFAULT,
        *,
        at: Moment | None = None,
        max_staleness: float | EllipsisType | None = ...,
        timeout: float | None = None,  # noqa: ASYNC109 - the argument of the twin
    ) -> Any:
        """As `Config.get`."""
        return await self._calls.run(
            lambda: self._sync.get(
                key, default, at=at, max_staleness=max_staleness, timeout=timeout
            )
        )

    @overload
    async def update(
        self,
        key: str,
        fn: Callable[[Any], Any],
        /,
        *,
        content_type: str | None = None,
        message: str = "",
        actor: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the argument of the twin
    ) -> Change: ...
    @overload
    async def update(
        self,
        other: SupportsKeysAndGetItem[str, Any] | Iterable[tuple[str, Any]] = ...,
        /,
        *,
        content_type: str | None = None,
        if_config_revision: int | None = None,
        commit_id: str | None = None,
        message: str = "",
        actor: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the argument of the twin
    ) -> Commit | None: ...
    async def update(
        self,
        other: Any = (),
        fn: Callable[[Any], Any] | None = None,
        /,
        *,
        content_type: str | None = None,
        **options: Any,
    ) -> Change | Commit | None:
        """As `Config.update`; the function is called in a thread."""
        update: Callable[[], Change | Commit | None] = partial(
            self._sync.update, other, fn, content_type=content_type, **options
        )
        return await self._calls.run(update)

    def transaction(self, **options: Unpack[CommitOptions]) -> AsyncTransaction:
        """As `Config.transaction`, for ``async with``."""
        return AsyncTransaction(self._calls, self._sync.transaction(**options))

    def watch(
        self,
        prefix: str = "/",
        *,
        after: int | None = None,
        timeout: float | None = None,
        stale_after: float = DEFAULT_STALE_AFTER_SECONDS,
    ) -> AsyncWatch:
        """As `Config.watch`, for ``async with`` and ``async for``; begins there, see the class."""
        return AsyncWatch(
            self._calls,
            lambda after: self._sync.watch(
                prefix, after=after, timeout=timeout, stale_after=stale_after
            ),
            after,
        )

    def on_change(
        self,
        callback: Callable[[Commit], object],
        prefix: str = "/",
        *,
        after: int | None = None,
        stale_after: float = DEFAULT_STALE_AFTER_SECONDS,
    ) -> Opening[AsyncSubscription]:
        """As `Config.on_change`, but the function is called in the event loop, and what it returns
        awaited if it can be. Await it, or use it in ``async with``.
        """

        async def start() -> AsyncSubscription:
            function = InLoop(callback)
            subscription = await in_own_thread(
                lambda: self._sync.on_change(
                    function if callable(callback) else callback,
                    prefix,
                    after=after,
                    stale_after=stale_after,
                ),
                discard=Subscription.close,
            )
            return AsyncSubscription(subscription, function)

        return Opening(start)

    async def wait_for(self, revision: int, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the argument of the twin
        """As `Config.wait_for`; cancelled, it is stopped."""
        cancel = threading.Event()
        await in_own_thread(
            lambda: self._sync._wait_for(revision, timeout, cancel), stop=cancel.set
        )
