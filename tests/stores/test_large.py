"""The largest value, on each store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from discfg_core.arguments import DEFAULT_TIMEOUT_SECONDS
from tests.conformance.soak_writer import NAME
from tests.stores.places import STORES, fresh, fresh_file, open_client

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.plugin import Servers

_LARGEST = 16 * 1024 * 1024


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> str:
    name: str = request.param
    return fresh_file(tmp_path) if name == "sqlite" else fresh(servers.url(name))


def test_sixteen_mebibytes(url: str, request: pytest.FixtureRequest) -> None:
    value = os.urandom(_LARGEST)
    client, other = (open_client(url, DEFAULT_TIMEOUT_SECONDS) for _ in range(2))
    request.addfinalizer(client.close)
    request.addfinalizer(other.close)
    config = client.new(NAME)
    config.set("large", value)
    replaced = config.set("large", b"small").prev_node
    assert replaced is not None
    assert replaced.value == value
    assert other.config(NAME).history()[1].changes[0].node.value == value
