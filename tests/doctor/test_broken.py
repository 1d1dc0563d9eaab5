"""A store that breaks a promise is told, with the promise."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from discfg_core import doctor, errors
from discfg_core._override import override
from discfg_core.clock import Deadline
from discfg_core.engine import ConfigHandle, FindingStatus, Guarantee
from discfg_core.model import Action, Change, Node
from discfg_core.substrate import Register, SwapConflict, Token, Unchanged
from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.testing.delegate import DelegatingSubstrate
from discfg_core.versioned import VersionedEngine
from tests.doctor.places import Place, found, status_of

if TYPE_CHECKING:
    from discfg_core.substrate import Substrate


class Blind(DelegatingSubstrate):
    """A compare-and-swap that swaps without comparing."""

    @override
    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        current = self.inner.read(name, deadline=deadline)
        assert not isinstance(current, Unchanged)
        # The time that a request to a server takes: long enough for others to come between.
        time.sleep(0.001)
        while True:
            token = None if current is None else current.token
            try:
                return self.inner.swap(name, token, data, blobs, deadline=deadline)
            except SwapConflict:
                current = self.inner.read(name, deadline=deadline)
                assert not isinstance(current, Unchanged)


class Stale(DelegatingSubstrate):
    """One that shows clients which come later the register before the latest."""

    def __init__(self, inner: Substrate, past: dict[str, list[Register]], *, first: bool) -> None:
        super().__init__(inner)
        self.past = past
        self.first = first

    @override
    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline
    ) -> Register | Unchanged | None:
        if self.first or len(self.past.get(name, [])) < 2:
            return super().read(name, known, deadline=deadline)
        return self.past[name][-2]

    @override
    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        token = super().swap(name, expected, data, blobs, deadline=deadline)
        self.past.setdefault(name, []).append(Register(data, token))
        return token


class Secluded(DelegatingSubstrate):
    """One that claims to be shared, and is not."""

    @property
    @override
    def guarantees(self) -> frozenset[Guarantee]:
        return frozenset({Guarantee.SHARED})


def test_a_store_that_lets_two_win_is_told(place: Place) -> None:
    report = place.examine(Blind)
    assert report.status is FindingStatus.FAILED
    finding = found(report, "race")
    assert finding.status is FindingStatus.FAILED
    assert "do not use this store" in finding.hint
    assert report.left is None
    assert place.configs() == []


def test_a_store_that_claims_to_be_shared_is_found_out() -> None:
    report = doctor.examine(lambda: VersionedEngine(Secluded(MemorySubstrate())), store="secluded")
    assert found(report, "clients").status is FindingStatus.FAILED
    assert "does not see a config" in found(report, "clients").message
    assert "race" not in status_of(report)
    assert found(report, "removal").status is FindingStatus.OK


def test_a_stale_read_is_told(place: Place) -> None:
    past: dict[str, list[Register]] = {}
    report = place.examine(lambda inner: Stale(inner, past, first=not place.opened))
    assert found(report, "clients").status is FindingStatus.FAILED
    assert "overwritten" in found(report, "clients").message
    assert report.left is None


class Liar(VersionedEngine):
    """An engine that tells every writer that it won."""

    @override
    def set(self, *args: Any, **how: Any) -> Any:
        how["condition"] = None
        return super().set(*args, **how)


class Doubler(VersionedEngine):
    """An engine that commits some writes twice."""

    @override
    def set(self, handle: ConfigHandle, key: str, *args: Any, **how: Any) -> Any:
        if key == "/client/3":
            super().set(handle, key, *args, **how)
        return super().set(handle, key, *args, **how)


class Forgetful(VersionedEngine):
    """An engine that acknowledges some writes without making them."""

    @override
    def set(self, handle: ConfigHandle, key: str, *args: Any, **how: Any) -> Any:
        if key == "/client/3":
            node = Node(key, args[0], args[1], 1, 40, 1, 1)
            return Change(Action.ADDED, node, None, 40)
        return super().set(handle, key, *args, **how)


class Gossip(VersionedEngine):
    """An engine that tells losers of another winner."""

    @override
    def set(self, handle: ConfigHandle, key: str, *args: Any, **how: Any) -> Any:
        try:
            return super().set(handle, key, *args, **how)
        except errors.ConditionFailed as error:
            error.node = None
            raise


class Hopeless(VersionedEngine):
    """An engine on which every condition fails."""

    @override
    def set(self, handle: ConfigHandle, key: str, *args: Any, **how: Any) -> Any:
        if how.get("condition"):
            raise errors.ConditionFailed("no", node=None)
        return super().set(handle, key, *args, **how)


class Failing(VersionedEngine):
    """An engine whose writes fail under load, for good."""

    @override
    def set(self, handle: ConfigHandle, key: str, *args: Any, **how: Any) -> Any:
        if key == "/client/3":
            raise errors.StoreFull("no room")
        return super().set(handle, key, *args, **how)


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        (Liar, "round 1: 8 clients won, and one may"),
        (Doubler, "3 writes are in the history twice"),
        (Forgetful, "3 of 29 acknowledged writes are not where they were said to be"),
        (Gossip, "a client was told of another winner"),
        (Hopeless, "every client lost, to nobody"),
        (Failing, "3 writes failed: StoreFull: no room"),
    ],
)
def test_what_a_race_shows(place: Place, engine: type[VersionedEngine], says: str) -> None:
    report = doctor.examine(lambda: engine(place.memory()), store="racing")
    finding = found(report, "race")
    assert finding.status is FindingStatus.FAILED
    assert says in finding.message
    assert report.left is None


class Lossy(VersionedEngine):
    """An engine that forgets a part of the history."""

    @override
    def history(self, *args: Any, **how: Any) -> Any:
        page = super().history(*args, **how)
        kept = tuple(commit for commit in page.commits if commit.revision != 6)
        return msgspec.structs.replace(page, commits=kept)


def test_a_history_with_a_gap_is_told(place: Place) -> None:
    report = doctor.examine(lambda: Lossy(place.memory()), store="lossy")
    assert "none may be missing" in found(report, "race").message
    assert report.left is None


class Generous(VersionedEngine):
    """An engine whose writes do not say what they replaced."""

    @override
    def set(self, *args: Any, **how: Any) -> Any:
        change = super().set(*args, **how)
        return type(change)(change.action, change.node, None, change.revision)


def test_a_write_that_hides_what_it_replaced_is_told(place: Place) -> None:
    report = doctor.examine(lambda: Generous(place.memory()), store="generous")
    assert "the very node that it replaced" in found(report, "set").message
    assert [check.check for check in report.checks][-2:] == ["set", "removal"]
    assert place.configs() == []
