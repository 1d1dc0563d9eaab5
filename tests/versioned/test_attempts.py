"""What became of an attempt: each interleaving of a swap, its answer, and other clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from discfg_core.engine import ConfigHandle, Put, Remove
from discfg_core.errors import (
    Closed,
    CommitIdReused,
    ConfigNotFound,
    OutcomeUnknown,
    StoreFull,
    StoreUnavailable,
    Timeout,
)
from discfg_core.substrate import SwapConflict
from discfg_core.testing.faults import LateSubstrate

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.versioned.conftest import Bench, Client, Go, Handler


@pytest.fixture
def a(bench: Bench) -> Client:
    return bench.client().create()


@pytest.fixture
def other(bench: Bench, a: Client) -> Client:
    return bench.client()


# --- one writer -----------------------------------------------------------------------------


def test_lost_answer_is_found_and_counts_once(
    a: Client, bench: Bench, scripts: dict[str, Handler]
) -> None:
    a.store.then("swap", scripts["unanswered"])
    assert a.set("/x", "1").revision == 1
    assert [commit.revision for commit in bench.client().commits()] == [1]


def test_lost_request_is_sent_again(a: Client, scripts: dict[str, Handler]) -> None:
    a.store.then("swap", scripts["lost"], scripts["lost"])
    assert a.set("/x", "1").revision == 1
    assert a.store.count("swap") == 4  # the config's own, and three of this one


def test_lost_answer_and_then_commits_of_others(
    a: Client, other: Client, scripts: dict[str, Handler]
) -> None:
    def overtaken(go: Go) -> object:
        go()
        for number in range(150):
            other.set(f"/other{number}")
        raise OutcomeUnknown("no answer")

    a.store.then("swap", overtaken)
    assert a.set("/x", "1").revision == 1
    assert other.revision() == 151
    assert a.revision() == 151


def test_proxy_that_repeats_the_request_makes_no_conflict(
    a: Client, scripts: dict[str, Handler]
) -> None:
    a.store.then("swap", scripts["repeated"])
    assert a.set("/x", "1").node.version == 1
    assert a.revision() == 1


def test_conflict_that_does_not_tell_the_register(a: Client, other: Client) -> None:
    def untold(go: Go) -> object:
        other.set("/y", "2")
        raise SwapConflict

    a.store.then("swap", untold)
    assert a.set("/x", "1").revision == 2


def test_conflict_although_nothing_changed_is_tried_again(a: Client) -> None:
    def storm(go: Go) -> object:
        raise SwapConflict

    a.store.then("swap", storm, storm, storm)
    assert a.set("/x", "1").revision == 1


def test_unknown_outcome_is_never_decided_by_one_read(a: Client, bench: Bench) -> None:
    # The request is under way while the register still has the old token: the same swap is
    # sent again, and whichever lands first makes the other impossible.
    late = LateSubstrate(a.store.inner)
    a.store.inner = late
    late.arm()
    change = a.set("/x", "1", commit_id="mine")
    assert change.revision == 1
    late.apply_pending()
    assert [swap.landed for swap in late.swaps] == [False]
    assert bench.client().revision() == 1


def test_unknown_at_the_deadline_names_an_id_to_ask_about(
    a: Client, bench: Bench, scripts: dict[str, Handler]
) -> None:
    a.store.always("swap", scripts["lost"])
    with pytest.raises(OutcomeUnknown) as caught:
        a.set("/x", "1", seconds=0.1)
    a.store.always("swap", None)
    assert caught.value.commit_id is not None
    assert a.outcome(caught.value.commit_id) is None
    assert bench.client().revision() == 0


def test_unknown_at_the_deadline_that_landed_is_found_by_its_id(
    a: Client, bench: Bench, scripts: dict[str, Handler]
) -> None:
    a.store.then("swap", scripts["unanswered"])
    a.cut_off()
    with pytest.raises(OutcomeUnknown) as caught:
        a.set("/x", "1", seconds=0.1)
    a.reconnect()
    commit_id = caught.value.commit_id
    assert commit_id is not None
    for client in (a, bench.client()):
        found = client.outcome(commit_id)
        assert found is not None
        assert found.revision == 1


@pytest.mark.parametrize("landed", [True, False])
def test_repeating_with_the_id_of_the_error_applies_once(
    a: Client, scripts: dict[str, Handler], landed: bool
) -> None:
    a.store.then("swap", scripts["unanswered" if landed else "lost"])
    a.cut_off()
    with pytest.raises(OutcomeUnknown) as caught:
        a.set("/x", "1", seconds=0.1)
    a.reconnect()
    try:
        a.set("/x", "1", commit_id=caught.value.commit_id)
    except CommitIdReused:
        assert landed
    assert a.revision() == 1


def test_outcome_fences_the_abandoned_request(a: Client, bench: Bench) -> None:
    late = LateSubstrate(a.store.inner)
    a.store.inner = late
    late.arm(1000)
    with pytest.raises(OutcomeUnknown) as caught:
        a.set("/x", "1", seconds=0.1)
    late.arm(0)
    asker = bench.client()
    assert caught.value.commit_id is not None
    assert asker.outcome(caught.value.commit_id) is None
    late.apply_pending()
    assert not any(swap.landed for swap in late.swaps)
    assert asker.revision() == 0


def test_later_write_fences_the_abandoned_request(a: Client) -> None:
    late = LateSubstrate(a.store.inner)
    a.store.inner = late
    late.arm(1000)
    with pytest.raises(OutcomeUnknown):
        a.set("/x", "1", seconds=0.1)
    late.arm(0)
    assert a.set("/x", "2").prev_node is None
    late.apply_pending()
    assert a.texts() == {"/x": "2"}
    assert a.revision() == 1


def test_abandoned_request_that_lands_before_the_next_write(a: Client) -> None:
    late = LateSubstrate(a.store.inner)
    a.store.inner = late
    late.arm(1000)
    with pytest.raises(OutcomeUnknown):
        a.set("/x", "1", seconds=0.1)
    late.arm(0)
    late.apply_pending()
    change = a.set("/x", "2")
    assert change.revision == 2
    assert change.prev_node is not None
    assert change.prev_node.value == b"1"


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (lambda: StoreUnavailable("away"), StoreUnavailable),
        (lambda: Timeout("slow"), Timeout),
    ],
)
def test_certain_failure_until_the_deadline_is_certain(
    a: Client, fails: Callable[..., Handler], answer: Callable[[], Exception], wanted: type
) -> None:
    a.store.always("swap", fails(answer))
    with pytest.raises(wanted):
        a.set("/x", "1", seconds=0.1)


def test_certain_failure_that_will_not_pass_is_told_at_once(
    a: Client, fails: Callable[..., Handler]
) -> None:
    a.store.then("swap", fails(lambda: StoreFull("no room")))
    with pytest.raises(StoreFull):
        a.set("/x", "1")
    assert a.set("/x", "2").revision == 1


def test_store_closed_under_a_writer_is_told_at_once(a: Client) -> None:
    def closing(go: Go) -> object:
        a.engine.close()
        return go()

    a.store.then("swap", closing)
    with pytest.raises(Closed):
        a.set("/x", "1")


def test_library_error_is_an_unknown_outcome(a: Client, fails: Callable[..., Handler]) -> None:
    a.store.then("swap", fails(lambda: RuntimeError("the client library broke")))
    assert a.set("/x", "1").revision == 1


def test_certain_failure_behind_an_unknown_one_stays_unknown(
    a: Client, scripts: dict[str, Handler], fails: Callable[..., Handler]
) -> None:
    a.store.then("swap", scripts["unanswered"])
    a.store.always("swap", fails(lambda: StoreFull("no room")))
    with pytest.raises(OutcomeUnknown):
        a.set("/x", "1", seconds=0.2)


# --- no negative answer from the bare cache ---------------------------------------------------


def test_stale_client_refuses_nothing_from_its_cache(a: Client, other: Client) -> None:
    assert a.revision() == 0
    other.set("/k", "1")
    assert a.set("/k", "2", condition={"version": 1}).node.version == 2
    other.set("/j", "1")
    assert a.delete("/j").node.version == 2
    other.set("/i", "1")
    a.commit(Put("/h", b"", "text/plain"), if_config_revision=5)
    assert a.revision() == 6


def test_stale_client_does_not_answer_that_nothing_changes(a: Client, other: Client) -> None:
    assert a.revision() == 0
    other.set("/k", "1")
    commit = a.commit(Remove("/k", missing_ok=True))
    assert commit is not None
    assert commit.revision == 2


def test_stale_client_sees_a_config_that_was_created_meanwhile(bench: Bench) -> None:
    a, other = bench.client(), bench.client()
    with pytest.raises(ConfigNotFound):
        a.revision()
    other.create()
    assert a.set("/x", "1").revision == 1


def test_judgement_and_refresh_race_with_a_writer(a: Client, other: Client) -> None:
    # The check that would confirm the refusal finds that the config moved on.
    def moved(go: Go) -> object:
        other.set("/k", "1")
        return go()

    a.store.then("read", moved)
    assert a.set("/k", "2", condition={"version": 1}).node.version == 2


def test_refused_write_leaves_an_open_handle_open(a: Client, other: Client) -> None:
    a.set("/x")
    other.drop()
    a.handle = ConfigHandle("c")
    with pytest.raises(ConfigNotFound):
        a.set("/y")
    other.handle = ConfigHandle("c")
    other.create()
    assert a.set("/y").revision == 1
