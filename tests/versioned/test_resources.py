"""A config's native resource: made, changed with the settings, and dropped under a fence."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from discfg_core.clock import Deadline
from discfg_core.engine import ConfigHandle, Transaction
from discfg_core.errors import (
    ConfigNotFound,
    InvalidSettings,
    OutcomeUnknown,
    SettingsNotApplied,
    StoreUnavailable,
)
from discfg_core.versioned import VersionedEngine
from tests.conformance.tables import CAPACITY, TablesSubstrate
from tests.versioned.conftest import Scripted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from discfg_core.model import Commit, ConfigInfo
    from tests.versioned.conftest import Handler


class Client:
    """An engine on a store with tables, whose calls a test may keep from it."""

    def __init__(self, place: str) -> None:
        self.store = Scripted(TablesSubstrate(place))
        self.engine = VersionedEngine(self.store)

    def create(self, settings: Mapping[str, object]) -> ConfigInfo:
        return self.engine.create_config("c", settings, deadline=Deadline.after(10))

    def update(self, settings: Mapping[str, object], seconds: float = 10) -> Commit | None:
        change = Transaction(settings=settings)
        return self.engine.commit(ConfigHandle("c"), change, deadline=Deadline.after(seconds))

    def drop(self, seconds: float = 10) -> None:
        self.engine.delete_config(ConfigHandle("c"), deadline=Deadline.after(seconds))

    def info(self) -> ConfigInfo:
        return self.engine.describe_config(ConfigHandle("c"), deadline=Deadline.after(10))


@pytest.fixture
def place() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def client(place: str) -> Iterator[Client]:
    client = Client(place)
    yield client
    client.engine.close()


@pytest.fixture
def other(place: str) -> Iterator[Client]:
    client = Client(place)
    yield client
    client.engine.close()


def test_settings_reach_the_resource_and_are_shown(client: Client) -> None:
    assert client.create({CAPACITY: 3, "mine": "x"}).actual_settings == {CAPACITY: 3}
    client.update({CAPACITY: 5})
    info = client.info()
    assert (info.settings, info.actual_settings) == ({CAPACITY: 5}, {CAPACITY: 5})


def test_settings_that_the_store_cannot_take_change_nothing(client: Client) -> None:
    with pytest.raises(InvalidSettings):
        client.create({CAPACITY: "many"})
    with pytest.raises(ConfigNotFound):
        client.info()
    client.create({CAPACITY: 3})
    with pytest.raises(InvalidSettings):
        client.update({CAPACITY: "many"})
    assert (client.info().revision, client.info().settings) == (0, {CAPACITY: 3})


def test_resource_that_lags_is_told_and_can_be_brought_in_line(
    client: Client, fails: Callable[..., Handler]
) -> None:
    client.create({CAPACITY: 3})
    client.store.always("provision", fails(lambda: StoreUnavailable("throttled")))
    with pytest.raises(SettingsNotApplied) as caught:
        client.update({CAPACITY: 5}, seconds=0.1)
    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, StoreUnavailable)
    info = client.info()
    assert (info.revision, info.settings, info.actual_settings) == (1, {CAPACITY: 5}, {CAPACITY: 3})
    client.store.always("provision", None)
    assert client.update({CAPACITY: 5}) is None
    info = client.info()
    assert (info.revision, info.actual_settings) == (1, {CAPACITY: 5})


def test_late_settings_are_those_of_the_config(client: Client, other: Client) -> None:
    client.create({CAPACITY: 3})
    # Between the commit and its effect another one comes, and takes effect first.
    client.store.then("provision", lambda go: (other.update({CAPACITY: 9}), go())[1])
    client.update({CAPACITY: 5})
    assert client.info().actual_settings == {CAPACITY: 9}


def test_drop_whose_dropper_died_is_finished_by_the_next(
    client: Client, other: Client, fails: Callable[..., Handler]
) -> None:
    client.create({})
    client.store.always("drop", fails(lambda: StoreUnavailable("away")))
    with pytest.raises(OutcomeUnknown):
        client.drop(0.1)
    assert other.store.read("c", deadline=Deadline.after(5)) is not None
    with pytest.raises(ConfigNotFound):
        other.drop()
    assert other.store.read("c", deadline=Deadline.after(5)) is None


def test_drop_that_comes_late_leaves_the_next_incarnation(client: Client, other: Client) -> None:
    client.create({})
    client.store.then("drop", lambda go: (other.create({CAPACITY: 2}), go())[1])
    client.drop()
    info = other.info()
    assert (info.revision, info.actual_settings) == (0, {CAPACITY: 2})
