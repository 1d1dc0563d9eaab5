"""What every surface answers: the JSON of results and errors, exit codes and HTTP statuses."""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discfg_core import errors, wire
from discfg_core.doctor import Report, Timing
from discfg_core.engine import EngineProfile, Finding, FindingStatus, Guarantee
from discfg_core.model import (
    Action,
    Change,
    Commit,
    ConfigInfo,
    ConfigState,
    LargeValue,
    Node,
)
from discfg_core.registry import InstalledEngine, Listed
from discfg_core.substrate import Limits
from discfg_core.values import BYTES, JSON, TEXT

STAMP = 1_464_675_792_991_825_937
STAMPED = "2016-05-31T06:23:12.991825937Z"


def node(content: bytes | LargeValue | None, content_type: str = JSON, **more: Any) -> Node:
    return Node("/mykey", content, content_type, 2, 5, STAMP, STAMP + 1, **more)


def written(answer: wire.Answer) -> Any:
    return json.loads(wire.encode(answer))


TIMES = {
    "created": STAMPED,
    "createdNanoseconds": STAMP,
    "modified": "2016-05-31T06:23:12.991825938Z",
    "modifiedNanoseconds": STAMP + 1,
}


def test_the_answer_to_a_get() -> None:
    answer = wire.answer("get", node(b'{"foo": "test"}'))
    assert written(answer) == {
        "action": "get",
        "node": {
            "key": "/mykey",
            "version": 2,
            "value": {"foo": "test"},
            "contentType": "application/json",
            "revision": 5,
            **TIMES,
        },
        "prevNode": {},
    }
    assert list(written(answer)) == ["action", "node", "prevNode"]
    assert list(written(answer)["node"])[:5] == [
        "key",
        "version",
        "value",
        "contentType",
        "revision",
    ]


def test_the_answer_to_a_delete_has_the_removed_key_without_a_value() -> None:
    answer = written(wire.answer("delete", node(None), node(b"1")))
    assert answer["node"] == {"key": "/mykey", "version": 2, "revision": 5, **TIMES}
    assert answer["prevNode"]["value"] == 1


def test_an_expiry_is_told() -> None:
    shown = written(wire.node_json(node(b"1", expires_ns=STAMP)))
    assert (shown["expires"], shown["expiresNanoseconds"]) == (STAMPED, STAMP)


VALUES: list[tuple[bytes, str, bytes]] = [
    (b"null", JSON, b"null"),
    (b"123456789012345678901234567890", JSON, b"123456789012345678901234567890"),
    (b"1.10", JSON, b"1.10"),
    (b"1e400", JSON, b"1e400"),
    (b"0.1000000000000000055511151231257827", JSON, b"0.1000000000000000055511151231257827"),
    (b' {"b" : 1,\r\n "a": [ "x  y" ]}\n', JSON, b'{"b":1,"a":["x  y"]}'),
    (b'{"a":1,"a":2}', JSON, b'{"a":1,"a":2}'),
    (b'"\\u00e9\\ud83d\\ude00"', JSON, b'"\\u00e9\\ud83d\\ude00"'),
    (b"[1]", "application/ld+json; v=1", b"[1]"),
    (b"plain", TEXT, b'"plain"'),
    (b'q"\n\x00', "text/html", b'"q\\"\\n\\u0000"'),
    (b"", TEXT, b'""'),
    ("é".encode(), TEXT, '"é"'.encode()),
]


@pytest.mark.parametrize(("raw", "content_type", "shown"), VALUES)
def test_a_value_as_its_content_type_says(raw: bytes, content_type: str, shown: bytes) -> None:
    encoded = wire.encode(wire.node_json(node(raw, content_type)))
    assert b'"value":' + shown + b',"contentType"' in encoded
    assert b"encoding" not in encoded


AS_BASE64: list[tuple[bytes, str]] = [
    (b"\x00\xff", BYTES),
    (b"", BYTES),
    (b"text", "image/png"),
    (b"\xff", TEXT),
    (b"", JSON),
    (b"{", JSON),
    (b"NaN", JSON),
    (b"[Infinity]", JSON),
    (b"1 2", JSON),
    (b'"\xff"', JSON),
    (b'{"\xed\xa0\x80":1}', JSON),
    (b'"\\ud800"', JSON),
    (b"\xef\xbb\xbf1", JSON),
    ("1".encode("utf-16"), JSON),
    (b"[" * 100_000 + b"]" * 100_000, JSON),
]


@pytest.mark.parametrize(("raw", "content_type"), AS_BASE64, ids=lambda part: repr(part)[:20])
def test_what_is_not_what_its_content_type_says_is_base64(raw: bytes, content_type: str) -> None:
    shown = written(wire.node_json(node(raw, content_type)))
    assert shown["encoding"] == "base64"
    assert base64.b64decode(shown["value"], validate=True) == raw
    assert shown["contentType"] == content_type


@settings(deadline=None)
@given(
    st.binary() | st.text(st.sampled_from('{}[]":,01.eE+-\\utrfalsn é\n')).map(str.encode),
    st.sampled_from([JSON, TEXT, BYTES, "a/b+json"]),
)
def test_any_bytes_give_one_line_of_valid_json(raw: bytes, content_type: str) -> None:
    encoded = wire.encode(wire.answer("get", node(raw, content_type)))
    assert b"\n" not in encoded
    shown = json.loads(encoded.decode())["node"]
    if shown.get("encoding") == "base64":
        assert base64.b64decode(shown["value"]) == raw
    elif content_type == TEXT:
        assert shown["value"] == raw.decode()
    else:
        assert shown["value"] == json.loads(raw)


def test_a_large_value_is_fetched() -> None:
    assert written(wire.node_json(node(LargeValue(1, "b", lambda: b"7"))))["value"] == 7


def lost() -> bytes:
    raise errors.Corrupt("the blob is missing")


def test_a_large_value_that_is_lost_is_an_error() -> None:
    with pytest.raises(errors.Corrupt):
        wire.answer("get", node(LargeValue(1, "b", lost)))


def test_a_change_and_a_commit() -> None:
    change = Change(Action.ADDED, node(b"1"), None, 5)
    shown = written(wire.commit_json(Commit(5, "c1", "ann", "why", STAMP, (change,))))
    assert shown == {
        "revision": 5,
        "id": "c1",
        "actor": "ann",
        "message": "why",
        "time": STAMPED,
        "timeNanoseconds": STAMP,
        "changes": [
            {
                "action": "added",
                "revision": 5,
                "node": written(wire.node_json(node(b"1"))),
                "prevNode": {},
            }
        ],
    }


def test_a_commit_of_settings() -> None:
    commit = Commit(1, "c", "", "", 0, (), {"a": 2**70}, {})
    shown = written(wire.commit_json(commit))
    assert (shown["settings"], shown["prevSettings"]) == ({"a": 2**70}, {})
    assert shown["time"] == "1970-01-01T00:00:00.000000000Z"


def test_a_description() -> None:
    info = ConfigInfo(
        "mycfg", "ab" * 16, 4, 0, STAMP, ConfigState.UPDATING, {"a": 1}, {"b": 2}, "sqlite", 3, 99
    )
    assert written(wire.info_json(info)) == {
        "name": "mycfg",
        "incarnation": "ab" * 16,
        "revision": 4,
        "created": "1970-01-01T00:00:00.000000000Z",
        "createdNanoseconds": 0,
        "modified": STAMPED,
        "modifiedNanoseconds": STAMP,
        "state": "UPDATING",
        "settings": {"a": 1},
        "actualSettings": {"b": 2},
        "engine": "sqlite",
        "keys": 3,
        "size": 99,
        "cfgVersion": 4,
        "cfgModified": 1464675792,
        "cfgModifiedNanoseconds": STAMP,
        "cfgModifiedParsed": "2016-05-31T06:23:12Z",
        "cfgState": "UPDATING",
        "cfgStorage": {"name": "sqlite", "interfaceName": "sqlite", "options": {"b": 2}},
    }


# --- errors ---------------------------------------------------------------------------

# Class, exit code, HTTP status: as promised to scripts and clients. One row for each class.
OUTCOMES: list[tuple[type[errors.DiscfgError], int, int]] = [
    (errors.DiscfgError, 1, 500),
    (errors.InvalidInput, 5, 400),
    (errors.InvalidTransaction, 5, 400),
    (errors.InvalidDotfile, 5, 400),
    (errors.InvalidKey, 5, 400),
    (errors.InvalidName, 5, 400),
    (errors.InvalidURL, 5, 400),
    (errors.InvalidOption, 5, 400),
    (errors.InvalidValue, 5, 400),
    (errors.InvalidSchema, 5, 400),
    (errors.InvalidSettings, 5, 400),
    (errors.ValueTooLarge, 5, 413),
    (errors.CommitTooLarge, 5, 413),
    (errors.TextTooLong, 5, 400),
    (errors.FileUnreadable, 5, 400),
    (errors.NotFound, 3, 404),
    (errors.ConfigNotFound, 3, 404),
    (errors.KeyNotFound, 3, 404),
    (errors.ConfigExists, 4, 409),
    (errors.ConfigReplaced, 4, 409),
    (errors.ConditionFailed, 4, 412),
    (errors.SchemaViolated, 4, 422),
    (errors.DocumentTooLarge, 4, 413),
    (errors.CommitIdReused, 4, 409),
    (errors.CommitIdExpired, 4, 409),
    (errors.ClockSkew, 1, 500),
    (errors.StoreError, 1, 500),
    (errors.StoreUnavailable, 6, 503),
    (errors.StoreBusy, 6, 503),
    (errors.WatchStale, 6, 503),
    (errors.StoreFull, 1, 507),
    (errors.AccessDenied, 1, 502),
    (errors.UnsupportedStore, 1, 500),
    (errors.NewerFormat, 1, 500),
    (errors.Corrupt, 1, 500),
    (errors.Timeout, 6, 504),
    (errors.OutcomeUnknown, 6, 504),
    (errors.SettingsNotApplied, 6, 503),
    (errors.RevisionNotFound, 3, 404),
    (errors.EngineError, 1, 500),
    (errors.UnknownEngine, 5, 500),
    (errors.EngineNotInstalled, 1, 500),
    (errors.DuplicateEngine, 1, 500),
    (errors.EngineLoadFailed, 1, 500),
    (errors.GuaranteeNotMet, 1, 500),
    (errors.Closed, 1, 503),
]


@pytest.mark.parametrize(
    ("kind", "code", "status"), OUTCOMES, ids=lambda part: getattr(part, "__name__", None)
)
def test_exit_code_and_http_status(kind: type[errors.DiscfgError], code: int, status: int) -> None:
    error = kind("it broke")
    assert (wire.exit_code(error), wire.http_status(error)) == (code, status)


def test_every_error_class_has_an_intended_row() -> None:
    classes = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.DiscfgError)
    }
    assert {kind for kind, _, _ in OUTCOMES} == classes


def test_a_class_of_a_plugin_counts_as_its_nearest_relative() -> None:
    class Throttled(errors.StoreBusy):
        pass

    assert wire.exit_code(Throttled("slow down")) == 6
    assert wire.http_status(Throttled("slow down")) == 503


def test_an_error() -> None:
    error = errors.KeyNotFound(
        "no key '/a'", key="/a", config="c", engine="sqlite", operation="get"
    )
    assert written(wire.error_json("get", error)) == {
        "action": "get",
        "error": {
            "code": "key_not_found",
            "message": "no key '/a'",
            "engine": "sqlite",
            "operation": "get",
            "config": "c",
            "key": "/a",
            "retryable": False,
        },
    }


def test_an_error_with_a_hint() -> None:
    shown = written(wire.error_json("get", errors.StoreBusy("locked", hint="wait")))["error"]
    assert (shown["hint"], shown["retryable"]) == ("wait", True)


def test_an_unknown_outcome_names_its_commit_id() -> None:
    shown = wire.error_json("set", errors.OutcomeUnknown("who knows", commit_id="c1"))["error"]
    assert shown["commitId"] == "c1"
    assert "commitId" not in wire.error_json("set", errors.OutcomeUnknown("who knows"))["error"]


def test_a_failed_condition_shows_what_is_there() -> None:
    error = errors.ConditionFailed("no", node=node(b'"x"'), revision=9)
    shown = written(wire.error_json("set", error))["error"]
    assert (shown["revision"], shown["node"]["value"], shown["node"]["version"]) == (9, "x", 2)
    assert written(wire.error_json("set", errors.ConditionFailed("no")))["error"]["node"] == {}


def test_a_lost_value_does_not_hide_the_error_it_is_a_detail_of() -> None:
    error = errors.ConditionFailed("no", node=node(LargeValue(1, "b", lost)), revision=9)
    shown = written(wire.error_json("set", error))["error"]
    assert (shown["code"], shown["node"]["key"]) == ("condition_failed", "/mykey")
    assert "value" not in shown["node"]


# --- engines and examinations -----------------------------------------------------------


class Taken(msgspec.Struct, frozen=True):
    """Options of every kind."""

    folder: Annotated[str, msgspec.Meta(description="where")]
    mode: Annotated[Literal["fast", "safe"], msgspec.Meta(description="how")] = "safe"
    tls: Annotated[bool | None, msgspec.Meta(description="whether")] = None
    port: Annotated[int, msgspec.Meta(ge=1, le=65535, description="which")] = 2379
    pause: Annotated[float, msgspec.Meta(gt=0, description="how long")] = 0.5
    plain: str | None = None
    state: ConfigState = ConfigState.ACTIVE


def test_an_engine_with_all_that_is_known_of_it() -> None:
    limits = Limits(register_budget=3000, blobs_ride=True, why={"register_budget": "billed by KB"})
    profile = EngineProfile(
        "x://h", Taken, frozenset({Guarantee.SHARED, Guarantee.DURABLE}), limits
    )
    listed = Listed("x", InstalledEngine("x", "discfg-x", "1.0"), profile)
    nothing = {"why": ""}
    assert written(wire.engine_json(listed)) == {
        "scheme": "x",
        "state": "installed",
        "distribution": "discfg-x",
        "version": "1.0",
        "url": "x://h",
        "guarantees": ["durable", "shared"],
        "limits": {
            "registerBudget": {"figure": 3000, "why": "billed by KB"},
            "registerMax": {"figure": None} | nothing,
            "blobMax": {"figure": None} | nothing,
            "minSwapInterval": {"figure": 0.0} | nothing,
            "blobsRide": {"figure": True} | nothing,
            "pushWait": {"figure": False} | nothing,
        },
        "options": [
            option("folder", "text", None, "where", required=True),
            option("mode", "fast or safe", "safe", "how"),
            option("tls", "true or false", None, "whether"),
            option("port", "whole number from 1 to 65535", 2379, "which"),
            option("pause", "number above 0", 0.5, "how long"),
            option("plain", "text", None, ""),
            option("state", "ACTIVE or CREATING or UPDATING or DELETING", "ACTIVE", ""),
        ],
    }


def option(
    name: str, kind: str, default: object, description: str, *, required: bool = False
) -> dict[str, object]:
    told = {"name": name, "type": kind, "default": default, "required": required}
    return told | {"description": description}


def test_an_engine_that_is_broken_or_not_installed() -> None:
    error = errors.EngineLoadFailed("it cannot be imported", engine="x", hint="reinstall it")
    broken = wire.engine_json(Listed("x", InstalledEngine("x", "discfg-x", "1.0"), error=error))
    assert broken["state"] == "broken"
    assert broken["error"]["code"] == "engine_load_failed"
    assert broken["error"]["hint"] == "reinstall it"
    missing = errors.EngineNotInstalled("not installed", engine="x", hint="pip install it")
    assert written(wire.engine_json(Listed("x", error=missing))) == {
        "scheme": "x",
        "state": "missing",
        "error": {
            "code": "engine_not_installed",
            "message": "not installed",
            "hint": "pip install it",
            "engine": "x",
            "retryable": False,
        },
    }


def test_an_examination() -> None:
    report = Report(
        "x://h",
        (
            Finding("server", FindingStatus.OK, "x 1.0"),
            Finding("disk", FindingStatus.WARNING, "nearly full", "free some space"),
        ),
        (Timing("warm set", 20, 1.5, 2.25),),
    )
    assert written(wire.doctor_json(report)) == {
        "store": "x://h",
        "status": "warning",
        "checks": [
            {"check": "server", "status": "ok", "message": "x 1.0", "hint": ""},
            {
                "check": "disk",
                "status": "warning",
                "message": "nearly full",
                "hint": "free some space",
            },
        ],
        "timings": [
            {"what": "warm set", "times": 20, "medianMilliseconds": 1.5, "p95Milliseconds": 2.25}
        ],
        "left": None,
    }


def test_the_status_of_an_examination_is_that_of_its_gravest_check() -> None:
    ok, warning, failed = (Finding("x", status, "") for status in FindingStatus)
    for checks, status in [
        ((), "ok"),
        ((ok,), "ok"),
        ((ok, warning, ok), "warning"),
        ((failed, warning), "failed"),
    ]:
        assert Report("x://h", checks, ()).status == status
