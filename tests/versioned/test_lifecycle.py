"""A config's lives: created, deleted and brought back, whatever happens to the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from discfg_core.clock import Deadline
from discfg_core.engine import ConfigHandle
from discfg_core.errors import (
    ConfigExists,
    ConfigNotFound,
    ConfigReplaced,
    Corrupt,
    NewerFormat,
    OutcomeUnknown,
    StoreUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.versioned.conftest import Bench, Client, Gate, Go, Handler


@pytest.mark.parametrize("script", ["lost", "unanswered", "repeated"])
def test_create_happens_once(bench: Bench, scripts: dict[str, Handler], script: str) -> None:
    a = bench.client()
    a.store.then("swap", scripts[script])
    a.create()
    assert bench.head().sequence == 0
    with pytest.raises(ConfigExists):
        a.create()


@pytest.mark.parametrize("script", ["lost", "unanswered", "repeated"])
def test_drop_and_undrop_happen_once(
    bench: Bench, scripts: dict[str, Handler], script: str
) -> None:
    a = bench.client().create()
    a.set("/x", "1")
    sequence = bench.head().sequence
    a.store.then("swap", scripts[script])
    a.drop()
    assert bench.head().sequence == sequence + 1
    a.store.then("swap", scripts[script])
    a.undrop()
    assert bench.head().sequence == sequence + 2
    assert a.get("/x") == b"1"


@pytest.mark.parametrize("script", ["create", "drop", "undrop"])
def test_unknown_until_the_deadline_is_said_so(bench: Bench, script: str) -> None:
    a = bench.client()
    if script != "create":
        bench.client().create()
    if script == "undrop":
        bench.client().drop()
    a.store.then("read", lambda go: go())
    a.store.always("swap", lambda go: _lose(a))
    call: Callable[[], object] = {
        "create": lambda: a.engine.create_config("c", {}, deadline=Deadline.after(0.1)),
        "drop": lambda: a.drop(0.1),
        "undrop": lambda: a.undrop(0.1),
    }[script]
    with pytest.raises(OutcomeUnknown):
        call()


def _lose(client: Client) -> object:
    client.cut_off()
    raise OutcomeUnknown("no answer")


def test_drop_that_was_undone_meanwhile_is_not_done_again(bench: Bench) -> None:
    a, other = bench.client().create(), bench.client()

    def undone(go: Go) -> object:
        go()
        other.undrop()
        raise OutcomeUnknown("no answer")

    a.store.then("swap", undone)
    with pytest.raises(OutcomeUnknown):
        a.drop()
    assert bench.head().dropped is None


def test_drop_that_lost_the_race_is_done_on_what_won(bench: Bench) -> None:
    a, other = bench.client().create(), bench.client()

    def beaten(go: Go) -> object:
        other.set("/x")
        return go()

    a.store.then("swap", beaten)
    a.drop()
    assert bench.head().dropped is not None
    assert bench.head().revision == 1


def test_incarnation_is_never_used_twice(bench: Bench) -> None:
    a, other = bench.client(), bench.client()
    lives: list[bytes] = []

    def lived_and_died(go: Go) -> object:
        go()
        lives.append(bench.head().incarnation)
        other.drop()
        third = bench.client().create()
        lives.append(bench.head().incarnation)
        third.drop()
        raise OutcomeUnknown("no answer")

    a.store.then("swap", lived_and_died)
    with pytest.raises(OutcomeUnknown):
        a.create()
    assert len(set(lives)) == 2
    bench.client().create()
    assert bench.head().incarnation not in lives


def test_one_of_two_creators_wins(bench: Bench) -> None:
    a, other = bench.client(), bench.client()

    def beaten(go: Go) -> object:
        other.create()
        return go()

    a.store.then("swap", beaten)
    with pytest.raises(ConfigExists):
        a.create()


def test_creation_over_a_config_touches_nothing(bench: Bench) -> None:
    a = bench.client().create()
    before = a.store.count("provision")
    with pytest.raises(ConfigExists):
        a.create(capacity=1)
    assert a.store.count("provision") == before


def test_tombstone_of_a_newer_version_is_left_alone(bench: Bench) -> None:
    a = bench.client().create()
    a.drop()
    bench.change_head(lambda head: msgspec.structs.replace(head, min_writer=2))
    data = bench.register().data
    for call in (bench.client().create, bench.client().undrop):
        with pytest.raises(NewerFormat):
            call()
    assert bench.register().data == data


def test_deletion_is_not_taken_back_by_a_resource_that_stays(
    bench: Bench, fails: Callable[..., Handler]
) -> None:
    a = bench.client().create()
    a.store.always("drop", fails(lambda: StoreUnavailable("the resource is still there")))
    with pytest.raises(OutcomeUnknown):
        a.drop(0.1)
    with pytest.raises(ConfigNotFound):
        a.revision()


def test_drop_needs_no_blobs_to_say_that_it_happened(
    bench: Bench, fails: Callable[..., Handler]
) -> None:
    a, other = bench.client().create(), bench.client()
    for number in range(70):
        other.set(f"/k{number}", b"x" * 5000)
    a.revision()
    a.store.always("get_blobs", fails(lambda: StoreUnavailable("away")))
    a.drop(1)
    assert bench.head().dropped is not None


def test_new_incarnation_has_nothing_of_the_old(bench: Bench) -> None:
    a = bench.client().create()
    for number in range(70):
        a.set(f"/k{number % 3}", b"x" * 5000)
    a.drop()
    assert bench.blobs()
    other = bench.client()
    other.create()
    assert bench.blobs() == {}
    assert other.revision() == 0
    for call in (a.revision, lambda: a.set("/x"), a.drop, a.commits, lambda: a.outcome("x")):
        with pytest.raises(ConfigReplaced):
            call()
    a.handle = ConfigHandle("c")
    assert a.revision() == 0


@pytest.mark.parametrize("then", ["gone", "replaced"])
@pytest.mark.parametrize("what", ["large value", "history"])
def test_reader_whose_config_ends_is_told_so(
    bench: Bench, gate: Gate, what: str, then: str
) -> None:
    a, other = bench.client().create(), bench.client()
    a.set("/large", b"x" * 10_000)
    for number in range(140):
        other.set(f"/k{number}")
    # A reader that has no blob at hand.
    a = bench.client()
    a.revision()
    a.store.then("get_blobs", gate)
    doing = a.do(a.get, "/large") if what == "large value" else a.do(a.commits)
    gate.reached()
    other.drop()
    other.handle = ConfigHandle("c")
    other.create()
    if then == "gone":
        other.drop()
    gate.open()
    error = doing.error()
    assert isinstance(error, ConfigNotFound if then == "gone" else ConfigReplaced)
    assert not isinstance(error, Corrupt)


def test_value_of_an_old_view_whose_config_was_replaced(bench: Bench) -> None:
    a, other = bench.client().create(), bench.client()
    a.set("/large", b"x" * 10_000)
    a.set("/small", b"y")
    view = a.engine.view(a.handle, deadline=Deadline.after(10))
    large, small = view.list()
    other.drop()
    other.handle = ConfigHandle("c")
    other.create()
    assert small.value == b"y"
    with pytest.raises(ConfigReplaced):
        _ = large.value


def test_cached_tombstone_hides_no_config_that_its_reader_made(bench: Bench, gate: Gate) -> None:
    a = bench.client().create()
    a.drop()
    a.store.then("swap", gate)
    making = a.do(a.create)
    gate.reached()
    a.handle = ConfigHandle("c")
    with pytest.raises(ConfigNotFound):
        a.revision()
    gate.open()
    making.result()
    view = a.engine.view(a.handle, max_staleness=60, deadline=Deadline.after(10))
    assert view.revision == 0
