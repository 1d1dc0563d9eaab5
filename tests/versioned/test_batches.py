"""Several transactions in one swap: each judged alone, all of them done or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from discfg_core.engine import Remove
from discfg_core.errors import (
    CommitIdReused,
    ConditionFailed,
    KeyNotFound,
    OutcomeUnknown,
    StoreFull,
    Timeout,
)
from discfg_core.testing.faults import LateSubstrate

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.versioned.conftest import Bench, Client, Gate, Go, Handler


@pytest.fixture
def a(bench: Bench) -> Client:
    return bench.client().create()


@pytest.fixture
def other(bench: Bench, a: Client) -> Client:
    return bench.client()


def test_all_that_wait_share_one_swap(a: Client, gate: Gate) -> None:
    doing = a.queued(gate, [lambda n=n: a.set(f"/k{n}") for n in range(20)])  # type: ignore[misc]  # the loop's variable is bound
    before = a.store.count("swap")
    gate.open()
    revisions = [one.result().revision for one in doing]
    assert revisions == list(range(1, 22))
    assert a.store.count("swap") == before + 1


def test_batch_is_bounded_in_bytes_whatever_rides(a: Client, gate: Gate) -> None:
    doing = a.queued(
        gate,
        [lambda n=n: a.set(f"/k{n}", b"x" * 60_000) for n in range(40)],  # type: ignore[misc]  # the loop's variable is bound
    )
    gate.open()
    for one in doing:
        one.result()
    assert max(a.store.swapped) < 1_500_000


def test_callers_own_id_of_another_process_does_not_stand_for_the_batch(
    a: Client, other: Client, gate: Gate, scripts: dict[str, Handler]
) -> None:
    """The other's commit of the same id lands where ours would: the batch mate must not be lost."""
    first = a.queued(gate, [lambda: a.set("/x", "1", commit_id="job"), lambda: a.set("/y", "2")])

    def beaten(go: Go) -> object:
        other.set("/x", "1", commit_id="job")
        return go()

    a.store.then("swap", beaten)
    gate.open()
    assert [one.result().revision for one in first] == [1, 2, 3]
    assert other.texts() == {"/first": "", "/x": "1", "/y": "2"}


@pytest.mark.parametrize("answer", ["lost", "unanswered", "repeated"])
def test_batch_in_doubt_is_taken_over_by_the_next_leader(
    a: Client, bench: Bench, gate: Gate, scripts: dict[str, Handler], answer: str
) -> None:
    doing = a.queued(
        gate,
        [
            lambda: a.set("/short", seconds=0.3),
            lambda: a.set("/one"),
            lambda: a.set("/two", condition={"absent": True}),
            lambda: a.delete("/nothing"),
        ],
    )
    # The leader with little time gives up; the rest of its batch goes on with the same swap.
    a.store.then("swap", scripts[answer])
    if answer != "repeated":
        a.cut_off()
    gate.open()
    doing[0].result()
    short = doing[1].error()
    a.reconnect()
    assert doing[2].result().node.version == 1
    assert doing[3].result().node.version == 1
    assert isinstance(doing[4].error(), KeyNotFound)
    commits = bench.client().commits()
    assert len(commits) == len({commit.id for commit in commits})
    written = [change.key for commit in commits for change in commit.changes]
    assert sorted(written) == ["/first", "/one", "/short", "/two"]
    assert short is None if answer == "repeated" else isinstance(short, OutcomeUnknown)


def test_late_landing_of_an_attempt_that_was_taken_over(
    a: Client, bench: Bench, gate: Gate
) -> None:
    late = LateSubstrate(a.store.inner)
    doing = a.queued(gate, [lambda: a.set("/short", seconds=0.3), lambda: a.set("/one")])

    def from_now_on(go: Go) -> object:
        a.store.inner = late
        late.arm(1000)
        return go()

    a.store.then("swap", from_now_on)
    gate.open()
    doing[0].result()
    assert isinstance(doing[1].error(), OutcomeUnknown)
    late.arm(0)
    assert doing[2].result().node.version == 1
    late.apply_pending()
    assert not any(swap.landed for swap in late.swaps)
    assert len(bench.client().commits()) == 3


def test_given_up_in_doubt_and_nobody_left_to_ask(
    a: Client, bench: Bench, scripts: dict[str, Handler]
) -> None:
    a.store.then("swap", scripts["unanswered"])
    a.cut_off()
    with pytest.raises(OutcomeUnknown):
        a.set("/x", "1", seconds=0.1)
    a.reconnect()
    assert a.set("/x", "2").node.version == 2
    assert bench.client().revision() == 2


def test_waiter_in_the_queue_times_out_for_sure(a: Client, bench: Bench, gate: Gate) -> None:
    doing = a.queued(gate, [lambda: a.set("/late", seconds=0.1)])
    assert isinstance(doing[1].error(), Timeout)
    gate.open()
    doing[0].result()
    assert a.set("/after").revision == 2
    assert "/late" not in bench.client().values()


def test_waiter_in_flight_cannot_tell(a: Client, gate: Gate, gates: Callable[[], Gate]) -> None:
    held = gates()
    doing = a.queued(gate, [lambda: a.set("/led"), lambda: a.set("/late", seconds=0.2)])
    a.store.then("swap", held)
    gate.open()
    held.reached()
    error = doing[2].error()
    held.open()
    assert isinstance(error, OutcomeUnknown)
    assert error.commit_id is not None
    doing[1].result()
    found = a.outcome(error.commit_id)
    assert found is not None
    assert found.changes[0].key == "/late"


def test_abandoned_waiter_is_not_committed_by_a_later_attempt(
    a: Client, other: Client, gate: Gate, gates: Callable[[], Gate]
) -> None:
    held = gates()
    doing = a.queued(gate, [lambda: a.set("/led"), lambda: a.set("/late", seconds=0.2)])
    a.store.then("swap", held)
    gate.open()
    held.reached()
    assert isinstance(doing[2].error(), OutcomeUnknown)
    other.set("/beats")
    held.open()
    doing[1].result()
    assert other.texts().keys() == {"/first", "/beats", "/led"}


def test_refused_transaction_fails_alone(
    a: Client, other: Client, gate: Gate, fails: Callable[..., Handler]
) -> None:
    doing = a.queued(
        gate,
        [
            lambda: a.set("/a", condition={"version": 7}),
            lambda: a.set("/b"),
            lambda: a.delete("/c"),
            lambda: a.commit(Remove("/d", missing_ok=True)),
        ],
    )
    gate.open()
    assert isinstance(doing[1].error(), ConditionFailed)
    assert doing[2].result().revision == 2
    assert isinstance(doing[3].error(), KeyNotFound)
    assert doing[4].result() is None
    assert other.revision() == 2


def test_second_of_two_with_one_condition_is_told_who_beat_it(a: Client, gate: Gate) -> None:
    doing = a.queued(
        gate,
        [
            lambda: a.set("/k", "1", condition={"absent": True}),
            lambda: a.set("/k", "2", condition={"absent": True}),
        ],
    )
    gate.open()
    assert doing[1].result().revision == 2
    error = doing[2].error()
    assert isinstance(error, ConditionFailed)
    assert error.node is not None
    assert error.node.value == b"1"


def test_batch_mate_whose_swap_failed_is_no_reason_to_refuse(
    a: Client, gate: Gate, fails: Callable[..., Handler]
) -> None:
    # The first would create the key, but its swap is refused for good: the second may create it.
    doing = a.queued(
        gate,
        [
            lambda: a.set("/k", "1", condition={"absent": True}),
            lambda: a.set("/k", "2", condition={"absent": True}),
        ],
    )
    a.store.then("swap", fails(lambda: StoreFull("no room")))
    gate.open()
    assert isinstance(doing[1].error(), StoreFull)
    assert doing[2].result().node.value == b"2"


def test_same_commit_id_twice_in_one_batch_is_one_commit(a: Client, gate: Gate) -> None:
    doing = a.queued(
        gate,
        [
            lambda: a.set("/k", "1", commit_id="job"),
            lambda: a.set("/k", "1", commit_id="job"),
            lambda: a.set("/k", "2", commit_id="job"),
        ],
    )
    gate.open()
    assert doing[1].result() == doing[2].result()
    assert isinstance(doing[3].error(), CommitIdReused)
    assert a.revision() == 2
