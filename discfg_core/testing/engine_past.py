"""The past: every revision can be read as it was, by number and by time, and told in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from discfg_core.engine import Remove, RemovePrefix
from discfg_core.errors import ConfigReplaced, InvalidOption, RevisionNotFound
from discfg_core.testing.engine_base import EngineCase
from discfg_core.testing.engine_client import put
from discfg_core.testing.invariants import replay

if TYPE_CHECKING:
    from discfg_core.testing.engine_client import Config

LARGE = b"x" * 400_000


class PastTests(EngineCase):
    """`StorageEngine.view` of a revision, `revision_at`, and what the history may be asked for."""

    def test_every_revision_is_as_it_was(self, config: Config, twin: Config) -> None:
        seen = [config.view().list()]
        for number in range(12):
            key = f"k{number % 5}"
            config.set(key, LARGE if number == 3 else b"%d" % number)
            seen.append(config.view().list())
        config.commit(Remove("k1"), put("k2/deep"), put("k0", b"new"))
        seen.append(config.view().list())
        config.commit(settings={"of": "no key"})
        seen.append(config.view().list())
        config.commit(RemovePrefix("k2"))
        seen.append(config.view().list())
        for client in (config, twin):
            for revision, nodes in enumerate(seen):
                view = client.at(revision)
                assert view.revision == revision
                assert view.incarnation == client.view().incarnation
                assert view.list() == nodes
        assert replay(twin.history()) == {node.key: node for node in seen[-1]}

    def test_past_view_reads_like_any_other(self, config: Config, twin: Config) -> None:
        config.commit(put("a", b"1"), put("a/b", b"2"), put("ab", LARGE))
        before = config.view()
        config.commit(RemovePrefix("a"), put("ab", b"3"))
        view = twin.at(1)
        assert view.keys("a") == ["/a", "/a/b"]
        assert view.keys(after="a") == ["/a/b", "/ab"]
        assert view.get("ab") == before.get("/ab")
        assert view.get("absent") is None
        assert view.fingerprint("/") == before.fingerprint("/") != twin.view().fingerprint("/")
        node = view.get("ab")
        assert node is not None
        assert node.value == LARGE

    def test_past_is_what_it_was_after_many_more(self, config: Config, twin: Config) -> None:
        config.set("first", LARGE)
        for number in range(150):
            config.set(f"k{number % 7}", b"x" * 500)
        assert twin.at(1).keys() == ["/first"]
        assert [len(twin.at(revision).list()) for revision in (0, 1, 4, 8, 151)] == [0, 1, 4, 8, 8]

    def test_revision_that_is_not_there(self, config: Config) -> None:
        config.set("a")
        with pytest.raises(RevisionNotFound):
            config.at(2)
        with pytest.raises(InvalidOption):
            config.at(-1)
        config.set("a")
        assert config.at(2).keys() == ["/a"]

    def test_past_of_another_life_is_not_told(self, config: Config, twin: Config) -> None:
        config.set("a")
        config.drop()
        twin.client.new(config.name).set("b")
        with pytest.raises(ConfigReplaced):
            config.at(1)
        with pytest.raises(ConfigReplaced):
            config.revision_at(1 << 61)

    def test_revision_of_a_time(self, config: Config, twin: Config) -> None:
        created = config.info().created_ns
        commits = [config.committed(put("a", b"%d" % number)) for number in range(9)]
        for commit in commits:
            assert twin.revision_at(commit.time_ns) == commit.revision
            assert twin.revision_at(commit.time_ns - 1) == commit.revision - 1
        assert twin.revision_at(created) == twin.revision_at(0) == 0
        assert twin.revision_at(1 << 61) == 9

    def test_history_between_revisions(self, config: Config, twin: Config) -> None:
        for _ in range(20):
            config.set("a")
        whole = config.history()
        for after, before in ((0, None), (5, None), (5, 12), (0, 3), (19, 21), (20, None), (7, 8)):
            wanted = [c for c in whole if after < c.revision < (before or 99)]
            for client in (config, twin):
                assert list(client.page(after=after, before=before).commits) == wanted
                page = client.page(after=after, before=before, oldest_first=True)
                assert list(page.commits) == wanted[::-1]
                assert page.rest is None

    def test_pages_oldest_first(self, config: Config, twin: Config) -> None:
        for number in range(11):
            config.set(f"k{number % 2}")
        told, after = [], 0
        while True:
            page = twin.page("k0", after=after, oldest_first=True, limit=2)
            assert len(page.commits) <= 2
            told += [commit.revision for commit in page.commits]
            if page.rest is None:
                break
            assert page.rest > after
            after = page.rest
        assert told == [1, 3, 5, 7, 9, 11]

    def test_history_of_an_actor(self, config: Config, twin: Config) -> None:
        for actor in ("ann", "bob", "", "ann", "an"):
            config.set("a", actor=actor)
        config.commit(settings={"s": 1}, actor="ann")
        told = {
            actor: [commit.revision for commit in twin.page(actor=actor).commits]
            for actor in ("ann", "bob", "", "an", "nobody")
        }
        assert told == {"ann": [6, 4, 1], "bob": [2], "": [3], "an": [5], "nobody": []}
        assert [c.revision for c in twin.page("a", actor="ann").commits] == [4, 1]

    def test_bad_bounds_of_the_history(self, config: Config) -> None:
        bounds: list[dict[str, Any]] = [{"after": -1}, {"before": 0}, {"limit": 0}]
        for bad in bounds:
            with pytest.raises(InvalidOption):
                config.page(**bad)

    def test_commit_names_what_it_went_back_to(self, config: Config, twin: Config) -> None:
        config.set("a", b"1")
        config.set("a", b"2")
        commit = config.committed(put("a", b"1"), reverted_to=1)
        assert commit.reverted_to == 1
        assert [each.reverted_to for each in twin.history()] == [1, None, None]

    def test_repetition_of_what_was_worked_out(self, config: Config, twin: Config) -> None:
        commit = config.committed(put("a", b"1"), commit_id="id", asked=b"make it so")
        # The second time there is nothing left to do, and that is the same request.
        assert twin.commit(commit_id="id", asked=b"make it so") == commit
        assert config.revision() == 1
