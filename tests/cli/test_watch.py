"""`discfg watch`: a line for each change, as it comes."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Run, Start


def _told(lines: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines()]


def test_what_is_there_is_told_a_line_a_change(run: Run, mycfg: str) -> None:
    run("set", "db/host", "10.0.0.1", "-m", "first")
    run(
        "commit",
        "-",
        stdin=b'[{"op": "delete", "key": "db/host"}, {"op": "set", "key": "a", "value": 1}]',
    )
    run("update", "mycfg", '{"s": 1}')
    told = _told(run("watch", "--after", "0", "--idle", "0.2", "-f", "json").out)
    assert [(each["revision"], each["action"]) for each in told] == [
        (1, "added"),
        (2, "added"),
        (2, "removed"),
        (3, "settings"),
    ]
    assert (told[0]["message"], told[0]["actor"]) == ("first", "ann")
    assert told[0]["node"]["value"] == "10.0.0.1"
    assert told[2]["prevNode"]["value"] == "10.0.0.1"
    assert told[3]["settings"] == {"s": 1}
    lines = run("watch", "--after", "0", "--idle", "0.2").text.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "2", "3"]
    assert lines[2].endswith("removed  /db/host  10.0.0.1")
    only = _told(run("watch", "db", "--after", "1", "--idle", "0.2", "-f", "json").out)
    assert [each["revision"] for each in only] == [2, 2]


def test_changes_are_told_as_they_come(run: Run, start: Start, mycfg: str) -> None:
    run("set", "a", "1")
    process = start("watch", "--after", "0", "-f", "json")
    assert process.stdout is not None
    try:
        for revision in range(1, 6):
            assert json.loads(process.stdout.readline())["revision"] == revision
            run("set", "a", str(revision))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.communicate()


def test_no_reader_no_watch(run: Run, start: Start, mycfg: str) -> None:
    process = start("watch", "--after", "0")
    assert process.stdout is not None
    process.stdout.close()
    try:
        run("set", "a", "1")
        assert process.wait(30) == 141
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


@pytest.mark.parametrize(
    "words",
    [("--after", "9"), ("--after", "-1"), ("--idle", "0"), ("--stale-after", "no"), ("a//b",)],
)
def test_bad_input_is_one_clear_line(run: Run, mycfg: str, words: tuple[str, ...]) -> None:
    told = run("watch", "--idle", "0.1", *words, code=None)
    assert told.code in {2, 3, 5}, told
    assert told.out == b""
    assert told.err.startswith("discfg: ")
    assert told.err.count("\n") == 1
