"""What an operation costs: requests to the store, counted on their way to a real server.

The config is small: it lies in its register, or, on etcd, in that and a blob of the latest
commit. Another number is not wrong in itself; it is told here, and stands in the READMEs.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, NamedTuple

import pytest

from discfg_core.testing.proxy import FaultProxy
from tests.stores.places import SERVED, by_port, fresh, open_client, port_of

if TYPE_CHECKING:
    from tests.servers.plugin import Servers


class Cost(NamedTuple):
    """Requests to the store."""

    cold_get: int
    warm_set: int
    freshness_check: int


_COSTS = {
    "etcd": Cost(2, 1, 1),
    "s3": Cost(1, 1, 1),
    "dynamodb": Cost(1, 1, 1),
    "moto": Cost(1, 1, 1),
    "rethinkdb": Cost(1, 1, 1),
}
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HTTP2_HEADERS = 1


class _Counter:
    """Counts the requests that pass a proxy, and lets each of them pass."""

    def __init__(self, store: str) -> None:
        self._is_request = {"etcd": _begins_stream, "rethinkdb": _is_query}.get(store, len)
        self.seen: list[bytes] = []

    def __call__(self, piece: bytes) -> bool:
        if self._is_request(piece):
            self.seen.append(piece)
        return False

    def take(self) -> int:
        """How many there were since the last time."""
        # The proxy's thread may be a little behind an answer that it passed on.
        time.sleep(0.05)
        count, self.seen = len(self.seen), []
        return count


@pytest.mark.parametrize("store", SERVED)
def test_requests_of_an_operation(servers: Servers, store: str) -> None:
    direct = fresh(servers.url(store))
    counter = _Counter(store)
    with ExitStack() as ends:
        writer = ends.enter_context(closing(open_client(direct, 60.0)))
        config = writer.new("small")
        for number in range(5):
            config.set(f"k{number}", b"value")
        proxy = ends.enter_context(FaultProxy("127.0.0.1", port_of(direct)))
        proxy.reset_before(when=counter)
        client = ends.enter_context(closing(open_client(by_port(direct, proxy.port), 60.0)))
        config = client.config("small")
        config.get("k1")
        cold_get = counter.take()
        # The first write of a client may ask the store what it is.
        config.set("k1", b"first")
        counter.take()
        config.set("k1", b"second")
        warm_set = counter.take()
        config.get("k1")
        freshness_check = counter.take()
        assert Cost(cold_get, warm_set, freshness_check) == _COSTS[store]
        config.get("k1", max_staleness=60)
        assert counter.take() == 0


def _begins_stream(piece: bytes) -> bool:
    """Whether HTTP/2 frames open a stream, which each call of gRPC does."""
    rest = piece.removeprefix(_HTTP2_PREFACE)
    while len(rest) >= 9:
        if rest[3] == _HTTP2_HEADERS:
            return True
        rest = rest[9 + int.from_bytes(rest[:3]) :]
    return False


def _is_query(piece: bytes) -> bool:
    """Whether RethinkDB's client starts a query: token and length, then JSON; no handshake."""
    return piece[12:15] == b"[1,"
