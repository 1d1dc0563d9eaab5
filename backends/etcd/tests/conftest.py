"""The place of a test, and what it opens there."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from discfg_etcd.substrate import EtcdSubstrate

from discfg_core import Store, connect
from discfg_core.testing.substrate_client import Client, Ledger
from discfg_core.urls import parse
from tests.servers.certificates import Authority
from tests.servers.etcd import Raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers.plugin import Servers


@pytest.fixture
def host(servers: Servers) -> str:
    """The shared server, as ``host:port``."""
    return servers.url("etcd").split("/")[2]


@pytest.fixture
def prefix() -> str:
    """One that nobody else uses."""
    return secrets.token_hex(8)


@pytest.fixture
def mine(client: Callable[..., Client], host: str, prefix: str) -> Client:
    """A client of a prefix of its own."""
    return client(f"etcd://{host}/{prefix}")


@pytest.fixture
def server(raw: Callable[[str], Raw], host: str) -> Raw:
    """The shared server."""
    return raw(host)


@pytest.fixture
def place(host: str, prefix: str) -> str:
    """The URL of a store that nothing is in yet."""
    return f"etcd://{host}/{prefix}"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority."""
    return Authority(tmp_path)


@pytest.fixture
def raw() -> Iterator[Callable[[str], Raw]]:
    """Gives `Raw` for ``host:port``."""
    opened: list[Raw] = []

    def open_raw(host: str) -> Raw:
        opened.append(Raw(host))
        return opened[-1]

    yield open_raw
    for each in opened:
        each.close()


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    """Opens a substrate for a URL, closed after the test, as the suite's `Client`."""
    opened: list[Client] = []

    def open_client(url: str, timeout: float = 30.0) -> Client:
        opened.append(Client(EtcdSubstrate(parse(url)), Ledger(), timeout))
        return opened[-1]

    yield open_client
    for each in opened:
        each.close()


@pytest.fixture
def store() -> Iterator[Callable[..., Store]]:
    """Connects to a URL, until the test ends."""
    with contextlib.ExitStack() as stack:

        def open_store(url: str, timeout: float = 30.0) -> Store:
            return stack.enter_context(connect(url, actor="ann", timeout=timeout))

        yield open_store
