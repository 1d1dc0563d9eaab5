"""The register and the blobs of ``files://``: a file each.

    registers/CONFIG    16 bytes of token, then the data
    blobs/CONFIG/+BLOB  a blob; the plus sign, because one may be called ``..``
    locks/CONFIG        held by a swap while it compares and replaces
    new/RANDOM          written and synced here, then renamed to its place

No file is ever changed. It is replaced by `rename`, which POSIX makes atomic: whoever opened
the old one reads all of it, and whoever opens it afterwards finds the new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from discfg_core.backoff import Backoff
from discfg_core.engine import Finding, FindingStatus, Guarantee
from discfg_core.errors import (
    Closed,
    Corrupt,
    DiscfgError,
    OutcomeUnknown,
    StoreBusy,
    Timeout,
)
from discfg_core.substrate import (
    UNCHANGED,
    BlobInfo,
    BlobRange,
    Limits,
    Native,
    Register,
    Substrate,
    SwapConflict,
    Token,
    Unchanged,
)
from discfg_files.errors import translate

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping, Sequence

    from discfg_core.clock import Deadline

GUARANTEES: Final = frozenset({Guarantee.DURABLE, Guarantee.SHARED, Guarantee.UNDROP})
LIMITS: Final = Limits(
    register_budget=32 * 1024,
    why={"register_budget": "a swap writes all of it anew, and syncs once however small it is"},
)

_TOKEN_BYTES: Final = 16
_FIRST_LOOK: Final = 0.005
_LOW_ON_DISK: Final = 100 << 20
_STALE_SECONDS: Final = 3600.0


class FilesSubstrate:
    """Linearizable and durable, shared by the processes of one machine.

    Not for a network file system: its `flock` may be none, and its caches show old files.

    Args:
        root: The directory. It need not exist: reading finds nothing then, and the first write
            makes it.
        poll: Seconds between two looks of an idle `wait`.
    """

    scheme: Final = "files"
    guarantees: Final = GUARANTEES

    def __init__(self, root: str | os.PathLike[str], poll: float = 0.25) -> None:
        self._root = Path(root).absolute()
        self._poll = poll
        self._closed = False
        # Lock files open in this process, by descriptor; a set's methods are atomic.
        self._locks: set[int] = set()

    def limits(self, name: str) -> Limits:
        """As in `Substrate.limits`."""
        return LIMITS

    # --- registers ---

    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline
    ) -> Register | Unchanged | None:
        """As in `Substrate.read`."""
        path = self._path("registers", name)
        with (
            self._calling(name),
            contextlib.suppress(FileNotFoundError),
            path.open("rb", buffering=0) as file,
        ):
            token = file.read(_TOKEN_BYTES)
            if len(token) != _TOKEN_BYTES:
                raise Corrupt(f"{path} is no register")
            return UNCHANGED if token == known else Register(file.read(), token)
        return None

    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        """As in `Substrate.swap`."""
        token = os.urandom(_TOKEN_BYTES)
        with self._calling(name, writes_by=deadline):
            for blob, content in blobs.items():
                self._put(self._path("blobs", name, f"+{blob}"), content)
            target = self._path("registers", name)
            with self._written(token, data) as new, self._locked(name, deadline):
                current = self.read(name, deadline=deadline)
                assert not isinstance(current, Unchanged), "no token was known"
                if expected != (current and current.token):
                    raise SwapConflict(current=current)
                _make(target.parent)
                if deadline.passed():
                    raise Timeout("the deadline passed before the swap")
                # From here on it may have happened, whatever goes wrong.
                try:
                    new.replace(target)
                    _sync(target.parent)
                except OSError as error:
                    raise OutcomeUnknown(f"{target}: {error.strerror}") from error
        return token

    def names(self, *, deadline: Deadline) -> Iterator[str]:
        """As in `Substrate.names`."""
        with self._calling(None), contextlib.suppress(FileNotFoundError):
            return iter([path.name for path in self._path("registers").iterdir()])
        return iter(())

    def wait(
        self, name: str, known: Token | None, *, deadline: Deadline, cancel: threading.Event
    ) -> None:
        """As in `Substrate.wait`, by looking: often at first, every `poll` seconds when idle."""
        pause = _FIRST_LOOK
        while not (cancel.is_set() or deadline.passed()):
            found = self.read(name, known, deadline=deadline)
            if found is not (None if known is None else UNCHANGED):
                return
            cancel.wait(min(pause, deadline.remaining()))
            pause = min(pause * 2, self._poll)

    # --- blobs ---

    def get_blobs(
        self, name: str, wanted: Sequence[BlobRange], *, deadline: Deadline
    ) -> list[bytes | None]:
        """As in `Substrate.get_blobs`."""
        with self._calling(name):
            return [_part(self._path("blobs", name, f"+{part.blob}"), part) for part in wanted]

    def put_blob(self, name: str, blob: str, data: bytes, *, deadline: Deadline) -> None:
        """As in `Substrate.put_blob`; never unknown, because it is not there until it is whole."""
        with self._calling(name, writes_by=deadline):
            self._put(self._path("blobs", name, f"+{blob}"), data)

    def delete_blobs(self, name: str, blobs: Sequence[str], *, deadline: Deadline) -> None:
        """As in `Substrate.delete_blobs`."""
        for blob in blobs:
            with self._calling(name, writes_by=deadline):
                self._path("blobs", name, f"+{blob}").unlink(missing_ok=True)

    def list_blobs(self, name: str, *, deadline: Deadline) -> Iterator[BlobInfo]:
        """As in `Substrate.list_blobs`."""
        found = []
        with self._calling(name), contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self._path("blobs", name)):
                # One that is deleted meanwhile may be left out.
                with contextlib.suppress(FileNotFoundError):
                    found.append(BlobInfo(entry.name[1:], entry.stat().st_size))
        return iter(found)

    # --- the native resource of a config: there is none ---

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Takes any."""

    def provision(self, name: str, settings: Mapping[str, Any], *, deadline: Deadline) -> None:
        """Nothing to make ready."""
        self._check_open()

    def describe(self, name: str, *, deadline: Deadline) -> Native:
        """Always active."""
        self._check_open()
        return Native()

    def drop(self, name: str, expected: Token | None, *, deadline: Deadline) -> None:
        """Nothing to remove; the register stays."""
        self._check_open()

    # --- the store as a whole ---

    def diagnose(self, *, deadline: Deadline) -> Iterator[Finding]:
        """As in `Substrate.diagnose`."""
        self._check_open()
        yield Finding("server", FindingStatus.OK, f"{platform.system()}, no server")
        there = next(path for path in (self._root, *self._root.parents) if path.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            hint = "give this user the right to write there, or only read"
            yield Finding("permissions", FindingStatus.WARNING, f"{there} is read-only", hint)
        free = shutil.disk_usage(there).free
        status = FindingStatus.WARNING if free < _LOW_ON_DISK else FindingStatus.OK
        yield Finding("disk", status, f"{free >> 20} MiB free", "free some space")
        stale = sum(_is_stale(path) for path in self._path("new").glob("*"))
        if stale:
            hint = "remove them: the processes that wrote them died"
            message = f"{stale} files over an hour old in {self._path('new')}"
            yield Finding("leftovers", FindingStatus.WARNING, message, hint)

    # --- life ---

    def after_fork(self) -> None:
        """Closes the copies of the parent's locks, without unlocking: they are still the parent's.

        Else a child would keep a lock whose holder was killed.
        """
        while self._locks:
            os.close(self._locks.pop())

    def close(self) -> None:
        """Nothing is open between two calls."""
        self._closed = True

    # --- files ---

    def _path(self, *parts: str) -> Path:
        return self._root.joinpath(*parts)

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("this store was closed", engine=self.scheme)

    @contextlib.contextmanager
    def _calling(self, name: str | None, writes_by: Deadline | None = None) -> Iterator[None]:
        """A call, whose errors are ours when they leave it."""
        self._check_open()
        if writes_by is not None and writes_by.passed():
            raise Timeout("the deadline had passed", engine=self.scheme, config=name)
        try:
            yield
        except OSError as error:
            raise translate(error, self._root).locate(config=name) from error
        except DiscfgError as error:
            error.locate(engine=self.scheme, config=name)
            raise

    @contextlib.contextmanager
    def _written(self, *content: bytes) -> Iterator[Path]:
        """A new file, synced; gone at the end unless it was moved."""
        new = self._path("new", os.urandom(16).hex())
        _make(new.parent)
        try:
            with new.open("xb", buffering=0) as file:
                for part in content:
                    rest = memoryview(part)
                    while rest:
                        rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            yield new
        finally:
            # What cannot be tidied up must not hide what became of the swap.
            with contextlib.suppress(OSError):
                new.unlink()

    def _put(self, target: Path, content: bytes) -> None:
        with self._written(content) as new:
            _make(target.parent)
            new.replace(target)
            _sync(target.parent)

    @contextlib.contextmanager
    def _locked(self, name: str, deadline: Deadline) -> Iterator[None]:
        """No other swap of this config, by whatever thread or process, is past this line."""
        path = self._path("locks", name)
        _make(path.parent)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self._locks.add(lock)
        try:
            backoff = Backoff(0.001, 0.02)
            while not _try_lock(lock):
                if deadline.passed():
                    raise StoreBusy(f"{path} was locked by others all the time")
                backoff.pause(deadline)
            yield
        finally:
            # Unlocked, and not only closed: a process forked meanwhile has it open, too.
            fcntl.flock(lock, fcntl.LOCK_UN)
            self._locks.discard(lock)
            os.close(lock)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _part(path: Path, part: BlobRange) -> bytes | None:
    try:
        with path.open("rb") as file:
            rest = max(os.fstat(file.fileno()).st_size - part.start, 0)
            file.seek(part.start)
            # Python makes room for all that is asked for, and that may be more than there is.
            return file.read(rest if part.length is None else min(rest, part.length))
    except FileNotFoundError:
        return None


def _make(directory: Path) -> None:
    """Make a directory, durably."""
    if directory.is_dir():
        return
    _make(directory.parent)
    directory.mkdir(exist_ok=True)
    _sync(directory.parent)


def _sync(directory: Path) -> None:
    """Have the names in a directory survive a loss of power."""
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _is_stale(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime > _STALE_SECONDS
    return False


if TYPE_CHECKING:
    # The type checker's word that nothing of the contract is missing.
    _fits: type[Substrate] = FilesSubstrate
