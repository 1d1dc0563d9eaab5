"""The schema and commits that share a swap."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from discfg_core.engine import Put
from discfg_core.errors import SchemaViolated
from discfg_core.values import TEXT

if TYPE_CHECKING:
    from tests.versioned.conftest import Bench, Client, Gate, Go


@pytest.fixture
def a(bench: Bench) -> Client:
    return bench.client().create()


def _set_schema(client: Client, schema: object) -> None:
    client.commit(schema=json.dumps(schema))


def test_of_one_batch_each_is_judged_on_what_the_one_before_left(a: Client, gate: Gate) -> None:
    _set_schema(a, {"maxProperties": 3})
    doing = a.queued(gate, [lambda n=n: a.set(f"/k{n}") for n in range(4)])  # type: ignore[misc]  # the loop's variable is bound
    gate.open()
    assert [one.result().revision for one in doing[:3]] == [2, 3, 4]
    assert all(isinstance(one.error(), SchemaViolated) for one in doing[3:])
    assert sorted(a.values()) == ["/first", "/k0", "/k1"]


def test_schema_of_a_batch_mate_counts(a: Client, gate: Gate) -> None:
    doing = a.queued(
        gate,
        [
            lambda: _set_schema(a, {"required": ["first"]}),
            lambda: a.delete("/first"),
            lambda: a.set("/other"),
        ],
    )
    gate.open()
    assert doing[1].result() is None
    assert isinstance(doing[2].error(), SchemaViolated)
    assert doing[3].result().revision == 3


def test_schema_of_whoever_won_the_race_counts(a: Client, bench: Bench) -> None:
    other = bench.client()

    def overtaken(go: Go) -> object:
        _set_schema(other, {"maxProperties": 0})
        return go()

    a.store.then("swap", overtaken)
    with pytest.raises(SchemaViolated):
        a.set("/x")
    assert a.revision() == 1


def test_large_value_rides_in_the_swap_that_is_judged(a: Client, gate: Gate) -> None:
    _set_schema(a, {"additionalProperties": {"maxLength": 200_000}})
    doing = a.queued(
        gate,
        [
            lambda: a.commit(_text("/ok", 200_000)),
            lambda: a.commit(_text("/long", 200_001)),
            lambda: a.commit(_text("/more", 200_000)),
        ],
    )
    gate.open()
    assert doing[1].result() is not None
    assert isinstance(doing[2].error(), SchemaViolated)
    assert doing[3].result() is not None


def _text(key: str, size: int) -> Put:
    return Put(key, b"x" * size, TEXT)
