"""Races: of whatever number of writers, by threads, clients and processes, each is told the truth."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from discfg_core.testing.engine_base import EngineCase
from discfg_core.testing.engine_client import put
from discfg_core.testing.engine_workers import (
    count,
    create_once,
    delete_or_update,
    write_anything,
    write_distinct,
    write_or_replace,
)

if TYPE_CHECKING:
    from discfg_core.testing.engine_base import Crowd
    from discfg_core.testing.engine_client import Client


class RaceTests(EngineCase):
    """Many writers of one config."""

    def test_counter(self, crowd: Crowd, client: Client, name: str) -> None:
        config = client.new(name)
        told = crowd.run(count, [(name, number, 8) for number in range(crowd.size)])
        reached = sorted(value for values in told for value in values)
        assert reached == list(range(1, 8 * crowd.size + 1))
        assert config.get("count").data == b"%d" % len(reached)
        assert config.get("count").version == config.revision() == len(reached)

    def test_create_once(self, crowd: Crowd, client: Client, name: str) -> None:
        config = client.new(name)
        told = crowd.run(create_once, [(name, number, 10) for number in range(crowd.size)])
        for index in range(10):
            node = config.get(f"once/{index}")
            answers = [each[index] for each in told]
            winners = [number for number, (won, _, _) in enumerate(answers) if won]
            assert winners == [int(node.value)], f"{winners} created one key"
            # The losers were told of the winner's node.
            assert {(value, revision) for _, value, revision in answers} == {
                (node.value, node.revision)
            }
        assert config.revision() == 10

    def test_delete_against_update(self, crowd: Crowd, client: Client, name: str) -> None:
        config = client.new(name)
        config.commit(*(put(f"key/{index}") for index in range(10)))
        told = crowd.run(delete_or_update, [(name, number, 10) for number in range(crowd.size)])
        for index in range(10):
            node = config.find(f"key/{index}")
            answers = [each[index] for each in told]
            assert sum(won for won, _ in answers) == 1, f"key {index} has not one winner: {answers}"
            assert {revision for _, revision in answers} == {node and node.revision}
        assert config.revision() == 11

    def test_distinct_keys(self, crowd: Crowd, client: Client, name: str) -> None:
        config = client.new(name)
        told = crowd.run(write_distinct, [(name, number, 12) for number in range(crowd.size)])
        written = {key: revision for each in told for key, revision in each}
        assert {node.key: node.revision for node in config.view().list()} == written
        assert sorted(written.values()) == list(range(1, 12 * crowd.size + 1))
        for each in told:
            revisions = [revision for _, revision in each]
            assert revisions == sorted(revisions), "a writer's own commits are out of order"

    def test_whatever_comes(self, crowd: Crowd, client: Client, name: str) -> None:
        config = client.new(name)
        told = crowd.run(write_anything, [(name, number, 15) for number in range(crowd.size)])
        history = sorted((commit.revision, commit.id) for commit in config.history())
        assert history == sorted(each for worker in told for each in worker)

    def test_drop_and_create_against_writers(self, crowd: Crowd, client: Client, name: str) -> None:
        client.new(name)
        told = crowd.run(write_or_replace, [(name, number, 12) for number in range(crowd.size)])
        commits = [each for worker in told for each in worker]
        revisions = Counter((incarnation, revision) for incarnation, revision, _ in commits)
        twice = [each for each, times in revisions.items() if times > 1]
        assert not twice, f"two commits were told of one revision: {twice}"
        # The last life has the commits that were told of it, and none of an earlier life's.
        config = client.config(name)
        incarnation = config.info().incarnation
        mine = sorted((revision, each) for life, revision, each in commits if life == incarnation)
        assert mine == sorted((commit.revision, commit.id) for commit in config.history())
