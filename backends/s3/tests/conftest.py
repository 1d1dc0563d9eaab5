"""A place of its own in the shared bucket for each test module, and clients of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from discfg_s3.substrate import S3Substrate
from msgspec.structs import replace

from discfg_core.urls import StoreURL, parse
from tests.servers.s3 import Change, Front, at, client_of

if TYPE_CHECKING:
    from tests.servers.plugin import Servers


@pytest.fixture(scope="module")
def place(servers: Servers) -> StoreURL:
    """A prefix that no other module uses."""
    return at(parse(servers.url("s3")), path=f"t{secrets.token_hex(6)}")


@pytest.fixture
def fresh(place: StoreURL) -> StoreURL:
    """A prefix that nobody used yet."""
    return at(place, path=f"{place.path}/{secrets.token_hex(4)}")


@pytest.fixture
def opened() -> Iterator[Callable[[StoreURL], S3Substrate]]:
    """Opens clients, and closes them after the test."""
    with ExitStack() as stack:

        def open_client(url: StoreURL) -> S3Substrate:
            client = S3Substrate(url)
            stack.callback(client.close)
            return client

        yield open_client


@pytest.fixture
def through(fresh: StoreURL) -> Iterator[Callable[[Change], tuple[Front, StoreURL]]]:
    """Puts a front before the store of `fresh`; gives the front and the URL through it."""
    with ExitStack() as stack:

        def begin(change: Change) -> tuple[Front, StoreURL]:
            front = stack.enter_context(Front(fresh.options["endpoint_url"], change))
            return front, at(fresh, endpoint_url=front.endpoint)

        yield begin


@pytest.fixture
def admin(place: StoreURL) -> Iterator[Any]:
    """A client of the server's own, with all permissions."""
    client = client_of(place.options["endpoint_url"])
    yield client
    client.close()


@pytest.fixture
def bucket(admin: Any) -> Iterator[str]:
    """A bucket of the test's own."""
    name = f"test-{secrets.token_hex(8)}"
    admin.create_bucket(Bucket=name)
    yield name
    for version in admin.list_object_versions(Bucket=name).get("Versions", []):
        admin.delete_object(Bucket=name, Key=version["Key"], VersionId=version["VersionId"])
    admin.delete_bucket(Bucket=name)


@pytest.fixture
def in_bucket(place: StoreURL, bucket: str) -> StoreURL:
    """A store in that bucket."""
    host = place.hosts[0]._replace(host=bucket)
    return replace(place, hosts=(host,), path="app")
