"""Room for a client that loses every race."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from discfg_core.errors import ConditionFailed
from discfg_core.versioned import lead
from discfg_core.versioned.format import Claim

if TYPE_CHECKING:
    from tests.versioned.conftest import Bench, Client, Doing, Go, Handler


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lead, "_PATIENT_SECONDS", 0.0)


@pytest.fixture
def a(bench: Bench) -> Client:
    return bench.client().create()


@pytest.fixture
def other(bench: Bench, a: Client) -> Client:
    return bench.client()


def overtaken(other: Client) -> Handler:
    """Somebody else is quicker."""

    def handler(go: Go) -> object:
        other.set("/other")
        return go()

    return handler


def test_who_loses_often_is_given_room(
    a: Client, other: Client, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lead, "_ROOM_ATTEMPTS", 1_000_000)
    later: list[Doing] = []

    def claimed(go: Go) -> object:
        assert bench.head().claim is not None
        looks, swaps = other.store.count("read"), other.store.count("swap")
        later.append(other.do(other.set, "/later"))
        # It tries once, for it knows of no claim, and then looks and waits.
        while other.store.count("read") <= looks:
            time.sleep(0.01)
        time.sleep(0.2)
        assert other.store.count("swap") <= swaps + 1
        return go()

    def claim(go: Go) -> object:
        a.store.then("swap", claimed)
        return go()

    a.store.then("swap", *[overtaken(other)] * 3, claim)
    change = a.set("/slow")
    assert change.revision == 4
    assert later[0].result(20).revision == 5
    assert bench.head().claim is None
    assert [commit.revision for commit in a.commits()] == [1, 2, 3, 4, 5]


def test_nobody_asks_for_room_after_a_few_losses(a: Client, other: Client, bench: Bench) -> None:
    claims = []

    def handler(go: Go) -> object:
        claims.append(bench.head().claim)
        other.set("/other")
        return go()

    a.store.then("swap", handler, handler)
    assert a.set("/slow").revision == 3
    assert claims == [None, None]
    assert a.store.count("swap") == 1 + 3  # the config's own


def _claim(bench: Bench, milliseconds: int) -> None:
    bench.change_head(
        lambda head: msgspec.structs.replace(head, claim=Claim(b"0123456789abcdef", milliseconds))
    )


def test_claim_whose_owner_is_gone_is_honoured_once(a: Client, bench: Bench) -> None:
    a.set("/x")
    _claim(bench, 300)
    begin = time.monotonic()
    a.set("/x")
    assert time.monotonic() - begin >= 0.3
    assert bench.head().claim is None


def test_claim_costs_nobody_more_than_half_of_its_time(a: Client, bench: Bench) -> None:
    a.set("/x")
    _claim(bench, 2**31)
    assert a.set("/x", seconds=1.5).revision == 2


def test_claim_of_long_ago_delays_nobody(
    a: Client, other: Client, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    a.set("/x")
    _claim(bench, 2**31)
    slept: list[float] = []
    monkeypatch.setattr(lead, "sleep", lambda seconds, _: slept.append(seconds))
    other.get("/x")
    assert other.set("/x").revision == 2
    assert slept == [], "one that never swapped is in nobody's way"


def test_refused_claimant_leaves_no_claim(a: Client, other: Client, bench: Bench) -> None:
    a.set("/x")
    claims = []

    def forbid(go: Go) -> object:
        a.store.then("swap", claimed)
        return overtaken_at_x(go)

    def overtaken_at_x(go: Go) -> object:
        other.set("/x")
        return go()

    def claimed(go: Go) -> object:
        answer = go()
        claims.append(bench.head().claim)
        return answer

    a.store.then("swap", overtaken(other), overtaken(other), forbid)
    with pytest.raises(ConditionFailed):
        a.set("/x", condition={"version": 1})
    assert claims != [None]
    assert bench.head().claim is None


def test_claim_does_not_outlive_the_config(a: Client, bench: Bench) -> None:
    _claim(bench, 300)
    a.drop()
    assert bench.head().claim is None
