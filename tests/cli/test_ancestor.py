"""The commands of the ancestor's README, as typed, with its JSON; and its other spellings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Run


@pytest.fixture
def _file() -> None:
    Path("file.json").write_text('{"foo": "test"}', encoding="utf-8")


@pytest.mark.usefixtures("_file")
def test_its_readme(typed: Any) -> None:
    typed("./discfg create mycfg")
    typed("./discfg use mycfg")
    typed("""./discfg set mykey '{"json": "works"}'""")
    typed("./discfg set mykey -d file.json")
    assert typed("./discfg get mykey").out == b'{"foo": "test"}'

    told = typed("./discfg get mykey -f json").json
    assert told["action"] == "get"
    assert told["node"]["version"] == 2
    assert told["node"]["value"] == {"foo": "test"}
    assert told["prevNode"] == {}

    typed("""./discfg set mycfg mykey '{"json": "works"}'""")
    assert typed("./discfg get mycfg mykey").out == b'{"json": "works"}'


@pytest.mark.usefixtures("_file")
def test_it_shows_the_previous_node_of_an_update(typed: Any) -> None:
    typed("discfg cfg create mycfg")
    typed("discfg cfg use mycfg")
    first = typed("discfg set mykey one -f json").json
    assert (first["node"]["version"], first["prevNode"]) == (1, {})
    second = typed("discfg set mykey -d file.json -f json").json
    assert second["node"] == second["node"] | {"key": "/mykey", "version": 2, "revision": 2}
    assert second["prevNode"] == second["prevNode"] | {"version": 1, "value": "one"}
    third = typed("discfg delete mykey -f json").json
    assert (third["node"]["version"], third["prevNode"]["version"]) == (3, 2)
    assert "value" not in third["node"]
    assert third["prevNode"]["value"] == {"foo": "test"}


def test_its_commands_about_configs(typed: Any) -> None:
    typed("""discfg cfg create mycfg '{"WriteCapacityUnits": 2, "ReadCapacityUnits": 4}'""")
    typed("discfg cfg use mycfg")
    assert typed("discfg cfg which -f json").json["currentDiscfg"] == "mycfg"
    typed("""discfg cfg update '{"ReadCapacityUnits": 5}'""")
    typed("""discfg cfg update mycfg '{"ReadCapacityUnits": 6}'""")
    told = typed("discfg cfg info mycfg -f json").json
    assert told["settings"] == {"ReadCapacityUnits": 6}
    assert (told["cfgVersion"], told["cfgState"]) == (2, "ACTIVE")
    assert typed("discfg cfg info").text.startswith("config ")
    assert "Drop" in typed("discfg cfg delete mycfg", stdin=b"n\n", code=1).err
    typed("discfg cfg delete mycfg", stdin=b"Y\n")
    assert (
        typed("discfg cfg info mycfg -f json", code=3).json["error"]["code"] == "config_not_found"
    )


def test_its_file_without_a_line_end(run: Run, mycfg: str) -> None:
    Path(".discfg").write_text(mycfg, encoding="utf-8")
    run("set", "mykey", "v")
    assert run("get", "mykey").out == b"v"


def test_its_condition(run: Run, mycfg: str) -> None:
    run("set", "mykey", "one")
    refused = run("set", "mykey", "two", "-c", "other", "-f", "json", code=4).json
    assert refused["error"]["code"] == "condition_failed"
    assert refused["error"]["node"]["value"] == "one"
    run("set", "mykey", "two", "-c", "one")
    run("delete", "mykey", "--condition", "two")


def test_its_options_stand_anywhere(run: Run, mycfg: str) -> None:
    run("set", "mykey", "v")
    for words in (["-f", "json", "get", "mykey"], ["get", "-fjson", "mykey"]):
        assert run(*words).json["node"]["value"] == "v"
    assert run("-f", "json", "cfg", "--format=human", "which").text.startswith("mycfg in ")


def test_its_aws_options_are_said_to_be_unused_elsewhere(run: Run, mycfg: str) -> None:
    aws = ["-l", "us-west-2", "-k", "AKIAEXAMPLE", "-s", "s3cr3t-key", "-p", "me"]
    told = run("set", "mykey", "v", *aws)
    assert "not on AWS" in told.err
    assert "s3cr3t-key" not in told.err + told.text
    assert run("get", "mykey", *aws, "-f", "json").err == ""
