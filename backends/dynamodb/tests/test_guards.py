"""What is let in and what is not: capacity, tables of others, answers of others; and a diagnosis."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from discfg_dynamodb.substrate import DynamoDBSubstrate

import discfg_core
from discfg_core.clock import Deadline
from discfg_core.engine import FindingStatus
from discfg_core.errors import (
    ConfigNotFound,
    DiscfgError,
    InvalidSettings,
    OutcomeUnknown,
    SettingsNotApplied,
    StoreUnavailable,
    UnsupportedStore,
)
from discfg_core.substrate import UNCHANGED, Register
from discfg_core.urls import parse

NAME = "app"
RESERVED = {"ReadCapacityUnits": 4, "WriteCapacityUnits": 2}
GONE = "ResourceNotFoundException"


def soon(seconds: float = 30.0) -> Deadline:
    """A deadline; by default one that no sound store reaches."""
    return Deadline.after(seconds)


@pytest.fixture
def token(store: DynamoDBSubstrate) -> bytes:
    """That of a register that is there."""
    store.provision(NAME, {}, deadline=soon())
    return store.swap(NAME, None, b"data", deadline=soon())


# --- capacity -----------------------------------------------------------------------------------


def test_capacity_is_on_demand_unless_the_settings_say_otherwise(place: str) -> None:
    with discfg_core.connect(place) as store:
        config = store.create_config(NAME, {"mine": 1})
        assert config.info().actual_settings == {}
        reserved = store.create_config("reserved", {**RESERVED, "mine": 1})
        assert reserved.info().actual_settings == RESERVED


def test_capacity_follows_the_settings(place: str, fronted: str, front: Any) -> None:
    more = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
    with discfg_core.connect(fronted) as store:
        config = store.create_config(NAME, RESERVED)
        for settings in (more, {}, RESERVED, {**RESERVED, "mine": True}):
            config.update_settings(settings)
            native = {key: settings[key] for key in RESERVED if key in settings}
            assert config.info().actual_settings == native
        front.reset()
        config.update_settings({**RESERVED, "mine": False})
        assert front.requests["UpdateTable"] == 0
        front.refuse("UpdateTable", "LimitExceededException", "Subscriber limit exceeded")
        with pytest.raises(SettingsNotApplied):
            config.update_settings(more)
        # The settings are committed by now; giving them again makes the table follow.
        assert config.info().actual_settings == RESERVED
        config.update_settings(more)
        assert config.info().actual_settings == more


@pytest.mark.parametrize(
    "settings",
    [
        {"ReadCapacityUnits": 4},
        {"WriteCapacityUnits": 2},
        {"ReadCapacityUnits": 4, "WriteCapacityUnits": 0},
        {"ReadCapacityUnits": -1, "WriteCapacityUnits": 2},
        {"ReadCapacityUnits": 4, "WriteCapacityUnits": "2"},
        {"ReadCapacityUnits": 4.0, "WriteCapacityUnits": 2},
        {"ReadCapacityUnits": True, "WriteCapacityUnits": 2},
        {"ReadCapacityUnits": 1 << 63, "WriteCapacityUnits": 2},
        {"ReadCapacityUnits": None, "WriteCapacityUnits": None},
    ],
)
def test_capacity_that_is_none_is_refused_before_anything_is_sent(
    seen: DynamoDBSubstrate, front: Any, settings: dict[str, Any]
) -> None:
    calls: list[Callable[[], None]] = [
        lambda: seen.check_settings(settings),
        lambda: seen.provision(NAME, settings, deadline=soon()),
    ]
    for call in calls:
        with pytest.raises(InvalidSettings) as caught:
            call()
        assert '{"ReadCapacityUnits": 4, "WriteCapacityUnits": 2}' in str(caught.value)
    assert not front.requests


# --- tables that are not to be written to -----------------------------------------------------


def described(**more: Any) -> Any:
    """DescribeTable's answer, with more in it."""

    def reply(_request: dict[str, Any], ask: Any) -> tuple[int, Any]:
        status, answer = ask()
        if "Table" in answer:
            answer["Table"].update(more)
        return status, answer

    return reply


REPLICATED = {"Replicas": [{"RegionName": "eu-west-1", "ReplicaStatus": "ACTIVE"}]}


@pytest.mark.parametrize(
    "told",
    [
        REPLICATED,
        {**REPLICATED, "MultiRegionConsistency": "EVENTUAL"},
        {"GlobalTableVersion": "2017.11.29"},
    ],
    ids=["replicas", "eventual", "of 2017"],
)
def test_global_table_where_the_last_writer_wins_is_refused(
    seen: DynamoDBSubstrate, token: bytes, front: Any, told: dict[str, Any]
) -> None:
    front.always("DescribeTable", described(**told))
    for call in (
        lambda: seen.provision(NAME, {}, deadline=soon()),
        lambda: seen.swap(NAME, token, b"more", deadline=soon()),
        lambda: seen.put_blob(NAME, "blob", b"x", deadline=soon()),
    ):
        with pytest.raises(UnsupportedStore, match="last writer wins") as caught:
            call()
        assert caught.value.hint is not None
    (finding,) = [f for f in seen.diagnose(deadline=soon()) if f.check == "global"]
    assert finding.status is FindingStatus.FAILED
    assert front.requests["PutItem"] == front.requests["UpdateTable"] == 1, "by the diagnosis"
    assert seen.read(NAME, token, deadline=soon()) is UNCHANGED


def test_global_table_with_strong_consistency_is_fine(
    seen: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    front.always("DescribeTable", described(**REPLICATED, MultiRegionConsistency="STRONG"))
    seen.provision(NAME, {}, deadline=soon())
    seen.swap(NAME, token, b"more", deadline=soon())


@pytest.mark.parametrize("status", ["ARCHIVED", "INACCESSIBLE_ENCRYPTION_CREDENTIALS"])
def test_table_that_only_its_owner_can_bring_back_is_not_absent(
    seen: DynamoDBSubstrate, token: bytes, front: Any, status: str
) -> None:
    front.always("DescribeTable", described(TableStatus=status))
    for operation in ("GetItem", "PutItem", "BatchWriteItem"):
        front.refuse(operation, GONE, "Requested resource not found", times=1000)
    for call in (
        lambda: seen.read(NAME, deadline=soon()),
        lambda: seen.swap(NAME, token, b"more", deadline=soon()),
        lambda: seen.provision(NAME, {}, deadline=soon()),
        lambda: seen.drop(NAME, token, deadline=soon()),
    ):
        with pytest.raises(StoreUnavailable, match=status) as caught:
            call()
        assert not caught.value.retryable


def test_table_that_is_just_ready_is_not_absent(
    seen: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    front.refuse("GetItem", GONE, "Requested resource not found", times=2)
    assert seen.read(NAME, deadline=soon()) == Register(b"data", token)


def test_table_of_another_program_is_refused_and_left(
    seen: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    other = [{"AttributeName": "pk", "KeyType": "HASH"}]
    front.always("DescribeTable", described(KeySchema=other))
    front.refuse(
        "GetItem", "ValidationException", "The provided key element does not match the schema"
    )
    for call in (
        lambda: seen.provision(NAME, {}, deadline=soon()),
        lambda: seen.swap(NAME, token, b"more", deadline=soon()),
        lambda: seen.read(NAME, deadline=soon()),
    ):
        with pytest.raises(UnsupportedStore, match="prefix"):
            call()
    assert front.requests["PutItem"] == 0


def test_table_deleted_underneath(place: str, store: DynamoDBSubstrate) -> None:
    large = b"x" * 500_000
    with discfg_core.connect(place) as ann, discfg_core.connect(place) as bob:
        ann.create_config(NAME).set("key", large)
        config = bob.config(NAME)
        assert config["key"] == large
        register = store.read(NAME, deadline=soon())
        assert isinstance(register, Register)
        store.drop(NAME, register.token, deadline=soon())
        for call in (
            lambda: config.get("key"),
            lambda: config.set("key", "other"),
            lambda: config.set("key", large),
            lambda: ann.config(NAME).set("key", "other"),
        ):
            began = time.monotonic()
            with pytest.raises(ConfigNotFound):
                call()
            assert time.monotonic() - began < 15.0
        assert NAME not in bob.configs()
        ann.create_config(NAME).set("key", "new")
        assert bob.config(NAME)["key"] == "new"


# --- answers that are not to be believed ------------------------------------------------------


def portal(_request: dict[str, Any], _ask: Any) -> tuple[int, Any]:
    return 200, b"<html>Please log in</html>"


def test_success_of_something_in_between_is_not_believed(
    seen: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    seen.swap(NAME, seen.swap(NAME, token, b"1", deadline=soon()), b"2", deadline=soon())
    front.reply("PutItem", portal)
    with pytest.raises(OutcomeUnknown, match="not DynamoDB"):
        seen.swap(NAME, token, b"more", deadline=soon())
    front.reply("GetItem", portal)
    with pytest.raises(StoreUnavailable, match="not DynamoDB"):
        seen.read(NAME, deadline=soon())


# --- diagnosis -----------------------------------------------------------------------------------


def test_diagnosis_names_what_is_not_permitted(
    seen: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    for operation in ("Scan", "DeleteTable"):
        front.refuse(operation, "AccessDeniedException", "User: u is not authorized")
    findings = {finding.check: finding for finding in seen.diagnose(deadline=soon())}
    assert findings["permissions"].status is FindingStatus.FAILED
    assert "dynamodb:Scan, dynamodb:DeleteTable" in findings["permissions"].message
    front.refuse("ListTables", "AccessDeniedException", "User: u is not authorized")
    (finding,) = seen.diagnose(deadline=soon())
    assert (finding.check, finding.status) == ("server", FindingStatus.FAILED)


def test_diagnosis_warns_of_tables_without_protection(
    seen: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    findings = {finding.check: finding for finding in seen.diagnose(deadline=soon())}
    assert findings["protection"].status is FindingStatus.OK
    front.always("DescribeTable", described(DeletionProtectionEnabled=False))
    findings = {finding.check: finding for finding in seen.diagnose(deadline=soon())}
    assert findings["protection"].status is FindingStatus.WARNING


def test_errors_say_where(place: str, token: bytes) -> None:
    with discfg_core.connect(place) as store:
        with pytest.raises(DiscfgError) as caught:
            store.config("missing").get("key")
        assert (caught.value.engine, caught.value.config) == ("dynamodb", "missing")


def test_proxy_of_the_environment_is_used(
    place: str, front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = parse(place).options["endpoint_url"]
    monkeypatch.setenv("HTTP_PROXY", front.endpoint)
    monkeypatch.setenv("NO_PROXY", "")
    with discfg_core.connect(place.replace(endpoint, "http://dynamodb.invalid:8000")) as store:
        assert store.configs() == []
    assert front.requests["ListTables"] >= 1
