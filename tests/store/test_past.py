"""`Config` on the past: reading it, differences, going back, and whole sets of values."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

import discfg_core as discfg
from discfg_core.errors import (
    CommitIdReused,
    ConditionFailed,
    InvalidKey,
    InvalidOption,
    InvalidValue,
    KeyNotFound,
    RevisionNotFound,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from discfg_core import Config


@pytest.fixture
def cfg() -> Config:
    return discfg.connect("memory://", actor="ann").create_config("c")


def actions(changes: tuple[discfg.Change, ...]) -> dict[str, str]:
    return {change.key: change.action.value for change in changes}


# --- reading ---


def test_reading_at_a_revision(cfg: Config) -> None:
    cfg.set("a", 1)
    cfg.set("b", {"deep": [1]})
    cfg.update({"a": 2, "c": "text"})
    assert cfg.values(at=0) == {}
    assert cfg.values(at=2) == {"/a": 1, "/b": {"deep": [1]}}
    assert cfg.get("a", at=2).data == 1
    assert cfg.get("c", None, at=2) is None
    assert [node.key for node in cfg.list("a", at=1)] == ["/a"]
    with pytest.raises(KeyNotFound) as caught:
        cfg.get("c", at=2)
    assert (caught.value.key, caught.value.config) == ("/c", "c")


def test_reading_at_a_time(cfg: Config) -> None:
    commits = [cfg.set("a", number) for number in range(5)]
    for change, commit in zip(commits, cfg.history(oldest_first=True), strict=True):
        # Its own time, cut to microseconds, finds it, unless the next was within the same.
        assert cfg.get("a", at=commit.time).revision >= change.revision
    assert cfg.values(at=datetime(2001, 1, 1, tzinfo=UTC)) == {}
    assert cfg.values(at=datetime.now(UTC) + timedelta(days=1)) == {"/a": 4}


@pytest.mark.parametrize("bad", [-1, True, 1.5, "1", datetime(2026, 1, 1)])  # noqa: DTZ001 - a time without a zone is what is refused
def test_bad_moments(cfg: Config, bad: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: cfg.get("a", at=bad),
        lambda: cfg.list(at=bad),
        lambda: cfg.values(at=bad),
        lambda: cfg.diff(bad),
        lambda: cfg.diff(0, bad),
        lambda: cfg.revert(bad),
    ]
    for call in calls:
        with pytest.raises(InvalidOption):
            call()
    assert cfg.info().revision == 0


def test_revisions_to_come(cfg: Config) -> None:
    cfg.set("a", 1)
    calls: list[Callable[[], object]] = [
        lambda: cfg.get("a", at=2),
        lambda: cfg.list(at=2),
        lambda: cfg.diff(2),
        lambda: cfg.diff(1, 2),
        lambda: cfg.revert(2),
    ]
    for call in calls:
        with pytest.raises(RevisionNotFound):
            call()
    assert cfg.info().revision == 1


def test_history_by_time_and_actor(cfg: Config) -> None:
    for number in range(4):
        cfg.set("a", number, actor="bob" if number % 2 else None)
    commits = list(cfg.history(oldest_first=True))
    assert [commit.revision for commit in commits] == [1, 2, 3, 4]
    assert [c.revision for c in cfg.history(actor="bob")] == [4, 2]
    assert [c.revision for c in cfg.history(actor="bob", oldest_first=True, limit=1)] == [2]
    assert list(cfg.history(since=commits[0].time)) == commits[::-1]
    assert list(cfg.history(until=commits[-1].time)) == commits[::-1]
    later = datetime.now(UTC) + timedelta(seconds=1)
    assert (
        list(cfg.history(since=later)) == list(cfg.history(until=later - timedelta(days=1))) == []
    )
    assert [c.revision for c in cfg.history(after=1, before=4)] == [3, 2]


def test_history_of_many_pages(cfg: Config) -> None:
    for number in range(230):
        cfg.set("a", number)
    assert [c.revision for c in cfg.history(oldest_first=True)] == list(range(1, 231))
    assert [c.revision for c in cfg.history(after=5, limit=220)] == list(range(230, 10, -1))


# --- differences ---


def test_diff(cfg: Config) -> None:
    cfg.update({"same": 1, "changed": 1, "gone": 1, "back": 1})
    cfg.update({"changed": 2, "added": 1, "same": 1, "back": 2})
    cfg.delete("gone")
    cfg.set("back", 1)
    changes = cfg.diff(1)
    assert actions(changes) == {"/added": "added", "/changed": "updated", "/gone": "removed"}
    assert [change.key for change in changes] == sorted(change.key for change in changes)
    assert cfg.diff(1, 4) == changes
    back = cfg.diff(4, 1)
    assert actions(back) == {"/added": "removed", "/changed": "updated", "/gone": "added"}
    updated = next(change for change in changes if change.key == "/changed")
    assert updated.prev_node is not None
    assert (updated.prev_node.data, updated.node.data, updated.revision) == (1, 2, 4)
    assert cfg.diff(2, 2) == ()
    assert len(cfg.diff(0)) == 4


def test_diff_sees_the_content_type(cfg: Config) -> None:
    cfg.set("a", "x")
    cfg.set("a", "x", content_type="text/markdown")
    assert actions(cfg.diff(1)) == {"/a": "updated"}


# --- going back ---


def test_revert(cfg: Config) -> None:
    cfg.update({"kept": 1, "changed": 1, "gone": b"\xff"})
    cfg.update({"changed": 2, "added": 1})
    cfg.delete("gone")
    commit = cfg.revert(1, message="undo", actor="bob")
    assert commit is not None
    assert (commit.revision, commit.reverted_to) == (4, 1)
    assert (commit.message, commit.actor) == ("undo", "bob")
    assert actions(commit.changes) == {"/added": "removed", "/changed": "updated", "/gone": "added"}
    assert cfg.values() == cfg.values(at=1)
    assert [(n.key, n.content_type) for n in cfg.list()] == [
        (n.key, n.content_type) for n in cfg.list(at=1)
    ]
    assert cfg.get("kept").version == 1
    assert cfg.get("changed").version == 3
    assert cfg.revert(1) is None
    assert len(list(cfg.history())) == 4


def test_revert_of_a_part(cfg: Config) -> None:
    cfg.update({"db/host": 1, "db/user": 1, "dbs": 1, "web": 1})
    cfg.update({"db/host": 2, "db/new": 2, "dbs": 2, "web": 2})
    commit = cfg.revert(1, ["db"])
    assert commit is not None
    assert actions(commit.changes) == {"/db/host": "updated", "/db/new": "removed"}
    assert cfg.values() == {"/db/host": 1, "/db/user": 1, "/dbs": 2, "/web": 2}
    assert cfg.revert(1, ["/db", "/db/host"]) is None
    assert cfg.revert(1, []) is None
    assert cfg.revert(to=0, keys=["web", "dbs"]) is not None
    assert cfg.values() == {"/db/host": 1, "/db/user": 1}
    for bad in ("db", 7, ["a//b"]):
        with pytest.raises((InvalidOption, InvalidKey)):
            cfg.revert(1, bad)  # type: ignore[arg-type]  # what is refused


def test_revert_is_conditional(cfg: Config) -> None:
    cfg.set("a", 1)
    cfg.set("a", 2)
    with pytest.raises(ConditionFailed):
        cfg.revert(1, if_config_revision=1)
    assert cfg.get("a").data == 2
    commit = cfg.revert(1, if_config_revision=2)
    assert commit is not None


def test_revert_and_replace_once_by_their_id(cfg: Config) -> None:
    cfg.set("a", 1)
    cfg.set("a", 2)
    first = cfg.revert(1, commit_id="r")
    assert cfg.revert(1, commit_id="r") == first
    with pytest.raises(CommitIdReused):
        cfg.revert(2, commit_id="r")
    with pytest.raises(CommitIdReused):
        cfg.revert(1, ["a"], commit_id="r")
    second = cfg.replace({"b": 1}, commit_id="s")
    assert cfg.replace({"b": 1}, commit_id="s") == second
    with pytest.raises(CommitIdReused):
        cfg.replace({"b": 2}, commit_id="s")
    assert cfg.info().revision == 4


# --- whole sets ---


def test_replace(cfg: Config) -> None:
    cfg.update({"same": {"a": 1}, "changed": 1, "gone": 1})
    commit = cfg.replace({"same": {"a": 1}, "changed": 2, "/new": "x"})
    assert commit is not None
    assert actions(commit.changes) == {"/changed": "updated", "/gone": "removed", "/new": "added"}
    assert cfg.get("same").version == 1
    assert cfg.replace({"same": {"a": 1}, "changed": 2, "new": "x"}) is None
    assert cfg.replace({}) is not None
    assert cfg.values() == {}
    assert cfg.replace({}) is None


def test_replace_knows_true_from_one(cfg: Config) -> None:
    cfg.replace({"a": 1, "b": 0.0})
    assert cfg.replace({"a": True, "b": 0.0}) is not None
    assert cfg.get("a").data is True


def test_replace_by_its_own_values_changes_nothing(cfg: Config) -> None:
    cfg.set("yaml", "a: 1", content_type="text/yaml")
    cfg.set("spaced", b'{ "a" : 1 }', content_type="application/json")
    cfg.set("bytes", b"\xff", content_type="image/png")
    before = list(cfg.list())
    assert cfg.replace(cfg.values()) is None
    assert list(cfg.list()) == before


def test_replace_takes_what_is_no_json_for_changed(cfg: Config) -> None:
    cfg.set("a", b"\xff\xfe", content_type="text/plain")
    assert cfg.replace({"a": "x"}) is not None
    assert cfg.get("a").data == "x"


def test_replace_refuses_before_anything_is_sent(cfg: Config) -> None:
    cfg.set("a", 1)
    for bad, error in (({"b": {1}}, InvalidValue), ({"b//c": 1}, InvalidKey), (7, InvalidOption)):
        with pytest.raises(error):
            cfg.replace(bad)  # type: ignore[arg-type]  # what is refused
    assert cfg.values() == {"/a": 1}


def test_replace_beside_a_writer_loses_nothing() -> None:
    mine = discfg.connect("memory://beside").create_config("c")
    other = discfg.connect("memory://beside").config("c")
    done = threading.Event()

    def count() -> None:
        while not done.is_set():
            other.update("hits", lambda n: (n or 0) + 1)

    writer = threading.Thread(target=count)
    writer.start()
    try:
        for number in range(30):
            mine.replace({"a": number, "hits": 0})
    finally:
        done.set()
        writer.join()
    # Each commit saw the very values it replaced: the history leads to what is there.
    hits = 0
    for commit in mine.history(oldest_first=True):
        for change in commit.changes:
            if change.key == "/hits":
                assert change.node.data in {0, hits + 1}
                hits = change.node.data
    assert mine.get("hits").data == hits


# --- any history ---

KEYS = st.sampled_from(["/a", "/a/b", "/ab", "/c", "/c/d/e"])
DATA = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.text(max_size=3), st.binary(max_size=3)
)
STEPS = st.lists(st.dictionaries(KEYS, st.one_of(DATA, st.just(...)), min_size=1), max_size=12)


@given(steps=STEPS, chance=st.data())
def test_any_history_can_be_gone_back_to(
    steps: list[dict[str, Any]], chance: st.DataObject
) -> None:
    cfg = discfg.connect("memory://").create_config("c")
    for step in steps:
        with cfg.transaction() as tx:
            for key, data in step.items():
                if data is ...:
                    tx.delete_prefix(key)
                else:
                    tx.set(key, data)
    last = cfg.info().revision
    to = chance.draw(st.integers(0, last), label="to")
    since = chance.draw(st.integers(0, last), label="since")
    # A difference, carried out on the one, gives the other.
    patched = cfg.values(at=since)
    for change in cfg.diff(since, to):
        if change.node.has_value:
            patched[change.key] = change.node.data
        else:
            del patched[change.key]
    assert patched == cfg.values(at=to)
    commit = cfg.revert(to)
    assert cfg.values() == cfg.values(at=to)
    assert (commit is None) == (cfg.diff(last, to) == ())
    if commit is not None:
        assert actions(commit.changes) == actions(cfg.diff(last, to))
    assert cfg.revert(to) is None
    cfg.replace(cfg.values(at=since))
    assert cfg.values() == cfg.values(at=since)
