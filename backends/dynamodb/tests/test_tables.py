"""A table's life: created, protected, condemned, deleted; and all who get in each other's way."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from discfg_dynamodb.substrate import DynamoDBSubstrate
from discfg_dynamodb.tables import Table

import discfg_core
from discfg_core.clock import Deadline
from discfg_core.errors import (
    ConfigExists,
    ConfigNotFound,
    DiscfgError,
    StoreBusy,
    StoreUnavailable,
)
from discfg_core.model import ConfigState
from discfg_core.substrate import Register, SwapConflict

NAME = "app"


def soon(seconds: float = 30.0) -> Deadline:
    """A deadline; by default one that no sound store reaches."""
    return Deadline.after(seconds)


def table_of(store: DynamoDBSubstrate) -> Table:
    table = store._tables.describe(NAME, soon())
    assert table is not None
    return table


def lift(store: DynamoDBSubstrate) -> None:
    """Take the protection from the table, as an operator may."""
    store._tables._protect(table_of(store).name, soon(), protected=False)


@pytest.fixture
def token(store: DynamoDBSubstrate) -> bytes:
    """That of a register that is there."""
    store.provision(NAME, {}, deadline=soon())
    return store.swap(NAME, None, b"data", deadline=soon())


# --- protection ---------------------------------------------------------------------------------


def test_tables_are_protected_against_deletion(store: DynamoDBSubstrate, token: bytes) -> None:
    assert table_of(store).protected
    with pytest.raises(DiscfgError):
        store._client.call(
            "delete_table", {"TableName": table_of(store).name}, deadline=soon(), writes=True
        )
    assert store.read(NAME, deadline=soon()) == Register(b"data", token)


def test_change_of_capacity_keeps_the_protection(store: DynamoDBSubstrate, token: bytes) -> None:
    units = {"ReadCapacityUnits": 3, "WriteCapacityUnits": 3}
    for settings in (units, {}):
        store.provision(NAME, settings, deadline=soon())
        assert table_of(store).protected


def test_table_without_protection_gets_it_back(store: DynamoDBSubstrate, token: bytes) -> None:
    lift(store)
    assert not table_of(store).protected
    store.provision(NAME, {}, deadline=soon())
    assert table_of(store).protected


def test_table_left_without_a_head_is_adopted(place: str, store: DynamoDBSubstrate) -> None:
    # What a creator leaves that dies between its two requests.
    store.provision(NAME, {}, deadline=soon())
    with discfg_core.connect(place) as other:
        with pytest.raises(ConfigNotFound):
            other.config(NAME).get("key")
        assert other.configs() == []
        config = other.create_config(NAME, {"ReadCapacityUnits": 2, "WriteCapacityUnits": 2})
        config.set("key", "value")
        assert config.info().actual_settings["ReadCapacityUnits"] == 2
    assert table_of(store).protected


# --- dropping -----------------------------------------------------------------------------------


def test_dropped_config_takes_its_table_with_it(place: str, store: DynamoDBSubstrate) -> None:
    with discfg_core.connect(place) as other:
        other.create_config(NAME).set("key", b"x" * 300_000)
        other.drop_config(NAME)
        assert store._tables.describe(NAME, soon()) is None
        with pytest.raises(ConfigNotFound):
            other.undrop(NAME)
        again = other.create_config(NAME)
        assert "key" not in again
    assert list(store.list_blobs(NAME, deadline=soon())) == []


def test_condemned_table_is_absent_and_takes_no_swap(
    seen: DynamoDBSubstrate, store: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    # A dropper that dies when the table is condemned and nothing more.
    front.refuse("DescribeTable", "AccessDeniedException")
    with pytest.raises(DiscfgError):
        seen.drop(NAME, token, deadline=soon())
    assert table_of(store).protected
    assert store.read(NAME, deadline=soon()) is None
    assert store.read(NAME, token, deadline=soon()) is None
    for expected in (token, None):
        with pytest.raises(SwapConflict):
            seen.swap(NAME, expected, b"revived", deadline=soon())
    assert store.read(NAME, deadline=soon()) is None


@pytest.fixture
def clients(
    seen: DynamoDBSubstrate, store: DynamoDBSubstrate
) -> tuple[DynamoDBSubstrate, DynamoDBSubstrate]:
    """One through the front, one straight."""
    return seen, store


@pytest.mark.parametrize("finisher", ["drop", "provision"])
@pytest.mark.parametrize("died_at", ["DescribeTable", "UpdateTable", "DeleteTable"])
def test_drop_that_died_is_finished_by_the_next(
    clients: tuple[DynamoDBSubstrate, DynamoDBSubstrate],
    token: bytes,
    front: Any,
    finisher: str,
    died_at: str,
) -> None:
    seen, store = clients
    store.put_blob(NAME, "blob", b"old", deadline=soon())
    front.refuse(died_at, "AccessDeniedException")
    with pytest.raises(DiscfgError):
        seen.drop(NAME, token, deadline=soon())
    if finisher == "drop":
        store.drop(NAME, token, deadline=soon())
        assert store._tables.describe(NAME, soon()) is None
    store.provision(NAME, {}, deadline=soon())
    assert table_of(store).protected
    assert list(store.list_blobs(NAME, deadline=soon())) == []
    store.swap(NAME, None, b"new", deadline=soon())


def test_drop_that_meets_another_register_does_nothing(
    seen: DynamoDBSubstrate, store: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    newer = store.swap(NAME, token, b"newer", deadline=soon())
    for expected in (token, None):
        seen.drop(NAME, expected, deadline=soon())
    assert front.requests == {"PutItem": 2}
    assert store.read(NAME, deadline=soon()) == Register(b"newer", newer)
    assert table_of(store).protected


@pytest.mark.parametrize("late", ["UpdateTable", "DeleteTable"])
def test_drop_that_is_late_leaves_the_table_made_anew(
    seen: DynamoDBSubstrate, store: DynamoDBSubstrate, token: bytes, front: Any, late: str
) -> None:
    """A dropper held just before the one request or the other, until the name is used anew."""

    def create_anew_first(_request: dict[str, Any], ask: Any) -> tuple[int, Any]:
        store.provision(NAME, {}, deadline=soon())
        tokens.append(store.swap(NAME, None, b"new", deadline=soon()))
        answer: tuple[int, Any] = ask()
        return answer

    tokens: list[bytes] = []
    front.reply(late, create_anew_first)
    seen.drop(NAME, token, deadline=soon())
    assert store.read(NAME, deadline=soon()) == Register(b"new", tokens[0])
    assert table_of(store).protected


def test_drop_whose_answers_are_lost_is_carried_through(
    seen: DynamoDBSubstrate, store: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    def lose(_request: dict[str, Any], ask: Any) -> tuple[int, Any]:
        ask()
        return 500, {"__type": "InternalServerError"}

    for operation in ("PutItem", "UpdateTable", "DeleteTable"):
        front.reply(operation, lose)
    seen.drop(NAME, token, deadline=soon())
    assert store._tables.describe(NAME, soon()) is None


def test_creation_whose_answers_are_lost_is_carried_through(
    seen: DynamoDBSubstrate, store: DynamoDBSubstrate, front: Any
) -> None:
    def lose(_request: dict[str, Any], ask: Any) -> tuple[int, Any]:
        ask()
        return 500, {"__type": "InternalServerError"}

    front.reply("CreateTable", lose)
    seen.provision(NAME, {}, deadline=soon())
    seen.swap(NAME, None, b"data", deadline=soon())


@pytest.mark.parametrize("left", ["condemned", "gone"])
def test_creator_who_was_overtaken_makes_the_table_anew(
    seen: DynamoDBSubstrate, store: DynamoDBSubstrate, front: Any, left: str
) -> None:
    units = {"ReadCapacityUnits": 3, "WriteCapacityUnits": 2}
    store.provision(NAME, units, deadline=soon())
    # Between its two steps another client creates the config, and drops it.
    theirs = seen.swap(NAME, None, b"theirs", {"blob": b"x"}, deadline=soon())
    if left == "condemned":
        front.refuse("DescribeTable", "AccessDeniedException")
        with pytest.raises(DiscfgError):
            seen.drop(NAME, theirs, deadline=soon())
    else:
        seen.drop(NAME, theirs, deadline=soon())
    token = store.swap(NAME, None, b"mine", deadline=soon())
    assert store.read(NAME, deadline=soon()) == Register(b"mine", token)
    assert list(store.list_blobs(NAME, deadline=soon())) == []
    assert store.describe(NAME, deadline=soon()).settings == units


def test_swap_without_a_table_that_nobody_asked_for_fails(store: DynamoDBSubstrate) -> None:
    with pytest.raises(StoreUnavailable):
        store.swap(NAME, None, b"data", deadline=soon())
    with pytest.raises(StoreUnavailable):
        store.put_blob(NAME, "blob", b"data", deadline=soon())
    with pytest.raises(SwapConflict) as caught:
        store.swap(NAME, b"token", b"data", deadline=soon())
    assert caught.value.current is None
    assert store.read(NAME, deadline=soon()) is None


def test_many_create_and_drop_at_once(place: str) -> None:
    """Whoever is told that it created a config finds it, until one is told that it dropped it."""
    dropped: list[str] = []

    def churn() -> None:
        with discfg_core.connect(place) as store:
            for _ in range(5):
                with contextlib.suppress(ConfigExists):
                    store.create_config(NAME)
                with contextlib.suppress(ConfigNotFound):
                    dropped.append(store.drop_config(NAME).incarnation)

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(churn) for _ in range(3)]:
            done.result()
    assert dropped
    assert len(set(dropped)) == len(dropped), "one config was dropped twice"
    with discfg_core.connect(place) as store:
        assert store.configs() == []
        store.create_config(NAME).set("key", "value")


# --- tables that take their time ----------------------------------------------------------------


def test_slow_table_is_waited_for(slow: str) -> None:
    with discfg_core.connect(slow) as store:
        config = store.create_config(NAME)
        config.set("key", "value")
        info = config.info()
        assert info.state is ConfigState.ACTIVE
        assert config["key"] == "value"


def test_slow_table_that_is_being_deleted_is_never_used_again(slow: str) -> None:
    with discfg_core.connect(slow) as store:
        store.create_config(NAME).set("key", "old")
        store.drop_config(NAME)
        assert store.configs() == []
        with pytest.raises(ConfigNotFound):
            store.config(NAME).get("key")
        again = store.create_config(NAME)
        assert "key" not in again
        again.set("key", "new")
        assert again["key"] == "new"


def test_slow_table_shows_that_it_is_updating(slow: str) -> None:
    units = {"ReadCapacityUnits": 4, "WriteCapacityUnits": 2}
    with discfg_core.connect(slow) as store:
        config = store.create_config(NAME)
        config.update_settings(units)
        assert config.info().state is ConfigState.UPDATING
        config.set("key", "value")
        end = time.monotonic() + 20
        while config.info().state is ConfigState.UPDATING:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert config.info().state is ConfigState.ACTIVE
        assert config.info().actual_settings == units


def test_slow_change_upon_change_is_waited_for(slow: str) -> None:
    with discfg_core.connect(slow) as store:
        config = store.create_config(NAME)
        first, second = ({"ReadCapacityUnits": n, "WriteCapacityUnits": n} for n in (4, 5))
        config.update_settings(first)
        config.update_settings(second)
        end = time.monotonic() + 20
        while config.info().actual_settings != second:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_slow_table_that_is_not_ready_in_time_is_busy(
    slow_tables: Any, seen: DynamoDBSubstrate
) -> None:
    # A server that just started takes longer for its first answer.
    assert seen.read(NAME, deadline=soon()) is None
    slow_tables.seconds = 8.0
    began = time.monotonic()
    with pytest.raises(StoreBusy, match="CREATING"):
        seen.provision(NAME, {}, deadline=soon(3.0))
    assert time.monotonic() - began < 25.0
    assert seen.describe(NAME, deadline=soon()).state is ConfigState.CREATING
    assert seen.read(NAME, deadline=soon()) is None
    seen.provision(NAME, {}, deadline=soon())
    seen.swap(NAME, None, b"data", deadline=soon())


def test_slow_creation_by_many_has_one_winner(slow: str) -> None:
    started = threading.Barrier(4, timeout=60)

    def create() -> bool:
        with discfg_core.connect(slow) as store:
            started.wait()
            try:
                store.create_config(NAME)
            except ConfigExists:
                return False
            return True

    with ThreadPoolExecutor(4) as pool:
        won = [done.result() for done in [pool.submit(create) for _ in range(4)]]
    assert won.count(True) == 1
