"""Wrong and surprising input: its exit code, its error, and nothing written."""

from __future__ import annotations

import json
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Run

LONG_KEY = "k" * 1024
BAD = [
    # usage
    ("", 2, None),
    ("nosuch", 2, "usage"),
    ("get", 2, "usage"),
    ("get a b c", 2, "usage"),
    ("get k --nosuch", 2, "usage"),
    ("get k -f xml", 2, None),
    ("get k --timeout soon", 2, "usage"),
    ("set", 2, "usage"),
    ("set k", 2, "usage"),
    ("set a b c d", 2, "usage"),
    ("set k -5", 2, "usage"),
    ("set k v --if-version one", 2, "usage"),
    ("set k -d", 2, "usage"),
    ("set -C mycfg mycfg k v", 2, "usage"),
    ("delete", 2, "usage"),
    ("delete a b c", 2, "usage"),
    ("create", 2, "usage"),
    ("create a {} b", 2, "usage"),
    ("use", 2, "usage"),
    ("drop", 2, "usage"),
    ("undrop", 2, "usage"),
    ("update", 2, "usage"),
    ("commit", 2, "usage"),
    ("list a b", 2, "usage"),
    ("history --limit 0", 2, "usage"),
    ("history --limit -1", 2, "usage"),
    ("history --before x", 2, "usage"),
    ("fsck a b", 2, "usage"),
    ("cfg", 2, None),
    ("cfg nosuch", 2, "usage"),
    # absent
    ("get absent", 3, "key_not_found"),
    ("delete absent", 3, "key_not_found"),
    ("get absent k", 3, "config_not_found"),
    ("get -C absent k", 3, "config_not_found"),
    ("set absent k v", 3, "config_not_found"),
    ("list -C absent", 3, "config_not_found"),
    ("history -C absent", 3, "config_not_found"),
    ("info absent", 3, "config_not_found"),
    ("update absent {}", 3, "config_not_found"),
    ("drop absent -y", 3, "config_not_found"),
    ("undrop absent", 3, "config_not_found"),
    ("fsck -C absent", 3, "config_not_found"),
    # conditions
    ("create mycfg", 4, "config_exists"),
    ("undrop mycfg", 4, "config_exists"),
    ("set k v --if-version 7", 4, "condition_failed"),
    ("set k v --if-revision 7", 4, "condition_failed"),
    ("set k v --if-absent", 4, "condition_failed"),
    ("set k v --if-value other", 4, "condition_failed"),
    ("set -C mycfg absent v --if-version 1", 4, "condition_failed"),
    ("delete k --if-version 7", 4, "condition_failed"),
    # bad input
    ("get a//b", 5, "invalid_key"),
    ("get ''", 5, "invalid_key"),
    ("get /", 5, "invalid_key"),
    ("get a/", 5, "invalid_key"),
    ("get ../etc", 5, "invalid_key"),
    (f"get {LONG_KEY}", 5, "invalid_key"),
    ("list a//b", 5, "invalid_key"),
    ("history a//b", 5, "invalid_key"),
    ("create -- -x", 5, "invalid_name"),
    ("create a/b", 5, "invalid_name"),
    ("create ''", 5, "invalid_name"),
    (f"create {'n' * 129}", 5, "invalid_name"),
    ("use ..", 5, "invalid_name"),
    ("get -C a/b k", 5, "invalid_name"),
    ("create new '[1]'", 5, "invalid_settings"),
    ("create new '{'", 5, "invalid_settings"),
    ("create new '{\"a\": NaN}'", 5, "invalid_settings"),
    ("update nonsense", 5, "invalid_settings"),
    ("set k v --if-version 0", 5, "invalid_option"),
    ("set k v --if-absent --if-version 1", 5, "invalid_option"),
    ("set k v --commit-id ''", 5, "invalid_option"),
    ("set k v --content-type nonsense", 5, "invalid_value"),
    (f"set k v -m {'m' * 4097}", 5, "text_too_long"),
    (f"set k v --actor {'a' * 257}", 5, "text_too_long"),
    ("get k --timeout 0", 5, "invalid_option"),
    ("get k --timeout nan", 5, "invalid_option"),
    ("get k --timeout inf", 5, "invalid_option"),
    ("get k --store ''", 5, "invalid_url"),
    ("fsck ''", 5, "invalid_url"),
    ("history -n 99999999999999999999", 2, "usage"),
    ("set k -d absent.json", 5, "file_unreadable"),
    ("set k -d .", 5, "file_unreadable"),
    ("set k -d ''", 5, "file_unreadable"),
    ("commit absent.json", 5, "file_unreadable"),
    ("get k --store nonsense", 5, "invalid_url"),
    ("get k --store nosuch://x", 5, "unknown_engine"),
    ("get k --store sqlite:///app.db?nosuch=1", 5, "invalid_option"),
    ("fsck nonsense", 5, "invalid_url"),
]


@pytest.fixture
def before(run: Run, mycfg: str) -> str:
    run("set", "k", "v")
    return json.dumps([run("list", "-f", "json").json, run("history", "-f", "json").json])


@pytest.mark.parametrize(("line", "code", "error"), BAD, ids=[f"{bad[0]:.40}" for bad in BAD])
def test_bad_input_is_one_line_and_writes_nothing(
    run: Run, before: str, line: str, code: int, error: str | None
) -> None:
    told = run(*shlex.split(line), code=code)
    assert told.out == b""
    assert told.err
    if error is not None:
        assert told.err.startswith("discfg: ")
        assert told.err.endswith("\n")
        assert told.err.count("\n") == 1
        asjson = run("-f", "json", *shlex.split(line), code=code)
        assert asjson.err == ""
        assert asjson.json["error"]["code"] == error
        assert asjson.json["error"]["message"]
        silent = run("-f", "silent", *shlex.split(line), code=None)
        assert (silent.out, silent.err) == (b"", "")
        assert silent.code == code
    after = json.dumps([run("list", "-f", "json").json, run("history", "-f", "json").json])
    assert after == before
    assert run("configs").text == "mycfg\n"


def test_the_action_of_an_error_is_the_command(run: Run, mycfg: str) -> None:
    assert run("get", "absent", "-f", "json", code=3).json["action"] == "get"
    assert run("set", "-f", "json", code=2).json["action"] == "set"
    assert run("cfg", "info", "absent", "-f", "json", code=3).json["action"] == "info"


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\n", b"null", b"0", b"-5", b"1e999", b"NaN", b'{"a": 1.10, "a": 2}', b"plain",
        "grüße 🎈".encode(), b"\xff\xfe\x00", b"\x00", b" {\"a\":\n1} \n", b"[" * 5000, b"9" * 5000,
        b"\x1b]0;title\x07", b"x" * 100_000,
    ],
    ids=lambda raw: repr(raw[:20]),
)  # fmt: skip
def test_any_value_comes_back_untouched(run: Run, mycfg: str, raw: bytes) -> None:
    Path("value").write_bytes(raw)
    run("set", "file", "-d", "value")
    run("set", "stdin", "-", stdin=raw)
    run("set", "data-stdin", "-d", "-", stdin=raw)
    for key in ("file", "stdin", "data-stdin"):
        assert run("get", key).out == raw
        assert run("get", key, "-f", "json").json["action"] == "get"
    run("list")
    assert len(run("history", "-f", "json").json["commits"]) == 3
    run("fsck")


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        ('{"a": 1}', "application/json", {"a": 1}),
        ("true", "application/json", True),
        ("1.50", "application/json", 1.5),
        ('"text"', "application/json", "text"),
        ("text", "text/plain", "text"),
        ("NaN", "text/plain", "NaN"),
        ("", "text/plain", ""),
        ("{'a': 1}", "text/plain", "{'a': 1}"),
    ],
)
def test_a_value_is_json_if_it_parses_as_json(
    run: Run, mycfg: str, value: str, kind: str, shown: object
) -> None:
    run("set", "k", value)
    node = run("get", "k", "-f", "json").json["node"]
    assert (node["contentType"], node["value"]) == (kind, shown)


def test_bytes_are_base64_in_json(run: Run, mycfg: str) -> None:
    run("set", "k", "-", stdin=b"\xff\x00")
    node = run("get", "k", "-f", "json").json["node"]
    assert (node["value"], node["encoding"]) == ("/wA=", "base64")
    assert node["contentType"] == "application/octet-stream"


def test_a_content_type_can_be_told(run: Run, mycfg: str) -> None:
    run("set", "k", "15", "--content-type", "text/plain")
    assert run("get", "k", "-f", "json").json["node"]["value"] == "15"


def test_a_value_that_begins_with_a_dash(run: Run, mycfg: str) -> None:
    assert "put --" in run("set", "k", "-5", code=2).err
    run("set", "--", "k", "-5")
    assert run("get", "k").out == b"-5"
    run("set", "k", "--", "--name=x")
    assert run("get", "k").out == b"--name=x"


def test_the_largest_value_fits_and_one_byte_more_does_not(run: Run, mycfg: str) -> None:
    size = 16 * 1024 * 1024
    Path("fits").write_bytes(b"\xff" * size)
    Path("larger").write_bytes(b"\xff" * (size + 1))
    run("set", "k", "-d", "fits")
    assert len(run("get", "k").out) == size
    assert (
        run("set", "k", "-d", "larger", "-f", "json", code=5).json["error"]["code"]
        == "value_too_large"
    )
    assert run("list").text.split()[-2:] == ["(16,777,216", "bytes)"]


def test_an_endless_file_is_not_read_to_its_end(run: Run, mycfg: str) -> None:
    told = run("set", "k", "-d", "/dev/zero", "-f", "json", code=5)
    assert told.json["error"]["code"] == "value_too_large"


def test_a_secret_never_shows(run: Run, mycfg: str) -> None:
    secret = "s3cr3t"
    for words in (
        ["get", "k", "-s", secret],
        ["get", "absent", "-s", secret],
        ["get", secret, "-s", secret],
        ["get", "k", "--secretKye", secret],
        ["get", "k", f"--secretKye={secret}"],
        ["list", "a", "-s", secret, secret, "b"],
        ["-s", secret, "nosuch"],
        ["get", "k", "--store", f"etcd://user:{secret}@host"],
        ["get", "k", "--store", f"nosuch://user:{secret}@host"],
        ["get", "k", "--store", f"user:{secret}@host"],
        ["use", "mycfg", "--store", f"etcd://user:{secret}@host"],
        ["fsck", f"etcd://user:{secret}@host:x"],
    ):
        for options in ([], ["-f", "json"], ["--debug"]):
            told = run(*words, *options, code=None)
            assert told.code != 0
            assert secret not in told.text + told.err, words
    run("set", "k", secret)
    assert run("get", "k", "-s", secret).text == secret, "a result is what was asked for"
    assert run("get", "k", "-s", '"', "-f", "json").json["node"]["value"] == secret
    assert run("get", "absent", "-s", '"', "-f", "json", code=3).json["error"]["key"] == "/absent"
    assert secret not in Path(".discfg").read_text(encoding="utf-8")


def test_a_store_that_others_hold(run: Run, mycfg: str) -> None:
    with closing(sqlite3.connect("app.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        told = run("set", "k", "v", "--timeout", "0.2", "-f", "json", code=6).json["error"]
        assert told["code"] in {"store_busy", "timeout"}
        assert told["retryable"] is True
        other.execute("ROLLBACK")
    run("get", "k", code=3)
    run("set", "k", "v")
