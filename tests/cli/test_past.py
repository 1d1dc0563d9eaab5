"""`diff`, `revert`, `replace`, and the past that `get`, `list` and `history` can show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Run


@pytest.fixture
def past(run: Run, mycfg: str) -> None:
    """Four revisions by two actors."""
    run("set", "db/host", "10.0.0.1", "--actor", "ann")
    run("set", "db/host", "10.0.0.2", "--actor", "bob", "-m", "moved")
    run("set", "db/user", "app", "--actor", "bob")
    run("delete", "db/host", "--actor", "ann")


def _json(run: Run, *words: str, code: int = 0) -> Any:
    return run(*words, "-f", "json", code=code).json


@pytest.mark.usefixtures("past")
class TestReading:
    def test_get_and_list_at_a_revision(self, run: Run) -> None:
        assert run("get", "db/host", "--at", "1").out == b"10.0.0.1"
        assert run("get", "--at", "2", "db/host").out == b"10.0.0.2"
        assert run("get", "db/host", "--at", "4", code=3).out == b""
        told = _json(run, "list", "--at", "3")
        assert [node["key"] for node in told["nodes"]] == ["/db/host", "/db/user"]
        assert _json(run, "list", "--at", "0")["nodes"] == []

    def test_at_a_time(self, run: Run) -> None:
        commits = _json(run, "history", "--oldest-first")["commits"]
        assert run("get", "db/host", "--at", commits[1]["time"][:26] + "Z").out in {
            b"10.0.0.1",  # the commit may be of a later nanosecond than the time that is typed
            b"10.0.0.2",
        }
        assert run("list", "--at", "2001-01-01T00:00:00+01:00").text == ""
        assert "10.0.0" in run("list", "--at", "3").text

    def test_history_is_told_as_what_was_and_what_is(self, run: Run) -> None:
        lines = run("history").text.splitlines()
        assert "removed  /db/host  3        10.0.0.2" in lines[1]
        assert "10.0.0.1 → 10.0.0.2" in lines[3]
        assert lines[3].endswith("moved")

    def test_history_by_actor_time_and_revision(self, run: Run) -> None:
        def told(*words: str) -> list[int]:
            answer = _json(run, "history", *words)
            return [commit["revision"] for commit in answer["commits"]]

        assert told("--actor", "bob") == [3, 2]
        assert told("db/host", "--actor", "bob") == [2]
        assert told("--oldest-first", "--after", "1") == [2, 3, 4]
        assert told("--before", "4", "--after", "1") == [3, 2]
        assert told("--since", "2001-01-01T00:00:00Z") == [4, 3, 2, 1]
        assert told("--until", "2001-01-01T00:00:00Z") == []

    def test_pages_oldest_first(self, run: Run) -> None:
        first = _json(run, "history", "--oldest-first", "-n", "3")
        assert (len(first["commits"]), first["after"]) == (3, 3)
        rest = _json(run, "history", "--oldest-first", "-n", "3", "--after", "3")
        assert (len(rest["commits"]), rest["after"]) == (1, None)
        assert "--after 3" in run("history", "--oldest-first", "-n", "3").err


@pytest.mark.usefixtures("past")
class TestWriting:
    def test_diff(self, run: Run) -> None:
        told = _json(run, "diff", "1")
        assert told["action"] == "diff"
        assert {c["node"]["key"]: c["action"] for c in told["changes"]} == {
            "/db/host": "removed",
            "/db/user": "added",
        }
        assert _json(run, "diff", "1", "2")["changes"][0]["prevNode"]["value"] == "10.0.0.1"
        assert "10.0.0.1 → 10.0.0.2" in run("diff", "1", "2").text
        assert _json(run, "diff", "4", "4")["changes"] == []

    def test_revert(self, run: Run) -> None:
        told = _json(run, "revert", "2", "-m", "undo")["commit"]
        assert (told["revision"], told["revertedTo"], told["message"]) == (5, 2, "undo")
        assert run("get", "db/host").out == b"10.0.0.2"
        assert run("get", "db/user", code=3).out == b""
        assert run("revert", "2").text == "nothing to change\n"
        assert _json(run, "revert", "2") == {"action": "revert", "commit": {}}

    def test_revert_of_some_keys(self, run: Run) -> None:
        assert run("revert", "1", "db/host").text == "revision 5: 1 key changed\n"
        assert run("get", "db/host").out == b"10.0.0.1"
        assert run("get", "db/user").out == b"app"

    def test_revert_once_by_its_id(self, run: Run) -> None:
        first = _json(run, "revert", "1", "--commit-id", "back")
        assert _json(run, "revert", "1", "--commit-id", "back") == first
        assert _json(run, "revert", "3", "--commit-id", "back", code=4)["error"]["code"] == (
            "commit_id_reused"
        )

    def test_revert_is_conditional(self, run: Run) -> None:
        told = _json(run, "revert", "1", "--if-config-revision", "3", code=4)["error"]
        assert (told["code"], told["revision"]) == ("condition_failed", 4)

    def test_replace(self, run: Run) -> None:
        wanted = {"db/user": "app", "hits": 3, "on": True}
        told = run("replace", "-", "-f", "json", stdin=json.dumps(wanted).encode()).json
        assert {c["node"]["key"] for c in told["commit"]["changes"]} == {"/hits", "/on"}
        again = run("replace", "-", "-f", "json", stdin=json.dumps(wanted).encode()).json
        assert again == {"action": "replace", "commit": {}}
        assert run("replace", "-", stdin=b"{}").text == "revision 6: 3 keys changed\n"

    @pytest.mark.parametrize(
        "line",
        [
            ("diff", "9"),
            ("diff", "yesterday"),
            ("diff", "2026-03-01T09:14:00"),
            ("diff", "-1"),
            ("revert", "9"),
            ("revert", "1.5"),
            ("revert", "1", "a//b"),
            ("get", "db/host", "--at", "9"),
            ("get", "db/host", "--at", "²"),
            ("get", "db/host", "--at", "9" * 5000),
            ("list", "--at", ""),
            ("history", "--since", "3"),
            ("history", "--until", "tomorrow"),
            ("history", "--after", "-1"),
        ],
    )
    def test_bad_input_is_one_clear_line(self, run: Run, line: tuple[str, ...]) -> None:
        told = run(*line, code=None)
        assert told.code in {2, 3, 5}, told
        assert told.out == b""
        assert told.err.startswith("discfg: ")
        assert told.err.count("\n") == 1
        assert len(told.err) < 6000
        assert _json(run, "info")["revision"] == 4

    @pytest.mark.parametrize("given", [b"", b"[1]", b"{", b'{"a": NaN}', b"\xff", b'{"a//b": 1}'])
    def test_what_is_no_set_of_values(self, run: Run, given: bytes) -> None:
        told = run("replace", "-", "-f", "json", stdin=given, code=5).json
        assert told["error"]["hint"]
        assert _json(run, "info")["revision"] == 4
