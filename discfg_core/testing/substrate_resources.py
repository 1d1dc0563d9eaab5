"""A config's native resource, and what a store says of itself to an operator."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from discfg_core.engine import FindingStatus
from discfg_core.model import ConfigState
from discfg_core.substrate import Register, SwapConflict
from discfg_core.testing.substrate_base import Lab, SubstrateBase

if TYPE_CHECKING:
    from discfg_core.testing.substrate_client import Client


class ResourceTests(SubstrateBase):
    """`Substrate.provision`, `describe` and `drop`."""

    def test_provision_is_repeatable(self, client: Client, other: Client, name: str) -> None:
        token = client.swap(name, None, b"data", {"blob": b"data"})
        for each in (client, other, client):
            each.provision(name, {})
        assert client.read(name) == Register(b"data", token)
        assert client.get_blob(name, "blob") == b"data"

    def test_describe_says_active_once_made_ready(
        self, client: Client, other: Client, name: str
    ) -> None:
        for each in (client, other):
            native = each.describe(name)
            assert native.state is ConfigState.ACTIVE
            assert msgspec.to_builtins(native.settings) == dict(native.settings)

    def test_drop_is_repeatable(self, client: Client, other: Client, name: str) -> None:
        token = client.swap(name, None, b"tombstone")
        for each in (client, other, client):
            each.drop(name, token)

    def test_drop_leaves_others(self, lab: Lab, client: Client, name: str) -> None:
        beside = lab.provision(client, f"{name}0")
        token = client.swap(beside, None, b"beside", {"blob": b"data"})
        client.drop(name, client.swap(name, None, b"tombstone"))
        assert client.read(beside) == Register(b"beside", token)
        assert client.get_blob(beside, "blob") == b"data"

    def test_drop_ends_in_a_name_that_can_be_used_anew(
        self, client: Client, other: Client, name: str
    ) -> None:
        client.drop(name, client.swap(name, None, b"tombstone"))
        other.provision(name, {})
        left = other.read(name)
        # A store without a native resource keeps the tombstone.
        expected = left.token if isinstance(left, Register) else None
        token = other.swap(name, expected, b"new", {"blob": b"data"})
        assert client.read(name) == Register(b"new", token)
        assert client.get_blob(name, "blob") == b"data"

    def test_drop_that_comes_late_leaves_what_was_made_anew(
        self, client: Client, other: Client, name: str
    ) -> None:
        tombstone = client.swap(name, None, b"tombstone")
        token = other.swap(name, tombstone, b"new", {"blob": b"data"})
        for expected in (tombstone, None):
            client.drop(name, expected)
        assert other.read(name) == Register(b"new", token)
        assert client.get_blob(name, "blob") == b"data"
        # A name used anew after its resource was gone is the same to a dropper this late.
        client.drop(name, token)
        other.provision(name, {})
        left = other.read(name)
        token = other.swap(name, left.token if isinstance(left, Register) else None, b"newer")
        client.drop(name, tombstone)
        assert other.read(name) == Register(b"newer", token)

    def test_drop_races_a_creation(self, client: Client, other: Client, name: str) -> None:
        for _ in range(5):
            left = client.read(name)
            expected = left.token if isinstance(left, Register) else None
            tombstone = client.swap(name, expected, b"tombstone")
            with ThreadPoolExecutor(1) as pool:
                dropping = pool.submit(client.drop, name, tombstone)
                made = _made_anew(other, name)
                dropping.result()
            assert client.read(name) == made
            assert other.read(name) == made


def _made_anew(client: Client, name: str) -> Register:
    """What a creator does, while others drop the tombstone it found."""
    while True:
        left = client.read(name)
        client.provision(name, {})
        try:
            token = client.swap(name, left.token if isinstance(left, Register) else None, b"new")
        except SwapConflict:
            continue
        return Register(b"new", token)


class DiagnosisTests(SubstrateBase):
    """`Substrate.diagnose`."""

    def test_diagnosis_names_the_server_and_finds_no_failure(self, client: Client) -> None:
        findings = client.diagnose()
        assert "server" in {finding.check for finding in findings}
        assert [f for f in findings if f.status is FindingStatus.FAILED] == []

    def test_diagnosis_leaves_nothing_behind(self, client: Client, name: str) -> None:
        token = client.swap(name, None, b"data", {"blob": b"data"})
        before = sorted(client.names())
        client.diagnose()
        assert sorted(client.names()) == before
        assert client.read(name) == Register(b"data", token)
        assert client.sizes(name) == {"blob": 4}
