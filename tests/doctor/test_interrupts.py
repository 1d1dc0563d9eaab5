"""Doubt and interrupts: what was written is removed, or named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from discfg_core import doctor, errors
from discfg_core._override import override
from discfg_core.clock import Deadline
from discfg_core.doctor import SCRATCH
from discfg_core.engine import FindingStatus
from discfg_core.versioned import VersionedEngine
from tests.doctor.places import ALL, DENIED, SOON, Place, Refusing, found, status_of

if TYPE_CHECKING:
    pass


class Deaf(VersionedEngine):
    """An engine that loses the answer to its creation, which happened."""

    @override
    def create_config(self, *args: Any, **how: Any) -> Any:
        super().create_config(*args, **how)
        raise errors.OutcomeUnknown("the answer was lost")


class Mute(VersionedEngine):
    """An engine that loses the answer to its creation, which did not happen."""

    @override
    def create_config(self, *args: Any, **how: Any) -> Any:
        raise errors.OutcomeUnknown("the answer was lost")


def test_a_config_whose_creation_was_in_doubt_is_used_and_removed(place: Place) -> None:
    report = doctor.examine(lambda: Deaf(place.memory()), store="deaf")
    assert status_of(report) == dict.fromkeys(ALL, "ok")
    assert place.configs() == []


def test_a_config_that_may_yet_come_to_be_is_named(place: Place) -> None:
    report = doctor.examine(lambda: Mute(place.memory()), store="mute")
    assert found(report, "create").status is FindingStatus.FAILED
    assert report.left is not None
    assert report.left.startswith(SCRATCH)


class Undecided(VersionedEngine):
    """An engine that loses the first answer to a deletion, which happened."""

    lost = False

    @override
    def delete_config(self, *args: Any, **how: Any) -> Any:
        done = super().delete_config(*args, **how)
        if not self.lost:
            self.lost = True
            raise errors.OutcomeUnknown("the answer was lost")
        return done


def test_a_removal_in_doubt_is_repeated(place: Place) -> None:
    report = doctor.examine(lambda: Undecided(place.memory()), store="undecided")
    assert found(report, "removal").status is FindingStatus.OK
    assert report.left is None


@pytest.mark.parametrize("call", ["list_blobs", "get_blobs", "names"])
def test_an_interrupt_ends_it_and_removes_the_config(place: Place, call: str) -> None:
    remarks: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        place.examine(
            lambda inner: Refusing(inner, {call: KeyboardInterrupt()}), remark=remarks.append
        )
    assert remarks == []
    assert place.configs() == []
    for engine in place.opened:
        with pytest.raises(errors.Closed):
            engine.list_configs(deadline=Deadline.after(SOON))


class Impatient(VersionedEngine):
    """An engine whose user presses Ctrl-C while it creates, after the request was sent."""

    @override
    def create_config(self, *args: Any, **how: Any) -> Any:
        super().create_config(*args, **how)
        raise KeyboardInterrupt


def test_an_interrupt_of_the_creation_removes_the_config(place: Place) -> None:
    remarks: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        doctor.examine(lambda: Impatient(place.memory()), store="m", remark=remarks.append)
    assert remarks == []
    assert place.configs() == []


def test_an_interrupt_says_what_is_left(place: Place) -> None:
    remarks: list[str] = []
    raises = {"list_blobs": KeyboardInterrupt(), "drop": DENIED}
    with pytest.raises(KeyboardInterrupt):
        place.examine(lambda inner: Refusing(inner, raises), remark=remarks.append)
    (remark,) = remarks
    assert f"the config {SCRATCH}" in remark
    assert "discfg drop" in remark


def test_an_interrupt_of_the_removal_says_what_is_left(place: Place) -> None:
    remarks: list[str] = []
    raises = {"drop": KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        place.examine(lambda inner: Refusing(inner, raises), remark=remarks.append)
    assert len(remarks) == 1
