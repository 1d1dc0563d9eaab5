"""The largest value and the largest commit, on each store."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from discfg_core.arguments import DEFAULT_TIMEOUT_SECONDS
from discfg_core.engine import MAX_COMMIT_KEYS
from discfg_core.testing.engine_client import put
from discfg_core.testing.invariants import assert_sound
from discfg_core.testing.processes import Worker
from tests.conformance.soak_writer import NAME, PATIENT, Job, write
from tests.stores.places import STORES, fresh, fresh_file, open_client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers.plugin import Servers

_LARGEST = 16 * 1024 * 1024
_BUSY = 4


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


def test_ten_thousand_keys_beside_busy_processes(
    url: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    """Each of its attempts takes longer than the others' commits; it happens by its deadline."""
    client = open_client(url, PATIENT)
    request.addfinalizer(client.close)
    config = client.new(NAME)
    stop = tmp_path / "stop"
    with ExitStack() as workers_end:
        workers = [
            workers_end.enter_context(Worker(write, Job(url, stop, number, 1, impatient=False)))
            for number in range(_BUSY)
        ]
        for worker in workers:
            worker.wait_ready()
        for worker in workers:
            worker.go()
        while config.revision() < _BUSY:
            time.sleep(0.01)
        before = config.revision()
        begin = time.monotonic()
        ops = [put(f"many/{number}", str(number).encode()) for number in range(MAX_COMMIT_KEYS)]
        commit = config.committed(*ops, message="many")
        record_property("seconds", round(time.monotonic() - begin, 2))
        record_property("others meanwhile", commit.revision - before - 1)
        stop.touch()
        told = [worker.result(PATIENT * 2) for worker in workers]
    busy = [ack for each in told for ack in each.acks]
    assert not any(each.refused or each.settled for each in told)
    assert config.revision() == len(busy) + 1
    assert commit.revision not in {ack.revision for ack in busy}
    assert len(config.view().list("many/")) == MAX_COMMIT_KEYS
    assert_sound(client, NAME)
