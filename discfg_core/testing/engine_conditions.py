"""Conditions: judged on what the last commit left, for the whole commit, or nothing is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from discfg_core.engine import KeyCondition, PrefixCondition, Remove, RemovePrefix
from discfg_core.errors import ConditionFailed, InvalidOption, KeyNotFound
from discfg_core.model import Action
from discfg_core.testing.engine_base import EngineCase
from discfg_core.testing.engine_client import put

if TYPE_CHECKING:
    from discfg_core.model import Node
    from discfg_core.testing.engine_client import Config, Op


def holding(node: Node) -> list[KeyCondition]:
    """Conditions that hold for this node."""
    return [
        KeyCondition(node.key, version=node.version),
        KeyCondition(node.key, revision=node.revision),
        KeyCondition(node.key, value=node.value),
        KeyCondition(node.key, node.version, node.revision, value=node.value),
    ]


def failing(node: Node) -> list[KeyCondition]:
    """Conditions that do not hold for this node; what is near the truth is not the truth."""
    return [
        KeyCondition(node.key, absent=True),
        KeyCondition(node.key, version=node.version - 1),
        KeyCondition(node.key, version=node.version + 1),
        KeyCondition(node.key, version=0),
        KeyCondition(node.key, revision=node.revision - 1),
        KeyCondition(node.key, revision=node.revision + 1),
        KeyCondition(node.key, value=node.value + b" "),
        KeyCondition(node.key, value=node.value[:-1]),
        KeyCondition(node.key, value=b""),
        KeyCondition(node.key, node.version, node.revision, value=b"other"),
        KeyCondition(node.key, node.version, node.revision + 1, value=node.value),
    ]


class ConditionTests(EngineCase):
    """Compare-and-set, on keys, prefixes and the config."""

    @pytest.mark.parametrize("size", [5, 150_000], ids=["small", "large"])
    @pytest.mark.parametrize("index", range(4))
    def test_condition_that_holds(
        self, config: Config, twin: Config, size: int, index: int
    ) -> None:
        config.set("other")
        config.set("a", b"0")
        node = config.set("a", b"v" * size).node
        assert (node.version, node.revision) == (2, 3)
        change = twin.set("/a", b"w" * size, condition=holding(node)[index])
        assert (change.action, change.prev_node) == (Action.UPDATED, node)
        change = config.delete("a", condition=holding(change.node)[index])
        assert change.action is Action.REMOVED

    @pytest.mark.parametrize("size", [5, 150_000], ids=["small", "large"])
    def test_condition_that_fails(self, config: Config, twin: Config, size: int) -> None:
        config.set("other")
        config.set("a", b"0")
        node = config.set("a", b"v" * size).node
        for condition in failing(node):
            for call in (
                lambda: twin.set("a", condition=condition),  # noqa: B023 - called at once
                lambda: config.delete("a", condition=condition),  # noqa: B023 - called at once
                lambda: twin.commit(put("a"), conditions=(condition,)),  # noqa: B023 - at once
                lambda: twin.commit(put("b"), conditions=(condition,)),  # noqa: B023 - at once
            ):
                with pytest.raises(ConditionFailed) as caught:
                    call()
                assert caught.value.node == node, condition
                assert caught.value.revision == 3
                assert caught.value.key == "/a"
                assert not caught.value.retryable
        assert config.revision() == 3
        assert config.get("a") == node

    def test_if_absent(self, config: Config, twin: Config) -> None:
        absent = KeyCondition("a", absent=True)
        first = config.set("a", b"1", condition=absent)
        with pytest.raises(ConditionFailed) as caught:
            twin.set("a", b"2", condition=absent)
        assert caught.value.node == first.node
        config.delete("a")
        assert twin.set("a", b"3", condition=absent).node.version == 1

    def test_on_an_absent_key(self, config: Config) -> None:
        gone = config.set("a", b"1").node
        config.delete("a")
        for key in ("a", "never"):
            for condition in (
                KeyCondition(key, version=1),
                KeyCondition(key, version=0),
                KeyCondition(key, revision=gone.revision),
                KeyCondition(key, revision=0),
                KeyCondition(key, value=b"1"),
                KeyCondition(key, value=b""),
            ):
                with pytest.raises(ConditionFailed) as caught:
                    config.set(key, condition=condition)
                assert caught.value.node is None
                # The condition speaks before the absence does.
                with pytest.raises(ConditionFailed):
                    config.delete(key, condition=condition)
        with pytest.raises(KeyNotFound):
            config.delete("a", condition=KeyCondition("a", absent=True))
        assert config.revision() == 2

    def test_version_of_an_earlier_life(self, config: Config) -> None:
        first = config.set("a", b"1").node
        config.delete("a")
        second = config.set("a", b"1").node
        with pytest.raises(ConditionFailed):
            config.set("a", condition=KeyCondition("a", revision=first.revision))
        config.set("a", condition=KeyCondition("a", revision=second.revision))

    def test_contradiction_never_holds(self, config: Config) -> None:
        config.set("a")
        for key in ("a", "never"):
            with pytest.raises((ConditionFailed, InvalidOption)):
                config.set(key, condition=KeyCondition(key, version=1, absent=True))
        assert config.revision() == 1

    def test_any_spelling_of_the_key(self, config: Config) -> None:
        node = config.set("a/b").node
        for spelling in ("a/b", "/a/b"):
            node = config.set("a/b", condition=KeyCondition(spelling, revision=node.revision)).node
            with pytest.raises(ConditionFailed):
                config.set("a/b", condition=KeyCondition(spelling, absent=True))

    def test_judged_before_the_ops(self, config: Config) -> None:
        config.set("a", b"old")
        commit = config.committed(
            put("a", b"new"),
            Remove("a"),
            put("b"),
            conditions=(KeyCondition("a", value=b"old"), KeyCondition("b", absent=True)),
        )
        assert commit.revision == 2
        with pytest.raises(ConditionFailed):
            config.commit(put("c", b"1"), conditions=(KeyCondition("c", value=b"1"),))
        # A condition comes before an op that cannot be done.
        for ops in ((Remove("absent"),), (Remove("b"), Remove("b"))):
            with pytest.raises(ConditionFailed):
                config.commit(*ops, conditions=(KeyCondition("c", version=1),))
        assert config.revision() == 2

    def test_all_or_nothing(self, config: Config, twin: Config) -> None:
        old = config.committed(put("a", b"1"), put("b", b"1"), put("c", b"1"))
        for failed in "abc":
            with pytest.raises(ConditionFailed) as caught:
                twin.commit(
                    put("a", b"2"),
                    put("b", b"2"),
                    Remove("c"),
                    settings={"new": True},
                    conditions=tuple(
                        KeyCondition(key, version=7 if key == failed else 1) for key in "abc"
                    ),
                )
            assert caught.value.node == old["/" + failed].node
            assert config.values() == {"/a": b"1", "/b": b"1", "/c": b"1"}
        assert config.history() == [old]
        assert config.info().settings == {}

    def test_condition_on_a_key_that_is_not_written(self, config: Config) -> None:
        guard = config.set("guard").node
        config.commit(put("a"), conditions=(KeyCondition("guard", revision=guard.revision),))
        later = config.set("guard").node
        with pytest.raises(ConditionFailed) as caught:
            config.commit(put("a"), conditions=(KeyCondition("guard", revision=guard.revision),))
        assert caught.value.node == later

    def test_condition_of_a_transaction_without_effect(self, config: Config) -> None:
        config.set("a")
        assert config.commit(conditions=(KeyCondition("a", version=1),)) is None
        with pytest.raises(ConditionFailed):
            config.commit(conditions=(KeyCondition("a", version=2),))
        with pytest.raises(ConditionFailed):
            config.commit(if_config_revision=0)

    # --- the config's revision ---

    def test_if_config_revision(self, config: Config, twin: Config) -> None:
        assert config.set("a", if_config_revision=0).revision == 1
        assert twin.set("b", if_config_revision=1).revision == 2
        for revision in (0, 1, 3):
            with pytest.raises(ConditionFailed) as caught:
                config.set("a", if_config_revision=revision)
            assert caught.value.revision == 2
            with pytest.raises(ConditionFailed):
                twin.delete("a", if_config_revision=revision)
            with pytest.raises(ConditionFailed):
                twin.commit(settings={"a": 1}, if_config_revision=revision)
        assert config.delete("a", if_config_revision=2).revision == 3

    def test_condition_beside_the_config_revision(self, config: Config) -> None:
        config.set("a")
        for version, revision in ((1, 0), (2, 1)):
            with pytest.raises(ConditionFailed):
                config.set(
                    "a", condition=KeyCondition("a", version=version), if_config_revision=revision
                )
        config.set("a", condition=KeyCondition("a", version=1), if_config_revision=1)

    # --- prefixes ---

    @pytest.mark.parametrize("phantom", ["added", "updated", "removed", "the prefix itself"])
    def test_prefix_condition_sees_a_phantom(
        self, config: Config, twin: Config, phantom: str
    ) -> None:
        config.commit(put("a/1"), put("a/2"), put("ab"))
        read = PrefixCondition("a", config.view().fingerprint("a"))
        ops: dict[str, Op] = {
            "added": put("a/3"),
            "updated": put("a/1"),
            "removed": Remove("a/2"),
            "the prefix itself": put("a"),
        }
        twin.commit(ops[phantom])
        with pytest.raises(ConditionFailed):
            config.commit(put("sum"), conditions=(read,))
        assert config.find("sum") is None

    def test_prefix_condition_holds_beside_other_writes(self, config: Config, twin: Config) -> None:
        config.commit(put("a/1"), put("ab"))
        read = PrefixCondition("/a/", config.view().fingerprint("/a"))
        twin.commit(put("ab"), put("b"), Remove("b"))
        twin.commit(put("a-b"), RemovePrefix("ab"))
        config.committed(put("a/1"), put("sum"), conditions=(read,))
        with pytest.raises(ConditionFailed):
            config.commit(put("sum"), conditions=(read,))

    def test_prefix_condition_on_nothing(self, config: Config, twin: Config) -> None:
        read = PrefixCondition("a", config.view().fingerprint("a"))
        config.set("b", conditions=(read,))
        twin.set("a/1")
        with pytest.raises(ConditionFailed):
            config.set("b", conditions=(read,))

    def test_prefix_condition_on_everything(self, config: Config, twin: Config) -> None:
        config.set("a")
        read = PrefixCondition("/", config.view().fingerprint("/"))
        config.set("b", conditions=(read,))
        with pytest.raises(ConditionFailed):
            twin.set("b", conditions=(read,))

    def test_stale_client_is_not_refused(self, config: Config, twin: Config) -> None:
        # One that holds revision 1 in memory must not judge by it.
        config.set("a", b"1")
        twin.view()
        node = config.set("a", b"2").node
        twin.set("a", b"3", condition=KeyCondition("a", value=b"2", revision=node.revision))
        config.delete("a")
        twin.set("a", b"4", condition=KeyCondition("a", absent=True))
        config.set("b")
        assert twin.set("c", if_config_revision=6).revision == 7
        config.set("d")
        assert twin.delete("d").node.version == 2
        config.commit(settings={"a": 1})
        assert twin.committed(settings={}).prev_settings == {"a": 1}

    def test_stale_client_is_not_let_through(self, config: Config, twin: Config) -> None:
        old = config.set("a", b"1").node
        twin.view()
        config.set("a", b"2")
        for condition in (
            KeyCondition("a", value=b"1"),
            KeyCondition("a", version=1),
            KeyCondition("a", revision=old.revision),
        ):
            with pytest.raises(ConditionFailed) as caught:
                twin.set("a", condition=condition)
            assert caught.value.node == config.get("a")
        config.delete("a")
        with pytest.raises(KeyNotFound):
            twin.delete("a")
        config.set("a", b"3")
        with pytest.raises(ConditionFailed):
            twin.set("a", condition=KeyCondition("a", absent=True))
        assert config.value("a") == b"3"
