"""Commit ids: never applied twice, refused where that cannot be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from discfg_core import commit_ids
from discfg_core.errors import CommitIdExpired, CommitIdReused
from discfg_core.versioned import ids

if TYPE_CHECKING:
    from tests.versioned.conftest import Bench, Client


@pytest.fixture
def a(bench: Bench) -> Client:
    return bench.client().create()


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> int:
    """A window of ten commits, of no time."""
    monkeypatch.setattr(ids, "WINDOW_COMMITS", 10)
    monkeypatch.setattr(ids, "WINDOW_NS", 0)
    return 10


def fill(client: Client, count: int, name: str = "fill") -> None:
    for number in range(count):
        client.set(f"/{name}{number % 5}", str(number))


def test_repetition_is_answered_with_the_commit_from_any_client(bench: Bench, a: Client) -> None:
    first = a.set("/x", "1", commit_id="job")
    fill(a, 200)
    for client in (a, bench.client()):
        assert client.set("/x", "1", commit_id="job") == first
    assert bench.head().revision == 201


def test_other_use_of_an_id_is_refused(bench: Bench, a: Client) -> None:
    a.set("/x", "1", commit_id="job")
    for client in (a, bench.client()):
        for other in ({"value": "2"}, {"key": "/y"}):
            with pytest.raises(CommitIdReused):
                client.set(other.get("key", "/x"), other.get("value", "1"), commit_id="job")
        with pytest.raises(CommitIdReused):
            client.commit(settings={"a": 1}, commit_id="job")


def test_ids_are_each_actors_own(a: Client) -> None:
    assert a.set("/x", "1", commit_id="job", actor="ann").revision == 1
    assert a.set("/x", "2", commit_id="job", actor="bob").revision == 2
    assert a.set("/x", "1", commit_id="job", actor="ann").revision == 1


def test_random_id_of_another_commit_is_no_free_id(bench: Bench, a: Client) -> None:
    a.set("/x", "1")
    (commit,) = a.commits()
    assert a.outcome(commit.id) == commit
    placed = commit_ids.place(bench.head().incarnation.hex(), 0, commit.id)
    assert a.outcome(placed) == commit
    with pytest.raises(CommitIdReused):
        a.set("/x", "2", commit_id=placed)


def test_placed_id_older_than_the_window_is_refused(bench: Bench, a: Client, narrow: int) -> None:
    incarnation = bench.head().incarnation.hex()
    old = commit_ids.make(incarnation, 0)
    a.set("/x", "1", commit_id=old)
    fill(a, narrow * 3)
    fresh = bench.client()
    revision = bench.head().revision
    with pytest.raises(CommitIdExpired):
        fresh.set("/x", "1", commit_id=old)
    assert bench.head().revision == revision
    # Within the window all is told for sure.
    recent = commit_ids.make(incarnation, revision - 3)
    assert fresh.set("/x", "2", commit_id=recent).revision == revision + 1
    assert bench.client().set("/x", "2", commit_id=recent).revision == revision + 1


def test_callers_own_id_is_never_applied_twice_however_old(
    bench: Bench, a: Client, narrow: int
) -> None:
    first = a.set("/x", "1", commit_id="job")
    fill(a, narrow * 5)
    for client in (a, bench.client()):
        assert client.set("/x", "1", commit_id="job") == first


def test_id_of_another_incarnation_is_refused(bench: Bench, a: Client) -> None:
    foreign = commit_ids.make("0" * 32, 0)
    with pytest.raises(CommitIdExpired):
        a.set("/x", "1", commit_id=foreign)
    with pytest.raises(CommitIdExpired):
        a.outcome(foreign)
    assert bench.head().revision == 0


def test_id_placed_in_the_future_is_taken_as_of_now(bench: Bench, a: Client) -> None:
    ahead = commit_ids.make(bench.head().incarnation.hex(), 1000)
    assert a.set("/x", "1", commit_id=ahead).revision == 1
    assert a.set("/x", "1", commit_id=ahead).revision == 1
    found = a.outcome(ahead)
    assert found is None or found.revision == 1


@pytest.mark.parametrize("gap", [1, 9, 10, 11, 25, 300])
def test_commits_of_others_meanwhile_are_known(
    bench: Bench, a: Client, narrow: int, gap: int
) -> None:
    other = bench.client()
    a.set("/x", "1", commit_id="a0")
    other.set("/y", "1", commit_id="b0")
    fill(other, gap)
    other.set("/y", "2", commit_id="b1")
    for client in (a, other, bench.client()):
        assert client.set("/y", "1", commit_id="b0").revision == 2
        assert client.set("/y", "2", commit_id="b1").revision == gap + 3
        assert client.set("/x", "1", commit_id="a0").revision == 1
    assert bench.head().revision == gap + 3


def test_outcome_of_an_old_commit_reads_the_whole_history(bench: Bench, a: Client) -> None:
    a.set("/x", "1", commit_id="job")
    fill(a, 300)
    found = bench.client().outcome("job")
    assert found is not None
    assert found.revision == 1
    assert bench.client().outcome("other") is None
