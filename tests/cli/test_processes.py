"""What only processes of their own show: pipes, terminals, signals, each other."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Run, Start


def _on_terminal(
    start: Start, *words: str, answer: bytes = b"", columns: str = "200"
) -> tuple[int, bytes]:
    """Run a command whose input and output are a terminal; its exit code and what it showed."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": columns}
    process = start(*words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    os.write(ours, answer)
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.5)[0]:
            try:
                shown += os.read(ours, 65536)
            except OSError:
                break
    os.close(ours)
    return process.wait(timeout=60), shown.replace(b"\r\n", b"\n")


def test_bytes_are_untouched_in_a_pipe(finish: Run, mycfg: str) -> None:
    raw = bytes(range(256)) * 400
    finish("set", "k", "-", stdin=raw)
    assert finish("get", "k").out == raw
    finish("set", "k", "no line end")
    assert finish("get", "k").out == b"no line end"


def test_an_argument_need_not_be_utf8(finish: Run, mycfg: str) -> None:
    finish("set", "k", os.fsdecode(b"\xff\xfe"))
    assert finish("get", "k").out == b"\xff\xfe"
    for words in (["get", os.fsdecode(b"\xff")], ["set", "k", "v", "-m", os.fsdecode(b"\xff")],
                  ["set", "k", "v", "--actor", os.fsdecode(b"\xff")]):  # fmt: skip
        assert finish(*words, "-f", "json", code=5).json["error"]["message"]
    finish("get", "-C", os.fsdecode(b"\xff"), "k", code=5)


def test_a_terminal_gets_no_escape_sequence(run: Run, start: Start, mycfg: str) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202egnp\x7f"
    run("set", "k", "-", stdin=evil.encode())
    run("set", "k", "-", "-m", evil, "--actor", evil, stdin=json.dumps({"a": evil}).encode())
    run("set", "k", "-", stdin=f'"{evil[8:10]}'.encode())
    run("set", "k", "-", stdin=evil.encode())
    for words in (["get", "k"], ["list"], ["history"], ["history", "-f", "json"], ["get", f"k{evil}"],
                  ["get", "-f", "json", "-C", f"a{evil}", "k", "--debug"], [f"no{evil}"]):  # fmt: skip
        code, shown = _on_terminal(start, *words)
        text = shown.decode()
        # The table's own heading is bold; nothing else is left of the escape character.
        text = text.replace("\x1b[1m", "").replace("\x1b[0m", "")
        assert code in {0, 2, 3, 4, 5}
        assert not {c for c in text if c in evil and not c.isprintable()}, (words, text)


def test_a_terminal_gets_a_line_end_and_a_pipe_none(run: Run, start: Start, mycfg: str) -> None:
    run("set", "k", "a\tb")
    assert _on_terminal(start, "get", "k") == (0, b"a\tb\n")
    run("set", "k", "-", stdin=b"a\nb\n")
    assert _on_terminal(start, "get", "k") == (0, b"a\nb\n")
    run("set", "k", "-", stdin=b"\xff\x00")
    code, shown = _on_terminal(start, "get", "k")
    assert code == 0
    assert b"2 bytes of application/octet-stream" in shown
    assert b"\xff" not in shown
    run("set", "k", '{"a":1}')
    code, shown = _on_terminal(start, "get", "k", "-f", "json")
    assert shown.startswith(b'{\n  "action": "get",\n')


def test_a_terminal_gets_a_table_of_its_width(run: Run, start: Start, mycfg: str) -> None:
    run("set", "k", "[red]" + "x" * 60, "-m", "[/nosuch]")
    code, shown = _on_terminal(start, "history", columns="70")
    assert code == 0
    plain = re.sub(r"\x1b\[[01]m", "", shown.decode())
    assert max(map(len, plain.splitlines())) == 70
    code, shown = _on_terminal(start, "history")
    assert b"[red]xxx" in shown
    assert b"[/nosuch]" in shown


def test_drop_asks_on_a_terminal(start: Start, finish: Run, mycfg: str) -> None:
    assert _on_terminal(start, "drop", mycfg, answer=b"n\n")[0] == 1
    assert finish("configs").text == "mycfg\n"
    code, shown = _on_terminal(start, "drop", mycfg, answer=b"y\n")
    assert (code, shown.count(b"Drop the config mycfg")) == (0, 1)
    assert finish("configs").text == ""
    assert _on_terminal(start, "drop", mycfg, answer=b"\x04")[0] == 1


@pytest.mark.parametrize(
    "words", [["list"], ["history", "-f", "json"], ["--help"], ["get", "large"]]
)
def test_a_reader_that_goes_is_no_error(
    run: Run, start: Start, mycfg: str, words: list[str]
) -> None:
    run("set", "large", "-", stdin=b"x" * 1_000_000)
    process = start(*words)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert err == b""
    assert process.returncode in {1, 141}


def test_a_full_disk_is_an_error_of_one_line(run: Run, start: Start, mycfg: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    run("set", "k", "v")
    with Path("/dev/full").open("wb") as full:
        process = start("get", "k", stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith(b"discfg: the output could not be written: ")
    assert err.count(b"\n") == 1


def test_where_nobody_reads_errors_the_exit_code_tells(start: Start, mycfg: str) -> None:
    process = start("get", "absent")
    assert process.stderr is not None
    process.stderr.close()
    process.stderr = None
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (3, b"")


def test_standard_streams_may_be_closed(finish: Run, mycfg: str) -> None:
    program = "import sys; from discfg_core.cli import main; sys.exit(main())"
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        for words in ("set k v", "get k", "get absent", "set k -"):
            line = f'"$0" -c "$1" {words} {closed}'
            done = subprocess.run(
                ["sh", "-c", line, sys.executable, program],
                capture_output=True,
                timeout=60,
                check=False,
            )
            assert b"Traceback" not in done.stderr, (closed, words)
            assert done.returncode in {0, 1, 2, 3, 5}, (closed, words, done)
    assert finish("get", "k").out == b"v"
    assert finish("fsck").code == 0


@pytest.mark.parametrize("words", [[], ["-f", "json"], ["-f", "silent"]])
def test_an_interrupt_ends_it_quietly(start: Start, mycfg: str, words: list[str]) -> None:
    os.mkfifo("pipe")
    process = start("set", "k", "-d", "pipe", *words)
    # Opened once the command waits for its value.
    with Path("pipe").open("wb"):
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    if words:
        assert err == b""
        assert (b'"interrupted"' in out) == ("json" in words)
    else:
        assert (out, err) == (b"", b"discfg: interrupted\n")


def test_debug_shows_the_traceback_and_nothing_else_does(finish: Run, mycfg: str) -> None:
    told = finish("get", "absent", "--debug", code=3)
    assert "Traceback" in told.err
    assert "Traceback" not in finish("get", "absent", code=3).err
    told = finish("get", "absent", "--debug", "-f", "json", code=3)
    assert told.json["error"]["code"] == "key_not_found"
    assert "Traceback" in told.err


def _codes(start: Start, *commands: list[str]) -> list[int]:
    """Run commands at the same time; their exit codes."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    racing = [start(*words, **quiet) for words in commands]
    return [process.wait(timeout=120) for process in racing]


def test_writers_in_many_processes_lose_nothing(start: Start, finish: Run, mycfg: str) -> None:
    commands = [["set", "k", f"value {number}"] for number in range(8)]
    commands += [["set", f"own/{number}", "v"] for number in range(4)]
    assert _codes(start, *commands) == [0] * 12
    node = finish("get", "k", "-f", "json").json["node"]
    assert node["version"] == 8
    commits = finish("history", "-f", "json").json["commits"]
    assert [commit["revision"] for commit in commits] == list(range(12, 0, -1))
    finish("fsck")


def test_of_many_creators_one_wins(start: Start, mycfg: str) -> None:
    assert sorted(_codes(start, *[["create", "new"]] * 4)) == [0, 4, 4, 4]
    assert sorted(_codes(start, *[["set", "k", "v", "--if-absent"]] * 4)) == [0, 4, 4, 4]


def test_a_corrupt_or_foreign_file_is_refused_untouched(finish: Run) -> None:
    for content, code in (
        (b"not a database " * 100, 1),
        (b"SQLite format 3\x00" + b"\xff" * 5000, 1),
    ):
        Path("other.db").write_bytes(content)
        for words in (
            ["get", "c", "k"],
            ["create", "c"],
            ["set", "c", "k", "v"],
            ["configs"],
            ["fsck"],
        ):
            told = finish(*words, "--store", "sqlite:///other.db", "-f", "json", code=None)
            assert told.code == code, told
            assert told.json["error"]["message"]
            assert told.err == ""
        assert Path("other.db").read_bytes() == content


def test_get_imports_only_what_it_needs(mycfg: str, run: Run) -> None:
    run("set", "k", "v")
    program = (
        "import sys; from discfg_core.cli import main; code = main(['get', 'k']); "
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=60, check=True
    )
    assert done.stdout == b"v"
    imported = set(done.stderr.decode().split())
    for name in ("rich", "platformdirs", "asyncio", "getpass", "discfg_core.cli.commands.listing"):
        assert name not in imported
