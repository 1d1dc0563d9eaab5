"""Reads: of the latest, from whatever client; behind it only on demand, and never backwards."""

from __future__ import annotations

import time
from operator import attrgetter
from typing import TYPE_CHECKING

import pytest

from discfg_core.engine import RemovePrefix
from discfg_core.errors import ConfigNotFound, KeyNotFound
from discfg_core.testing.engine_base import EngineCase
from discfg_core.testing.engine_client import put
from discfg_core.testing.engine_workers import write_or_observe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from discfg_core.testing.engine_base import Crowd
    from discfg_core.testing.engine_client import Client, Config
    from discfg_core.testing.engine_workers import Told

HOUR = 3600.0


class ReadTests(EngineCase):
    """What a reader may be told, and when."""

    def test_other_client_sees_each_write_at_once(self, config: Config, twin: Config) -> None:
        for number in range(15):
            config.set("a", b"%d" % number)
            assert twin.value("a") == b"%d" % number
            assert twin.view().revision == twin.revision() == len(twin.history())
            twin.set("b", b"%d" % number)
            assert config.values() == {"/a": b"%d" % number, "/b": b"%d" % number}
        twin.commit(RemovePrefix("/"))
        with pytest.raises(KeyNotFound):
            config.get("a")

    def test_other_client_sees_each_life_at_once(
        self, client: Client, other: Client, name: str
    ) -> None:
        for number in range(4):
            config = client.new(name)
            config.set("a", b"%d" % number)
            assert other.config(name).value("a") == b"%d" % number
            config.drop()
            with pytest.raises(ConfigNotFound):
                other.config(name).get("a")

    def test_stale_read_by_a_client_that_read_nothing_yet(
        self, config: Config, twin: Config
    ) -> None:
        config.set("a", b"1")
        assert twin.get("a", max_staleness=HOUR).value == b"1"
        assert twin.client.config(config.name).view(max_staleness=HOUR).keys() == ["/a"]

    def test_stale_read_is_not_behind_an_own_read(self, config: Config, twin: Config) -> None:
        for number in range(10):
            config.set("a", b"%d" % number)
            fresh = twin.get("a")
            assert twin.get("a", max_staleness=HOUR) == fresh
            assert twin.view(max_staleness=HOUR).revision == fresh.revision

    def test_stale_read_is_not_behind_an_own_write(self, config: Config, twin: Config) -> None:
        for number in range(10):
            config.set("a", b"%d" % number)
            revision = twin.set("b", b"%d" % number).revision
            assert twin.view(max_staleness=HOUR).revision == revision
            assert twin.get("a", max_staleness=HOUR).value == b"%d" % number
            twin.delete("b")
            with pytest.raises(KeyNotFound):
                twin.get("b", max_staleness=HOUR)

    def test_stale_read_is_not_behind_an_own_refusal(self, config: Config, twin: Config) -> None:
        twin.view()
        config.commit(put("a"), RemovePrefix("b"))
        # It was told of revision 1 by this error, and cannot be at 0 afterwards.
        with pytest.raises(KeyNotFound):
            twin.delete("b")
        assert twin.view(max_staleness=HOUR).revision == 1

    def test_staleness_is_bounded(self, config: Config, twin: Config) -> None:
        twin.view()
        for number in range(3):
            config.set("a", b"%d" % number)
            assert twin.get("a", max_staleness=0.0).value == b"%d" % number
        config.set("a", b"late")
        time.sleep(0.25)
        assert twin.get("a", max_staleness=0.2).value == b"late"
        assert twin.view(max_staleness=0.2).revision == 4

    def test_every_reader_sees_whole_commits_and_never_goes_back(
        self, crowd: Crowd, client: Client, name: str
    ) -> None:
        client.new(name)
        writers = crowd.size // 2
        told = crowd.run(
            write_or_observe, [(name, number, writers, 25) for number in range(crowd.size)]
        )
        reads = [each for read, _ in told for each in read]
        writes = [each for _, written in told for each in written]
        assert sorted({each.revision for each in writes}) == sorted(
            each.revision for each in writes
        )
        fresh = [each for each in reads if not each.stale]
        assert_in_order(fresh + writes, fresh)
        for who in {each.client for each in reads}:
            assert_in_order(
                [each for each in reads + writes if each.client == who],
                [each for each in reads if each.client == who],
            )


def assert_in_order(known: Iterable[Told], reads: Iterable[Told]) -> None:
    """No read that began after something was known is of an earlier revision than that."""
    ended = sorted(known, key=attrgetter("end"))
    newest, index = None, 0
    for read in sorted(reads, key=attrgetter("begin")):
        while index < len(ended) and ended[index].end < read.begin:
            if newest is None or ended[index].revision > newest.revision:
                newest = ended[index]
            index += 1
        assert newest is None or read.revision >= newest.revision, (
            f"{read} began after {newest} had ended, and is behind it"
        )
