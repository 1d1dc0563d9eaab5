"""`discfg doctor`: its two formats, its exit codes, and what it does when it is stopped."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from discfg_core.doctor import SCRATCH

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run, Start

_CHECKS = [
    *("engine", "connection", "server", "disk", "listing", "clock", "create", "set", "clients"),
    *("large value", "delete", "race", "history", "fsck", "removal"),
]


def test_a_person_is_told_of_each_check(run: Run) -> None:
    header, *lines = run("doctor").text.splitlines()
    assert header.split() == ["CHECK", "RESULT"]
    told = [line.split(maxsplit=1) for line in lines[: len(_CHECKS)]]
    assert {status for status, _ in told} == {"ok"}
    assert [
        check for check, (_, rest) in zip(_CHECKS, told, strict=True) if rest.startswith(check)
    ] == _CHECKS
    assert "8 clients with connections of their own" in run("doctor").text
    assert "warm set" in lines[-1]
    assert "median" in lines[-1]
    assert run("configs").out == b""


def test_a_program_is_told_of_each_check(run: Run) -> None:
    answer = run("doctor", "-f", "json").json
    assert list(answer) == ["action", "store", "status", "checks", "timings", "left"]
    assert (answer["action"], answer["store"]) == ("doctor", "sqlite:///app.db")
    assert (answer["status"], answer["left"]) == ("ok", None)
    assert [check["check"] for check in answer["checks"]] == _CHECKS
    assert [timing["what"] for timing in answer["timings"]] == [
        *("connect", "cold get", "freshness check", "warm set")
    ]


def test_the_store_may_be_named_by_an_argument(run: Run, directory: Path) -> None:
    answer = run("doctor", "sqlite:///other.db", "-f", "json").json
    assert answer["store"] == "sqlite:///other.db"
    assert (directory / "other.db").exists()
    assert not (directory / "app.db").exists()


def test_a_failed_check_is_exit_code_1(run: Run) -> None:
    told = run("doctor", "sqlite:///nowhere/app.db", code=1)
    assert told.text.splitlines()[-1].split()[:2] == ["failed", "connection"]
    assert "make it first" in told.text
    assert told.err == ""
    answer = run("doctor", "sqlite:///nowhere/app.db", "-f", "json", code=1).json
    assert answer["status"] == "failed"


def test_a_file_that_is_no_store_is_one_failed_check(run: Run, directory: Path) -> None:
    (directory / "app.db").write_text("a letter to my aunt, of more than a hundred bytes" * 50)
    told = run("doctor", code=1).text.splitlines()
    assert [line.split()[0] for line in told[1:]] == ["ok", "failed"]


def test_a_warning_is_exit_code_0(run: Run) -> None:
    told = run("doctor", "--read-only", "-f", "json").json
    assert told["status"] == "warning"
    assert told["checks"][-1]["hint"] == "name one with -C"


def test_read_only_makes_nothing(run: Run, directory: Path) -> None:
    run("doctor", "--read-only")
    assert list(directory.iterdir()) == []


def test_read_only_reads_the_config_named(run: Run) -> None:
    for name in ("mycfg", "other"):
        run("create", name)
        run("set", "-C", name, "k", "v")
    run("set", "-C", "other", "k", "w")
    answer = run("doctor", "--read-only", "-C", "other", "-f", "json").json
    assert "other at revision 2" in answer["checks"][-1]["message"]
    assert [timing["what"] for timing in answer["timings"]] == [
        *("connect", "cold get", "freshness check")
    ]


def test_the_default_store_gets_its_directory_unless_nothing_may_be_written(
    run: Run, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISCFG_STORE")
    monkeypatch.setenv("XDG_DATA_HOME", str(directory / "data"))
    run("doctor", "--read-only", code=None)
    assert not (directory / "data").exists()
    run("doctor")
    assert (directory / "data" / "discfg" / "discfg.db").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["doctor", "nonsense"], 5),
        (["doctor", "--timeout", "0"], 5),
        (["doctor", "-C", "-bad-"], 5),
        (["doctor", "a", "b"], 2),
    ],
)
def test_bad_input_is_an_error_and_no_report(run: Run, words: list[str], code: int) -> None:
    told = run(*words, "-f", "json", code=code).json
    assert "error" in told
    assert "checks" not in told


def test_an_engine_that_is_unknown_is_a_failed_check(run: Run) -> None:
    answer = run("doctor", "gopher://h", "-f", "json", code=1).json
    (check,) = answer["checks"]
    assert (check["check"], check["status"]) == ("engine", "failed")
    assert "the schemes installed here" in check["hint"]


def test_a_password_is_shown_nowhere(run: Run) -> None:
    for form in ("human", "json"):
        told = run("doctor", "gopher://ann:hunter2@h/?token=hunter2", "-f", form, code=1)
        assert "hunter2" not in told.text + told.err


def test_an_interrupt_removes_the_config(start: Start, run: Run, directory: Path) -> None:
    run("create", "mycfg")
    database = sqlite3.connect(directory / "app.db", isolation_level=None, timeout=30)
    process = start("doctor", "-f", "json")
    # Stop it half-way: nobody but the holder of the lock can write.
    while True:
        assert process.poll() is None, "the examination was over before it could be stopped"
        database.execute("BEGIN IMMEDIATE")
        if any(name.startswith(SCRATCH) for name in run("configs").text.split()):
            break
        database.execute("ROLLBACK")
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None, "it went without removing its config"
    database.execute("ROLLBACK")
    database.close()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"")
    assert json.loads(out)["error"]["code"] == "interrupted"
    assert run("configs").text == "mycfg\n"


def test_a_server_that_does_not_answer_is_one_failed_check_in_time(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        told = run("doctor", f"etcd://127.0.0.1:{port}/x", "--timeout", "2", "-f", "json", code=1)
        assert time.monotonic() - began < 15
    assert told.json["checks"][-1]["status"] == "failed"
    assert told.json["left"] is None


def test_nothing_keeps_the_process(finish: Run) -> None:
    told = finish("doctor", "memory://")
    assert told.err == ""
    assert "removal" in told.text
