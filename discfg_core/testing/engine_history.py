"""History: every commit, whole, newest first, and enough to rebuild each revision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from discfg_core.engine import Remove, RemovePrefix
from discfg_core.errors import InvalidInput, KeyNotFound
from discfg_core.testing.engine_base import EngineCase
from discfg_core.testing.engine_client import put
from discfg_core.testing.invariants import replay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discfg_core.model import Commit, Node
    from discfg_core.testing.engine_client import Config, Op


class HistoryTests(EngineCase):
    """What the history tells, in pages and by prefix."""

    def test_commit_tells_who_when_why_and_what(self, config: Config, twin: Config) -> None:
        commits = [
            config.committed(put("a", b"1"), actor="ann", message="first", commit_id="id-1"),
            twin.committed(put("a", b"2"), put("b"), actor="bob"),
            config.committed(Remove("a"), message="gone", settings={"s": 1}),
            twin.committed(settings={"s": 2}, actor="ünïcode", message="zwei\nZeilen\t✓"),
        ]
        history = twin.history()
        assert history == config.history() == commits[::-1]
        assert [commit.revision for commit in history] == [4, 3, 2, 1]
        assert [commit.actor for commit in commits] == ["ann", "bob", "", "ünïcode"]
        assert [commit.message for commit in commits] == ["first", "", "gone", "zwei\nZeilen\t✓"]
        assert commits[0].id == "id-1"
        others = {commit.id for commit in commits[1:]}
        assert len(others) == 3
        assert all(len(bytes.fromhex(each)) == 16 for each in others)
        assert commits[2]["/a"].prev_node == commits[1]["/a"].node
        with pytest.raises(KeyError):
            commits[0]["/b"]

    def test_other_kinds_of_writes_are_in_it(self, config: Config) -> None:
        changes = [config.set("a"), config.set("a"), config.delete("a")]
        assert [commit.changes for commit in config.history()] == [
            (change,) for change in reversed(changes)
        ]

    def test_refused_writes_are_not_in_it(self, config: Config) -> None:
        config.set("a")
        for refused in (Remove("absent"), put("a//b"), put("a", content_type="text")):
            with pytest.raises((InvalidInput, KeyNotFound)):
                config.commit(put("a"), refused)
        config.commit(RemovePrefix("absent"))
        assert len(config.history()) == 1

    def test_pages(self, config: Config, twin: Config) -> None:
        for number in range(23):
            config.set("a", b"%d" % number)
        whole = config.history()
        assert [commit.revision for commit in whole] == list(range(23, 0, -1))
        for limit in (1, 7, 22, 23, 24, 10_000):
            assert twin.history(limit=limit) == whole
        page = twin.page(limit=7)
        assert list(page.commits) == whole[:7]
        assert page.rest is not None
        # Commits that come meanwhile do not shift the pages.
        config.set("a")
        assert list(twin.page(before=page.rest, limit=7).commits) == whole[7:14]

    def test_before(self, config: Config) -> None:
        for _ in range(5):
            config.set("a")
        for before in range(1, 8):
            commits = config.history(before=before)
            assert [commit.revision for commit in commits] == [
                revision for revision in range(5, 0, -1) if revision < before
            ]

    def test_page_of_an_empty_history(self, config: Config) -> None:
        page = config.page()
        assert (page.commits, page.rest) == ((), None)

    def test_by_prefix(self, config: Config) -> None:
        commits = [
            config.committed(put("a")),
            config.committed(put("a/b"), put("x")),
            config.committed(put("ab")),
            config.committed(put("a-b")),
            config.committed(put("x")),
            config.committed(settings={"s": 1}),
            config.committed(Remove("a/b"), put("x"), settings={"s": 2}),
            config.committed(RemovePrefix("a")),
        ]
        revisions = {
            "/": [8, 7, 6, 5, 4, 3, 2, 1],
            "": [8, 7, 6, 5, 4, 3, 2, 1],
            "a": [8, 7, 2, 1],
            "/a/": [8, 7, 2, 1],
            "/a/b": [7, 2],
            "ab": [3],
            "x": [7, 5, 2],
            "/x/y": [],
        }
        for prefix, expected in revisions.items():
            # Each commit whole, with its changes elsewhere.
            wanted = [commits[revision - 1] for revision in expected]
            assert config.history(prefix) == wanted
            assert config.history(prefix, limit=1) == wanted
            assert config.history(prefix, before=7) == [
                commit for commit in wanted if commit.revision < 7
            ]

    def test_long_history(self, config: Config, twin: Config) -> None:
        for number in range(150):
            handle = (config, twin)[number % 2]
            handle.set(f"k{number % 7}", b"x" * (number * 20), message=f"number {number}")
        history = twin.history(limit=40)
        assert [commit.message for commit in history] == [
            f"number {number}" for number in range(149, -1, -1)
        ]
        assert twin.history("k3")[-1].revision == 4

    def test_replayed_to_each_revision_it_is_the_state(self, config: Config, twin: Config) -> None:
        wanted: list[tuple[dict[str, Node], dict[str, object]]] = [({}, {})]
        transactions: Sequence[tuple[tuple[Op, ...], dict[str, object] | None]] = [
            ((put("a", b"1"), put("a/b", b"x" * 90_000)), None),
            ((put("a", b"2"), Remove("a/b")), {"s": 1}),
            ((Remove("a"), put("c", b"")), None),
            ((), {"s": 2}),
            ((put("a", b"3"), put("a/b", b"4"), put("c", b"x" * 5000)), None),
            ((RemovePrefix("a"), put("a/b", b"5")), {}),
            ((RemovePrefix("/"),), None),
        ]
        for number, (ops, settings) in enumerate(transactions):
            handle = (config, twin)[number % 2]
            handle.committed(*ops, settings=settings)
            nodes = {node.key: node for node in handle.view().list()}
            wanted.append((nodes, dict(handle.info().settings)))
        history = config.history()
        for revision, (nodes, settings_then) in enumerate(wanted):
            until = [commit for commit in history if commit.revision <= revision]
            assert replay(until) == nodes
            assert _settings(until) == settings_then

    def test_values_of_earlier_revisions(self, config: Config, twin: Config) -> None:
        sizes = (0, 1, 5000, 100_000, 300_000, 3)
        for size in sizes:
            config.set("a", b"%d" % (size % 7) * size)
        for commit, size in zip(reversed(twin.history()), sizes, strict=True):
            assert commit["/a"].node.value == b"%d" % (size % 7) * size


def _settings(history: Sequence[Commit]) -> dict[str, object]:
    return next((dict(each.settings) for each in history if each.settings is not None), {})
