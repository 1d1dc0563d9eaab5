"""Exactly once: a commit id makes a repetition safe, or it is refused; it never writes twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from discfg_core import commit_ids
from discfg_core.engine import KeyCondition, Remove, RemovePrefix
from discfg_core.errors import (
    CommitIdExpired,
    CommitIdReused,
    ConditionFailed,
    ConfigNotFound,
    ConfigReplaced,
    InvalidInput,
    KeyNotFound,
)
from discfg_core.testing.engine_base import EngineCase
from discfg_core.testing.engine_client import put
from discfg_core.testing.engine_workers import reuse_id, write_by_id

if TYPE_CHECKING:
    from discfg_core.model import Commit
    from discfg_core.testing.engine_base import Crowd
    from discfg_core.testing.engine_client import Client, Config


def new_id(config: Config) -> str:
    """A commit id that knows its place, as `Store` makes them."""
    info = config.info()
    return commit_ids.make(info.incarnation, info.revision)


class RetryTests(EngineCase):
    """Commit ids, and what became of them."""

    @pytest.fixture(params=["the caller's own id", "an id that knows its place"])
    def commit_id(self, request: pytest.FixtureRequest, config: Config) -> str:
        """A commit id of either kind."""
        return "deploy-4711" if request.param.startswith("the caller") else new_id(config)

    def test_repeated_commit(self, config: Config, twin: Config, commit_id: str) -> None:
        commit = config.committed(
            put("a", b"1"), put("b", b"x" * 100_000), commit_id=commit_id, settings={"s": 1}
        )
        assert commit.id == commit_id
        for handle in (config, twin):
            again = handle.commit(
                put("a", b"1"), put("b", b"x" * 100_000), commit_id=commit_id, settings={"s": 1}
            )
            assert again == commit
            assert handle.outcome(commit_id) == commit
        assert config.history() == [commit]

    def test_repeated_set_and_delete(self, config: Config, twin: Config, commit_id: str) -> None:
        config.set("a", b"old")
        change = config.set("a", b"new", commit_id="set")
        gone = config.delete("a", commit_id=commit_id)
        for handle in (config, twin):
            assert handle.set("a", b"new", commit_id="set") == change
            # The key is absent by now; it was there when this was done.
            assert handle.delete("a", commit_id=commit_id) == gone
        assert config.revision() == 3

    def test_repeated_with_conditions_that_no_longer_hold(
        self, config: Config, twin: Config, commit_id: str
    ) -> None:
        absent = KeyCondition("a", absent=True)
        change = config.set("a", condition=absent, if_config_revision=0, commit_id=commit_id)
        again = twin.set("a", condition=absent, if_config_revision=0, commit_id=commit_id)
        assert again == change
        with pytest.raises(ConditionFailed):
            twin.set("a", condition=absent, commit_id="another")
        assert config.revision() == 1

    def test_repeated_after_other_commits(
        self, config: Config, twin: Config, commit_id: str
    ) -> None:
        commit = config.committed(put("a", b"mine"), commit_id=commit_id)
        for number in range(120):
            (config, twin)[number % 2].set("a", b"theirs")
            if number in (0, 1, 10, 119):
                for handle in (config, twin):
                    self._assert_not_done_again(handle, commit, commit_id)
        assert config.value("a") == b"theirs"
        assert config.revision() == 121

    def _assert_not_done_again(self, config: Config, commit: Commit, commit_id: str) -> None:
        # Either answer is safe; a new commit is not.
        try:
            assert config.commit(put("a", b"mine"), commit_id=commit_id) == commit
            assert config.outcome(commit_id) == commit
        except CommitIdExpired:
            with pytest.raises(CommitIdExpired):
                config.outcome(commit_id)

    def test_id_used_for_something_else(self, config: Config, twin: Config, commit_id: str) -> None:
        commit = config.committed(put("a", b"1"), put("b"), commit_id=commit_id)
        for ops in (
            (put("a", b"2"), put("b")),
            (put("a", b"1", "text/plain"), put("b")),
            (put("a", b"1"),),
            (put("a", b"1"), put("b"), put("c")),
            (put("a", b"1"), Remove("b")),
            (put("a", b"1"), RemovePrefix("b")),
            (),
        ):
            for handle in (config, twin):
                with pytest.raises(CommitIdReused):
                    handle.commit(*ops, commit_id=commit_id)
        with pytest.raises(CommitIdReused):
            twin.commit(put("a", b"1"), put("b"), settings={"s": 1}, commit_id=commit_id)
        with pytest.raises(CommitIdReused):
            config.set("c", commit_id=commit_id)
        assert config.history() == [commit]

    def test_id_is_the_actors_own(self, config: Config, twin: Config, commit_id: str) -> None:
        anns = config.committed(put("a", b"ann"), commit_id=commit_id, actor="ann")
        bobs = twin.committed(put("a", b"bob"), commit_id=commit_id, actor="bob")
        assert (anns.revision, bobs.revision) == (1, 2)
        for handle in (config, twin):
            assert handle.commit(put("a", b"ann"), commit_id=commit_id, actor="ann") == anns
            assert handle.commit(put("a", b"bob"), commit_id=commit_id, actor="bob") == bobs
            with pytest.raises(CommitIdReused):
                handle.commit(put("a", b"bob"), commit_id=commit_id, actor="ann")
        assert config.revision() == 2

    def test_refused_commit_does_not_use_its_id_up(self, config: Config, commit_id: str) -> None:
        with pytest.raises(ConditionFailed):
            config.set("a", condition=KeyCondition("a", version=1), commit_id=commit_id)
        with pytest.raises(KeyNotFound):
            config.delete("a", commit_id=commit_id)
        with pytest.raises(InvalidInput):
            config.set("a//b", commit_id=commit_id)
        assert config.commit(commit_id=commit_id) is None
        assert config.outcome(commit_id) is None
        commit = config.committed(put("a"), commit_id=commit_id)
        assert config.outcome(commit_id) == commit

    def test_outcome_of_an_unknown_id(self, config: Config, twin: Config, commit_id: str) -> None:
        config.set("a")
        for handle in (config, twin):
            assert handle.outcome(commit_id) is None
            assert handle.revision() == 1
        # It said nothing of attempts that begin later.
        commit = twin.committed(put("a"), commit_id=commit_id)
        assert config.outcome(commit_id) == commit

    def test_outcome_of_a_random_id(self, config: Config, twin: Config) -> None:
        commit = config.committed(put("a"))
        assert twin.outcome(commit.id) == config.outcome(commit.id) == commit

    def test_id_made_before_other_commits(self, config: Config, twin: Config) -> None:
        early = new_id(config)
        for _ in range(60):
            twin.set("a")
        commit = config.committed(put("b"), commit_id=early)
        assert commit.revision == 61
        assert twin.commit(put("b"), commit_id=early) == commit

    def test_id_of_another_life_of_the_config(self, config: Config, twin: Config) -> None:
        commit_id = new_id(config)
        config.set("a", commit_id=commit_id)
        config.drop()
        again = twin.client.new(config.name)
        # Nobody can tell any more what it did there; here it must not be done.
        for handle in (again, config.client.config(config.name)):
            with pytest.raises((ConfigReplaced, CommitIdExpired)):
                handle.set("a", commit_id=commit_id)
            with pytest.raises((ConfigReplaced, CommitIdExpired)):
                handle.outcome(commit_id)
        assert again.revision() == 0

    def test_repeated_after_undelete(self, config: Config, twin: Config, commit_id: str) -> None:
        commit = config.committed(put("a"), commit_id=commit_id)
        config.drop()
        if twin.client.bring_back(config.name) is None:
            with pytest.raises(ConfigNotFound):
                twin.commit(put("a"), commit_id=commit_id)
            return
        assert twin.commit(put("a"), commit_id=commit_id) == commit
        assert config.outcome(commit_id) == commit

    def test_one_id_by_many_at_once(self, crowd: Crowd, client: Client, name: str) -> None:
        config = client.new(name)
        for commit_id in ("the-same", new_id(config)):
            told = crowd.run(write_by_id, [(name, commit_id)] * crowd.size)
            assert len(set(told)) == 1, f"one commit id, and several commits: {told}"
        assert config.revision() == 2

    def test_one_id_for_different_things_at_once(
        self, crowd: Crowd, client: Client, name: str
    ) -> None:
        config = client.new(name)
        told = crowd.run(reuse_id, [(name, number, 10) for number in range(crowd.size)])
        for index in range(10):
            node = config.get(f"reused/{index}")
            answers = [each[index] for each in told]
            winners = [number for number, answer in enumerate(answers) if answer is not None]
            assert winners == [int(node.value)], f"{winners} used one commit id"
            assert answers[winners[0]] == (node.revision, node.value)
        assert config.revision() == 10
