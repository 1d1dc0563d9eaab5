"""What an engine stores, beside clients of other versions, collectors and damage."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from discfg_core.clock import Deadline
from discfg_core.engine import Guarantee
from discfg_core.errors import Corrupt, NewerFormat
from discfg_core.testing.engine_bench import Gate, SubstrateEngineCase
from discfg_core.testing.engine_calls import READS, WRITES
from discfg_core.testing.engine_client import TIMEOUT, put

if TYPE_CHECKING:
    from discfg_core.testing.engine_bench import Bench
    from discfg_core.testing.engine_client import Client, Config

LARGE = b"0123456789abcdef" * 20_000


class FormatTests(SubstrateEngineCase):
    """The head and the blobs, as ``docs/format.md`` has them."""

    def test_unknown_fields_of_the_head_are_kept(
        self, bench: Bench, config: Config, twin: Config
    ) -> None:
        name, planted = config.name, {"x_later": {"deep": [1, b"\xff", {"er": None}]}, "x_2": 2**40}
        twin.set("a")
        bench.change_head(name, **planted)
        for write in (
            lambda: config.set("a"),
            lambda: twin.delete("a"),
            lambda: twin.commit(settings={"s": 1}),
            lambda: config.set("large", LARGE),
            # Enough for any engine to put some of it elsewhere.
            lambda: [twin.set("a", b"x" * 4000) for _ in range(80)],
            config.drop,
            lambda: twin.client.bring_back(name),
            lambda: config.set("a"),
        ):
            write()
            if write == config.drop and Guarantee.UNDROP not in twin.client.engine.guarantees:
                assert bench.raw.read(name, deadline=Deadline.after(TIMEOUT)) is None
                return
            head = bench.head(name)
            assert {field: head.get(field) for field in planted} == planted

    @pytest.mark.parametrize("call", WRITES)
    def test_config_of_a_newer_writer_is_left_untouched(
        self, bench: Bench, config: Config, twin: Config, call: str
    ) -> None:
        config.set("a", b"1")
        bench.change_head(config.name, min_writer=99)
        before = bench.register(config.name)
        for handle in (config, twin):
            with pytest.raises(NewerFormat):
                WRITES[call](handle)
            assert handle.value("a") == b"1"
        assert bench.register(config.name) == before

    @pytest.mark.parametrize("call", [*WRITES, *READS])
    def test_config_of_a_newer_reader_is_left_untouched(
        self, bench: Bench, config: Config, twin: Config, call: str
    ) -> None:
        config.set("a", b"1")
        bench.change_head(config.name, min_reader=99, min_writer=99)
        before = bench.register(config.name)
        for handle in (config, twin):
            with pytest.raises(NewerFormat):
                (WRITES | READS)[call](handle)  # type: ignore[operator]  # both are dicts
        assert bench.register(config.name) == before
        bench.change_head(config.name, min_reader=1, min_writer=1)

    @pytest.mark.parametrize("keys", [1, 400])
    def test_blob_collected_under_its_writer_is_put_again(
        self, bench: Bench, config: Config, keys: int
    ) -> None:
        config.set("old", LARGE)
        mine, store = bench.steered(config)
        ops = [put(f"k{number}", LARGE[: len(LARGE) // keys]) for number in range(keys)]
        needed = bench.blobs(config.name)
        with ThreadPoolExecutor(1) as pool, Gate() as gate:
            store.steer("swap", gate)
            doing = pool.submit(mine.committed, *ops)
            gate.reached()
            # What a collector does: list, raise the generation, delete what it listed in vain.
            unneeded = bench.blobs(config.name).keys() - needed.keys()
            bench.change_head(config.name, generation=bench.head(config.name)["generation"] + 1)
            bench.delete_blobs(config.name, list(unneeded))
            gate.open()
            commit = doing.result(60)
        assert config.history()[0] == commit
        assert all(config.value(op.key) == op.value for op in ops)
        assert config.value("old") == LARGE

    def test_blob_of_a_writer_outlives_the_upkeep_of_others(
        self, bench: Bench, config: Config
    ) -> None:
        mine, store = bench.steered(config)
        with ThreadPoolExecutor(1) as pool, Gate() as gate:
            store.steer("swap", gate)
            doing = pool.submit(mine.set, "large", LARGE)
            gate.reached()
            for number in range(80):
                config.set("a", b"%d" % number)
            gate.open()
            assert doing.result(60).revision == 81
        assert config.value("large") == LARGE

    @pytest.mark.parametrize("damage", ["missing", "changed"])
    def test_damage_is_told(self, bench: Bench, config: Config, other: Client, damage: str) -> None:
        config.set("large", LARGE)
        name = config.name
        # The value's own; what else there is would not even be understood.
        whole = {blob: data for blob, data in bench.blobs(name).items() if data == LARGE}
        assert len(whole) == 1
        bench.delete_blobs(name, list(whole))
        if damage == "changed":
            bench.put_blobs(name, {blob: data[:-1] + b"?" for blob, data in whole.items()})
        try:
            for read in (
                lambda: other.config(name).get("large"),
                lambda: other.config(name).values(),
                lambda: bench.fresh().config(name).value("large"),
            ):
                with pytest.raises(Corrupt):
                    read()
            assert bench.fresh().check(name).problems
        finally:
            bench.delete_blobs(name, list(whole))
            bench.put_blobs(name, whole)
