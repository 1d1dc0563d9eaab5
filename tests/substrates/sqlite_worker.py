"""What a test of the SQLite substrate has another process do: ``sqlite_worker.py TASK PATH …``.

A task prints lines, ``ready`` first where it then waits for a line on its standard input.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from discfg_core.clock import Deadline
from discfg_core.errors import Closed, DiscfgError
from discfg_core.substrate import Register, SwapConflict
from discfg_core.substrates.sqlite import SQLiteSubstrate
from discfg_core.substrates.sqlite.file import Connection

NOBODY = 65534


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def await_start() -> None:
    say("ready")
    sys.stdin.readline()


def soon() -> Deadline:
    return Deadline.after(30)


def create(path: str) -> None:
    """Create register ``one`` when told to; says who won."""
    store = SQLiteSubstrate(path)
    await_start()
    try:
        store.swap("one", None, b"data", {"blob": b"data"}, deadline=soon())
        say("won")
    except SwapConflict as error:
        say("lost" if isinstance(error.current, Register) else "broken")


def die_creating(path: str, statement: str) -> None:
    """Create the database, and die before its statement of that number; says ``alive`` else."""
    left = int(statement)
    execute = Connection.execute

    def fatal(self: Connection, sql: str, *args: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(self, sql, *args)

    setattr(Connection, "execute", fatal)  # noqa: B010 - a checker refuses to assign a method
    SQLiteSubstrate(path).swap("one", None, b"data", deadline=soon())
    say("alive")


def die_writing_files(path: str, size: str) -> None:
    """Create the database, and die of the first byte beyond `size` in whatever file."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), int(size)))
    SQLiteSubstrate(path).swap("one", None, b"data", deadline=soon())
    say("alive")


def fail_writing_log(path: str, room: str, size: str) -> None:
    """Swap `size` bytes in while the log may grow by `room`; says the error's class."""
    store = SQLiteSubstrate(path)
    current = store.read("one", deadline=soon())
    assert isinstance(current, Register)
    # The log exists from here on.
    token = store.swap("one", current.token, b"before", deadline=soon())
    limit = os.stat(path + "-wal").st_size + int(room)  # noqa: PTH116 - a path as text
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        store.swap("one", token, b"x" * int(size), deadline=soon())
        say("done")
    except DiscfgError as error:
        say(type(error).__name__)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    current = store.read("one", deadline=soon())
    assert isinstance(current, Register)
    say(
        current.data == b"before",
        store.swap("one", current.token, b"after", deadline=soon()) != b"",
    )


def count(path: str) -> None:
    """Count register ``one`` up, with a blob each, until killed; says each number when done."""
    store = SQLiteSubstrate(path)
    await_start()
    current = store.read("one", deadline=soon())
    number = int(current.data) if isinstance(current, Register) else 0
    token = current.token if isinstance(current, Register) else None
    while True:
        number += 1
        token = store.swap(
            "one", token, b"%d" % number, {f"blob{number}": b"x" * 3000}, deadline=soon()
        )
        say(number)


def hold(path: str) -> None:
    """Hold the write lock until told to let go."""
    store = SQLiteSubstrate(path)

    def work(connection: Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        await_start()
        connection.execute("ROLLBACK")

    store._pool.run(work, deadline=soon(), absent=None)


def as_nobody(path: str, call: str) -> None:
    """Read or swap as a user with no rights of its own; says the answer or the error's class."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    store = SQLiteSubstrate(path)
    try:
        if call == "read":
            found = store.read("one", deadline=soon())
            say(found.data.decode() if isinstance(found, Register) else found)
        else:
            store.swap("new", None, b"data", deadline=soon())
            say("done")
    except DiscfgError as error:
        say(type(error).__name__, error.retryable, error.hint)


def fork(path: str, children: str) -> None:
    """Fork while threads write; parent, threads and children all count their own registers.

    The parent closes the store while its children are still at work. Each says how far it
    got, when all of it was acknowledged.
    """
    store = SQLiteSubstrate(path)
    stop = threading.Event()

    def count_up(name: str, steps: int) -> None:
        token = None
        done = 0
        try:
            while done < steps and not stop.is_set():
                token = store.swap(
                    name, token, b"%d" % (done + 1), {f"b{done}": b"x" * 500}, deadline=soon()
                )
                done += 1
        except Closed:
            pass
        os.write(1, f"{name} {done}\n".encode())

    threads = [threading.Thread(target=count_up, args=(f"thread{i}", 10**9)) for i in range(3)]
    for thread in threads:
        thread.start()
    pids = []
    for child in range(int(children)):
        time.sleep(0.02)
        pid = os.fork()
        if pid == 0:
            count_up(f"child{child}", 60)
            # Not os._exit: the end of an interpreter is part of what is tested.
            sys.exit()
        pids.append(pid)
    stop.set()
    for thread in threads:
        thread.join()
    store.close()
    failed = [pid for pid in pids if os.waitpid(pid, 0)[1] != 0]
    os.write(1, f"failed {len(failed)}\n".encode())


def open_files(path: str) -> list[str]:
    links = (entry.name for entry in Path("/proc/self/fd").iterdir())
    return [link for link in links if os.path.realpath(f"/proc/self/fd/{link}").startswith(path)]


def fork_unseen(path: str) -> None:
    """Fork behind Python's back, so that the child inherits open connections."""
    store = SQLiteSubstrate(path)
    token = store.swap("one", None, b"0", deadline=soon())
    pid = ctypes.PyDLL(None).fork()
    if pid == 0:
        store.after_fork()
        for again in (store, SQLiteSubstrate(path)):
            try:
                again.read("one", deadline=soon())
                say("read")
            except DiscfgError as error:
                say(type(error).__name__, error.retryable)
        inherited = open_files(path)
        store.close()
        del store, again
        gc.collect()
        say("kept", open_files(path) == inherited != [])
        sys.exit()
    status = os.waitpid(pid, 0)[1]
    # The child's end must not have taken the log away.
    token = store.swap("one", token, b"1", deadline=soon())
    say(status, os.path.exists(path + "-wal"))  # noqa: PTH110 - a path as text
    store.close()


if __name__ == "__main__":
    TASKS = (
        create,
        die_creating,
        die_writing_files,
        fail_writing_log,
        count,
        hold,
        as_nobody,
        fork,
        fork_unseen,
    )
    {task.__name__: task for task in TASKS}[sys.argv[1]](*sys.argv[2:])
