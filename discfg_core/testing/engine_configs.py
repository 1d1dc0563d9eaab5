"""Configs: created, described, deleted, brought back, and never mistaken for one another."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from discfg_core.engine import KeyCondition
from discfg_core.errors import (
    Closed,
    ConfigExists,
    ConfigNotFound,
    ConfigReplaced,
    InvalidName,
    InvalidSettings,
    KeyNotFound,
    TextTooLong,
)
from discfg_core.model import ConfigState
from discfg_core.testing.engine_base import EngineCase
from discfg_core.testing.engine_calls import ON_A_CONFIG, ON_A_NAME, STALE_READS
from discfg_core.testing.engine_client import put
from discfg_core.testing.engine_workers import create

if TYPE_CHECKING:
    from discfg_core.testing.engine_base import Crowd, Lab
    from discfg_core.testing.engine_client import Client, Config

BAD_NAMES = ("", ".", "-a", "_a", "a/b", "a b", "é", "a\n", "a\x00", "a" * 129)
# Not an object of JSON. What their types say is wrong on purpose.
BAD_SETTINGS: tuple[Any, ...] = (
    {"a": {1, 2}},
    {"a": float("nan")},
    {"a": object()},
    {1: "a"},
    {"a": "\ud800"},
    ["a"],
)
SETTINGS = {"capacity": 3, "nested": {"list": [1, 2.5, None, True, "ü"]}}


class ConfigTests(EngineCase):
    """What an engine keeps of configs as such."""

    def test_new_config_is_empty_at_revision_0(self, client: Client, name: str) -> None:
        info = client.create(name, SETTINGS)
        assert info.name == name
        assert info.revision == 0
        assert re.fullmatch(r"[0-9a-f]{32}", info.incarnation)
        assert info.settings == SETTINGS
        assert info.engine == client.engine.scheme
        assert info.state is ConfigState.ACTIVE
        assert (info.keys, info.size) == (0, 0)
        assert info.created_ns == info.modified_ns > 0
        config = client.config(name)
        assert config.info() == info
        assert config.keys() == []
        assert config.history() == []

    def test_handle_is_pinned_by_what_it_first_sees(self, client: Client, name: str) -> None:
        info = client.create(name)
        config = client.config(name)
        assert config.handle.incarnation is None
        with pytest.raises(KeyNotFound):
            config.get("a")
        config.set("a")
        assert config.handle.incarnation == info.incarnation == config.view().incarnation

    def test_write_pins_a_handle(self, client: Client, name: str) -> None:
        info = client.create(name)
        config = client.config(name)
        config.set("a")
        assert config.handle.incarnation == info.incarnation

    def test_create_what_is_there(self, config: Config, other: Client) -> None:
        before = config.info()
        for client in (config.client, other):
            with pytest.raises(ConfigExists) as caught:
                client.create(config.name, {"other": "settings"})
            assert caught.value.config == config.name
        assert config.info() == before

    def test_other_client_sees_a_config_at_once(self, other: Client, config: Config) -> None:
        assert config.name in other.names()
        assert other.config(config.name).info() == config.info()

    @pytest.mark.parametrize("call", ON_A_CONFIG)
    def test_config_that_never_was(self, client: Client, name: str, call: str) -> None:
        with pytest.raises(ConfigNotFound) as caught:
            ON_A_CONFIG[call](client.config(name))
        assert caught.value.config == name
        assert not caught.value.retryable
        assert name not in client.names()

    def test_name_that_never_was(self, client: Client, name: str) -> None:
        for call in (client.undelete, client.check):
            with pytest.raises(ConfigNotFound):
                call(name)

    def test_names_are_sorted(self, client: Client, lab: Lab) -> None:
        mine = [lab.name() + suffix for suffix in ("", "-b", ".a", "_c")]
        for name in mine:
            client.create(name)
        names = client.names()
        assert names == sorted(set(names))
        assert set(mine) <= set(names)
        for name in mine[1:]:
            client.config(name).drop()
        assert set(mine) & set(client.names()) == {mine[0]}

    # --- deleting and bringing back ---

    def test_delete_gives_the_last_description(self, config: Config) -> None:
        config.set("a")
        before = config.info()
        last = config.drop(actor="ann", message="no longer needed")
        assert (last.name, last.incarnation) == (before.name, before.incarnation)
        assert (last.revision, last.settings) == (before.revision, before.settings)
        assert config.name not in config.client.names()

    def test_delete_twice(self, config: Config, twin: Config) -> None:
        config.drop()
        for handle in (config, twin, config.client.config(config.name)):
            with pytest.raises(ConfigNotFound):
                handle.drop()

    @pytest.mark.parametrize("call", ON_A_CONFIG)
    def test_deleted_config_is_absent_for_every_client(
        self, config: Config, twin: Config, call: str
    ) -> None:
        config.set("a")
        twin.view()
        config.drop()
        # The one that deleted it, one that has it in memory, and a handle that never saw it.
        others = () if call in STALE_READS else (twin, twin.client.config(config.name))
        for handle in (config, *others):
            with pytest.raises(ConfigNotFound):
                ON_A_CONFIG[call](handle)

    @pytest.mark.parametrize("call", ON_A_CONFIG)
    def test_handle_of_a_replaced_config(self, config: Config, twin: Config, call: str) -> None:
        config.set("a", b"old")
        twin.view()
        config.drop()
        again = config.client.new(config.name)
        again.set("a", b"new")
        before = again.info()
        for handle in (config,) if call in STALE_READS else (config, twin):
            with pytest.raises(ConfigReplaced) as caught:
                ON_A_CONFIG[call](handle)
            assert caught.value.config == config.name
        assert again.info() == before
        assert again.value("a") == b"new"

    def test_condition_of_a_handle_of_a_replaced_config(self, config: Config) -> None:
        change = config.set("a", b"old")
        config.drop()
        again = config.client.new(config.name)
        again.set("a", b"new")
        with pytest.raises(ConfigReplaced):
            config.set("a", condition=KeyCondition("a", revision=change.revision))
        assert again.value("a") == b"new"

    def test_created_anew_begins_anew(self, config: Config, twin: Config) -> None:
        config.commit(put("a"), put("b"), settings={"old": True}, commit_id="an-id")
        config.set("a")
        twin.view()
        config.drop()
        info = twin.client.create(config.name, {"new": True})
        assert info.incarnation != config.handle.incarnation
        assert (info.revision, info.keys, info.settings) == (0, 0, {"new": True})
        for client in (config.client, twin.client):
            again = client.config(config.name)
            assert again.history() == []
            assert again.find("a") is None
            assert again.outcome("an-id") is None
        change = config.client.config(config.name).set("a")
        assert (change.node.version, change.revision, change.prev_node) == (1, 1, None)

    def test_undelete_restores_everything(self, config: Config, twin: Config) -> None:
        config.set("a", b"1")
        config.commit(put("a", b"2"), put("b", b"x" * 100_000), settings=SETTINGS)
        config.delete("a")
        before, history = config.info(), config.history()
        values = config.values()
        config.drop(actor="ann", message="by mistake")
        info = twin.client.bring_back(config.name)
        if info is None:
            assert config.name not in config.client.names()
            assert twin.client.new(config.name).history() == []
            return
        assert info.incarnation == before.incarnation
        assert info.revision == before.revision
        for handle in (config, twin, twin.client.config(config.name)):
            assert handle.history() == history
            assert handle.values() == values
            assert handle.info().settings == SETTINGS
        assert twin.set("c").revision == before.revision + 1

    def test_undelete_what_is_there(self, config: Config, twin: Config) -> None:
        config.set("a")
        before = config.info()
        with pytest.raises(ConfigExists):
            twin.client.undelete(config.name)
        assert config.info() == before

    def test_undelete_after_creation_is_refused(self, config: Config) -> None:
        config.set("a", b"old")
        config.drop()
        again = config.client.new(config.name)
        with pytest.raises(ConfigExists):
            config.client.undelete(config.name)
        again.set("b", b"new")
        again.drop()
        # What comes back is the later one: the earlier is gone for good.
        if config.client.bring_back(config.name) is None:
            return
        assert again.values() == {"/b": b"new"}
        with pytest.raises(ConfigReplaced):
            config.view()

    def test_delete_and_undelete_again_and_again(self, config: Config) -> None:
        for revision in range(1, 6):
            assert config.set("a").revision == revision
            config.drop()
            if config.client.bring_back(config.name) is None:
                with pytest.raises(ConfigNotFound):
                    config.view()
                return
        assert config.get("a").version == 5

    def test_create_by_many_has_one_winner(self, crowd: Crowd, client: Client, name: str) -> None:
        created = crowd.run(create, [(name, number) for number in range(crowd.size)])
        winners = [info for info in created if info is not None]
        assert len(winners) == 1, f"{len(winners)} of {crowd.size} created the config"
        info = client.config(name).info()
        assert (info.incarnation, info.settings["by"]) == winners[0]

    # --- settings ---

    def test_settings_change_is_a_commit(self, client: Client, name: str) -> None:
        config = client.new(name, {"old": 1})
        commit = config.committed(settings=SETTINGS, actor="ann", message="more")
        assert (commit.revision, commit.changes) == (1, ())
        assert (commit.settings, commit.prev_settings) == (SETTINGS, {"old": 1})
        assert (commit.actor, commit.message) == ("ann", "more")
        assert config.info().settings == SETTINGS
        assert config.history() == [commit]

    def test_settings_that_are_the_same_make_no_commit(self, client: Client, name: str) -> None:
        config = client.new(name, SETTINGS)
        reordered = dict(reversed(list(SETTINGS.items())))
        assert config.commit(settings=reordered) is None
        assert config.revision() == 0

    def test_settings_replace_the_whole_of_the_old(self, client: Client, name: str) -> None:
        config = client.new(name, {"a": 1, "b": 2})
        config.commit(settings={"b": 3})
        assert config.info().settings == {"b": 3}
        config.commit(settings={})
        assert config.info().settings == {}
        assert config.revision() == 2

    def test_settings_and_keys_in_one_commit(self, config: Config) -> None:
        commit = config.committed(put("a"), settings=SETTINGS)
        assert commit.revision == 1
        assert commit.settings == SETTINGS
        assert [change.key for change in commit.changes] == ["/a"]
        # Keys that change beside settings that do not: the settings are no part of it.
        commit = config.committed(put("a"), settings=SETTINGS)
        assert (commit.settings, commit.prev_settings) == (None, None)

    # --- bad input, closed engines ---

    @pytest.mark.parametrize("bad", BAD_NAMES)
    def test_bad_name(self, client: Client, bad: str) -> None:
        for of_config in ON_A_CONFIG.values():
            with pytest.raises(InvalidName):
                of_config(client.config(bad))
        for of_name in ON_A_NAME.values():
            with pytest.raises(InvalidName):
                of_name(client, bad)

    def test_longest_name(self, client: Client, name: str) -> None:
        longest = (name + "-" * 128)[:127] + "Z"
        config = client.new(longest)
        config.set("a")
        assert client.config(longest).keys() == ["/a"]
        config.drop()

    @pytest.mark.parametrize("bad", BAD_SETTINGS)
    def test_bad_settings(self, client: Client, name: str, bad: Any) -> None:
        with pytest.raises(InvalidSettings):
            client.create(name, bad)
        assert name not in client.names()
        config = client.new(name)
        with pytest.raises(InvalidSettings):
            config.commit(put("a"), settings=bad)
        assert config.revision() == 0

    @pytest.mark.parametrize("text", ["actor", "message"])
    def test_deleter_with_too_much_text(self, config: Config, text: str) -> None:
        with pytest.raises(TextTooLong):
            config.drop(**{text: "x" * 4097})
        assert config.revision() == 0

    @pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
    def test_closed_engine_says_so(self, config: Config, other: Client, used: bool) -> None:
        if used:
            other.config(config.name).set("a")
        other.close()
        other.close()
        for of_config in ON_A_CONFIG.values():
            with pytest.raises(Closed):
                of_config(config.seen_by(other))
        for of_name in ON_A_NAME.values():
            with pytest.raises(Closed):
                of_name(other, config.name)
        with pytest.raises(Closed):
            other.names()
        assert config.revision() == int(used)
