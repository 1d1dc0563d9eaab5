"""Where in etcd things lie: every key of a store, and how a blob is cut.

    PREFIX/~r/CONFIG                     a register's data
    PREFIX/~t/CONFIG                     16 random bytes, new with each swap
    PREFIX/~b/CONFIG/BLOB/SIZE           the first part of a blob; SIZE is its whole size, in hex
    PREFIX/~b/CONFIG/BLOB/SIZE/NUMBER    its other parts, NUMBER from 0001, in hex

A prefix has no segment that begins with ``~``, nor has a config's or a blob's name that
character: so the first such segment of a key ends its store's prefix, and no two stores share a
key, wherever their prefixes lie.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from discfg_core.errors import InvalidURL
from discfg_core.substrate import BlobInfo
from discfg_core.urls import StoreURL
from discfg_etcd.profile import PART_BYTES

NONCE_BYTES: Final = 16

_BLOB_KEY: Final = re.compile(
    rb"(?P<blob>[A-Za-z0-9._-]+)/(?P<size>[0-9a-f]+)(?:/(?P<part>[0-9a-f]{4}))?"
)


class Span(NamedTuple):
    """All keys from `start` until before `end`."""

    start: bytes
    end: bytes


def below(folder: bytes) -> Span:
    """Every key that begins with `folder`, which ends with a slash."""
    return Span(folder, folder[:-1] + b"0")


class Layout:
    """The keys of the store under one prefix."""

    def __init__(self, prefix: str) -> None:
        self.root: Final = f"/{prefix}/".encode()
        self.registers: Final = below(self.root + b"~r/")
        self.all_blobs: Final = below(self.root + b"~b/")
        self.everything: Final = Span(self.root + b"~", self.root + b"\x7f")

    def register(self, name: str) -> bytes:
        """Where a register's data lies."""
        return self.registers.start + name.encode()

    def nonce(self, name: str) -> bytes:
        """Where a register's random bytes lie."""
        return self.root + b"~t/" + name.encode()

    def blobs(self, name: str) -> Span:
        """All keys of a config's blobs."""
        return below(self.root + b"~b/" + name.encode() + b"/")

    def blob(self, name: str, blob: str) -> Span:
        """All keys of one blob."""
        return below(self.blobs(name).start + blob.encode() + b"/")

    def part(self, name: str, blob: str, size: int, number: int) -> bytes:
        """The key of a part, the first being number 0."""
        first = b"%s%x" % (self.blob(name, blob).start, size)
        return b"%s/%04x" % (first, number) if number else first

    def parts(self, name: str, blob: str, data: bytes) -> list[tuple[bytes, bytes]]:
        """A blob's parts, key and bytes; the first part, which makes the blob exist, is last."""
        size = len(data)
        return [
            (
                self.part(name, blob, size, number),
                data[number * PART_BYTES : (number + 1) * PART_BYTES],
            )
            for number in range(count_parts(size) - 1, -1, -1)
        ]

    def register_name(self, key: bytes) -> str:
        """The config whose register this key is."""
        return key.removeprefix(self.registers.start).decode(errors="replace")

    def list_blobs(self, name: str, keys: Sequence[bytes], seen: bytes) -> Iterator[BlobInfo]:
        """The blobs that these keys, a run of a config's sorted ones, belong to, once each.

        Args:
            name: The config.
            keys: The run.
            seen: The key before the run, ``b""`` for none.
        """
        folder = self.blobs(name).start
        last = _blob_of(seen.removeprefix(folder))
        for key in keys:
            found = _blob_of(key.removeprefix(folder))
            if found is not None and found != last:
                last = found
                yield found


def count_parts(size: int) -> int:
    """How many parts a blob of this size has; an empty one has one."""
    return max(-(-size // PART_BYTES), 1)


def size_of(key: bytes) -> int:
    """The size of the blob whose first part has this key."""
    return int(key.rpartition(b"/")[2], 16)


def _blob_of(rest: bytes) -> BlobInfo | None:
    found = _BLOB_KEY.fullmatch(rest)
    return None if found is None else BlobInfo(found["blob"].decode(), int(found["size"], 16))


def prefix_of(url: StoreURL) -> str:
    """The prefix that a URL names.

    Raises:
        InvalidURL: There is none, or it cannot be one.
    """
    if not url.path:
        raise InvalidURL(
            f"{url} names no prefix", engine=url.scheme, hint="write etcd://host:2379/prefix"
        )
    for segment in url.path.split("/"):
        if not segment or segment.startswith("~"):
            raise InvalidURL(
                f"{url} has a prefix that cannot be one",
                engine=url.scheme,
                hint="its segments are separated by one '/', none is empty or begins with '~'",
            )
    return url.path
