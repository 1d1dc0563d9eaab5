"""Transactions as JSON: `discfg commit`, and what it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from discfg_core.errors import InvalidTransaction
from discfg_core.requests import commit_request

if TYPE_CHECKING:
    from tests.cli.conftest import Run


def _commit(run: Run, request: object, *words: str, code: int = 0) -> Any:
    stdin = request if isinstance(request, bytes) else json.dumps(request).encode()
    return run("commit", "-", "-f", "json", *words, stdin=stdin, code=code).json


def test_many_operations_are_one_commit(run: Run, mycfg: str) -> None:
    run("set", "old", "v")
    run("set", "cache/a", "v")
    told = _commit(
        run,
        {
            "ops": [
                {"op": "set", "key": "db/host", "value": "10.0.0.1", "ifAbsent": True},
                {"op": "set", "key": "db/port", "value": 5432},
                {"op": "delete", "key": "old", "ifVersion": 1},
                {"op": "delete", "key": "never", "missingOk": True},
                {"op": "deletePrefix", "prefix": "cache"},
            ],
            "message": "move",
            "ifConfigRevision": 2,
            "commitId": "move-1",
        },
    )["commit"]
    assert (told["revision"], told["id"], told["message"], told["actor"]) == (
        3,
        "move-1",
        "move",
        "ann",
    )
    assert {c["node"]["key"]: c["action"] for c in told["changes"]} == {
        "/cache/a": "removed", "/db/host": "added", "/db/port": "added", "/old": "removed",
    }  # fmt: skip
    assert run("get", "db/port", "-f", "json").json["node"]["value"] == 5432


def test_the_array_alone_from_a_file(run: Run, mycfg: str) -> None:
    Path("ops.json").write_text('[{"op": "set", "key": "k", "value": null}]', encoding="utf-8")
    assert run("commit", "ops.json").text == "revision 1: 1 key changed\n"
    assert run("get", "k").out == b"null"
    assert run("commit", "-", stdin=b"[]").text == "nothing to change\n"
    assert _commit(run, [])["commit"] == {}


def test_a_check_writes_nothing_and_refuses_all(run: Run, mycfg: str) -> None:
    run("set", "owner", "ann")
    ops: list[dict[str, Any]] = [
        {"op": "check", "key": "owner", "ifValue": "ann"},
        {"op": "set", "key": "k", "value": 1},
    ]
    told = _commit(run, ops)["commit"]
    assert [change["node"]["key"] for change in told["changes"]] == ["/k"]
    ops[0]["ifValue"] = "bob"
    assert _commit(run, ops, code=4)["error"]["key"] == "/owner"
    _commit(run, [{"op": "check", "key": "owner"}], code=5)


def test_one_condition_that_fails_refuses_all(run: Run, mycfg: str) -> None:
    run("set", "k", "v")
    for condition in (
        {"ifVersion": 9},
        {"ifRevision": 9},
        {"ifAbsent": True},
        {"ifValue": "other"},
        {"ifValue": {"a": 1}},
    ):
        ops = [
            {"op": "set", "key": "new", "value": 1},
            {"op": "set", "key": "k", "value": 2, **condition},
        ]
        assert _commit(run, ops, code=4)["error"]["code"] == "condition_failed"
    assert (
        _commit(run, {"ops": [], "ifConfigRevision": 9}, code=4)["error"]["code"]
        == "condition_failed"
    )
    assert (
        _commit(run, [{"op": "delete", "key": "absent"}], code=3)["error"]["code"]
        == "key_not_found"
    )
    assert [node["key"] for node in run("list", "-f", "json").json["nodes"]] == ["/k"]


def test_options_come_before_the_request(run: Run, mycfg: str) -> None:
    request = {"ops": [{"op": "set", "key": "k", "value": 1}], "message": "m", "commitId": "i"}
    told = _commit(run, request, "-m", "mine", "--commit-id", "my-id", "--actor", "bob")["commit"]
    assert (told["message"], told["id"], told["actor"]) == ("mine", "my-id", "bob")


@pytest.mark.parametrize(
    ("op", "stored", "kind"),
    [
        ({"value": "text"}, b"text", "text/plain"),
        ({"value": ""}, b"", "text/plain"),
        ({"value": "\u00fc\ud83c\udf88"}, "ü🎈".encode(), "text/plain"),
        ({"value": 1}, b"1", "application/json"),
        ({"value": None}, b"null", "application/json"),
        ({"value": [1, {"a": []}]}, b'[1, {"a": []}]', "application/json"),
        ({"value": "text", "contentType": "application/json"}, b'"text"', "application/json"),
        ({"value": "<a/>", "contentType": "text/html"}, b"<a/>", "text/html"),
        ({"value": "/wA=", "encoding": "base64"}, b"\xff\x00", "application/octet-stream"),
        ({"value": "", "encoding": "base64"}, b"", "application/octet-stream"),
        (
            {"value": "/wA=", "encoding": "base64", "contentType": "image/png"},
            b"\xff\x00",
            "image/png",
        ),
    ],
)
def test_values(run: Run, mycfg: str, op: dict[str, Any], stored: bytes, kind: str) -> None:
    _commit(run, [{"op": "set", "key": "k", **op}])
    assert run("get", "k").out == stored
    assert run("get", "k", "-f", "json").json["node"]["contentType"] == kind
    spelled = {name: op[name] for name in ("encoding",) if name in op}
    if op["value"] is not None and "contentType" not in op:
        _commit(run, [{"op": "delete", "key": "k", "ifValue": op["value"], **spelled}])


def test_a_number_keeps_its_digits(run: Run, mycfg: str) -> None:
    _commit(run, b'[{"op": "set", "key": "k", "value": {"a":  1.10, "b": 12345678901234567890.5}}]')
    assert run("get", "k").out == b'{"a":  1.10, "b": 12345678901234567890.5}'


@pytest.mark.parametrize(
    "request_",
    [
        b"", b"{", b"null", b"7", b'"set"', b"\xff", b"[" * 100_000, b"{}", b"[1]", b"[[]]",
        b'[{"key": "k", "value": 1}]', b'[{"op": "put", "key": "k"}]', b'[{"op": "set", "key": "k"}]',
        b'[{"op": "set", "value": 1}]', b'[{"op": "set", "key": 1, "value": 1}]',
        b'[{"op": "set", "key": "k", "value": 1, "ifversion": 1}]',
        b'[{"op": "set", "key": "k", "value": 1, "ifVersion": "1"}]',
        b'[{"op": "set", "key": "k", "value": 1, "ifVersion": true}]',
        b'[{"op": "set", "key": "k", "value": NaN}]', b'{"ops": [], "actor": "me"}',
        b'[{"op": "delete", "key": "k", "ifAbsent": true}]', b'[{"op": "deletePrefix"}]',
        b'{"ops": {}}', b'{"ops": [], "message": 1}', b"[] []",
    ],
    ids=lambda raw: repr(raw[:60]),
)  # fmt: skip
def test_what_is_no_transaction(request_: bytes) -> None:
    with pytest.raises(InvalidTransaction) as refused:
        commit_request(request_)
    assert type(refused.value) is InvalidTransaction


@pytest.mark.parametrize(
    ("op", "error"),
    [
        ({"op": "set", "key": "a//b", "value": 1}, "invalid_key"),
        ({"op": "delete", "key": ""}, "invalid_key"),
        ({"op": "deletePrefix", "prefix": "a//b"}, "invalid_key"),
        ({"op": "set", "key": "k", "value": 1, "ifVersion": 0}, "invalid_option"),
        ({"op": "set", "key": "k", "value": 1, "ifAbsent": True, "ifVersion": 1}, "invalid_option"),
        ({"op": "set", "key": "k", "value": 1, "contentType": "text/plain"}, "invalid_value"),
        ({"op": "set", "key": "k", "value": 1, "contentType": "nonsense"}, "invalid_value"),
        ({"op": "set", "key": "k", "value": 1, "encoding": "base64"}, "invalid_value"),
        ({"op": "set", "key": "k", "value": "a", "encoding": "base64"}, "invalid_value"),
        ({"op": "set", "key": "k", "value": "ü", "encoding": "base64"}, "invalid_value"),
        ({"op": "set", "key": "k", "value": "YQ==\n", "encoding": "base64"}, "invalid_value"),
        ({"op": "set", "key": "k", "value": "a", "encoding": "hex"}, "invalid_value"),
        (
            {"op": "set", "key": "k", "value": "a", "ifValue": 1, "encoding": "base64"},
            "invalid_value",
        ),
    ],
)
def test_bad_operations_write_nothing(run: Run, mycfg: str, op: dict[str, Any], error: str) -> None:
    ops = [{"op": "set", "key": "first", "value": 1}, op]
    assert _commit(run, ops, code=5)["error"]["code"] == error
    assert run("list", "-f", "json").json["nodes"] == []


def test_null_is_no_condition(run: Run, mycfg: str) -> None:
    run("set", "k", "null")
    nulls = {"ifVersion": None, "ifRevision": None, "ifValue": None}
    _commit(run, [{"op": "set", "key": "k", "value": 1, **nulls}])
    run("set", "k", "null")
    _commit(run, [{"op": "delete", "key": "k", "ifValue": "bnVsbA==", "encoding": "base64"}])
