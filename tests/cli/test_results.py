"""What each command prints, for people and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from discfg_core.cli.text import aligned, json_escaped, shortened, visible

if TYPE_CHECKING:
    from tests.cli.conftest import Run


def test_writes_say_what_they_did(run: Run, mycfg: str) -> None:
    assert run("set", "k", "v").text == "/k version 1, revision 1\n"
    assert run("set", "k", "v").text == "/k version 2 (was version 1), revision 2\n"
    assert run("delete", "k").text == "/k deleted (was version 2), revision 3\n"


def test_who_and_why_are_in_the_history(run: Run, mycfg: str) -> None:
    run("set", "k", "1")
    run("set", "k", "2", "--actor", "bob", "-m", "why not")
    run("delete", "k", "--actor", "", "--message", "over")
    told = run("history", "-f", "json").json
    shown = [(c["revision"], c["actor"], c["message"]) for c in told["commits"]]
    assert shown == [(3, "", "over"), (2, "bob", "why not"), (1, "ann", "")]
    assert [c["changes"][0]["action"] for c in told["commits"]] == ["removed", "updated", "added"]
    assert told["before"] is None


def test_history_is_a_table_for_people(run: Run, mycfg: str) -> None:
    run("set", "db/host", "10.0.0.1", "-m", "first")
    run("set", "db/user", "line one\nline two")
    run("update", '{"a": 1}')
    header, *lines = run("history").text.splitlines()
    assert header.split() == [
        "REVISION",
        "TIME",
        "ACTOR",
        "CHANGE",
        "KEY",
        "VERSION",
        "VALUE",
        "MESSAGE",
    ]
    assert [line.split()[0] for line in lines] == ["3", "2", "1"]
    assert "settings" in lines[0]
    assert r"line one\nline two" in lines[1]
    assert lines[2].endswith("first")
    assert lines[2].index("/db/host") == header.index("KEY")


def test_history_of_a_key_or_prefix(run: Run, mycfg: str) -> None:
    for key in ("db/host", "dbs", "db/host", "other"):
        run("set", key, "v")
    for prefix, revisions in (("db", [3, 1]), ("db/host", [3, 1]), ("dbs", [2]), ("absent", [])):
        told = run("history", prefix, "-f", "json").json
        assert [commit["revision"] for commit in told["commits"]] == revisions
    assert run("history", "absent").err == "discfg: no commits\n"


def test_history_in_parts(run: Run, mycfg: str) -> None:
    for number in range(5):
        run("set", "k", str(number))
    first = run("history", "-n", "2", "-f", "json").json
    assert [commit["revision"] for commit in first["commits"]] == [5, 4]
    assert first["before"] == 4
    last = run("history", "--limit", "3", "--before", "4", "-f", "json").json
    assert [commit["revision"] for commit in last["commits"]] == [3, 2, 1]
    assert last["before"] is None
    assert "--before 4" in run("history", "-n", "2").err


def test_list_shows_whole_segments(run: Run, mycfg: str) -> None:
    for key in ("db/host", "db", "dbs"):
        run("set", key, f"of {key}")
    assert run("list").text.split() == (
        ["KEY", "VERSION", "VALUE", "/db", "1", "of", "db", "/db/host", "1", "of", "db/host",
         "/dbs", "1", "of", "dbs"]
    )  # fmt: skip
    nodes = run("list", "db", "-f", "json").json["nodes"]
    assert [(node["key"], node["value"]) for node in nodes] == [
        ("/db", "of db"),
        ("/db/host", "of db/host"),
    ]
    assert run("list", "absent").err == "discfg: no keys\n"
    assert run("list", "absent", "-f", "json").json == {"action": "list", "nodes": []}


def test_long_and_binary_values_are_cut_in_tables(run: Run, mycfg: str) -> None:
    run("set", "long", "x" * 500)
    run("set", "bytes", "-", stdin=b"\xff" * 20)
    lines = run("list").text.splitlines()
    assert lines[1].endswith("(20 bytes)")
    assert lines[2].endswith("x…")
    assert max(map(len, lines)) < 100


def test_get_for_a_program_that_reads_json(run: Run, mycfg: str) -> None:
    run("set", "k", '{"foo": 1.10}')
    told = run("get", "k", "-f", "json")
    assert told.out.count(b"\n") == 1
    assert b'"value":{"foo":1.10}' in told.out
    assert set(told.json["node"]) >= {
        "key",
        "version",
        "revision",
        "contentType",
        "created",
        "modified",
    }


def test_silence(run: Run, mycfg: str) -> None:
    for words in (
        ["set", "k", "v"],
        ["get", "k"],
        ["list"],
        ["history"],
        ["info"],
        ["which"],
        ["version"],
    ):
        told = run(*words, "-f", "silent")
        assert (told.out, told.err) == (b"", "")
    assert run("get", "absent", "-f", "silent", code=3).err == ""


def test_configs_drop_and_undrop(run: Run, mycfg: str) -> None:
    run("set", "k", "v")
    run("create", "another")
    assert run("configs").text == "another\nmycfg\n"
    assert run("configs", "-f", "json").json == {
        "action": "configs",
        "configs": ["another", "mycfg"],
    }
    refused = run("drop", mycfg, code=1)
    assert "Drop the config mycfg" in refused.err
    assert "-y" in refused.err
    run("drop", mycfg, stdin=b"no\n", code=1)
    assert run("drop", mycfg, "-f", "json", code=1).json["error"]["code"] == "aborted"
    run("drop", mycfg, stdin=b"y\n")
    assert run("configs").text == "another\n"
    run("get", "k", code=3)
    assert run("undrop", mycfg).text == "mycfg is back, revision 1\n"
    assert run("get", "k").out == b"v"
    run("drop", mycfg, "-y", "-m", "really")


def test_info(run: Run, mycfg: str) -> None:
    run("set", "k", "v")
    told = run("info", "-f", "json").json
    assert told == told | {
        "action": "info",
        "name": "mycfg",
        "revision": 1,
        "keys": 1,
        "state": "ACTIVE",
    }
    shown = dict(line.split(maxsplit=1) for line in run("info").text.splitlines())
    assert shown == shown | {
        "config": "mycfg",
        "revision": "1",
        "engine": "sqlite",
        "settings": "{}",
    }


def test_update_replaces_the_settings(run: Run, mycfg: str) -> None:
    assert run("update", '{"a": 1, "b": 2}').text == "settings of mycfg updated, revision 1\n"
    assert run("update", '{"b": 2, "a": 1}').text == "the settings of mycfg are these already\n"
    run("update", '{"ReadCapacityUnits": 4}', "-m", "more")
    assert run("info", "-f", "json").json["settings"] == {"ReadCapacityUnits": 4}
    assert run("history", "-f", "json").json["commits"][0]["message"] == "more"


def test_fsck(run: Run, mycfg: str) -> None:
    run("set", "k", "v")
    assert run("fsck").text.startswith("mycfg: sound; 1 commits, 1 keys")
    assert run("fsck", "sqlite:///app.db", "-f", "json").json["configs"][0]["problems"] == []
    run("drop", mycfg, "-y")
    assert run("fsck").err == "discfg: no configs\n"
    assert run("fsck", "-C", mycfg).text.startswith("mycfg: sound")


def test_a_commit_id_makes_a_repetition_safe(run: Run, mycfg: str) -> None:
    first = run("set", "k", "v", "--commit-id", "once", "-f", "json").json
    again = run("set", "k", "v", "--commit-id", "once", "-f", "json").json
    assert first["node"] == again["node"]
    refused = run("set", "k", "other", "--commit-id", "once", "-f", "json", code=4).json
    assert refused["error"]["code"] == "commit_id_reused"


@pytest.mark.parametrize(
    "words", [["--help"], ["set", "--help"], ["cfg", "--help"], ["cfg", "drop", "-h"]]
)
def test_help(run: Run, words: list[str]) -> None:
    assert run(*words, code=None).text.startswith("Usage: discfg") or words[-1] == "-h"


def test_every_command_has_a_short_help_that_is_not_cut(run: Run) -> None:
    for words in (["--help"], ["cfg", "--help"]):
        commands = run(*words).text.partition("Commands:")[2].splitlines()[1:]
        assert len(commands) > 5
        for line in commands:
            assert line.endswith(".")
            assert not line.endswith("...")


def test_no_command_at_all(run: Run) -> None:
    assert run(code=2).err.startswith("Usage: discfg")
    assert run("cfg", code=2).err.startswith("Usage: discfg cfg")
    assert run("-f", "json", code=2).json["error"]["code"] == "usage"
    told = run("-f", "silent", "cfg", code=2)
    assert (told.out, told.err) == (b"", "")


def test_the_version(run: Run) -> None:
    from discfg_core import __version__

    assert run("version").text == run("--version").text == f"discfg {__version__}\n"
    assert run("version", "-f", "json").json == {"action": "version", "version": __version__}


@pytest.mark.parametrize(
    ("text", "line", "lines"),
    [
        ("plain ü 漢 🎈", "plain ü 漢 🎈", "plain ü 漢 🎈"),
        ("a\tb\nc", r"a\tb\nc", "a\tb\nc"),
        ("a\r\x1b[2J\x07", r"a\r\x1b[2J\x07", r"a\r\x1b[2J\x07"),
        ("\x7f\x9b\x85", r"\x7f\x9b\x85", r"\x7f\x9b\x85"),
        ("a\u2028b\u202ec\ufeff", r"a\u2028b\u202ec\ufeff", r"a\u2028b\u202ec\ufeff"),
        ("\udcff", r"\udcff", r"\udcff"),
    ],
)
def test_what_a_terminal_might_act_on_is_spelled_out(text: str, line: str, lines: str) -> None:
    assert visible(text) == line
    assert visible(text, lines=True) == lines


def test_json_stays_the_same_json() -> None:
    text = "\x7f\x9b\u202e\u2028 ü"
    escaped = json_escaped(json.dumps([text], ensure_ascii=False, indent=2))
    assert json.loads(escaped) == [text]
    assert visible(escaped, lines=True) == escaped


def test_cells_are_cut_and_aligned() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 6) == "abcde…"
    assert aligned(["A", "B"], [["1", ""], ["333", "x"]]) == "A    B\n1\n333  x\n"
