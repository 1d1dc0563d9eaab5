"""The database file: refused untouched, made as a whole, and never written behind its back."""

from __future__ import annotations

import os
import signal
import sqlite3
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from discfg_core.clock import Deadline
from discfg_core.errors import (
    Corrupt,
    NewerFormat,
    OutcomeUnknown,
    StoreError,
    StoreUnavailable,
    UnsupportedStore,
)
from discfg_core.substrate import BlobRange, Register, SwapConflict
from discfg_core.substrates.sqlite import SQLiteSubstrate

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    Start = Callable[..., subprocess.Popen[str]]
    Open = Callable[..., SQLiteSubstrate]

APPLICATION_ID = 0x64636667


def soon() -> Deadline:
    return Deadline.after(20)


def swap(store: SQLiteSubstrate, name: str = "one", data: bytes = b"data") -> bytes:
    return store.swap(name, None, data, {"blob": b"blob"}, deadline=soon())


def data_of(store: SQLiteSubstrate, name: str = "one") -> bytes | None:
    found = store.read(name, deadline=soon())
    if found is None:
        return None
    assert isinstance(found, Register)
    return found.data


READS: dict[str, Callable[[SQLiteSubstrate], Any]] = {
    "read": lambda store: store.read("one", deadline=soon()),
    "names": lambda store: list(store.names(deadline=soon())),
    "get_blobs": lambda store: store.get_blobs("one", [BlobRange("blob")], deadline=soon()),
    "list_blobs": lambda store: list(store.list_blobs("one", deadline=soon())),
    "delete_blobs": lambda store: store.delete_blobs("one", ["blob"], deadline=soon()),
    "wait": lambda store: store.wait(
        "one", None, deadline=Deadline.after(0.02), cancel=threading.Event()
    ),
}
WRITES: dict[str, Callable[[SQLiteSubstrate], Any]] = {
    "swap": swap,
    "put_blob": lambda store: store.put_blob("one", "blob", b"data", deadline=soon()),
}
CALLS = READS | WRITES


# --- files that are not for us -------------------------------------------------------------


def of_another_application(path: Path, *, mode: str = "delete", application: int = 0) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute(f"PRAGMA application_id = {application}")
        connection.execute("CREATE TABLE register (name TEXT, token BLOB, data BLOB)")
        connection.commit()


def of_newer_format(path: Path) -> None:
    store = SQLiteSubstrate(path)
    swap(store)
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")


FOREIGN: dict[str, tuple[Callable[[Path], object], type[StoreError]]] = {
    "one byte": (lambda path: path.write_bytes(b"\0"), UnsupportedStore),
    "text": (lambda path: path.write_text("host = 10.0.0.1\n" * 500), UnsupportedStore),
    "zeros": (lambda path: path.write_bytes(bytes(8192)), UnsupportedStore),
    "a header without its page": (
        lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(84)),
        UnsupportedStore,
    ),
    "another application's": (of_another_application, UnsupportedStore),
    "another application's, with a log": (
        lambda path: of_another_application(path, mode="wal"),
        UnsupportedStore,
    ),
    "another application's, with its mark": (
        lambda path: of_another_application(path, application=7),
        UnsupportedStore,
    ),
    "a newer format": (of_newer_format, NewerFormat),
}


def snapshot(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        entry.name: (entry.read_bytes(), entry.stat().st_mtime_ns, entry.stat().st_ctime_ns)
        for entry in directory.iterdir()
    }


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("call", CALLS)
def test_file_not_for_us_is_refused_untouched(
    store: SQLiteSubstrate, path: Path, kind: str, call: str
) -> None:
    make, refusal = FOREIGN[kind]
    make(path)
    before = snapshot(path.parent)
    with pytest.raises(refusal) as caught:
        CALLS[call](store)
    store.close()
    assert snapshot(path.parent) == before
    assert type(caught.value) is refusal
    assert str(path) in caught.value.message
    assert caught.value.engine == "sqlite"
    assert caught.value.hint
    assert not caught.value.retryable


def test_another_applications_open_database_keeps_its_locks(
    store: SQLiteSubstrate, path: Path
) -> None:
    """A process that opens and closes a file by itself drops the locks SQLite has on it."""
    of_another_application(path)
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as owner,
        closing(sqlite3.connect(path, isolation_level=None)) as reader,
    ):
        owner.execute("BEGIN EXCLUSIVE")
        locks = held_locks()
        assert locks
        with pytest.raises(UnsupportedStore):
            swap(store)
        assert held_locks() == locks
        owner.execute("ROLLBACK")
        reader.execute("SELECT * FROM register")


def held_locks() -> list[str]:
    table = Path("/proc/locks")
    if not table.exists():
        pytest.skip("only Linux tells which locks a process holds")
    lines = (line.split()[1:] for line in table.read_text().splitlines())
    return sorted(" ".join(line) for line in lines if line[3] == str(os.getpid()))


def test_directory_is_refused(open_store: Open, path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="is a directory") as caught:
        data_of(open_store(path.parent))
    assert not caught.value.retryable


def test_pipe_is_refused_and_not_waited_for(store: SQLiteSubstrate, path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(StoreUnavailable, match="no regular file"):
        swap(store)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("parent", ["missing", "file"])
def test_missing_directory_is_told_and_not_made(
    open_store: Open, path: Path, parent: str, call: str
) -> None:
    if parent == "file":
        (path.parent / "file").touch()
    with pytest.raises(StoreUnavailable, match=r"no directory|Not a directory") as caught:
        CALLS[call](open_store(path.parent / parent / "app.db"))
    assert not caught.value.retryable
    assert caught.value.hint
    assert not (path.parent / "missing").exists()


# --- files that are not there yet -----------------------------------------------------------


@pytest.mark.parametrize("call", READS)
@pytest.mark.parametrize("empty", [False, True], ids=["missing", "empty"])
def test_reading_finds_nothing_and_makes_nothing(
    store: SQLiteSubstrate, path: Path, call: str, empty: bool
) -> None:
    if empty:
        path.touch()
    before = snapshot(path.parent)
    assert READS[call](store) in (None, [], [None])
    assert snapshot(path.parent) == before


def test_swap_of_what_should_be_there_makes_nothing(store: SQLiteSubstrate, path: Path) -> None:
    with pytest.raises(SwapConflict) as caught:
        store.swap("one", b"token", b"data", deadline=soon())
    assert caught.value.current is None
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize("empty", [False, True], ids=["missing", "empty"])
def test_first_write_makes_the_file(
    store: SQLiteSubstrate, path: Path, call: str, empty: bool
) -> None:
    if empty:
        path.touch()
    WRITES[call](store)
    assert store.get_blobs("one", [BlobRange("blob")], deadline=soon()) != [None]
    store.close()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(
    "name", ["a b.db", "a%20b?mode=memory&x=1#y.db", "é'\".db", ":memory:", b"\xff.db"]
)
def test_any_file_name_is_taken_as_it_is(open_store: Open, path: Path, name: str | bytes) -> None:
    where = path.parent / os.fsdecode(name)
    first = open_store(where)
    swap(first)
    first.close()
    assert list(path.parent.iterdir()) == [where]
    assert data_of(open_store(where)) == b"data"


def test_relative_path_stays_with_the_directory_it_was_opened_in(
    open_store: Open, path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(path.parent)
    store = open_store("app.db")
    monkeypatch.chdir(tmp_path)
    swap(store)
    assert path.exists()


def test_link_to_a_file_is_that_file(open_store: Open, path: Path) -> None:
    link = path.parent / "link.db"
    link.symlink_to(path)
    swap(open_store(link))
    assert data_of(open_store()) == b"data"


def test_creators_that_race_have_one_winner(start: Start, open_store: Open, path: Path) -> None:
    for attempt in range(4):
        where = path.with_name(f"{attempt}.db")
        creators = [start("create", where) for _ in range(4)]
        for creator in creators:
            assert creator.stdout is not None
            assert creator.stdout.readline() == "ready\n"
        for creator in creators:
            assert creator.stdin is not None
            creator.stdin.write("go\n")
            creator.stdin.flush()
        answers = sorted(creator.communicate()[0] for creator in creators)
        assert answers == ["lost\n", "lost\n", "lost\n", "won\n"]
        assert data_of(open_store(where)) == b"data"


def test_creator_that_dies_leaves_a_good_file(start: Start, open_store: Open, path: Path) -> None:
    """Before each statement in turn, until there is no further one to die before."""
    for statement in range(60):
        where = path.with_name(f"{statement}.db")
        output, errors = start("die_creating", where, statement).communicate()
        assert not errors
        store = open_store(where)
        if output == "alive\n":
            assert statement > 8
            return
        assert data_of(store) is None
        swap(store)
        assert data_of(store) == b"data"
        assert_sound(where)
    pytest.fail("it never came to an end")


@pytest.mark.parametrize("pages", [0.25, 1, 2, 3, 4])
def test_creator_that_dies_in_its_commit_leaves_a_good_file(
    start: Start, store: SQLiteSubstrate, path: Path, pages: float
) -> None:
    process = start("die_writing_files", path, int(pages * 4096))
    assert process.wait() == -signal.SIGXFSZ
    assert data_of(store) is None
    swap(store)
    assert data_of(store) == b"data"
    assert_sound(path)


def assert_sound(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# --- files that may not be used ---------------------------------------------------------------


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that every user can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        place.chmod(0o777)
        yield place


@pytest.mark.parametrize(
    ("call", "modes", "answer"),
    [
        ("read", (0o000, 0o777), "AccessDenied"),
        ("swap", (0o000, 0o777), "AccessDenied"),
        ("read", (0o444, 0o777), "data"),
        ("swap", (0o444, 0o777), "AccessDenied"),
        ("read", (0o444, 0o555), "AccessDenied"),
        ("swap", (0o444, 0o555), "AccessDenied"),
        ("swap", (0o666, 0o555), "AccessDenied"),
        ("read", (0o666, 0o000), "AccessDenied"),
        ("swap", (None, 0o555), "AccessDenied"),
        ("swap", (0o666, 0o777), "done"),
    ],
)
def test_permissions(
    start: Start, open_place: Path, call: str, modes: tuple[int | None, int], answer: str
) -> None:
    where = open_place / "app.db"
    of_file, of_directory = modes
    if of_file is not None:
        store = SQLiteSubstrate(where)
        swap(store)
        store.close()
        where.chmod(of_file)
    open_place.chmod(of_directory)
    try:
        output, errors = start("as_nobody", where, call).communicate()
    finally:
        open_place.chmod(0o777)
    assert not errors
    assert output.split()[0] == answer
    if answer == "AccessDenied":
        assert output.split()[1] == "False"
        assert "this user needs" in output


# --- files that change under an open store -----------------------------------------------------


def remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)


def test_removed_file_is_a_missing_one(store: SQLiteSubstrate, path: Path) -> None:
    token = swap(store)
    remove(path)
    assert store.read("one", token, deadline=soon()) is None
    with pytest.raises(SwapConflict) as caught:
        store.swap("one", token, b"lost", deadline=soon())
    assert caught.value.current is None
    assert not path.exists()
    swap(store, data=b"anew")
    assert data_of(store) == b"anew"
    assert path.exists()


def test_replaced_file_is_the_new_one(store: SQLiteSubstrate, open_store: Open, path: Path) -> None:
    token = swap(store)
    other = open_store(path.with_name("other.db"))
    swap(other, data=b"other")
    other.close()
    remove(path)
    path.with_name("other.db").rename(path)
    assert data_of(store) == b"other"
    with pytest.raises(SwapConflict):
        store.swap("one", token, b"lost", deadline=soon())


@pytest.mark.parametrize("with_directory", [False, True])
def test_file_removed_during_a_swap_is_never_acknowledged(
    store: SQLiteSubstrate, path: Path, with_directory: bool
) -> None:
    class Removing(dict[str, bytes]):
        def items(self) -> Any:
            remove(path)
            if with_directory:
                path.parent.rmdir()
            return super().items()

    token = swap(store)
    with pytest.raises(OutcomeUnknown, match="removed or replaced"):
        store.swap("one", token, b"lost", Removing(), deadline=soon())
    path.parent.mkdir(exist_ok=True)
    assert data_of(store) is None


# --- files that are damaged --------------------------------------------------------------------


def test_damaged_page_is_corrupt(open_store: Open, path: Path) -> None:
    store = open_store()
    swap(store)
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    path.write_bytes(content)
    for call in CALLS.values():
        store = open_store()
        with pytest.raises(Corrupt) as caught:
            call(store)
        assert caught.value.__cause__ is not None
        assert str(path) in caught.value.message
        store.close()


def test_missing_table_is_corrupt(open_store: Open, path: Path) -> None:
    store = open_store()
    swap(store)
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE register")
    with pytest.raises(Corrupt):
        data_of(open_store())


def test_truncated_file_is_corrupt(open_store: Open, path: Path) -> None:
    store = open_store()
    swap(store, data=b"x" * 100_000)
    store.close()
    os.truncate(path, 4096)
    with pytest.raises(Corrupt):
        data_of(open_store())


def test_version_nobody_wrote_is_corrupt(open_store: Open, path: Path) -> None:
    store = open_store()
    swap(store)
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 0")
    with pytest.raises(Corrupt):
        data_of(open_store())
