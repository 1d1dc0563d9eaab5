"""The faulty and the late substrate do what other tests rely on."""

from __future__ import annotations

import threading
import time

import pytest

from discfg_core.clock import Deadline
from discfg_core.errors import OutcomeUnknown, StoreUnavailable
from discfg_core.substrate import NOT_TOLD, BlobRange, Register, Substrate, SwapConflict, Token
from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.testing import FaultPlan, FaultySubstrate, LateSubstrate
from discfg_core.testing.faults import Fault, Injected
from discfg_core.testing.processes import Line, run_in_threads

NAME = "config"


def soon() -> Deadline:
    return Deadline.after(30)


def register(substrate: Substrate) -> Register:
    found = substrate.read(NAME, deadline=soon())
    assert isinstance(found, Register)
    return found


def faulty(plan: FaultPlan, seed: int = 1) -> tuple[FaultySubstrate, MemorySubstrate, Token]:
    inner = MemorySubstrate()
    token = inner.swap(NAME, None, b"start", deadline=soon())
    return FaultySubstrate(inner, seed, plan), inner, token


def attempt(substrate: Substrate, count: int) -> list[str]:
    """What became of a row of swaps, each over what is there."""
    outcomes = []
    for number in range(count):
        try:
            token = register(substrate).token
            substrate.swap(NAME, token, b"%d" % number, deadline=soon())
            outcomes.append("done")
        except (StoreUnavailable, OutcomeUnknown, SwapConflict) as error:
            outcomes.append(error.code)
    return outcomes


# --- FaultySubstrate ----------------------------------------------------------------------


def test_without_faults_it_is_the_inner_substrate() -> None:
    substrate, inner, token = faulty(FaultPlan())
    assert isinstance(substrate, Substrate)
    assert attempt(substrate, 20) == ["done"] * 20
    substrate.put_blob(NAME, "blob", b"data", deadline=soon())
    assert substrate.get_blobs(NAME, [BlobRange("blob")], deadline=soon()) == [b"data"]
    assert [info.size for info in substrate.list_blobs(NAME, deadline=soon())] == [4]
    assert list(substrate.names(deadline=soon())) == [NAME]
    assert substrate.guarantees == inner.guarantees
    assert substrate.injected == []
    assert register(inner).token != token


def test_fault_before_a_swap_does_nothing() -> None:
    substrate, inner, token = faulty(FaultPlan(swap_before=1))
    with pytest.raises(StoreUnavailable):
        substrate.swap(NAME, token, b"new", {"blob": b"data"}, deadline=soon())
    assert register(inner) == Register(b"start", token)
    assert list(inner.list_blobs(NAME, deadline=soon())) == []
    assert substrate.injected == [Injected("swap", 0, NAME, Fault.BEFORE, applied=False)]


def test_fault_after_a_swap_was_applied() -> None:
    substrate, inner, token = faulty(FaultPlan(swap_after=1))
    with pytest.raises(OutcomeUnknown):
        substrate.swap(NAME, token, b"new", {"blob": b"data"}, deadline=soon())
    assert register(inner).data == b"new"
    with pytest.raises(OutcomeUnknown):
        substrate.swap(NAME, token, b"newer", deadline=soon())
    assert register(inner).data == b"new"
    assert [each.applied for each in substrate.injected] == [True, False]


def test_fault_that_loses_a_swap() -> None:
    substrate, inner, token = faulty(FaultPlan(swap_lost=1))
    with pytest.raises(OutcomeUnknown):
        substrate.swap(NAME, token, b"new", deadline=soon())
    assert register(inner) == Register(b"start", token)


def test_conflict_storm_refuses_a_row_of_swaps() -> None:
    substrate, inner, token = faulty(FaultPlan(conflict=1, storm=3))
    with pytest.raises(SwapConflict) as caught:
        substrate.swap(NAME, token, b"new", deadline=soon())
    assert caught.value.current == NOT_TOLD
    substrate.plan = FaultPlan()
    assert attempt(substrate, 3) == ["swap_conflict", "swap_conflict", "done"]
    assert register(inner).data == b"2"


def test_faults_before_and_after_a_blob_was_put() -> None:
    substrate, inner, _ = faulty(FaultPlan(put_before=1))
    with pytest.raises(StoreUnavailable):
        substrate.put_blob(NAME, "blob", b"data", deadline=soon())
    assert inner.get_blobs(NAME, [BlobRange("blob")], deadline=soon()) == [None]
    substrate.plan = FaultPlan(put_after=1)
    with pytest.raises(OutcomeUnknown):
        substrate.put_blob(NAME, "blob", b"data", deadline=soon())
    assert inner.get_blobs(NAME, [BlobRange("blob")], deadline=soon()) == [b"data"]


def test_fault_before_a_read() -> None:
    substrate, _, _ = faulty(FaultPlan(read_before=1))
    with pytest.raises(StoreUnavailable):
        substrate.read(NAME, deadline=soon())
    with pytest.raises(StoreUnavailable):
        substrate.get_blobs(NAME, [], deadline=soon())
    assert [each.operation for each in substrate.injected] == ["read", "get_blobs"]


def test_delay_ends_with_the_deadline() -> None:
    substrate, _, token = faulty(FaultPlan(delay=1, delay_seconds=1000))
    began = time.monotonic()
    substrate.read(NAME, token, deadline=Deadline.after(0.05))
    assert time.monotonic() - began < 5
    assert substrate.injected[0].fault is Fault.DELAY


MIXED = FaultPlan(swap_before=0.2, swap_after=0.2, swap_lost=0.2, conflict=0.1, storm=2)


def test_faults_repeat_for_a_seed() -> None:
    runs = []
    for seed in (1, 1, 2):
        substrate, _, _ = faulty(MIXED, seed)
        runs.append((attempt(substrate, 60), substrate.injected))
    assert runs[0] == runs[1] != runs[2]
    assert set(runs[0][0]) == {"done", "store_unavailable", "outcome_unknown", "swap_conflict"}


def test_faults_of_a_method_do_not_depend_on_other_calls() -> None:
    substrate, _, _ = faulty(MIXED)
    alone = attempt(substrate, 40)
    disturbed, inner, _ = faulty(MIXED)
    outcomes = []
    for number in range(40):
        disturbed.put_blob(NAME, f"blob{number}", b"data", deadline=soon())
        outcomes += attempt(disturbed, 1)
    assert outcomes == alone
    assert len(list(inner.list_blobs(NAME, deadline=soon()))) == 40


def test_faults_of_many_threads_are_those_of_one() -> None:
    def swaps(line: Line, substrate: FaultySubstrate) -> None:
        line.ready()
        attempt(substrate, 25)

    substrate, _, _ = faulty(MIXED)
    run_in_threads(swaps, [(substrate,)] * 4)
    alone, _, _ = faulty(MIXED)
    attempt(alone, 100)

    def drawn(which: FaultySubstrate) -> dict[int, Fault]:
        return {each.call: each.fault for each in which.injected}

    assert drawn(substrate) == drawn(alone)


# --- LateSubstrate ------------------------------------------------------------------------


def late(after_reads: int | None = None) -> tuple[LateSubstrate, MemorySubstrate, Token]:
    inner = MemorySubstrate()
    token = inner.swap(NAME, None, b"start", deadline=soon())
    substrate = LateSubstrate(inner, after_reads=after_reads)
    substrate.arm()
    return substrate, inner, token


def test_late_swap_lands_on_demand_with_its_blobs() -> None:
    substrate, inner, token = late()
    assert isinstance(substrate, Substrate)
    with pytest.raises(OutcomeUnknown):
        substrate.swap(NAME, token, b"late", {"blob": b"data"}, deadline=soon())
    assert register(substrate) == Register(b"start", token)
    assert substrate.pending == 1
    assert substrate.apply_pending() == 1
    assert register(inner).data == b"late"
    assert inner.get_blobs(NAME, [BlobRange("blob")], deadline=soon()) == [b"data"]
    assert substrate.pending == substrate.apply_pending() == 0


@pytest.mark.parametrize("reads", [1, 3])
def test_late_swap_lands_after_so_many_reads(reads: int) -> None:
    substrate, inner, token = late(after_reads=reads)
    with pytest.raises(OutcomeUnknown):
        substrate.swap(NAME, token, b"late", deadline=soon())
    for _ in range(reads):
        assert register(inner).data == b"start"
        # The read that lets it land does not see it yet.
        assert register(substrate).data == b"start"
    assert register(inner).data == b"late"


def test_late_swap_does_not_land_where_another_came_first() -> None:
    substrate, inner, token = late()
    with pytest.raises(OutcomeUnknown):
        substrate.swap(NAME, token, b"late", deadline=soon())
    substrate.swap(NAME, token, b"first", deadline=soon())
    assert substrate.apply_pending() == 0
    assert register(inner).data == b"first"
    assert [each.landed for each in substrate.swaps] == [False]


def test_late_swap_fences_its_own_repetition() -> None:
    substrate, inner, token = late(after_reads=1)
    with pytest.raises(OutcomeUnknown):
        substrate.swap(NAME, token, b"late", deadline=soon())
    register(substrate)
    with pytest.raises(SwapConflict):
        substrate.swap(NAME, token, b"late", deadline=soon())
    assert register(inner).data == b"late"


def test_late_swaps_of_one_token_land_once() -> None:
    substrate, inner, token = late()
    substrate.arm(2)
    for data in (b"one", b"two"):
        with pytest.raises(OutcomeUnknown):
            substrate.swap(NAME, token, data, deadline=soon())
    assert substrate.apply_pending() == 1
    assert register(inner).data == b"one"


def test_late_swaps_of_many_threads_are_applied_once_each() -> None:
    substrate, inner, token = late(after_reads=2)
    substrate.arm(8)
    done = threading.Event()

    def swap(line: Line, number: int) -> None:
        line.ready()
        with pytest.raises(OutcomeUnknown):
            substrate.swap(NAME, token, b"%d" % number, deadline=soon())
        while not done.is_set():
            if register(substrate).token != token:
                done.set()

    run_in_threads(swap, [(number,) for number in range(8)])
    substrate.apply_pending()
    assert [each.landed for each in substrate.swaps].count(True) == 1
    assert register(inner).token != token
