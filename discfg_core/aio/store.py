"""`connect` and `AsyncStore`: the twins of those in `discfg_core.store`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, cast

from discfg_core import arguments, store
from discfg_core._override import override
from discfg_core.aio.calls import Calls, in_own_thread
from discfg_core.aio.config import AsyncConfig
from discfg_core.aio.opening import Closing, Opening
from discfg_core.aio.twins import Method, awaited
from discfg_core.engine import MAX_CLOCK_SKEW_SECONDS, Guarantee
from discfg_core.errors import InvalidOption
from discfg_core.store import Store
from discfg_core.urls import StoreURL

if TYPE_CHECKING:
    from discfg_core.config import Config
    from discfg_core.engine import StorageEngine

_P = ParamSpec("_P")

# As many writers as share a commit with profit; a thread that waits costs little.
DEFAULT_THREADS = 64


def connect(
    url: str | StoreURL,
    *,
    actor: str = "",
    max_staleness: float | None = None,
    timeout: float = arguments.DEFAULT_TIMEOUT_SECONDS,
    require: Iterable[Guarantee | str] = frozenset(),
    max_clock_skew: float | None = MAX_CLOCK_SKEW_SECONDS,
    threads: int = DEFAULT_THREADS,
) -> Opening[AsyncStore]:
    """As `discfg_core.connect`, to be awaited, or used in ``async with``, which closes the store.

    Args:
        url, actor, max_staleness, timeout, require, max_clock_skew: As there.
        threads: Calls that are made at once, at most; others wait for their turn, and their
            time-outs begin with it. Watches and `wait_for` do not count.

    Raises:
        InvalidOption, and what `discfg_core.connect` raises: When it is awaited.
    """

    async def start() -> AsyncStore:
        _check_threads(threads)
        opened = await in_own_thread(
            partial(
                store.connect,
                url,
                actor=actor,
                max_staleness=max_staleness,
                timeout=timeout,
                require=require,
                max_clock_skew=max_clock_skew,
            ),
            discard=Store.close,
        )
        return AsyncStore(opened, threads=threads)

    return Opening(start)


def _check_threads(threads: int) -> int:
    hint = "give a number of threads, from 1"
    if arguments.check_number("threads", threads, least=1, hint=hint) is None:
        raise InvalidOption("threads is None", hint=hint)
    return threads


def _opened(
    method: Callable[Concatenate[Store, _P], Config],
) -> Method[_P, Coroutine[Any, Any, AsyncConfig]]:
    """The same method as a coroutine that gives a config's twin."""

    @wraps(method)
    async def call(self: AsyncStore, /, *args: _P.args, **kwargs: _P.kwargs) -> AsyncConfig:
        config = await self._calls.run(partial(method, self._sync, *args, **kwargs))
        return AsyncConfig(self._calls, config)

    return cast("Method[_P, Coroutine[Any, Any, AsyncConfig]]", call)


class AsyncStore(Closing):
    """The configs in one store, for asyncio. `connect` makes these.

    Each method is that of `Store`, whose guarantees and errors hold. For any number of tasks at a
    time, also of several event loops. What cancelling does is told in `discfg_core.aio`.
    """

    def __init__(self, store: Store, *, threads: int = DEFAULT_THREADS) -> None:
        """One on a store that is open already; to close the one closes the other.

        Args:
            store: It.
            threads: As for `connect`.

        Raises:
            InvalidOption: `threads` is no number from 1.
        """
        self._calls = Calls(_check_threads(threads))
        self._sync = store

    @property
    def engine(self) -> StorageEngine:
        """The engine underneath, which is synchronous."""
        return self._sync.engine

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """As `Store.guarantees`."""
        return self._sync.guarantees

    def config(self, name: str) -> AsyncConfig:
        """As `Store.config`; nothing is sent, and nothing awaited."""
        return AsyncConfig(self._calls, self._sync.config(name))

    create_config = _opened(Store.create_config)
    undrop = _opened(Store.undrop)
    drop_config = awaited(Store.drop_config)
    configs = awaited(Store.configs)
    check = awaited(Store.check)

    @override
    async def close(self) -> None:
        """As `Store.close`; returns when the calls under way have ended."""
        await self._calls.close(self._sync.close)

    def __repr__(self) -> str:
        return f"<Async{repr(self._sync)[1:]}"
