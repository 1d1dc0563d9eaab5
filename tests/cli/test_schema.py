"""`schema set`, `show`, `drop` and `check`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

SCHEMA = {"properties": {"port": {"type": "integer"}}}

pytestmark = pytest.mark.usefixtures("mycfg")


@pytest.fixture
def file(directory: Path) -> str:
    (directory / "schema.json").write_text(json.dumps(SCHEMA))
    return "schema.json"


def _json(run: Run, *words: str, code: int = 0, **how: Any) -> Any:
    return run(*words, "-f", "json", code=code, **how).json


def test_set_show_and_drop(run: Run, file: str) -> None:
    assert _json(run, "schema", "show") == {"action": "show", "schema": None}
    assert run("schema", "show").text == "no schema\n"
    commit = _json(run, "schema", "set", file, "-m", "ports")["commit"]
    assert (commit["revision"], commit["schema"], commit["prevSchema"]) == (1, SCHEMA, None)
    assert _json(run, "schema", "show")["schema"] == SCHEMA
    assert json.loads(run("schema", "show").text) == SCHEMA
    assert _json(run, "schema", "set", file)["commit"] == {}
    assert "schema" in run("history").text.splitlines()[1]
    gone = _json(run, "schema", "drop")["commit"]
    assert (gone["schema"], gone["prevSchema"]) == (None, SCHEMA)


def test_what_it_forbids(run: Run, file: str) -> None:
    run("schema", "set", "-", stdin=json.dumps(SCHEMA).encode())
    error = _json(run, "set", "port", "high", code=4)["error"]
    assert error["code"] == "schema_violated"
    assert error["violations"] == [
        {"pointer": "/port", "keyword": "type", "expected": 'the value is not of type "integer"'}
    ]
    refused = run("set", "port", "high", code=4)
    assert refused.err.startswith("discfg: the schema forbids this: /port:")
    assert "high" not in refused.err
    assert run("set", "port", "80").code == 0


def test_check(run: Run, file: str) -> None:
    run("set", "port", "high")
    assert run("schema", "check").text == ""
    assert run("schema", "check", file, code=1).text == (
        '/port: the value is not of type "integer"\n'
    )
    (violation,) = _json(run, "schema", "check", file, code=1)["violations"]
    assert violation["pointer"] == "/port"
    assert run("schema", "set", file, code=4).out == b""
    run("set", "port", "80")
    assert _json(run, "schema", "check", file) == {"action": "check", "violations": []}


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"$ref": "http://127.0.0.1:9/x"}'])
def test_what_is_no_schema(run: Run, content: bytes) -> None:
    assert _json(run, "schema", "set", "-", stdin=content, code=5)["error"]["code"] == (
        "invalid_schema"
    )
    assert _json(run, "schema", "check", "-", stdin=content, code=5)["error"]["hint"]


def test_file_that_cannot_be_read(run: Run) -> None:
    assert _json(run, "schema", "set", "nowhere.json", code=5)["error"]["code"] == (
        "file_unreadable"
    )
