"""Transactions: one commit or none, and only if all that was read still holds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

import discfg_core as discfg

if TYPE_CHECKING:
    from tests.store.conftest import Spied

Clients = tuple[discfg.Config, discfg.Config]


class TestCommit:
    def test_is_one_for_all_writes(self, cfg: discfg.Config) -> None:
        cfg.update({"old/a": 1, "old/b": 2, "gone": 3})
        with cfg.transaction(message="tidy", actor="bob") as tx:
            tx.set("new", "x")
            tx.set("page", "<p>", content_type="text/html")
            tx.delete("gone")
            tx.delete("never", missing_ok=True)
            tx.delete_prefix("old")
        commit = tx.commit
        assert commit is not None
        assert (commit.revision, commit.message, commit.actor) == (2, "tidy", "bob")
        assert cfg.values() == {"/new": "x", "/page": "<p>"}
        assert cfg.get("page").content_type == "text/html"
        assert next(cfg.history()) == commit

    def test_is_none_before_the_end(self, cfg: discfg.Config) -> None:
        with cfg.transaction() as tx:
            tx.set("a", 1)
            assert tx.commit is None
            assert cfg.info().revision == 0

    def test_is_none_without_effect(self, cfg: discfg.Config) -> None:
        with cfg.transaction() as tx:
            tx.delete_prefix("nothing")
            tx.set("a", 1)
            tx.delete("a")
        assert tx.commit is None
        assert cfg.info().revision == 0

    def test_the_actor_is_the_stores_where_none_is_given(self, cfg: discfg.Config) -> None:
        with cfg.transaction() as tx:
            tx.set("a", 1)
        assert tx.commit is not None
        assert tx.commit.actor == "ann"

    def test_a_repetition_with_the_same_id_is_not_done_again(self, cfg: discfg.Config) -> None:
        commits = []
        for _ in range(2):
            with cfg.transaction(commit_id="once") as tx:
                tx.set("a", 1)
            commits.append(tx.commit)
        assert commits[0] == commits[1] != None  # noqa: E711 - in one chain
        assert cfg.info().revision == 1

    def test_a_repetition_that_reads_is_never_done_twice(self, cfg: discfg.Config) -> None:
        for _ in range(2):
            with suppress(discfg.CommitIdReused), cfg.transaction(commit_id="once") as tx:
                tx.set("a", (data(tx, "a") or 0) + 1)
        assert cfg["a"] == cfg.info().revision == 1

    def test_a_key_removed_that_is_absent(self, cfg: discfg.Config) -> None:
        with pytest.raises(discfg.KeyNotFound), cfg.transaction() as tx:  # noqa: PT012 - the end of the block is part of it
            tx.set("a", 1)
            tx.delete("absent")
        assert tx.commit is None
        assert cfg.info().revision == 0


class TestException:
    def test_in_the_block_sends_nothing_and_comes_out(self, spied: Spied) -> None:
        class Mine(Exception):
            pass

        raised = Mine()
        with pytest.raises(Mine) as caught, spied.config.transaction() as tx:  # noqa: PT012 - the end of the block is part of it
            tx.set("a", 1)
            raise raised
        assert caught.value is raised
        assert caught.value.__cause__ is None
        assert spied.take() == []
        assert tx.commit is None

    def test_that_says_stop_sends_nothing(self, spied: Spied) -> None:
        with pytest.raises(KeyboardInterrupt), spied.config.transaction() as tx:  # noqa: PT012 - the end of the block is part of it
            tx.set("a", 1)
            raise KeyboardInterrupt
        assert spied.take() == []


class TestWhatIsSent:
    def test_writes_alone_send_one_commit(self, spied: Spied) -> None:
        with spied.config.transaction() as tx:
            tx.set("a", 1)
            tx.set("b", 1)
        assert spied.take() == ["commit"]

    def test_reads_take_one_view(self, spied: Spied) -> None:
        with spied.config.transaction() as tx:
            tx.get("a")
            tx.get("b")
            list(tx.list("c"))
        assert spied.take() == ["view"]

    def test_nothing_at_all(self, spied: Spied) -> None:
        with spied.config.transaction():
            pass
        assert spied.take() == []

    def test_a_revision_to_compare_is_compared(self, cfg: discfg.Config) -> None:
        with pytest.raises(discfg.ConditionFailed), cfg.transaction(if_config_revision=7):
            pass


class TestReads:
    def test_are_of_one_revision(self, clients: Clients) -> None:
        ours, theirs = clients
        ours.update({"a": 1, "b": 1})
        with ours.transaction() as tx:
            assert data(tx, "a") == 1
            theirs.update({"a": 2, "b": 2, "c": 2})
            assert (data(tx, "a"), data(tx, "b"), data(tx, "c")) == (1, 1, None)
            assert [node.data for node in tx.list()] == [1, 1]
        assert tx.commit is None

    def test_show_the_latest_even_of_a_store_that_may_be_stale(self, url: str) -> None:
        with discfg.connect(url) as fresh, discfg.connect(url, max_staleness=3600) as stale:
            ours, theirs = fresh.create_config("mycfg"), stale.config("mycfg")
            assert "a" not in theirs
            ours["a"] = 1
            assert "a" not in theirs
            with theirs.transaction() as tx:
                assert data(tx, "a") == 1

    def test_show_own_writes_as_they_will_be(self, cfg: discfg.Config) -> None:
        cfg["a"] = 1
        cfg["a"] = 2
        created = cfg.get("a").created_ns
        with cfg.transaction() as tx:
            tx.set("a", 3)
            tx.set("a", [4])
            tx.set("b", "x")
            for key, version, value in (("a", 3, [4]), ("b", 1, "x")):
                node = tx.get(key)
                assert node is not None
                assert (node.key, node.version, node.revision) == (f"/{key}", version, 0)
                assert node.data == value
            shown = tx.get("a")
            assert shown is not None
            assert shown.created_ns == created
        assert (cfg.get("a").version, cfg.get("b").version) == (3, 1)
        assert cfg.get("a").created_ns == created

    def test_show_own_removals(self, cfg: discfg.Config) -> None:
        cfg.update({"a": 1, "p": 1, "p/x": 1, "p/y/z": 1, "pq": 1})
        with cfg.transaction() as tx:
            tx.delete("a")
            tx.delete_prefix("p")
            assert [tx.get(key) for key in ("a", "p", "p/x", "p/y/z")] == [None] * 4
            assert [node.key for node in tx.list()] == ["/pq"]
            tx.set("p/x", 2)
            assert [node.key for node in tx.list("p")] == ["/p/x"]
            tx.delete_prefix("/")
            assert list(tx.list()) == []
            assert tx.get("p/x") is None

    @pytest.mark.parametrize(
        "steps",
        [
            [("delete", "a"), ("set", "a")],
            [("delete_prefix", "/"), ("set", "a")],
            [("set", "b"), ("delete", "b"), ("set", "b")],
            [("set", "a"), ("set", "a"), ("delete", "a"), ("set", "a"), ("set", "b/c")],
            [("set", "b/c"), ("delete_prefix", "b"), ("set", "b")],
        ],
    )
    def test_show_the_versions_that_the_commit_will_give(
        self, cfg: discfg.Config, steps: list[tuple[str, str]]
    ) -> None:
        for _ in range(3):
            cfg["a"] = 0
        with cfg.transaction() as tx:
            for number, (step, key) in enumerate(steps):
                if step == "set":
                    tx.set(key, number)
                else:
                    getattr(tx, step)(key)
            shown = [(node.key, node.version, node.data) for node in tx.list()]
        assert shown == [(node.key, node.version, node.data) for node in cfg.list()]

    def test_listing_is_of_the_moment_of_the_call(self, cfg: discfg.Config) -> None:
        cfg.update({"a": 1, "b": 2})
        with cfg.transaction() as tx:
            for node in tx.list():
                tx.delete(node.key)
                tx.set(f"moved{node.key}", node.data)
        assert cfg.values() == {"/moved/a": 1, "/moved/b": 2}


class TestChecks:
    """A commit is refused unless all that was read still holds."""

    @pytest.mark.parametrize(
        ("read", "change"),
        [
            (lambda tx: tx.get("a"), lambda cfg: cfg.set("a", 1)),
            (lambda tx: tx.get("a"), lambda cfg: cfg.delete("a")),
            (lambda tx: tx.get("new"), lambda cfg: cfg.set("new", 1)),
            (lambda tx: tx.list("p"), lambda cfg: cfg.set("p/new", 1)),
            (lambda tx: tx.list("p"), lambda cfg: cfg.set("p/x", 1)),
            (lambda tx: tx.list("p"), lambda cfg: cfg.delete("p/x")),
            (lambda tx: tx.list("p"), lambda cfg: cfg.set("p", 1)),
            (lambda tx: tx.list("none"), lambda cfg: cfg.set("none/at/all", 1)),
            (lambda tx: tx.list(), lambda cfg: cfg.set("b", 1)),
            (lambda tx: (tx.set("a", 9), tx.get("a")), lambda cfg: cfg.set("a", 1)),
        ],
        ids=lambda each: None,
    )
    def test_a_change_of_what_was_read_is_seen(
        self,
        clients: Clients,
        read: Callable[[discfg.ConfigTransaction], object],
        change: Callable[[discfg.Config], object],
    ) -> None:
        ours, theirs = clients
        ours.update({"a": 1, "b": 1, "p/x": 1, "pq": 1})
        with pytest.raises(discfg.ConditionFailed), ours.transaction() as tx:  # noqa: PT012 - the end of the block is part of it
            read(tx)
            change(theirs)
            tx.set("result", 1)
        assert tx.commit is None
        assert "result" not in ours

    @pytest.mark.parametrize(
        "change",
        [lambda cfg: cfg.set("b", 1), lambda cfg: cfg.set("pq", 1), lambda cfg: cfg.delete("pq")],
        ids=lambda each: None,
    )
    def test_a_change_of_anything_else_is_not(
        self, clients: Clients, change: Callable[[discfg.Config], object]
    ) -> None:
        ours, theirs = clients
        ours.update({"a": 1, "b": 1, "p/x": 1, "pq": 1})
        with ours.transaction() as tx:
            tx.get("a")
            list(tx.list("p"))
            change(theirs)
            tx.set("result", 1)
        assert tx.commit is not None
        assert tx.commit.revision == 3

    def test_write_skew_is_refused(self, clients: Clients) -> None:
        ours, theirs = clients
        ours.update({"on-call/ann": True, "on-call/bob": True})

        def leave(tx: discfg.ConfigTransaction, who: str) -> None:
            if sum(data(tx, f"on-call/{each}") for each in ("ann", "bob")) > 1:
                tx.set(f"on-call/{who}", False)

        with pytest.raises(discfg.ConditionFailed), ours.transaction() as first:  # noqa: PT012 - the end of the block is part of it
            leave(first, "ann")
            with theirs.transaction() as second:
                leave(second, "bob")
        assert second.commit is not None
        assert ours.values() == {"/on-call/ann": True, "/on-call/bob": False}

    def test_a_phantom_is_refused(self, clients: Clients) -> None:
        ours, theirs = clients
        ours.set("seat/1", "x")
        with pytest.raises(discfg.ConditionFailed), ours.transaction() as tx:  # noqa: PT012 - the end of the block is part of it
            if len(list(tx.list("seat"))) < 2:
                theirs.set("seat/2", "theirs")
                tx.set("seat/3", "ours")
        assert list(ours) == ["/seat/1", "/seat/2"]

    def test_a_key_that_was_away_and_came_back_is_not_the_same(self, clients: Clients) -> None:
        ours, theirs = clients
        ours["a"] = 1
        with pytest.raises(discfg.ConditionFailed), ours.transaction() as tx:  # noqa: PT012 - the end of the block is part of it
            tx.get("a")
            theirs.delete("a")
            theirs["a"] = 1
            tx.set("result", 1)

    def test_a_blind_write_is_not_checked(self, clients: Clients) -> None:
        ours, theirs = clients
        with ours.transaction() as tx:
            tx.get("other")
            tx.set("a", "ours")
            theirs["a"] = "theirs"
        assert ours["a"] == "ours"

    def test_a_replaced_config_is_refused(self, url: str) -> None:
        with discfg.connect(url) as store:
            cfg = store.create_config("mycfg")
            with pytest.raises(discfg.ConfigReplaced), cfg.transaction() as tx:  # noqa: PT012 - the end of the block is part of it
                store.drop_config("mycfg")
                store.create_config("mycfg")
                tx.set("a", 1)


class TestConditions:
    @pytest.mark.parametrize(
        "condition",
        [{"if_version": 2}, {"if_revision": 2}, {"if_value": 7}, {"if_value": b"7"}],
        ids=str,
    )
    def test_of_a_write_hold_or_refuse_it(
        self, cfg: discfg.Config, condition: dict[str, Any]
    ) -> None:
        cfg["a"] = 6
        with pytest.raises(discfg.ConditionFailed) as caught, cfg.transaction() as tx:
            tx.set("a", 8, **condition)
        assert caught.value.node == cfg.get("a")
        with pytest.raises(discfg.ConditionFailed), cfg.transaction() as tx:
            tx.delete("a", **condition)
        cfg["a"] = 7
        with cfg.transaction() as tx:
            tx.set("a", 8, **condition)
        assert cfg["a"] == 8

    def test_are_judged_before_the_blocks_own_writes(self, cfg: discfg.Config) -> None:
        with cfg.transaction() as tx:
            tx.set("a", 1)
            tx.set("a", 2, if_absent=True)
        assert cfg["a"] == 2
        assert cfg.get("a").version == 1


class TestMisuse:
    def test_after_the_end(self, cfg: discfg.Config) -> None:
        with cfg.transaction() as tx:
            tx.set("a", 1)
        for call in calls_of(tx):
            with pytest.raises(discfg.InvalidTransaction, match="has ended"):
                call()
        assert tx.commit is not None
        assert cfg.values() == {"/a": 1}

    def test_after_a_failure(self, cfg: discfg.Config) -> None:
        with pytest.raises(discfg.ConditionFailed), cfg.transaction() as tx:
            tx.set("a", 1, if_version=1)
        for call in calls_of(tx):
            with pytest.raises(discfg.InvalidTransaction, match="has ended"):
                call()

    def test_before_the_beginning(self, cfg: discfg.Config) -> None:
        for call in calls_of(cfg.transaction()):
            with pytest.raises(discfg.InvalidTransaction, match="has not begun"):
                call()

    def test_a_second_time(self, cfg: discfg.Config) -> None:
        with cfg.transaction() as tx:
            tx.set("a", 1)
        with pytest.raises(discfg.InvalidTransaction, match="entered before"), tx:
            pass
        assert cfg.info().revision == 1

    def test_within_itself(self, cfg: discfg.Config) -> None:
        with cfg.transaction() as tx:
            with pytest.raises(discfg.InvalidTransaction, match="entered before"), tx:
                pass
            tx.set("a", 1)
        assert cfg["a"] == 1

    def test_a_bad_argument_is_told_at_its_own_line_and_the_block_may_go_on(
        self, spied: Spied
    ) -> None:
        with spied.config.transaction() as tx:
            bad: list[tuple[type[discfg.DiscfgError], Callable[[], object]]] = [
                (discfg.InvalidKey, lambda: tx.set("a//b", 1)),
                (discfg.InvalidKey, lambda: tx.delete("")),
                (discfg.InvalidKey, lambda: tx.delete_prefix("a//b")),
                (discfg.InvalidValue, lambda: tx.set("a", {1})),
                (discfg.InvalidValue, lambda: tx.set("a", 1, content_type="html")),
                (discfg.InvalidOption, lambda: tx.set("a", 1, if_version=0)),
                (discfg.InvalidOption, lambda: tx.delete("a", if_revision=True)),
                (discfg.InvalidOption, lambda: tx.set("a", 1, if_absent=True, if_version=1)),
                (discfg.InvalidOption, lambda: tx.delete("a", missing_ok=1)),  # type: ignore[arg-type]  # bad input, on purpose
            ]
            for error, call in bad:
                with pytest.raises(error):
                    call()
            assert spied.take() == []
            tx.set("good", 1)
        assert spied.config.values() == {"/good": 1}


def data(tx: discfg.ConfigTransaction, key: str) -> Any:
    node = tx.get(key)
    return None if node is None else node.data


def calls_of(tx: discfg.ConfigTransaction) -> list[Callable[[], object]]:
    return [
        lambda: tx.get("a"),
        tx.list,
        lambda: tx.set("b", 1),
        lambda: tx.delete("a"),
        lambda: tx.delete_prefix("a"),
    ]


def test_check_refuses_the_whole_commit(cfg: discfg.Config) -> None:
    cfg.set("owner", "ann")

    def refused() -> None:
        with cfg.transaction() as tx:
            tx.check("owner", if_value="bob")
            tx.set("a", 1)

    with pytest.raises(discfg.ConditionFailed) as caught:
        refused()
    assert caught.value.key == "/owner"
    assert "a" not in cfg
    with cfg.transaction() as tx:
        tx.check("owner", if_value="ann", if_version=1)
        tx.check("absent", if_absent=True)
        tx.set("a", 1)
    assert tx.commit is not None
    assert [change.key for change in tx.commit.changes] == ["/a"]


def test_checks_alone_are_judged(cfg: discfg.Config) -> None:
    def check(version: int) -> None:
        with cfg.transaction() as tx:
            tx.check("a", if_version=version)

    cfg.set("a", 1)
    check(1)
    with pytest.raises(discfg.ConditionFailed):
        check(99)
    assert cfg.info().revision == 1


def test_check_without_a_condition_is_refused(cfg: discfg.Config) -> None:
    with pytest.raises(discfg.InvalidOption), cfg.transaction() as tx:
        tx.check("a")
