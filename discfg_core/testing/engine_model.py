"""A config as a plain dict: what the random histories hold an engine against.

It shares no helper with the engines, not even how a key is spelled: keys are tuples of segments
here, from a small alphabet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discfg_core.model import Commit, Node

Path = tuple[str, ...]


def spelled(path: Path) -> str:
    """A path as engines write it."""
    return "/" + "/".join(path)


class Entry(NamedTuple):
    """A key's node."""

    value: bytes
    content_type: str
    version: int
    revision: int
    created: int
    modified: int


class Write(NamedTuple):
    """An operation: ``put``, ``remove``, ``remove if there`` or ``remove prefix``."""

    kind: str
    path: Path
    value: bytes = b""
    content_type: str = ""

    def __repr__(self) -> str:
        return f"Write({self.kind}, {self.path}, {self.value[:5]!r} ({len(self.value)} bytes))"


class Test(NamedTuple):
    """A condition, on a key or (``prefix``) on all below it.

    Attributes:
        kind: ``absent``, ``version``, ``revision``, ``value`` or ``prefix``.
        path: The key or prefix.
        wanted: What it must be; for ``prefix`` the revisions by path that must be there.
    """

    kind: str
    path: Path
    wanted: Any = None


class Request(NamedTuple):
    """A transaction."""

    writes: tuple[Write, ...] = ()
    tests: tuple[Test, ...] = ()
    revision: int | None = None
    settings: dict[str, Any] | None = None
    actor: str = ""
    message: str = ""
    commit_id: str | None = None


class Made(NamedTuple):
    """A commit: what it left of each path it changed (``None``: nothing), and what was there."""

    request: Request
    changes: dict[Path, tuple[Entry | None, Entry | None]]
    settings: tuple[dict[str, Any], dict[str, Any]] | None
    told: Commit


class Effect(NamedTuple):
    """What a request would do: the values to be, by path, for each path that changes."""

    changes: dict[Path, tuple[bytes, str] | None]
    settings: dict[str, Any] | None


class Refused(Exception):
    """Raised for a request that must be refused.

    Attributes:
        code: The code of the error that says so.
        entries: For a failed condition: the entries of which one stands there instead.
    """

    def __init__(self, code: str, entries: Sequence[tuple[Path, Entry] | None] = ()) -> None:
        super().__init__(code)
        self.code = code
        self.entries = entries


class Life:
    """A config in one incarnation.

    Attributes:
        states: The entries at each revision, from 0.
        commits: Those made; the first is revision 1.
    """

    def __init__(self, incarnation: str, settings: dict[str, Any]) -> None:
        self.incarnation = incarnation
        self.settings = settings
        self.states: list[dict[Path, Entry]] = [{}]
        self.commits: list[Made] = []

    @property
    def revision(self) -> int:
        """The latest."""
        return len(self.commits)

    @property
    def entries(self) -> dict[Path, Entry]:
        """Now."""
        return self.states[-1]

    def below(self, prefix: Path, revision: int | None = None) -> dict[Path, Entry]:
        """The entries of a prefix and below it, in the order of their keys."""
        state = self.entries if revision is None else self.states[revision]
        found = {path: entry for path, entry in state.items() if path[: len(prefix)] == prefix}
        return dict(sorted(found.items(), key=lambda item: spelled(item[0])))

    def revisions(self, prefix: Path) -> dict[Path, int]:
        """The revisions of the entries below a prefix."""
        return {path: entry.revision for path, entry in self.below(prefix).items()}

    def made_with(self, actor: str, commit_id: str) -> Made | None:
        """The commit an actor made under an id."""
        for made in self.commits:
            if (made.request.actor, made.told.id) == (actor, commit_id):
                return made
        return None

    # --- what a request does ---

    def judge(self, request: Request) -> Effect | None:
        """The effect; ``None`` for none.

        Raises:
            Refused: It must be.
        """
        failed = [self._standing(test) for test in request.tests if not self._holds(test)]
        if request.revision not in (None, self.revision):
            failed.append(None)
        if failed:
            raise Refused("condition_failed", failed)
        now: dict[Path, tuple[bytes, str] | None] = {
            path: (entry.value, entry.content_type) for path, entry in self.entries.items()
        }
        touched: set[Path] = set()
        for write in request.writes:
            touched |= _carry_out(write, now)
        changes = {path: now.get(path) for path in touched if now.get(path) or path in self.entries}
        settings = None if request.settings == self.settings else request.settings
        return Effect(changes, settings) if changes or settings is not None else None

    def _holds(self, test: Test) -> bool:
        if test.kind == "prefix":
            return bool(self.revisions(test.path) == test.wanted)
        entry = self.entries.get(test.path)
        if entry is None or test.kind == "absent":
            return entry is None and test.kind == "absent"
        return bool(getattr(entry, test.kind) == test.wanted)

    def _standing(self, test: Test) -> tuple[Path, Entry] | None:
        entry = None if test.kind == "prefix" else self.entries.get(test.path)
        return None if entry is None else (test.path, entry)

    def apply(self, request: Request, effect: Effect, told: Commit) -> Made:
        """Make the commit that an engine made, at the time it says."""
        revision, time = self.revision + 1, told.time_ns
        state = dict(self.entries)
        changes: dict[Path, tuple[Entry | None, Entry | None]] = {}
        for path, wanted in effect.changes.items():
            old = state.pop(path, None)
            new = None
            if wanted is not None:
                created = time if old is None else old.created
                version = 1 if old is None else old.version + 1
                new = Entry(*wanted, version, revision, created, time)
                state[path] = new
            changes[path] = (new, old)
        settings = None
        if effect.settings is not None:
            settings = (effect.settings, self.settings)
            self.settings = effect.settings
        made = Made(request, changes, settings, told)
        self.states.append(state)
        self.commits.append(made)
        return made


def _carry_out(write: Write, now: dict[Path, tuple[bytes, str] | None]) -> set[Path]:
    if write.kind == "put":
        now[write.path] = (write.value, write.content_type)
        return {write.path}
    if write.kind == "remove prefix":
        gone = {path for path in now if path[: len(write.path)] == write.path}
    else:
        gone = {write.path} & set(now)
        if not gone and write.kind == "remove":
            raise Refused("key_not_found")
    for path in gone:
        del now[path]
    return gone


# --- an engine's answers held against it ---------------------------------------------------


def assert_node(node: Node | None, path: Path, entry: Entry | None) -> None:
    """The node is the entry's."""
    assert (node is None) == (entry is None), f"{spelled(path)}: {node} instead of {entry}"
    if node is None or entry is None:
        return
    assert node.key == spelled(path)
    found = Entry(
        node.value,
        node.content_type,
        node.version,
        node.revision,
        node.created_ns,
        node.modified_ns,
    )
    assert found == entry, f"{node.key}: {found} instead of {entry}"


def assert_commit(commit: Commit, made: Made, revision: int) -> None:
    """The commit is the one made."""
    request = made.request
    assert (commit.revision, commit.actor, commit.message) == (
        revision,
        request.actor,
        request.message,
    )
    assert commit.time_ns == made.told.time_ns
    assert commit.id == made.told.id
    if request.commit_id is not None:
        assert commit.id == request.commit_id
    changed = sorted(made.changes, key=spelled)
    assert [change.node.key for change in commit.changes] == [spelled(path) for path in changed]
    for path, change in zip(changed, commit.changes, strict=True):
        new, old = made.changes[path]
        assert_node(change.prev_node, path, old)
        assert change.revision == revision
        if new is not None:
            assert change.action == ("added" if old is None else "updated")
            assert_node(change.node, path, new)
            continue
        assert old is not None
        assert change.action == "removed"
        assert not change.node.has_value
        assert (change.node.version, change.node.revision) == (old.version + 1, revision)
    settings = None if commit.settings is None else dict(commit.settings)
    before = None if commit.prev_settings is None else dict(commit.prev_settings)
    assert (settings, before) == (made.settings or (None, None))
