"""A swap that its sender gave up lands when nobody expects it: once, or never any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from discfg_core.errors import OutcomeUnknown

if TYPE_CHECKING:
    from tests.conformance.conftest import Bench, Call


def test_late_swap_that_was_repeated(bench: Bench) -> None:
    config, substrate = bench.late(20.0)
    for number in range(5):
        substrate.arm()
        assert config.set("a", b"%d" % number).node.version == number + 1
        assert substrate.apply_pending() == 0
    assert bench.config.revision() == 5


@pytest.mark.parametrize("after_reads", [1, 2, 3])
def test_late_swap_that_lands_after_a_look(bench: Bench, after_reads: int) -> None:
    config, substrate = bench.late(20.0, after_reads)
    for number in range(1, 8):
        substrate.arm(number)
        change = config.set("a", b"%d" % number)
        assert (change.revision, change.node.version) == (number, number)
    substrate.apply_pending()
    assert bench.config.revision() == 7


@pytest.mark.parametrize("asked", [True, False], ids=["asked first", "landed first"])
def test_late_swap_that_was_given_up(bench: Bench, call: Call, asked: bool) -> None:
    bench.config.set("old")
    config, substrate = bench.late(0.3)
    substrate.arm(1_000_000)
    with pytest.raises(OutcomeUnknown) as caught:
        call(config)
    commit_id = caught.value.commit_id
    assert commit_id is not None
    assert substrate.pending
    if asked:
        # Once somebody was told that it did not happen, it cannot any more.
        assert bench.config.outcome(commit_id) is None
        assert substrate.apply_pending() == 0
        assert bench.config.outcome(commit_id) is None
    else:
        # However often it was sent, it lands once.
        assert substrate.apply_pending() == 1
        commit = bench.config.outcome(commit_id)
        assert commit is not None
        assert commit == bench.config.history()[0]
    assert bench.config.revision() == (1 if asked else 2)


def test_late_swap_against_another_writer(bench: Bench) -> None:
    config, substrate = bench.late(0.3)
    substrate.arm(1_000_000)
    with pytest.raises(OutcomeUnknown) as caught:
        config.set("a", b"late")
    bench.config.set("a", b"first")
    assert substrate.apply_pending() == 0
    assert caught.value.commit_id is not None
    assert bench.config.outcome(caught.value.commit_id) is None
    assert bench.config.value("a") == b"first"


def test_late_swap_of_the_same_client_is_told_of(bench: Bench) -> None:
    # It gave up on the first; its own next write must not be taken for it, nor hide it.
    config, substrate = bench.late(0.3)
    substrate.arm(1_000_000)
    with pytest.raises(OutcomeUnknown) as caught:
        config.set("a", b"late", commit_id="late")
    assert caught.value.commit_id == "late"
    substrate.apply_pending()
    substrate.arm(0)
    change = config.set("b")
    assert change.revision == 2
    assert config.set("a", b"late", commit_id="late").revision == 1
    assert [commit.id for commit in bench.config.history()][1:] == ["late"]


def test_late_creation_does_not_undo_a_later_one(bench: Bench) -> None:
    config, substrate = bench.late(0.3)
    substrate.arm(1_000_000)
    with pytest.raises(OutcomeUnknown):
        config.client.create("another", {"by": "late"})
    info = bench.sound.create("another", {"by": "first"})
    assert substrate.apply_pending() == 0
    assert bench.sound.config("another").info() == info


def test_late_deletion_does_not_hit_a_later_config(bench: Bench) -> None:
    config, substrate = bench.late(0.3)
    bench.sound.create("another")
    substrate.arm(1_000_000)
    with pytest.raises(OutcomeUnknown):
        config.client.config("another").drop()
    bench.sound.config("another").drop()
    info = bench.sound.create("another")
    assert substrate.apply_pending() == 0
    assert bench.sound.config("another").info() == info
