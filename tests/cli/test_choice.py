"""Which config and which store a command works on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Run


def test_an_argument_and_the_option_come_before_the_file(run: Run, mycfg: str) -> None:
    run("create", "other")
    for name in (mycfg, "other"):
        run("set", name, "k", f"of {name}")
    assert run("get", "k").out == b"of mycfg"
    assert run("get", "other", "k").out == b"of other"
    assert run("get", "-C", "other", "k").out == b"of other"
    assert run("-C", "mycfg", "get", "-C", "other", "k").out == b"of other"
    assert run("info", "other").text.split()[1] == "other"
    assert run("info", "-C", "other").text.split()[1] == "other"


def test_without_a_config_the_error_says_what_to_do(run: Run) -> None:
    for words in (["get", "k"], ["list"], ["history"], ["info"], ["which"], ["commit", "-"]):
        assert "discfg use NAME" in run(*words, code=2).err


def test_whole_configs_are_never_taken_from_the_file(run: Run, mycfg: str) -> None:
    for command in ("create", "drop", "undrop", "use"):
        assert "give the config's name" in run(command, code=2).err
    assert run("configs").text == f"{mycfg}\n"


def test_the_store_is_the_option_else_the_variable_else_the_file(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("use", "c", "--store", "sqlite:///file.db")
    run("create", "c")
    assert Path("app.db").exists()
    run("create", "c", "--store", "sqlite:///option.db")
    assert Path("option.db").exists()
    assert not Path("file.db").exists()
    monkeypatch.delenv("DISCFG_STORE")
    run("create", "c")
    assert Path("file.db").exists()
    assert run("which").text == "c in sqlite:///file.db\n"


def test_the_store_of_last_resort_is_the_users_own(
    run: Run, monkeypatch: pytest.MonkeyPatch, directory: Path
) -> None:
    monkeypatch.delenv("DISCFG_STORE")
    monkeypatch.setenv("XDG_DATA_HOME", str(directory / "data"))
    file = directory / "data" / "discfg" / "discfg.db"
    assert run("which", "-C", "c", "-f", "json").json["store"] == f"sqlite:///{file}"
    run("get", "-C", "c", "k", code=3)
    assert run("configs").out == b""
    assert not file.parent.exists(), "reading makes nothing"
    run("create", "c")
    run("set", "-C", "c", "k", "v")
    assert run("get", "c", "k").out == b"v"
    assert file.parent.stat().st_mode & 0o077 == 0


def test_a_directory_that_cannot_be_made(
    run: Run, monkeypatch: pytest.MonkeyPatch, directory: Path
) -> None:
    monkeypatch.delenv("DISCFG_STORE")
    (directory / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(directory / "file"))
    assert run("create", "c", "-f", "json", code=6).json["error"]["code"] == "store_unavailable"


def test_use_keeps_the_store_unless_told_another(run: Run) -> None:
    run("use", "a", "--store", "sqlite:///a.db")
    run("use", "b")
    assert Path(".discfg").read_text(encoding="utf-8") == "b\nstore = sqlite:///a.db\n"
    run("use", "b", "--store", "sqlite:///b.db")
    assert Path(".discfg").read_text(encoding="utf-8") == "b\nstore = sqlite:///b.db\n"


def test_use_needs_no_store(run: Run) -> None:
    assert run("use", "c").text == "using c\n"
    assert run("use", "c", "-f", "json").json == {"action": "use", "currentDiscfg": "c"}
    assert [path.name for path in Path().iterdir()] == [".discfg"]


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"../c\n", b"c\nstore\n", b"c\nstore =\n", b"c\nnosuch = 1\n", b"\xff\n", b"c\nd\n",
     b"c\nstore = sqlite:///a\nstore = sqlite:///b\n", b"c\n" + b"x" * 10_000],
)  # fmt: skip
def test_a_damaged_file_is_refused_and_written_anew(run: Run, content: bytes) -> None:
    Path(".discfg").write_bytes(content)
    for words in (["get", "k"], ["which"], ["list"]):
        told = run(*words, "-f", "json", code=5).json["error"]
        assert told["code"] in {"invalid_dotfile", "invalid_name"}
    run("use", "c")
    assert run("which").text == "c in sqlite:///app.db\n"


def test_a_file_that_is_not_needed_is_not_read(run: Run, mycfg: str) -> None:
    run("set", "k", "v")
    Path(".discfg").write_bytes(b"\xff")
    assert run("get", mycfg, "k").out == b"v"


def test_a_file_that_is_a_directory(run: Run) -> None:
    Path(".discfg").mkdir()
    assert run("which", "-f", "json", code=5).json["error"]["code"] == "file_unreadable"
    assert run("use", "c", "-f", "json", code=5).json["error"]["code"] == "file_unreadable"
    assert [path.name for path in Path().iterdir()] == [".discfg"]


def test_a_files_of_the_parents_do_not_count(
    run: Run, mycfg: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("below").mkdir()
    monkeypatch.chdir("below")
    run("which", code=2)


def test_aws_options_become_options_of_an_aws_url(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISCFG_STORE", "s3://bucket/prefix?region=eu-west-1&timeout=5")
    # Restored after the test: the command sets them for the engine's client.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    words = ["which", "-C", "c", "-f", "json", "-l", "us west", "-p", "me", "-k", "id", "-s", "key"]
    told = run(*words).json
    assert told["store"] == "s3://bucket/prefix?timeout=5&region=us%20west&profile=me"
    assert (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]) == ("id", "key")


def test_a_store_that_ends_with_the_command(run: Run) -> None:
    assert "nothing is kept" in run("create", "c", "--store", "memory://").err
    assert run("create", "c", "--store", "memory://", "-f", "json").err == ""
