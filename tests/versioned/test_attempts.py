"""What became of an attempt: each interleaving of a swap, its answer, and other clients."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from discfg_core.engine import ConfigHandle, Put, Remove
from discfg_core.errors import (
    Closed,
    CommitIdReused,
    ConditionFailed,
    ConfigNotFound,
    KeyNotFound,
    OutcomeUnknown,
    StoreFull,
    StoreUnavailable,
    Timeout,
)
from discfg_core.substrate import SwapConflict
from discfg_core.testing.faults import LateSubstrate

if TYPE_CHECKING:
    from collections.abc import Callable, Sized

    from tests.versioned.conftest import Bench, Client, Doing, Gate, Go, Handler


@pytest.fixture
def a(bench: Bench) -> Client:
    return bench.client().create()


@pytest.fixture
def other(bench: Bench, a: Client) -> Client:
    return bench.client()


def keys(client: Client) -> dict[str, str]:
    return {key: value.decode() for key, value in client.values().items()}


def queued(client: Client, gate: Gate, calls: list[Callable[[], object]]) -> list[Doing]:
    """A first write held in its swap, and others waiting behind it, in this order."""
    client.store.then("swap", gate)
    doing = [client.do(client.set, "/first")]
    gate.reached()
    turns = client.engine._sessions["c"][1]._turns
    for number, call in enumerate(calls, 1):
        doing.append(client.do(call))
        wait_until(turns._queue, number)
    return doing


def wait_until(queue: Sized, length: int) -> None:
    pause = threading.Event()
    for _ in range(5000):
        if len(queue) == length:
            return
        pause.wait(0.002)
    raise AssertionError("it never came to be")


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
    assert keys(a) == {"/x": "2"}
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


# --- several in one swap ------------------------------------------------------------------------


def test_all_that_wait_share_one_swap(a: Client, gate: Gate) -> None:
    doing = queued(a, gate, [lambda n=n: a.set(f"/k{n}") for n in range(20)])  # type: ignore[misc]  # bound
    before = a.store.count("swap")
    gate.open()
    revisions = [one.result().revision for one in doing]
    assert revisions == list(range(1, 22))
    assert a.store.count("swap") == before + 1


def test_batch_is_bounded_in_bytes_whatever_rides(a: Client, gate: Gate) -> None:
    doing = queued(
        a,
        gate,
        [lambda n=n: a.set(f"/k{n}", b"x" * 60_000) for n in range(40)],  # type: ignore[misc]  # bound
    )
    gate.open()
    for one in doing:
        one.result()
    assert max(a.store.swapped) < 1_500_000


def test_callers_own_id_of_another_process_does_not_stand_for_the_batch(
    a: Client, other: Client, gate: Gate, scripts: dict[str, Handler]
) -> None:
    """The other's commit of the same id lands where ours would: the batch mate must not be lost."""
    first = queued(a, gate, [lambda: a.set("/x", "1", commit_id="job"), lambda: a.set("/y", "2")])

    def beaten(go: Go) -> object:
        other.set("/x", "1", commit_id="job")
        return go()

    a.store.then("swap", beaten)
    gate.open()
    assert [one.result().revision for one in first] == [1, 2, 3]
    assert keys(other) == {"/first": "", "/x": "1", "/y": "2"}


@pytest.mark.parametrize("answer", ["lost", "unanswered", "repeated"])
def test_batch_in_doubt_is_taken_over_by_the_next_leader(
    a: Client, bench: Bench, gate: Gate, scripts: dict[str, Handler], answer: str
) -> None:
    doing = queued(
        a,
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
    doing = queued(a, gate, [lambda: a.set("/short", seconds=0.3), lambda: a.set("/one")])

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
    doing = queued(a, gate, [lambda: a.set("/late", seconds=0.1)])
    assert isinstance(doing[1].error(), Timeout)
    gate.open()
    doing[0].result()
    assert a.set("/after").revision == 2
    assert "/late" not in bench.client().values()


def test_waiter_in_flight_cannot_tell(a: Client, gate: Gate, gates: Callable[[], Gate]) -> None:
    held = gates()
    doing = queued(a, gate, [lambda: a.set("/led"), lambda: a.set("/late", seconds=0.2)])
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
    doing = queued(a, gate, [lambda: a.set("/led"), lambda: a.set("/late", seconds=0.2)])
    a.store.then("swap", held)
    gate.open()
    held.reached()
    assert isinstance(doing[2].error(), OutcomeUnknown)
    other.set("/beats")
    held.open()
    doing[1].result()
    assert keys(other).keys() == {"/first", "/beats", "/led"}


def test_refused_transaction_fails_alone(
    a: Client, other: Client, gate: Gate, fails: Callable[..., Handler]
) -> None:
    doing = queued(
        a,
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
    doing = queued(
        a,
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
    doing = queued(
        a,
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
    doing = queued(
        a,
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
