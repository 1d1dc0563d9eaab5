"""The blobs of one config: their names, their checksums, and a small cache of what was read.

A name is the incarnation, the generation and 96 random bits; it is never used again, so that a
cached blob is right for good and a late write of an old one cannot be taken for a new one.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from zlib import crc32

from discfg_core.clock import Deadline
from discfg_core.errors import ConfigReplaced, Corrupt, DiscfgError
from discfg_core.model import LargeValue
from discfg_core.substrate import BlobRange, Substrate
from discfg_core.versioned.format import BlobRef, decode_head
from discfg_core.versioned.settle import read, retried

_CACHE_BYTES = 16 * 1024 * 1024
_CACHED_BLOB_BYTES = 1024 * 1024


class BlobMissing(Corrupt):
    """Raised when a blob that a head refers to is not there.

    Either the head is old and its successor no longer needs the blob, or the config is damaged;
    whoever read the head finds out by reading it again.
    """

    def __init__(self, blob: str, config: str) -> None:
        super().__init__(f"blob {blob} of config {config!r} is missing", config=config)


def make_ref(data: bytes, generation: int) -> BlobRef:
    """The reference to a new blob of these bytes."""
    return BlobRef(generation, os.urandom(12), len(data), crc32(data))


def blob_name(incarnation: bytes, ref: BlobRef) -> str:
    """The name of a blob in the store."""
    return f"{incarnation.hex()}.{ref.generation}.{ref.unique.hex()}"


def is_of(name: str, incarnation: bytes) -> bool:
    """Whether a blob's name belongs to an incarnation."""
    return name.startswith(incarnation.hex() + ".")


class Blobs:
    """The blobs of one incarnation of a config, as one process reads them; thread-safe."""

    def __init__(
        self, substrate: Substrate, config: str, incarnation: bytes, timeout: float
    ) -> None:
        self._substrate = substrate
        self._config = config
        self._incarnation = incarnation
        self._timeout = timeout
        self._lock = threading.Lock()
        # Guarded by the lock; least recently used first.
        self._cache: OrderedDict[bytes, bytes] = OrderedDict()
        self._cached_bytes = 0
        _alive.add(self)

    def after_fork(self) -> None:
        """In the child of a fork: a thread of the parent may hold the lock for ever."""
        self._lock = threading.Lock()

    def name(self, ref: BlobRef) -> str:
        """The name of a blob in the store."""
        return blob_name(self._incarnation, ref)

    def fetch(self, refs: Sequence[BlobRef], deadline: Deadline) -> list[bytes]:
        """The bytes of several blobs, in one request for those not cached.

        Raises:
            BlobMissing: One is not there.
            Corrupt: One is not what was written.
            StoreError: They cannot be read now.
        """
        found: dict[bytes, bytes] = {}
        wanted: dict[bytes, BlobRef] = {}
        with self._lock:
            for ref in refs:
                data = self._cache.get(ref.unique)
                if data is None:
                    wanted[ref.unique] = ref
                else:
                    self._cache.move_to_end(ref.unique)
                    found[ref.unique] = data
        if wanted:
            ranges = [BlobRange(self.name(ref)) for ref in wanted.values()]
            answers = retried(
                lambda: self._substrate.get_blobs(self._config, ranges, deadline=deadline),
                deadline,
            )
            for ref, data in zip(wanted.values(), answers, strict=True):
                if data is None:
                    raise BlobMissing(self.name(ref), self._config)
                if len(data) != ref.size or crc32(data) != ref.crc:
                    raise Corrupt(
                        f"blob {self.name(ref)} of config {self._config!r} is damaged",
                        config=self._config,
                    )
                found[ref.unique] = data
                self.remember(ref, data)
        return [found[ref.unique] for ref in refs]

    def remember(self, ref: BlobRef, data: bytes) -> None:
        """Keep what was just read, or written and acknowledged, for a while."""
        if len(data) > _CACHED_BLOB_BYTES:
            return
        with self._lock:
            if ref.unique not in self._cache:
                self._cached_bytes += len(data)
            self._cache[ref.unique] = data
            while self._cached_bytes > _CACHE_BYTES:
                _, dropped = self._cache.popitem(last=False)
                self._cached_bytes -= len(dropped)

    def large(self, ref: BlobRef) -> LargeValue:
        """A value that lies in a blob; fetched when it is asked for."""
        return LargeValue(ref.size, ref, lambda: self._load(ref))

    def _load(self, ref: BlobRef) -> bytes:
        deadline = Deadline.after(self._timeout)
        try:
            try:
                return self.fetch([ref], deadline)[0]
            except BlobMissing as missing:
                register = read(self._substrate, self._config, deadline)
                if register is None or decode_head(register.data)[0].incarnation != (
                    self._incarnation
                ):
                    raise ConfigReplaced(
                        f"config {self._config!r} was deleted and its values with it"
                    ) from missing
                raise
        except DiscfgError as error:
            raise error.locate(
                engine=self._substrate.scheme, operation="get", config=self._config
            ) from error.__cause__


# Views and nodes outlive the session they came from, and their blobs with them.
_alive: weakref.WeakSet[Blobs] = weakref.WeakSet()


def after_fork() -> None:
    """In the child of a fork: new locks for all blobs that anybody holds."""
    for blobs in list(_alive):
        blobs.after_fork()
