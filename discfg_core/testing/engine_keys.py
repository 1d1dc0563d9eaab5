"""Keys: versions, previous nodes, net effects, prefixes, order, and what is no key at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from discfg_core.engine import Remove, RemovePrefix
from discfg_core.errors import KeyNotFound
from discfg_core.model import Action
from discfg_core.testing.engine_base import EngineCase
from discfg_core.testing.engine_client import BYTES, put

if TYPE_CHECKING:
    from discfg_core.testing.engine_client import Config

# Each is a key of its own, however alike two of them look.
ODD_KEYS = (
    "/ ",
    "/%2F",
    "/?x=1#y",
    "/...",
    "/..a",
    "/-",
    "/\\",
    "/'\"`$(){}[]*",
    "/é",
    "/e\u0301",
    "/日本/語",
    "/\U0001f511",
    "/\uffff",
    "/\u200b",
    "/A",
    "/" + "x" * 1023,
)


class KeyTests(EngineCase):
    """What one write does to one key, and one commit to several."""

    # --- versions and previous nodes ---

    def test_first_set(self, config: Config) -> None:
        change = config.set("db/host", b"10.0.0.1", "text/plain")
        node = change.node
        assert (change.action, change.revision, change.prev_node) == (Action.ADDED, 1, None)
        assert (node.key, node.value, node.content_type) == ("/db/host", b"10.0.0.1", "text/plain")
        assert (node.version, node.revision, node.expires_ns) == (1, 1, None)
        assert node.created_ns == node.modified_ns > 0
        assert config.get("/db/host") == config.get("db/host") == node

    def test_second_set(self, config: Config, twin: Config) -> None:
        first = config.set("a", b"1").node
        config.set("b")
        change = twin.set("a", b"2", "application/json")
        node = change.node
        assert (change.action, change.prev_node) == (Action.UPDATED, first)
        assert (node.version, node.revision) == (2, 3)
        assert (node.value, node.content_type) == (b"2", "application/json")
        assert node.created_ns == first.created_ns < node.modified_ns
        assert config.get("a") == twin.get("a") == node

    def test_equal_bytes_count_a_version(self, config: Config) -> None:
        first = config.set("a", b"same").node
        change = config.set("a", b"same")
        assert (change.node.version, change.revision, change.prev_node) == (2, 2, first)

    def test_delete(self, config: Config, twin: Config) -> None:
        config.set("a", b"1")
        last = config.set("a", b"2").node
        change = twin.delete("/a")
        assert (change.action, change.prev_node, change.revision) == (Action.REMOVED, last, 3)
        assert (change.node.key, change.node.version, change.node.revision) == ("/a", 3, 3)
        assert (change.node.has_value, change.node.value, change.node.data) == (False, b"", None)
        assert change.node.created_ns == last.created_ns
        for handle in (config, twin):
            with pytest.raises(KeyNotFound) as caught:
                handle.get("a")
            assert caught.value.key == "/a"
            assert handle.view().get("a") is None

    def test_delete_absent(self, config: Config) -> None:
        config.set("a/b")
        for key in ("a", "a/b/c", "ab"):
            with pytest.raises(KeyNotFound) as caught:
                config.delete(key)
            assert caught.value.key == "/" + key
        assert config.revision() == 1

    def test_created_anew_starts_at_version_1(self, config: Config) -> None:
        config.set("a", b"1")
        config.set("a", b"2")
        gone = config.delete("a").node
        change = config.set("a", b"3")
        assert (change.action, change.prev_node) == (Action.ADDED, None)
        assert change.node.version == 1
        assert change.node.created_ns == change.node.modified_ns > gone.modified_ns

    def test_prev_node_is_the_very_node(self, config: Config, twin: Config) -> None:
        last = None
        for number in range(12):
            handle = (config, twin)[number % 2]
            change = handle.set("a", b"x" * (1 + number * 3000))
            assert change.prev_node == last
            last = change.node
            assert handle.get("a") == last

    # --- one commit, several ops ---

    def test_commit_tells_each_key_once_and_sorted(self, config: Config) -> None:
        config.commit(put("b", b"old"), put("c", b"old"))
        commit = config.committed(put("c", b"new"), Remove("b"), put("a"), actor="ann")
        assert commit.revision == 2
        assert [(change.key, change.action) for change in commit.changes] == [
            ("/a", Action.ADDED),
            ("/b", Action.REMOVED),
            ("/c", Action.UPDATED),
        ]
        assert {change.revision for change in commit.changes} == {2}
        assert commit["/c"].node == config.get("c")
        assert config.history()[0] == commit

    def test_set_and_set_is_one_change(self, config: Config) -> None:
        commit = config.committed(put("a", b"1"), put("/a", b"2"))
        (change,) = commit.changes
        assert (change.action, change.node.version, change.node.value) == (Action.ADDED, 1, b"2")
        (change,) = config.committed(put("a", b"3"), put("a", b"4")).changes
        assert (change.action, change.node.version, change.node.value) == (Action.UPDATED, 2, b"4")
        assert change.prev_node == commit["/a"].node

    def test_set_and_delete_of_a_new_key_is_nothing(self, config: Config) -> None:
        assert config.commit(put("a"), Remove("a")) is None
        assert config.revision() == 0
        commit = config.committed(put("a"), put("b"), Remove("a"))
        assert [change.key for change in commit.changes] == ["/b"]

    def test_set_and_delete_of_an_old_key_is_a_removal(self, config: Config) -> None:
        old = config.set("a", b"old").node
        (change,) = config.committed(put("a", b"new"), Remove("a")).changes
        assert (change.action, change.prev_node, change.node.version) == (Action.REMOVED, old, 2)
        assert config.find("a") is None

    def test_delete_and_set_is_an_update(self, config: Config) -> None:
        old = config.set("a", b"old").node
        (change,) = config.committed(Remove("a"), put("a", b"new")).changes
        assert (change.action, change.prev_node) == (Action.UPDATED, old)
        assert (change.node.version, change.node.created_ns) == (2, old.created_ns)

    def test_delete_and_set_of_the_same_bytes_is_an_update(self, config: Config) -> None:
        old = config.set("a", b"same").node
        (change,) = config.committed(RemovePrefix("/"), put("a", b"same")).changes
        assert (change.action, change.prev_node, change.node.version) == (Action.UPDATED, old, 2)

    def test_ops_see_what_the_one_before_left(self, config: Config) -> None:
        config.commit(put("a/1"), put("b"))
        commit = config.committed(put("a/2"), RemovePrefix("a"), put("a/3"), Remove("b"))
        assert {change.key for change in commit.changes} == {"/a/1", "/a/3", "/b"}
        assert config.keys() == ["/a/3"]
        with pytest.raises(KeyNotFound):
            config.commit(Remove("a/3"), Remove("a/3"))
        with pytest.raises(KeyNotFound):
            config.commit(put("c"), RemovePrefix("/"), Remove("c"))
        assert config.revision() == 2

    def test_remove_absent_is_refused_with_the_rest(self, config: Config) -> None:
        config.set("a")
        with pytest.raises(KeyNotFound) as caught:
            config.commit(put("b"), Remove("absent"), put("c"))
        assert caught.value.key == "/absent"
        assert config.keys() == ["/a"]
        assert config.revision() == 1

    def test_missing_ok(self, config: Config) -> None:
        assert config.commit(Remove("absent", missing_ok=True)) is None
        commit = config.committed(Remove("absent", missing_ok=True), put("a"))
        assert [change.key for change in commit.changes] == ["/a"]
        (change,) = config.committed(Remove("a", missing_ok=True)).changes
        assert change.action is Action.REMOVED

    def test_without_effect_there_is_no_commit(self, config: Config) -> None:
        assert config.commit() is None
        assert config.commit(RemovePrefix("/")) is None
        assert config.commit(actor="ann", message="nothing", commit_id="an-id") is None
        assert config.outcome("an-id") is None
        assert config.revision() == 0
        assert config.history() == []

    # --- prefixes ---

    def test_remove_prefix_by_whole_segments(self, config: Config) -> None:
        keys = ["/a", "/a-b", "/a.b", "/a/b", "/a/b/c", "/a/bc", "/ab", "/b/a"]
        config.commit(*(put(key) for key in keys))
        commit = config.committed(RemovePrefix("a/b"))
        assert [change.key for change in commit.changes] == ["/a/b", "/a/b/c"]
        commit = config.committed(RemovePrefix("/a/"))
        assert [change.key for change in commit.changes] == ["/a", "/a/bc"]
        assert config.keys() == ["/a-b", "/a.b", "/ab", "/b/a"]
        assert config.commit(RemovePrefix("/a")) is None
        assert len(config.committed(RemovePrefix("")).changes) == 4

    def test_key_may_be_a_prefix_too(self, config: Config) -> None:
        config.commit(put("a", b"1"), put("a/b", b"2"), put("a/b/c", b"3"))
        assert config.values("a") == {"/a": b"1", "/a/b": b"2", "/a/b/c": b"3"}
        config.delete("a/b")
        assert config.keys() == ["/a", "/a/b/c"]
        config.delete("a")
        assert config.keys() == ["/a/b/c"]

    def test_list_by_whole_segments(self, config: Config, twin: Config) -> None:
        keys = ["/a", "/a-b", "/a/b", "/a/b/c", "/ab", "/ab/c", "/b"]
        config.commit(*(put(key) for key in reversed(keys)))
        for handle in (config, twin):
            view = handle.view()
            for everything in ("/", ""):
                assert view.keys(everything) == keys
            for prefix in ("a", "/a", "a/", "/a/"):
                assert view.keys(prefix) == ["/a", "/a/b", "/a/b/c"]
            assert view.keys("a/b") == ["/a/b", "/a/b/c"]
            assert view.keys("a/b/c/d") == view.keys("/c") == []

    def test_list_after(self, config: Config) -> None:
        keys = ["/a", "/a/b", "/a/c", "/b", "/c"]
        config.commit(*(put(key) for key in keys))
        view = config.view()
        for index, key in enumerate(keys):
            assert view.keys(after=key) == keys[index + 1 :]
            assert view.keys(after=key[1:]) == keys[index + 1 :]
        assert view.keys(after="/a/bb") == ["/a/c", "/b", "/c"]
        assert view.keys("/a", after="/a") == ["/a/b", "/a/c"]
        assert view.keys("/a", after="/0") == ["/a", "/a/b", "/a/c"]
        assert view.keys("/a", after="/b") == view.keys(after="/z") == []

    def test_order_is_by_code_point(self, config: Config, twin: Config) -> None:
        config.commit(*(put(key, key.encode()) for key in ODD_KEYS))
        for handle in (config, twin):
            assert handle.keys() == sorted(ODD_KEYS)
            assert handle.values() == {key: key.encode() for key in ODD_KEYS}
        for key in ODD_KEYS:
            assert twin.value(key[1:]) == key.encode()
            twin.delete(key)
        assert config.keys() == []

    # --- views ---

    def test_view_is_immutable(self, config: Config, twin: Config) -> None:
        config.commit(put("a", b"1"), put("b", b"x" * 200_000), put("c/d", b"3"))
        views = [config.view(), twin.view()]
        before = [(view.revision, view.list(), view.fingerprint("/")) for view in views]
        twin.commit(put("a", b"new"), Remove("b"), RemovePrefix("c"), put("e"))
        for view, (revision, nodes, fingerprint) in zip(views, before, strict=True):
            assert (view.revision, view.list(), view.fingerprint("/")) == (
                revision,
                nodes,
                fingerprint,
            )
            assert view.get("e") is None
            assert [node.value for node in view.list()] == [b"1", b"x" * 200_000, b"3"]
            assert view.get("a") == nodes[0]

    def test_view_listing_goes_on_after_a_commit(self, config: Config) -> None:
        config.commit(*(put(f"k{number:03}") for number in range(100)))
        view = config.view()
        pages = [view.keys("/", after="/k049")]
        config.commit(RemovePrefix("/"))
        pages.append(view.keys("/", after="/k049"))
        assert pages[0] == pages[1] == [f"/k{number:03}" for number in range(50, 100)]

    def test_fingerprint_is_of_the_prefix_alone(self, config: Config, twin: Config) -> None:
        config.commit(put("a/1"), put("ab"))
        view = config.view()
        assert view.fingerprint("a") == view.fingerprint("/a/") == twin.view().fingerprint("a")
        config.set("ab")
        assert config.view().fingerprint("a") == view.fingerprint("a")
        assert config.view().fingerprint("/") != view.fingerprint("/")
        seen = {view.fingerprint("a")}
        for op in (put("a/1"), put("a/2"), Remove("a/1"), put("a"), RemovePrefix("a")):
            config.commit(op)
            seen.add(config.view().fingerprint("a"))
        assert len(seen) == 6, "two different states of a prefix have one fingerprint"

    # --- who, when, why ---

    def test_set_and_delete_carry_the_rest_of_a_commit(self, config: Config) -> None:
        config.set("a", actor="ann", message="why", commit_id="set-it", settings={"s": 1})
        config.delete("a", actor="bob", message="why not", commit_id="delete-it")
        later, earlier = config.history()
        assert (earlier.actor, earlier.message, earlier.id) == ("ann", "why", "set-it")
        assert (later.actor, later.message, later.id) == ("bob", "why not", "delete-it")
        assert earlier.settings == {"s": 1} == config.info().settings

    def test_content_types_are_kept(self, config: Config) -> None:
        for kind in (BYTES, "text/plain; charset=utf-8", "application/x+json", "a/" + "b" * 254):
            assert config.set("a", b"1", kind).node.content_type == kind
            assert config.get("a").content_type == kind
