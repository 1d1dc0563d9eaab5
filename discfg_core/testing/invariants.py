"""What must hold of every config at every moment, whatever was done to it.

The history is replayed here by the rules of the contract, in code that the engine has no part
in; then state, description and the engine's own check are held against the replay.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from discfg_core.model import Action

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discfg_core.model import Change, Commit, Node
    from discfg_core.testing.engine_client import Client, Config

# A key more than these is compared through the view alone: one request a key is slow on a
# store that is far away.
_KEYS_GOT_SINGLY = 40


def assert_sound(client: Client, name: str) -> None:
    """The config is sound, when nobody writes to it meanwhile.

    Raises:
        AssertionError: What is wrong with it.
    """
    config = client.config(name)
    info, view = config.info(), config.view()
    nodes = view.list()
    commits = config.history()

    state = replay(commits)
    assert {node.key: node for node in nodes} == state, (
        f"{name}: the history replayed gives other nodes than the list"
    )
    keys = [node.key for node in nodes]
    assert keys == sorted(set(keys)), f"{name}: the list is not sorted: {keys}"
    for node in nodes:
        assert view.get(node.key) == node, f"{name}: view.get({node.key!r}) is not what is listed"
    for node in nodes[:: max(1, len(nodes) // _KEYS_GOT_SINGLY)]:
        assert config.get(node.key) == node, f"{name}: get({node.key!r}) is not what is listed"

    assert info.name == name
    assert info.revision == view.revision == len(commits), (
        f"{name}: described at revision {info.revision}, seen at {view.revision}, "
        f"with {len(commits)} commits"
    )
    assert info.incarnation == view.incarnation
    assert info.keys == len(nodes), f"{name}: {info.keys} keys are described, {len(nodes)} listed"
    size = sum(len(node.key.encode()) + node.size for node in nodes)
    assert info.size == size, f"{name}: {info.size} bytes are described, {size} are there"
    latest = commits[0].time_ns if commits else info.created_ns
    assert info.modified_ns >= latest >= info.created_ns, f"{name}: times in the wrong order"
    _assert_settings(commits, dict(info.settings), name)
    assert_checked(client, name)


def assert_checked(client: Client, name: str) -> None:
    """The engine's own check finds nothing wrong with the config, deleted or not."""
    report = client.check(name)
    assert report.config == name
    assert report.problems == (), f"{name}: check found {report.problems}"


def replay(commits: Sequence[Commit]) -> dict[str, Node]:
    """The state that a whole history, newest first, leads to.

    Returns:
        The nodes by key.

    Raises:
        AssertionError: Revisions are not dense, times do not increase, an id is there twice
            for one actor, a commit is empty, or a change is not the next one of its key.
    """
    revisions = [commit.revision for commit in commits]
    assert revisions == list(range(len(commits), 0, -1)), f"revisions are not dense: {revisions}"
    ids = Counter((commit.actor, commit.id) for commit in commits)
    twice = [who for who, times in ids.items() if times > 1]
    assert not twice, f"commit ids that are there twice: {twice}"
    state: dict[str, Node] = {}
    before = 0
    for commit in reversed(commits):
        assert commit.time_ns > before, f"revision {commit.revision} is not later than the last"
        before = commit.time_ns
        governs = (commit.settings, commit.schema) != (None, None)
        assert commit.changes or governs, f"revision {commit.revision} changes nothing"
        keys = [change.node.key for change in commit.changes]
        assert keys == sorted(set(keys)), f"revision {commit.revision} is not sorted: {keys}"
        for change in commit.changes:
            assert_next(state.get(change.node.key), change, commit)
            if change.node.has_value:
                state[change.node.key] = change.node
            else:
                del state[change.node.key]
    return state


def assert_next(previous: Node | None, change: Change, commit: Commit) -> None:
    """The change is what this commit must have made of the node that stood there."""
    node, where = change.node, f"{change.node.key!r} at revision {commit.revision}"
    assert change.prev_node == previous, f"{where}: prev_node is not the node before"
    assert change.revision == node.revision == commit.revision, f"{where}: another revision"
    assert node.modified_ns == commit.time_ns, f"{where}: modified at another time"
    assert node.version == (previous.version if previous else 0) + 1, (
        f"{where}: version {node.version} after {previous.version if previous else 'none'}"
    )
    created = previous.created_ns if previous else commit.time_ns
    assert node.created_ns == created, f"{where}: created at another time"
    if change.action in (Action.REMOVED, Action.EXPIRED):
        assert previous is not None, f"{where}: removed an absent key"
        assert not node.has_value, f"{where}: a removed key has a value"
    else:
        expected = Action.ADDED if previous is None else Action.UPDATED
        assert change.action == expected, f"{where}: {change.action}, not {expected}"
        assert node.has_value, f"{where}: no value"


def _assert_settings(commits: Sequence[Commit], settings: dict[str, object], name: str) -> None:
    for commit in commits:
        if commit.settings is None:
            assert commit.prev_settings is None
            continue
        assert dict(commit.settings) == settings, (
            f"{name}: revision {commit.revision} left other settings than what followed it found"
        )
        assert commit.prev_settings is not None
        settings = dict(commit.prev_settings)


def assert_same_history(config: Config, other: Config) -> None:
    """Two handles tell one history."""
    assert config.history() == other.history()


class Leaks:
    """Threads and open files that were not there when this object was made."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._files = _open_files()

    def assert_none(self, patience: float = 15.0) -> None:
        """Nothing is left of what was opened since; what is just ending is waited for.

        Raises:
            AssertionError: These are left.
        """
        end = time.monotonic() + patience
        while left := self._left():
            assert time.monotonic() < end, f"left behind: {', '.join(left)}"
            time.sleep(0.05)

    def _left(self) -> list[str]:
        threads = set(threading.enumerate()) - self._threads
        files = _open_files() - self._files
        return [f"thread {thread.name}" for thread in threads] + sorted(files.elements())


def _open_files() -> Counter[str]:
    # Other systems tell a process less about its files.
    if not sys.platform.startswith("linux"):
        return Counter()
    files: Counter[str] = Counter()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            files[str(entry.readlink())] += 1
        except FileNotFoundError:  # the listing's own
            continue
    return files
