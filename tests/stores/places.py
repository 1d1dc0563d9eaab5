"""Where the cross-store tests work: a fresh place in each store, and the way to it by a proxy."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from discfg_core.registry import open_engine
from discfg_core.testing.engine_client import Client
from discfg_core.urls import Host, StoreURL, parse

SERVED = ("etcd", "s3", "dynamodb", "moto", "rethinkdb")
"""The stores that are servers, as `tests.servers` knows them."""

STORES = ("sqlite", *SERVED)

DURABLE = ("etcd", "s3", "dynamodb", "rethinkdb")
"""Those that keep their data when they are killed; moto's server holds it in memory."""


def fresh(url: str) -> str:
    """A place in this store that nobody else uses; it holds nothing yet."""
    mark = f"t{secrets.token_hex(6)}"
    store = parse(url)
    if store.scheme == "dynamodb":
        return str(_with_options(store, prefix=f"{mark}."))
    if store.scheme == "rethinkdb":
        return str(msgspec.structs.replace(store, path=mark))
    return str(msgspec.structs.replace(store, path=f"{store.path}/{mark}".lstrip("/")))


def fresh_file(folder: Path) -> str:
    """A SQLite store that does not exist yet, in this folder."""
    return str(StoreURL(scheme="sqlite", path=str(folder / f"{secrets.token_hex(6)}.db")))


def by_port(url: str, port: int) -> str:
    """The same place, but its server is reached at this port of the loopback interface."""
    store = parse(url)
    if "endpoint_url" in store.options:
        return str(_with_options(store, endpoint_url=f"http://127.0.0.1:{port}"))
    return str(msgspec.structs.replace(store, hosts=(Host("127.0.0.1", port),)))


def port_of(url: str) -> int:
    """The port at which the store's server is reached."""
    store = parse(url)
    endpoint = store.options.get("endpoint_url")
    host = parse(endpoint).hosts[0] if endpoint else store.hosts[0]
    assert host.port is not None, "the server has a port"
    return host.port


def with_options(url: str, **options: str) -> str:
    """The URL with these options, too."""
    return str(_with_options(parse(url), **options))


def open_client(url: str, timeout: float) -> Client:
    """A client of the store, judged as in the suites; the caller closes its engine."""
    return Client(open_engine(parse(url)), timeout)


def _with_options(store: StoreURL, **options: str) -> StoreURL:
    return msgspec.structs.replace(store, options={**store.options, **options})
