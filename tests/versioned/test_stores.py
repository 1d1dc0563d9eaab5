"""The main flows on stores of other limits than the embedded ones."""

from __future__ import annotations

import copy
import pickle
import uuid
from typing import TYPE_CHECKING

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from discfg_core.clock import Deadline
from discfg_core.engine import ConfigHandle, Put, Remove, RemovePrefix
from discfg_core.errors import ClockSkew
from discfg_core.model import LargeValue
from discfg_core.substrate import Limits
from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.testing.delegate import DelegatingSubstrate
from discfg_core.testing.faults import FaultPlan, FaultySubstrate
from discfg_core.versioned import VersionedEngine

if TYPE_CHECKING:
    from discfg_core.substrate import Substrate
    from tests.versioned.conftest import Bench

STORES = {
    "etcd": Limits(register_budget=2048, blobs_ride=True),
    "dynamodb": Limits(register_budget=3 * 1024),
    "s3": Limits(register_budget=64 * 1024),
    "tiny": Limits(register_budget=256),
}
each_store = pytest.mark.parametrize("store", STORES)


@each_store
def test_large_values_and_large_commits(bench: Bench, store: str) -> None:
    a = bench.client(STORES[store]).create()
    big = bytes(range(256)) * 65536
    a.set("/big", big)
    a.commit(*(Put(f"/many/{n}", b"%d" % n, "text/plain") for n in range(10_000)))
    a.commit(RemovePrefix("/many/1"), Remove("/many/2"))
    fresh = bench.client(STORES[store])
    assert fresh.get("/big") == big
    assert len(fresh.values()) == 10_001 - 2
    assert fresh.problems() == ()


@each_store
@pytest.mark.parametrize("size", [0, 1, 50, 85, 86, 700, 1024, 1025, 4096, 4097, 65_536, 300_000])
def test_value_of_each_size_comes_back(bench: Bench, store: str, size: int) -> None:
    a, fresh = bench.client(STORES[store]).create(), bench.client(STORES[store])
    value = b"v" * size
    a.set("/x", value)
    change = a.set("/x", b"new", condition={"value": value})
    assert change.prev_node is not None
    assert change.prev_node.value == value
    assert [c.changes[0].node.value for c in fresh.commits()] == [value, b"new"]


class Limited(DelegatingSubstrate):
    """Of other limits."""

    def __init__(self, inner: Substrate, limits: Limits) -> None:
        super().__init__(inner)
        self._limits = limits

    def limits(self, name: str) -> Limits:
        return self._limits


@each_store
@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_faulty_store_loses_nothing_and_repeats_nothing(store: str, seed: int) -> None:
    inner = MemorySubstrate(uuid.uuid4().hex)
    plan = FaultPlan(
        read_before=0.1,
        swap_before=0.1,
        swap_after=0.1,
        swap_lost=0.1,
        conflict=0.1,
        storm=2,
        put_before=0.1,
        put_after=0.1,
    )
    engines = [
        VersionedEngine(Limited(FaultySubstrate(inner, seed + number, plan), STORES[store]))
        for number in range(2)
    ]
    name = "c"
    engines[0].create_config(name, {}, deadline=Deadline.after(30))
    handles = [ConfigHandle(name), ConfigHandle(name)]
    for number in range(30):
        change = engines[number % 2].set(
            handles[number % 2],
            f"/k{number % 3}",
            b"x" * (number * 67),
            "text/plain",
            deadline=Deadline.after(30),
        )
        assert change.revision == number + 1
        assert change.node.version == number // 3 + 1
    report = engines[0].check(name, deadline=Deadline.after(30))
    assert report.problems == ()
    assert report.commits == 30


def test_large_value_survives_pickling(bench: Bench) -> None:
    client = bench.client().create()
    client.set("/big", b"x" * 20_000)
    node = client.commits()[0].changes[0].node
    assert isinstance(node.content, LargeValue)
    assert pickle.loads(pickle.dumps(node)) == node
    assert copy.deepcopy(node) == node


@pytest.mark.parametrize("moment", [-1, 1 << 62, 1 << 63])
def test_clock_beyond_all_stamps_writes_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    client = bench.client().create()
    client.set("/a", b"1")
    with monkeypatch.context() as patch:
        patch.setattr("time.time_ns", lambda: moment)
        with pytest.raises(ClockSkew):
            client.set("/a", b"2")
        with pytest.raises(ClockSkew):
            bench.client(name="other").create()
        with pytest.raises(ClockSkew):
            client.drop()
    assert bench.client().get("/a") == b"1"
