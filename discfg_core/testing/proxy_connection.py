"""One connection through a `FaultProxy`: requests one way, answers the other, and a fault."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from discfg_core.testing.proxy_dialects import Dialect, Piece, dialect_of

if TYPE_CHECKING:
    from discfg_core.testing.proxy import Fault

_CHUNK: Final = 1 << 16
# SO_LINGER: on, for no time. A close is then a reset.
_RESET: Final = struct.pack("ii", 1, 0)


class _Reset(Exception):
    """Ends a connection with a reset."""


class Connection:
    """One client's connection, and the one to the server that belongs to it.

    Args:
        strike: The fault that strikes the request of which these are the first bytes, if one does.
        upstream: The server's host and port.
        line: The client, accepted.
    """

    def __init__(
        self,
        strike: Callable[[bytes], Fault | None],
        upstream: tuple[str, int],
        line: socket.socket,
    ) -> None:
        self._strike = strike
        self._upstream = upstream
        self._line = line
        self._writers: list[asyncio.StreamWriter] = []
        self._exchange: _Exchange | None = None

    def silence(self) -> None:
        """Swallow what comes from now on, in either direction."""
        if self._exchange is not None:
            self._exchange.silent = True

    def reset(self) -> None:
        """Close with a reset what is still open: what was not sent is dropped."""
        for line in [writer.get_extra_info("socket") for writer in self._writers] or [self._line]:
            with contextlib.suppress(OSError):  # closed already
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if not self._writers:
            self._line.close()
        for writer in self._writers:
            writer.transport.abort()

    async def run(self) -> None:
        """Until both sides have ended, or one is reset."""
        try:
            reader, client = await asyncio.open_connection(sock=self._line)
            self._writers.append(client)
            source, upstream = await asyncio.open_connection(*self._upstream)
            self._writers.append(upstream)
            async with asyncio.TaskGroup() as group:
                exchange = self._exchange = _Exchange(self._strike, client, upstream, group)
                group.create_task(exchange.requests(reader))
                group.create_task(exchange.answers(source))
            for writer in self._writers:
                writer.close()
                await writer.wait_closed()
        except* (_Reset, OSError):
            pass  # either side learns of it as what is open is reset


class _Exchange:
    """Requests one way, answers the other, and the fault that has struck."""

    def __init__(
        self,
        strike: Callable[[bytes], Fault | None],
        client: asyncio.StreamWriter,
        upstream: asyncio.StreamWriter,
        group: asyncio.TaskGroup,
    ) -> None:
        self.silent = False
        self._strike = strike
        self._client = client
        self._upstream = upstream
        self._group = group
        self._dialect: Dialect | None = None
        # What the server said before the client: HTTP/2 and others begin so.
        self._greeting = b""
        self._fault: Fault | None = None
        self._struck: Piece | None = None
        self._answered = asyncio.Event()
        self._late = 0.0

    async def requests(self, reader: asyncio.StreamReader) -> None:
        opening = b""
        while data := await reader.read(_CHUNK):
            if self._dialect is None:
                data = opening = opening + data
                self._dialect = dialect_of(opening)
                if self._dialect is None:
                    continue
                self._dialect.has_answer(self._greeting, None)
            for piece in self._dialect.split(data):
                await self._request(piece)
        if self.silent:
            raise _Reset
        self._upstream.write_eof()

    async def _request(self, piece: Piece) -> None:
        if piece.begins and not self.silent:
            await self._begin(piece)
        if self.silent:
            return
        if self._fault is not None and self._fault.kind == "answer":
            if piece.ends:
                self._fault.struck()
                self._client.write(self._fault.content)
                await self._client.drain()
            return
        self._upstream.write(piece.data)
        await self._upstream.drain()

    async def _begin(self, piece: Piece) -> None:
        """Let the fault in force strike the request that begins."""
        if self._fault is not None and self._fault.kind == "reset_after":
            return  # it has the connection already
        fault = self._fault = self._strike(piece.data)
        self._late = 0.0
        if fault is None:
            return
        if fault.kind == "reset_before":
            fault.struck()
            raise _Reset
        if fault.kind == "reset_after":
            self._struck = piece
            self._group.create_task(self._reset_when_answered(fault))
        elif fault.kind == "delay":
            fault.struck()
            await asyncio.sleep(fault.seconds)
            self._late = fault.seconds
        elif fault.kind == "black_hole":
            fault.struck()
            self.silent = True
        elif b"100-continue" in piece.data.lower():
            self._client.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def answers(self, source: asyncio.StreamReader) -> None:
        while data := await source.read(_CHUNK):
            if self._dialect is None:
                self._greeting += data
            elif self._dialect.has_answer(data, self._struck):
                self._answered.set()
            if self._answered.is_set():
                continue
            if self._late:
                late, self._late = self._late, 0.0
                await asyncio.sleep(late)
            if not self.silent:
                self._client.write(data)
                await self._client.drain()
        if not self.silent:
            self._client.write_eof()

    async def _reset_when_answered(self, fault: Fault) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._answered.wait(), fault.patience)
            await asyncio.sleep(fault.seconds)
            fault.struck()
        raise _Reset
