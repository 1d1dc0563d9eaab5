"""Random histories against a dict.

The model is as simple as the contract: a register is data and a token, blobs are a dict. It
shares nothing with the engines.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from discfg_core.substrate import NOT_TOLD, UNCHANGED, BlobRange, Register, SwapConflict
from discfg_core.testing.profiles import profile, say_seed
from discfg_core.testing.substrate_base import Lab, SubstrateBase

if TYPE_CHECKING:
    from discfg_core.testing.substrate_client import Client

CONFIGS = 3
CLIENTS = 2

_configs = st.integers(0, CONFIGS - 1)
_clients = st.integers(0, CLIENTS - 1)
_data = st.binary(max_size=200)
_blob = st.sampled_from([f"blob{number}" for number in range(6)])
_start = st.integers(0, 250)
_length = st.none() | st.integers(0, 250)


class Machine(RuleBasedStateMachine):
    """Two clients do what they like to three configs whose names begin alike."""

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self.lab = lab
        self.clients: list[Client] = [lab.open() for _ in range(CLIENTS)]
        stem = lab.new_name()
        self.names = [stem, f"{stem}0", f"{stem}.x"]
        lab.provision(self.clients[0], *self.names)
        self.registers: list[Register | None] = [None] * CONFIGS
        self.old_tokens: list[bytes] = []
        self.blobs: list[dict[str, bytes]] = [{} for _ in range(CONFIGS)]
        # No name is ever used for two contents, so each round of a name is a name of its own.
        self.rounds = 0

    @initialize(config=_configs, data=_data)
    def begin(self, config: int, data: bytes) -> None:
        """One register is there from the start."""
        self.swap(config, 0, data, {})

    @rule(
        config=_configs,
        client=_clients,
        data=_data,
        blobs=st.dictionaries(_blob, _data, max_size=3),
    )
    def swap(self, config: int, client: int, data: bytes, blobs: dict[str, bytes]) -> None:
        """Over what is there."""
        before = self.registers[config]
        self.rounds += 1
        named = {f"{blob}-{self.rounds}": content for blob, content in blobs.items()}
        expected = None if before is None else before.token
        token = self.clients[client].swap(self.names[config], expected, data, named)
        assert token not in self.old_tokens
        self.old_tokens.append(token)
        self.registers[config] = Register(data, token)
        self.blobs[config].update(named)

    @precondition(lambda self: self.old_tokens)
    @rule(config=_configs, client=_clients, data=_data, draw=st.data())
    def swap_in_vain(self, config: int, client: int, data: bytes, draw: st.DataObject) -> None:
        """Over anything else."""
        there = self.registers[config]
        tokens: list[bytes | None] = [None, *self.old_tokens]
        tokens.remove(None if there is None else there.token)
        if not tokens:
            return
        expected = draw.draw(st.sampled_from(tokens))
        try:
            self.clients[client].swap(self.names[config], expected, data)
        except SwapConflict as conflict:
            assert conflict.current in (NOT_TOLD, there)
        else:
            raise AssertionError(f"swapped over {expected!r}, which is not there")

    @rule(config=_configs, client=_clients, draw=st.data())
    def read(self, config: int, client: int, draw: st.DataObject) -> None:
        """With whatever token one knows, or none."""
        there = self.registers[config]
        known = draw.draw(st.sampled_from([None, *self.old_tokens]))
        answer = self.clients[client].read(self.names[config], known)
        if there is not None and known == there.token:
            assert answer is UNCHANGED
        else:
            assert answer == there

    @rule(config=_configs, client=_clients, blob=_blob, data=_data)
    def put_blob(self, config: int, client: int, blob: str, data: bytes) -> None:
        """A new one."""
        self.rounds += 1
        name = f"{blob}-{self.rounds}"
        self.clients[client].put_blob(self.names[config], name, data)
        self.blobs[config][name] = data

    @rule(config=_configs, client=_clients, draw=st.data())
    def put_blob_again(self, config: int, client: int, draw: st.DataObject) -> None:
        """One that is there."""
        if self.blobs[config]:
            blob = draw.draw(st.sampled_from(sorted(self.blobs[config])))
            self.clients[client].put_blob(self.names[config], blob, self.blobs[config][blob])

    @rule(config=_configs, client=_clients, draw=st.data())
    def get_blobs(self, config: int, client: int, draw: st.DataObject) -> None:
        """Any, there or not, in any parts, in any order."""
        known = sorted({blob for blobs in self.blobs for blob in blobs} | {"missing"})
        wanted = draw.draw(
            st.lists(st.builds(BlobRange, st.sampled_from(known), _start, _length), max_size=6)
        )
        expected = [self._part(self.blobs[config].get(each.blob), each) for each in wanted]
        assert self.clients[client].get_blobs(self.names[config], wanted) == expected

    @staticmethod
    def _part(data: bytes | None, wanted: BlobRange) -> bytes | None:
        if data is None or wanted.length is None:
            return data and data[wanted.start :]
        return data[wanted.start :][: wanted.length]

    @rule(config=_configs, client=_clients, draw=st.data())
    def delete_blobs(self, config: int, client: int, draw: st.DataObject) -> None:
        """Any, there or not."""
        known = sorted({blob for blobs in self.blobs for blob in blobs} | {"missing"})
        blobs = draw.draw(st.lists(st.sampled_from(known), max_size=4))
        self.clients[client].delete_blobs(self.names[config], blobs)
        for blob in blobs:
            self.blobs[config].pop(blob, None)

    @rule(client=_clients)
    def open_anew(self, client: int) -> None:
        """A client goes, another comes."""
        self.clients[client].close()
        self.clients[client] = self.lab.open()

    @rule(client=_clients)
    def list_names(self, client: int) -> None:
        """Every register, and of ours no other."""
        there = {name for name, each in zip(self.names, self.registers, strict=True) if each}
        assert there <= set(self.clients[client].names())

    @invariant()
    def blobs_are_listed(self) -> None:
        """Each config's, and no other's."""
        for name, blobs in zip(self.names, self.blobs, strict=True):
            sizes = self.clients[0].sizes(name)
            assert sizes == {blob: len(data) for blob, data in blobs.items()}

    def teardown(self) -> None:
        """Every register and blob as it should be."""
        for name, register, blobs in zip(self.names, self.registers, self.blobs, strict=True):
            for client in self.clients:
                assert client.read(name) == register
            found = self.clients[1].get_blobs(name, [BlobRange(blob) for blob in blobs])
            assert found == [*blobs.values()]
        for client in self.clients:
            client.close()


class HistoryTests(SubstrateBase):
    """Random histories."""

    def test_history_drawn_at_random_is_that_of_a_dict(self, lab: Lab) -> None:
        # Hypothesis's types ask for a class; what it needs is something that makes a machine.
        machine: Any = hypothesis.seed(say_seed())(partial(Machine, lab))
        run_state_machine_as_test(machine, settings=profile())
