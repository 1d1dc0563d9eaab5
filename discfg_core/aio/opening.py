"""What is awaited, or entered at once: a store, a subscription."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar


class Closing(ABC):
    """The ``async with`` of what is open already."""

    @abstractmethod
    async def close(self) -> None:
        """Close it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


_C = TypeVar("_C", bound=Closing)


class Opening(Generic[_C]):
    """Something about to be opened: ``await`` it, or use it in ``async with``, which closes it.

    Nothing happens before that. Good for one time.
    """

    def __init__(self, start: Callable[[], Coroutine[Any, Any, _C]]) -> None:
        self._start = start
        self._opened: _C | None = None

    def __await__(self) -> Generator[Any, Any, _C]:
        return self._start().__await__()

    async def __aenter__(self) -> _C:
        self._opened = await self._start()
        return self._opened

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._opened is not None, "it was entered"
        await self._opened.close()
