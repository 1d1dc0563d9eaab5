"""`discfg document`: the whole, a part, and the past, as JSON that loses nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Run


@pytest.fixture
def keys(run: Run, mycfg: str) -> None:
    """Three revisions."""
    run("set", "db", "main")
    run("set", "db/host", "10.0.0.1")
    run("set", "limits", '{"rps": 100}')


@pytest.mark.usefixtures("keys")
class TestDocument:
    def test_is_laid_out_for_people(self, run: Run) -> None:
        assert run("document").text == (
            '{\n  "db": {\n    "": "main",\n    "host": "10.0.0.1"\n  },\n'
            '  "limits": {\n    "rps": 100\n  }\n}\n'
        )

    def test_is_an_answer_for_programs(self, run: Run) -> None:
        told = run("document", "-f", "json")
        assert told.out.count(b"\n") == 1
        assert told.json == {
            "action": "document",
            "document": {"db": {"": "main", "host": "10.0.0.1"}, "limits": {"rps": 100}},
        }
        assert run("document", "-f", "silent").out == b""

    def test_of_a_prefix_and_of_the_past(self, run: Run) -> None:
        assert run("document", "db").json == {"": "main", "host": "10.0.0.1"}
        assert run("document", "/db/host/").json == {"": "10.0.0.1"}
        assert run("document", "other").json == {}
        assert run("document", "--at", "1").json == {"db": "main"}
        assert run("document", "--at", "0").text == "{}\n"
        assert run("document", "db", "--at", "2").json == {"": "main", "host": "10.0.0.1"}

    def test_of_another_config(self, run: Run) -> None:
        run("create", "other")
        assert run("document", "-C", "other").json == {}

    def test_no_digit_is_lost(self, run: Run) -> None:
        number = "123456789012345678901234567890.10"
        run("set", "pi", number)
        assert f'"pi": {number}' in run("document").text
        assert f'"pi":{number}' in run("document", "-f", "json").text

    def test_bytes_and_what_is_not_what_it_says(self, run: Run) -> None:
        run("set", "raw", "-d", "-", stdin=b"\xff\x00")
        run("set", "odd", "-d", "-", "--content-type", "text/plain", stdin=b"\xff")
        told = run("document").json
        assert told["raw"] == {"$base64": "/wA="}
        assert told["odd"] == {"$base64": "/w=="}

    def test_it_is_harmless_to_a_terminal(self, run: Run) -> None:
        run("set", "evil", "\x9b31m\u202e")
        told = run("document")
        assert told.json["evil"] == "\x9b31m\u202e"
        assert "\x9b" not in told.text
        assert "\u202e" not in told.text

    def test_each_level_that_a_key_may_have(self, run: Run) -> None:
        run("set", "/".join("x" * 511), "1")
        assert run("document").json["x"]["x"]
        assert run("document", "-f", "json").json["document"]["x"]["x"]

    @pytest.mark.parametrize(
        "line", [("a//b",), ("--at", "9"), ("--at", "yesterday"), ("-C", "none"), ("a", "b")]
    )
    def test_bad_input_is_one_clear_line(self, run: Run, line: tuple[str, ...]) -> None:
        told = run("document", *line, code=None)
        assert told.code in {2, 3, 5}, told
        assert told.out == b""
        assert told.err.startswith("discfg: ")
        assert told.err.count("\n") == 1


@pytest.mark.usefixtures("keys")
def test_what_it_prints_is_json_in_a_pipe_too(finish: Run) -> None:
    assert json.loads(finish("document").out)["limits"] == {"rps": 100}
