"""The place of the tests, clients of it, and the server as its own driver sees it."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from discfg_rethinkdb import target
from discfg_rethinkdb.substrate import RethinkDBSubstrate

from discfg_core.testing.substrate_client import Client, Ledger
from discfg_core.urls import parse
from tests.servers.certificates import Authority
from tests.servers.rethinkdb import Admin, with_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers.plugin import Servers


@pytest.fixture(scope="session")
def server_url(servers: Servers) -> str:
    """The shared server."""
    return servers.url("rethinkdb")


@pytest.fixture(scope="session")
def database(server_url: str) -> str:
    """The URL of a database for the tests of this process: making tables takes half a second,
    and no test of a suite minds what the others left in them.
    """
    return with_path(server_url, f"t{secrets.token_hex(8)}")


@pytest.fixture
def place(database: str) -> str:
    """The URL of a store, for the conformance suites."""
    return database


@pytest.fixture
def fresh(server_url: str, admin: Admin) -> Iterator[str]:
    """The URL of a database of the test's own, which does not exist yet."""
    path = f"t{secrets.token_hex(8)}"
    yield with_path(server_url, path)
    admin.drop(path)


@pytest.fixture
def name() -> str:
    """A config's name that no other test uses."""
    return f"t{secrets.token_hex(6)}"


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    """Opens a client of a URL, and closes it after the test."""
    opened: list[Client] = []

    def open_client(url: str, timeout: float = 60.0) -> Client:
        client = Client(RethinkDBSubstrate(target(parse(url))), Ledger(), timeout)
        opened.append(client)
        return client

    yield open_client
    for each in opened:
        each.close()


@pytest.fixture
def mine(client: Callable[..., Client], database: str) -> Client:
    """A client of this process's database."""
    return client(database)


@pytest.fixture
def admin(server_url: str) -> Iterator[Admin]:
    """The shared server."""
    admin = Admin(server_url)
    yield admin
    admin.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority."""
    return Authority(tmp_path)
