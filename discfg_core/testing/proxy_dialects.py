"""Where requests begin and end in a stream of bytes: what `FaultProxy` needs of a protocol.

It is as much of HTTP/1.1 (RFC 9112) and of the frames of HTTP/2 (RFC 9113, section 4) as tells
one request from the next. Of any other protocol, TLS among them, each piece that the network
delivers counts as a request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Protocol

import msgspec

_METHODS: Final = tuple(
    method + b" " for method in (b"GET", b"HEAD", b"PUT", b"POST", b"DELETE", b"PATCH", b"OPTIONS")
)
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_END_OF_HEAD: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)
_INTERIM: Final = re.compile(rb"HTTP/1\.[01] 1\d\d ")

_FRAME_HEADER: Final = 9
_OF_REQUESTS: Final = {0x0, 0x1}  # DATA, HEADERS


class Piece(msgspec.Struct, frozen=True):
    """Bytes that a client sent, of one request at most."""

    data: bytes
    begins: bool
    """A request begins here; of HTTP/1.1, the piece is its whole head."""
    ends: bool
    """It is complete."""
    streams: frozenset[int] = frozenset()
    """Of HTTP/2: what it is part of."""


class Dialect(Protocol):
    """What one connection speaks."""

    def split(self, data: bytes) -> Iterator[Piece]:
        """The client's next bytes, in pieces; an incomplete head is kept for the next call."""

    def has_answer(self, data: bytes, request: Piece | None) -> bool:
        """Whether the server's next bytes have something of the answer to that request.

        It is to be asked about all that the server sends.
        """


def dialect_of(first: bytes) -> Dialect | None:
    """The dialect of a connection on which the client first sent these bytes; ``None`` while
    they are too few to tell.
    """
    if first.startswith(_METHODS):
        return _Http1()
    if first.startswith(_PREFACE[:16]):
        return _Http2()
    if any(known.startswith(first) for known in (*_METHODS, _PREFACE[:16])):
        return None
    return _Anything()


class _Anything:
    def split(self, data: bytes) -> Iterator[Piece]:
        yield Piece(data, begins=True, ends=True)

    def has_answer(self, data: bytes, request: Piece | None) -> bool:
        return request is not None


class _Http1:
    """One request after the other; a client that sends the next one early still gets it whole."""

    def __init__(self) -> None:
        self._buffer = b""
        self._in_body = False
        self._chunked = False
        self._trailer = False
        # Of the body, or of the chunk with the line end behind it.
        self._left = 0

    def split(self, data: bytes) -> Iterator[Piece]:
        self._buffer += data
        while self._buffer:
            if self._in_body:
                taken, ends = self._take_chunks() if self._chunked else self._take_body()
                if not taken:
                    return
                self._in_body = not ends
                yield Piece(taken, begins=False, ends=ends)
            else:
                end = self._buffer.find(_END_OF_HEAD) + len(_END_OF_HEAD)
                if end < len(_END_OF_HEAD):
                    return
                head = self._take(end)
                self._in_body = self._begin_body(head)
                yield Piece(head, begins=True, ends=not self._in_body)

    def has_answer(self, data: bytes, request: Piece | None) -> bool:
        # An interim answer, such as 100 Continue, asks for the rest of the request.
        return request is not None and _INTERIM.match(data) is None

    def _take(self, size: int) -> bytes:
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _begin_body(self, head: bytes) -> bool:
        length = _LENGTH.search(head)
        self._chunked = _CHUNKED.search(head) is not None
        self._trailer = False
        self._left = int(length[1]) if length and not self._chunked else 0
        return self._chunked or self._left > 0

    def _take_body(self) -> tuple[bytes, bool]:
        taken = self._take(self._left)
        self._left -= len(taken)
        return taken, self._left == 0

    def _take_chunks(self) -> tuple[bytes, bool]:
        """What the buffer has of a chunked body, but for an incomplete line."""
        taken = b""
        while True:
            if self._left:
                more, whole = self._take_body()
                taken += more
                if not whole:
                    return taken, False
            end = self._buffer.find(b"\r\n") + 2
            if end < 2:
                return taken, False
            line = self._take(end)
            taken += line
            if self._trailer:
                if line == b"\r\n":
                    return taken, True
            elif size := int(line.partition(b";")[0], 16):
                self._left = size + 2
            else:
                self._trailer = True


class _Http2:
    """Frames of many streams; a request's are forwarded as they come, in one piece or more.

    A piece with HEADERS or DATA in it counts as a request: a client such as gRPC's sends a small
    request in one, and what it says (a key, for one) is in the piece's bytes.
    """

    def __init__(self) -> None:
        self._from_client = _Frames(len(_PREFACE))
        self._from_server = _Frames(0)

    def split(self, data: bytes) -> Iterator[Piece]:
        streams = self._from_client.feed(data)
        yield Piece(data, begins=bool(streams), ends=True, streams=streams)

    def has_answer(self, data: bytes, request: Piece | None) -> bool:
        streams = self._from_server.feed(data)
        return request is not None and not streams.isdisjoint(request.streams)


class _Frames:
    """Finds the frames of requests and answers in a stream of bytes.

    Args:
        skip: So many bytes come before the first.
    """

    def __init__(self, skip: int) -> None:
        self._skip = skip
        self._buffer = b""

    def feed(self, data: bytes) -> frozenset[int]:
        """The streams of the frames whose headers the next bytes complete."""
        self._buffer += data
        found: set[int] = set()
        while True:
            skipped = min(self._skip, len(self._buffer))
            self._buffer, self._skip = self._buffer[skipped:], self._skip - skipped
            if self._skip or len(self._buffer) < _FRAME_HEADER:
                return frozenset(found)
            if self._buffer[3] in _OF_REQUESTS:
                found.add(int.from_bytes(self._buffer[5:9]) & 0x7FFF_FFFF)
            self._skip = _FRAME_HEADER + int.from_bytes(self._buffer[:3])
