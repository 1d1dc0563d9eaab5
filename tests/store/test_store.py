"""`connect`, `Store`, and the rest of `Config`: reading, conditions, history, commit ids."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

import discfg_core as discfg
from discfg_core import commit_ids
from discfg_core.urls import parse

if TYPE_CHECKING:
    from pathlib import Path

    from tests.store.conftest import Spied

Clients = tuple[discfg.Config, discfg.Config]


class TestConnect:
    def test_takes_text_or_a_parsed_url(self) -> None:
        name = secrets.token_hex(8)
        with (
            discfg.connect(f"memory://{name}") as one,
            discfg.connect(parse(f"memory://{name}")) as two,
        ):
            one.create_config("mycfg")
            assert two.configs() == ["mycfg"]

    def test_gives_what_is_required_or_fails(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/store.db"
        wanted = {discfg.Guarantee.DURABLE, discfg.Guarantee.SHARED}
        with discfg.connect(url, require=wanted) as store:
            assert store.guarantees >= wanted
        with discfg.connect(url, require=["durable"]):
            pass
        with pytest.raises(discfg.GuaranteeNotMet):
            discfg.connect("memory://", require="durable")

    def test_shows_no_secret(self, memory: discfg.Store) -> None:
        store = discfg.Store(memory.engine, where=str(parse("etcd://ann:s3cret@host/prefix")))
        cfg = store.config("mycfg")
        assert "s3cret" not in repr(store) + repr(cfg) + str(store) + str(cfg)
        assert "etcd://ann" in repr(store)
        assert "'mycfg' in etcd://ann" in repr(cfg)

    def test_a_bad_url(self) -> None:
        with pytest.raises(discfg.InvalidURL):
            discfg.connect("app.db")


class TestClose:
    def test_of_what_connect_opened(self) -> None:
        store = discfg.connect(f"memory://{secrets.token_hex(8)}")
        cfg = store.create_config("mycfg")
        store.close()
        store.close()
        for call in (store.configs, cfg.info, lambda: cfg.set("a", 1), lambda: "a" in cfg):
            with pytest.raises(discfg.Closed):
                call()

    def test_leaves_an_engine_open_that_was_given(self, memory: discfg.Store) -> None:
        with discfg.Store(memory.engine) as store:
            store.create_config("mycfg")
        assert memory.configs() == ["mycfg"]

    def test_at_the_end_of_a_block_that_raised(self) -> None:
        with pytest.raises(ZeroDivisionError), discfg.connect("memory://") as store:
            raise ZeroDivisionError
        with pytest.raises(discfg.Closed):
            store.configs()


class TestConfigs:
    def test_are_created_once(self, url: str) -> None:
        with discfg.connect(url) as store:
            cfg = store.create_config("mycfg", {"a": 1})
            assert (cfg.name, cfg.info().revision) == ("mycfg", 0)
            assert cfg.info().settings == {"a": 1}
            with pytest.raises(discfg.ConfigExists):
                store.create_config("mycfg")

    def test_take_settings_as_json_text(self, memory: discfg.Store) -> None:
        assert memory.create_config("a", '{"x": 1}').info().settings == {"x": 1}
        assert memory.create_config("b", b"{}").info().settings == {}
        assert memory.create_config("c").info().settings == {}

    def test_are_listed_sorted_without_those_dropped(self, memory: discfg.Store) -> None:
        for name in ("b", "a", "c"):
            memory.create_config(name)
        memory.drop_config("b")
        assert memory.configs() == ["a", "c"]

    def test_opening_one_sends_nothing(self, spied: Spied) -> None:
        absent = spied.store.config("absent")
        assert spied.take() == []
        with pytest.raises(discfg.ConfigNotFound):
            absent.get("a")

    def test_may_be_opened_before_they_are_created(self, memory: discfg.Store) -> None:
        early = memory.config("mycfg")
        memory.create_config("mycfg")["a"] = 1
        assert early["a"] == 1

    def test_are_dropped_and_brought_back(self, url: str) -> None:
        with discfg.connect(url, actor="ann") as store:
            cfg = store.create_config("mycfg")
            cfg["a"] = 1
            info = store.drop_config("mycfg", message="why")
            assert (info.name, info.revision) == ("mycfg", 1)
            with pytest.raises(discfg.ConfigNotFound):
                cfg.get("a")
            with pytest.raises(discfg.ConfigNotFound):
                store.drop_config("mycfg")
            back = store.undrop("mycfg")
            assert back.values() == cfg.values() == {"/a": 1}
            with pytest.raises(discfg.ConfigExists):
                store.undrop("mycfg")

    def test_a_handle_stays_with_the_config_it_met(self, memory: discfg.Store) -> None:
        created = memory.create_config("mycfg")
        opened = memory.config("mycfg")
        assert len(opened) == 0
        memory.drop_config("mycfg")
        again = memory.create_config("mycfg")
        for old in (created, opened):
            for call in (old.info, lambda: old.set("a", 1), old.clear, lambda: "a" in old):  # noqa: B023 - called at once
                with pytest.raises(discfg.ConfigReplaced):
                    call()
        assert again.info().revision == 0

    def test_are_checked(self, memory: discfg.Store, cfg: discfg.Config) -> None:
        cfg["a"] = 1
        report = memory.check("mycfg")
        assert (report.problems, report.commits, report.keys) == ((), 1, 1)
        with pytest.raises(discfg.ConfigNotFound):
            memory.check("absent")

    def test_settings_are_replaced_by_a_commit(self, cfg: discfg.Config) -> None:
        commit = cfg.update_settings({"a": 1}, message="why")
        assert commit is not None
        assert (commit.revision, commit.settings, commit.message) == (1, {"a": 1}, "why")
        assert cfg.update_settings('{"a": 1}') is None
        assert cfg.info().settings == {"a": 1}


class TestWrites:
    @pytest.mark.parametrize(
        ("data", "stored", "kind"),
        [
            ("text", b"text", "text/plain"),
            (b"\xff", b"\xff", "application/octet-stream"),
            ({"a": [1, None]}, b'{"a":[1,null]}', "application/json"),
            (None, b"null", "application/json"),
        ],
    )
    def test_store_what_the_data_says(
        self, cfg: discfg.Config, data: Any, stored: bytes, kind: str
    ) -> None:
        node = cfg.set("a", data).node
        assert (node.value, node.content_type, node.data) == (stored, kind, data)
        assert cfg.get("a") == node

    @pytest.mark.parametrize(
        ("condition", "holds"),
        [
            ({"if_version": 2}, True),
            ({"if_version": 1}, False),
            ({"if_revision": 2}, True),
            ({"if_revision": 1}, False),
            ({"if_value": {"a": 1}}, True),
            ({"if_value": b'{"a":1}'}, True),
            ({"if_value": '{"a":1}'}, True),
            ({"if_value": {"a": 2}}, False),
            ({"if_version": 2, "if_value": {"a": 2}}, False),
            ({"if_absent": True}, False),
            ({"if_config_revision": 2}, True),
            ({"if_config_revision": 1}, False),
        ],
        ids=str,
    )
    def test_happen_only_if_their_condition_holds(
        self, cfg: discfg.Config, condition: dict[str, Any], holds: bool
    ) -> None:
        cfg["a"] = 0
        there = cfg.set("a", {"a": 1}).node
        if holds:
            assert cfg.set("a", 2, **condition).prev_node == there
            return
        with pytest.raises(discfg.ConditionFailed):
            cfg.set("a", 2, **condition)
        if "if_absent" not in condition:
            with pytest.raises(discfg.ConditionFailed):
                cfg.delete("a", **condition)
        assert cfg.get("a") == there

    def test_compare_a_value_in_the_form_of_the_data(self, cfg: discfg.Config) -> None:
        cfg.set("a", "x", content_type="application/json")
        with pytest.raises(discfg.ConditionFailed):
            cfg.set("a", "y", if_value="x")
        cfg.set("a", "y", content_type="application/json", if_value="x")
        cfg["null"] = None
        cfg.set("null", 1, if_value=b"null")

    def test_conditions_on_an_absent_key(self, cfg: discfg.Config) -> None:
        for condition in ({"if_version": 1}, {"if_revision": 1}, {"if_value": 1}):
            with pytest.raises(discfg.ConditionFailed) as caught:
                cfg.set("a", 1, **condition)  # type: ignore[arg-type]  # bad input, on purpose
            assert caught.value.node is None
        assert cfg.set("a", 1, if_absent=True).prev_node is None

    def test_a_delete_gives_the_node_it_removed(self, cfg: discfg.Config) -> None:
        there = cfg.set("a", 1).node
        change = cfg.delete("a", if_version=1, message="why")
        assert change.prev_node == there
        assert (change.node.version, change.node.has_value) == (2, False)
        assert next(cfg.history()).message == "why"

    def test_delete_prefix_of_nothing(self, cfg: discfg.Config) -> None:
        assert cfg.delete_prefix("nothing") is None

    def test_who_and_why(self, cfg: discfg.Config) -> None:
        cfg.set("a", 1)
        cfg.set("a", 2, actor="bob", message="because")
        cfg.set("a", 3, actor="")
        assert [(each.actor, each.message) for each in cfg.history()] == [
            ("", ""),
            ("bob", "because"),
            ("ann", ""),
        ]


class TestReads:
    def test_a_reader_may_choose_to_be_behind(self, url: str) -> None:
        with discfg.connect(url) as fresh, discfg.connect(url, max_staleness=3600) as stale:
            ours, theirs = fresh.create_config("mycfg"), stale.config("mycfg")
            assert theirs.values() == {}
            ours["a"] = 1
            assert "a" not in theirs
            assert theirs.get("a", None) is None
            assert (list(theirs.list()), theirs.values(), len(theirs)) == ([], {}, 0)
            assert ours.get("a", max_staleness=3600).data == 1
            assert theirs.get("a", max_staleness=None).data == 1
            # What it has once seen it sees from now on.
            assert theirs["a"] == 1

    def test_list(self, cfg: discfg.Config) -> None:
        cfg.update(dict.fromkeys(["a", "a/x", "a/y/z", "a-b", "ab", "b"], 1))
        assert keys(cfg.list()) == ["/a", "/a-b", "/a/x", "/a/y/z", "/ab", "/b"]
        assert keys(cfg.list("a")) == keys(cfg.list("/a/")) == ["/a", "/a/x", "/a/y/z"]
        assert keys(cfg.list("a", after="a/x")) == ["/a/y/z"]
        assert keys(cfg.list("", after="/ab")) == ["/b"]
        assert keys(cfg.list("none")) == []

    def test_list_is_taken_by_the_call(self, cfg: discfg.Config) -> None:
        nodes = cfg.list()
        cfg["a"] = 1
        assert keys(nodes) == []

    def test_history(self, cfg: discfg.Config) -> None:
        for number in range(1, 251):
            cfg[f"k{number % 2}/x"] = number
        assert revisions(cfg) == list(range(250, 0, -1))
        assert revisions(cfg, limit=120) == list(range(250, 130, -1))
        assert revisions(cfg, limit=0) == []
        assert revisions(cfg, before=3) == [2, 1]
        assert revisions(cfg, before=1) == []
        assert revisions(cfg, "k1", limit=2) == [249, 247]
        assert revisions(cfg, "/k1/x", before=4) == [3, 1]
        assert len(revisions(cfg, "k0")) == 125
        assert revisions(cfg, "k") == []

    def test_history_fetches_as_it_goes(self, spied: Spied) -> None:
        cfg = spied.config
        for number in range(101):
            cfg["a"] = number
        spied.take()
        commits = cfg.history()
        assert spied.take() == []
        assert next(commits).revision == 101
        assert spied.take() == ["history"]
        assert len(list(commits)) == 100
        assert spied.take() == ["history"]
        assert len(list(cfg.history(limit=100))) == 100
        assert spied.take() == ["history"]


class TestCommitIds:
    def test_are_made_where_the_config_is(self, cfg: discfg.Config) -> None:
        cfg["a"] = 1
        info = cfg.info()
        assert commit_ids.parse(cfg.new_commit_id()) == (info.incarnation, info.revision)

    def test_make_a_repetition_safe(self, clients: Clients) -> None:
        ours, theirs = clients
        commit_id = ours.new_commit_id()
        assert theirs.outcome(commit_id) is None
        commit_id = ours.new_commit_id()
        change = ours.set("a", 1, commit_id=commit_id)
        assert theirs.set("a", 1, commit_id=commit_id, actor="ann") == change
        commit = theirs.outcome(commit_id)
        assert commit is not None
        assert (commit.id, commit.revision, commit.changes) == (commit_id, 1, (change,))
        with pytest.raises(discfg.CommitIdReused):
            theirs.set("a", 2, commit_id=commit_id, actor="ann")
        assert ours.info().revision == 1

    def test_are_compared_even_by_a_client_that_has_not_seen_them_used(
        self, clients: Clients
    ) -> None:
        ours, theirs = clients
        assert len(theirs) == 0
        ours.set("a", "ours", commit_id="deploy-42")
        with pytest.raises(discfg.CommitIdReused):
            theirs.set("a", "theirs", commit_id="deploy-42", actor="ann")
        assert theirs["a"] == "ours"

    def test_are_each_actors_own(self, clients: Clients) -> None:
        ours, theirs = clients
        assert ours.set("a", 1, commit_id="deploy-42").revision == 1
        assert theirs.set("a", 1, commit_id="deploy-42").revision == 2

    def test_bad_ones(self, cfg: discfg.Config) -> None:
        with pytest.raises(discfg.InvalidOption):
            cfg.outcome("")
        with pytest.raises(discfg.TextTooLong):
            cfg.outcome("x" * 257)


def keys(nodes: Any) -> list[str]:
    return [node.key for node in nodes]


def revisions(cfg: discfg.Config, *args: Any, **kwargs: Any) -> list[int]:
    return [commit.revision for commit in cfg.history(*args, **kwargs)]
