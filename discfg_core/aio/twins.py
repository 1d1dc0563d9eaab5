"""Twins: methods that are made of the synchronous ones, with their arguments and docstrings.

A twin says nothing of its own that could come to differ. It wants of its object `_sync`, whose
method it calls, and `_calls`, which makes the calls.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial, wraps
from time import monotonic
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

_P = ParamSpec("_P")
_S = TypeVar("_S")
_T = TypeVar("_T")
_R_co = TypeVar("_R_co", covariant=True)

# One thread hand-over brings so many items, or what came in so many seconds.
_PAGE = 100
_PAGE_SECONDS = 0.05


class Method(Protocol[_P, _R_co]):
    """A method, as type checkers see it."""

    @overload
    def __get__(self, instance: None, owner: type) -> Callable[Concatenate[Any, _P], _R_co]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Callable[_P, _R_co]: ...


def awaited(method: Callable[Concatenate[_S, _P], _T]) -> Method[_P, Coroutine[Any, Any, _T]]:
    """The same method as a coroutine."""

    @wraps(method)
    async def call(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        made: _T = await self._calls.run(partial(method, self._sync, *args, **kwargs))
        return made

    return cast("Method[_P, Coroutine[Any, Any, _T]]", call)


def iterated(
    method: Callable[Concatenate[_S, _P], Iterator[_T]],
) -> Method[_P, AsyncIterator[_T]]:
    """The same method as an asynchronous iterator, which makes the call when it is iterated."""

    @wraps(method)
    async def items(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> AsyncIterator[_T]:
        iterator = await self._calls.run(partial(method, self._sync, *args, **kwargs))
        ended = False
        while not ended:
            page, ended = await self._calls.run(partial(_page, iterator))
            for item in page:
                yield item

    return cast("Method[_P, AsyncIterator[_T]]", items)


def _page(iterator: Iterator[_T]) -> tuple[list[_T], bool]:
    """The next items, and whether those are the last."""
    until = monotonic() + _PAGE_SECONDS
    page = []
    for item in iterator:
        page.append(item)
        if len(page) == _PAGE or monotonic() > until:
            return page, False
    return page, True
