"""A store that refuses, fails or hangs: told where it does, in time, without a secret."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from discfg_core import doctor, errors
from discfg_core._override import override
from discfg_core.clock import Deadline
from discfg_core.doctor import SCRATCH
from discfg_core.doctor.race import KEY
from discfg_core.engine import ConfigHandle, Finding, FindingStatus, StorageEngine
from discfg_core.substrate import Token
from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.testing.delegate import DelegatingSubstrate
from discfg_core.versioned import VersionedEngine
from tests.doctor.places import DENIED, Place, Refusing, found, status_of

if TYPE_CHECKING:
    from discfg_core.substrate import Substrate


def test_an_unreachable_store_is_one_failed_check_in_time(place: Place) -> None:
    down = errors.StoreUnavailable("connection refused", hint="start the server")
    began = time.monotonic()
    report = place.examine(lambda inner: Refusing(inner, {"read": down}), timeout=0.5)
    assert time.monotonic() - began < 5
    assert status_of(report) == {"engine": "ok", "connection": "failed"}
    assert found(report, "connection").message == "connection refused"
    assert found(report, "connection").hint == "start the server"
    assert report.left is None


def test_an_engine_that_cannot_be_opened_is_one_failed_check() -> None:
    def open_engine() -> StorageEngine:
        raise errors.EngineNotInstalled("the engine is not installed", hint="pip install it")

    report = doctor.examine(open_engine, store="gone://")
    assert report.checks == (
        Finding("engine", FindingStatus.FAILED, "the engine is not installed", "pip install it"),
    )


@pytest.mark.parametrize(
    ("call", "check", "status", "says"),
    [
        ("swap", "create", "failed", "--read-only"),
        ("names", "listing", "warning", "only `discfg configs` needs this"),
        ("get_blobs", "clients", "failed", "ask for the permission"),
        ("list_blobs", "fsck", "failed", "ask for the permission"),
        ("diagnose", "diagnosis", "failed", "ask for the permission"),
        ("close", "close", "failed", "ask for the permission"),
    ],
)
def test_a_permission_that_lacks_is_told_where_it_is_needed(
    place: Place, call: str, check: str, status: str, says: str
) -> None:
    report = place.examine(lambda inner: Refusing(inner, {call: DENIED}))
    findings = [each for each in report.checks if each.check == check]
    assert {each.status for each in findings} == {status}
    assert all(says in each.hint for each in findings)
    assert {each.check for each in report.checks if each.status is not FindingStatus.OK} == {check}
    assert report.left is None
    assert place.configs() == []


def test_a_config_that_cannot_be_removed_is_named(place: Place) -> None:
    report = place.examine(lambda inner: Refusing(inner, {"drop": DENIED}))
    finding = found(report, "removal")
    assert finding.status is FindingStatus.FAILED
    assert report.left is not None
    assert report.left.startswith(SCRATCH)
    assert f"discfg drop {report.left}" in finding.hint


def test_what_a_plugin_lets_out_is_told_without_a_traceback(place: Place) -> None:
    broken = RuntimeError("the client library of ann:hunter2 is confused")
    report = place.examine(
        lambda inner: Refusing(inner, {"list_blobs": broken}),
        scrub=lambda text: text.replace("hunter2", "***"),
    )
    finding = found(report, "fsck")
    assert finding.status is FindingStatus.FAILED
    assert "RuntimeError" in finding.message
    assert "ann:***" in finding.message
    assert "hunter2" not in repr(report)


def test_secrets_are_taken_out_of_hints_too(place: Place) -> None:
    denied = errors.AccessDenied("hunter2 is wrong", hint="is hunter2 right?")
    report = place.examine(
        lambda inner: Refusing(inner, {"read": denied}),
        scrub=lambda text: text.replace("hunter2", "***"),
    )
    assert "hunter2" not in repr(report)


class Throttled(VersionedEngine):
    """Refuses the writes of the race, for now."""

    @override
    def set(self, handle: ConfigHandle, key: str, *args: Any, **how: Any) -> Any:
        if key == KEY:
            raise errors.StoreBusy("throttled")
        return super().set(handle, key, *args, **how)


def test_throttled_writes_are_a_warning(place: Place) -> None:
    report = doctor.examine(lambda: Throttled(place.memory()), store="throttled")
    finding = found(report, "race")
    assert finding.status is FindingStatus.WARNING
    assert "40 were refused" in finding.message
    assert "more capacity" in finding.hint


class Hung(DelegatingSubstrate):
    """A store that stops answering when the race begins: every call lasts until its deadline."""

    hangs = threading.Event()

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
        if self.hangs.is_set():
            time.sleep(deadline.remaining())
            raise errors.StoreUnavailable("no answer")
        return super().swap(name, expected, data, blobs, deadline=deadline)


def test_a_store_that_hangs_ends_the_examination_in_time(place: Place) -> None:
    Hung.hangs.clear()

    def make(inner: MemorySubstrate) -> Substrate:
        if len(place.opened) == 7:
            Hung.hangs.set()
        return Hung(inner) if place.opened else inner

    began = time.monotonic()
    report = place.examine(make, timeout=2.0)
    assert time.monotonic() - began < 10
    assert report.status is FindingStatus.FAILED
    assert report.left is None
    assert place.configs() == []
