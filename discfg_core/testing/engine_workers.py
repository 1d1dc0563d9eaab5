"""What the workers of a race do: plain functions, because other processes import them.

Each takes a client, and returns what it was told, for the test to compare with the history.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, NamedTuple

from discfg_core.engine import Guarantee, KeyCondition, Remove, RemovePrefix
from discfg_core.errors import (
    CommitIdReused,
    ConditionFailed,
    ConfigExists,
    ConfigReplaced,
    KeyNotFound,
    NotFound,
    SchemaViolated,
)
from discfg_core.testing.engine_client import put

if TYPE_CHECKING:
    from discfg_core.model import Node
    from discfg_core.testing.engine_client import Client, Config, JudgedView, Op

# How long an observer goes on when the writers it waits for have died.
_PATIENCE = 100.0


class Told(NamedTuple):
    """What a client was told: this revision, by a call from `begin` to `end` (monotonic)."""

    client: str
    begin: float
    end: float
    revision: int
    stale: bool


def identity(client: Client) -> str:
    """A name for a client that no client of another process has."""
    return f"{os.getpid()}-{id(client)}"


def create(client: Client, name: str, number: int) -> tuple[str, int] | None:
    """Create a config; its incarnation if this worker did."""
    try:
        return client.create(name, {"by": number}).incarnation, number
    except ConfigExists:
        return None


# --- compare-and-set ----------------------------------------------------------------------


def count(client: Client, name: str, number: int, times: int) -> list[int]:
    """Count up a shared number so many times, each by compare-and-set; the numbers reached."""
    chance = random.Random(number)
    config = client.config(name)
    reached: list[int] = []
    node = config.find("count")
    while len(reached) < times:
        value = (0 if node is None else int(node.value)) + 1
        try:
            node = config.set("count", b"%d" % value, condition=_unchanged(node, chance)).node
            reached.append(value)
        except ConditionFailed as error:
            # What it carries must do as well as a read.
            node = error.node if chance.random() < 0.7 else config.find("count")
    return reached


def _unchanged(node: Node | None, chance: random.Random) -> KeyCondition:
    if node is None:
        return KeyCondition("count", absent=True)
    kinds = (
        KeyCondition("count", revision=node.revision),
        KeyCondition("count", version=node.version),
        KeyCondition("count", value=node.value),
    )
    return chance.choice(kinds)


def create_once(
    client: Client, name: str, number: int, keys: int
) -> list[tuple[bool, bytes | None, int]]:
    """Create keys that others create too; for each whether it was this one, and what is there."""
    config = client.config(name)
    told: list[tuple[bool, bytes | None, int]] = []
    for index in range(keys):
        key = f"once/{index}"
        try:
            node = config.set(key, b"%d" % number, condition=KeyCondition(key, absent=True)).node
            told.append((True, node.value, node.revision))
        except ConditionFailed as error:
            there = error.node
            told.append((False, there.value, there.revision) if there else (False, None, 0))
    return told


def delete_or_update(
    client: Client, name: str, number: int, keys: int
) -> list[tuple[bool, int | None]]:
    """Delete (odd workers) or update keys as they were at revision 1.

    Returns:
        For each whether it was this worker, and the revision of the key afterwards, ``None``
        where it is gone.
    """
    config = client.config(name)
    told: list[tuple[bool, int | None]] = []
    for index in range(keys):
        key = f"key/{index}"
        condition = KeyCondition(key, revision=1)
        try:
            if number % 2:
                config.delete(key, condition=condition)
                told.append((True, None))
            else:
                told.append((True, config.set(key, condition=condition).revision))
        except ConditionFailed as error:
            told.append((False, error.node.revision if error.node else None))
    return told


def add_one_of_few(client: Client, name: str, number: int, keys: int) -> list[int | None]:
    """Add keys to a config whose schema allows a few; the revision of each, or ``None``."""
    config = client.config(name)
    told: list[int | None] = []
    for index in range(keys):
        try:
            told.append(config.set(f"key-{number}-{index}").revision)
        except SchemaViolated:
            told.append(None)
    return told


# --- unconditional writes -----------------------------------------------------------------


def write_distinct(client: Client, name: str, number: int, times: int) -> list[tuple[str, int]]:
    """Set keys that nobody else sets; keys and revisions."""
    config = client.config(name)
    keys = [f"/worker{number}/{index}" for index in range(times)]
    return [(key, config.set(key, b"x" * (index * 997)).revision) for index, key in enumerate(keys)]


def write_by_id(client: Client, name: str, commit_id: str) -> tuple[int, int]:
    """Make a commit under a commit id that others use for the same."""
    commit = client.config(name).committed(put("by-id"), commit_id=commit_id)
    return commit.revision, commit.time_ns


def reuse_id(client: Client, name: str, number: int, rounds: int) -> list[tuple[int, bytes] | None]:
    """Make commits under ids that others use for something else.

    Returns:
        For each round revision and value of the commit told of; ``None`` where it was refused.
    """
    config = client.config(name)
    told: list[tuple[int, bytes] | None] = []
    for index in range(rounds):
        key = f"reused/{index}"
        try:
            change = config.set(key, b"%d" % number, commit_id=f"round-{index}")
            told.append((change.revision, change.node.value))
        except CommitIdReused:
            told.append(None)
    return told


def write_anything(client: Client, name: str, number: int, times: int) -> list[tuple[int, str]]:
    """Commit whatever comes, on few keys; revisions and ids of what was committed."""
    chance = random.Random(number)
    config = client.config(name)
    told = []
    for _ in range(times):
        keys = chance.sample(["a", "a/b", "a/c", "ab", "b"], 3)
        ops = [_any_op(chance, key) for key in keys]
        try:
            commit = config.commit(*ops, actor=f"worker {number}")
        except KeyNotFound:
            continue
        if commit is not None:
            told.append((commit.revision, commit.id))
    return told


def _any_op(chance: random.Random, key: str) -> Op:
    ops: tuple[Op, ...] = (
        put(key, bytes(chance.choice((1, 200, 9000)))),
        Remove(key, missing_ok=True),
        RemovePrefix(key),
        Remove(key),
    )
    return chance.choice(ops)


def write_or_replace(
    client: Client, name: str, number: int, times: int
) -> list[tuple[str, int, str]]:
    """Write to a config (odd workers), or drop it and create or bring it back.

    Returns:
        Incarnation, revision and id of each commit.
    """
    chance = random.Random(number)
    config = client.config(name)
    told = []
    for index in range(times):
        try:
            if number % 2:
                commit = config.committed(put(f"{number}/{index}"))
                assert config.handle.incarnation is not None
                told.append((config.handle.incarnation, commit.revision, commit.id))
            else:
                config.drop()
                _bring_back(client, name, chance)
        except (NotFound, ConfigReplaced):
            config = client.config(name)
    _bring_back(client, name, chance)
    return told


def _bring_back(client: Client, name: str, chance: random.Random) -> None:
    try:
        if chance.random() < 0.5 and Guarantee.UNDROP in client.engine.guarantees:
            client.undelete(name)
        else:
            client.create(name)
    except (ConfigExists, NotFound):
        pass  # another worker was first


# --- watching writers ---------------------------------------------------------------------


def write_or_observe(
    client: Client, name: str, number: int, writers: int, times: int
) -> tuple[list[Told], list[Told]]:
    """Write pairs of keys (the first `writers` workers), or read until these are done.

    Returns:
        What was read, and what was written.
    """
    config = client.config(name)
    if number < writers:
        return [], write_pairs(config, number, times)
    return observe(config, number, writers), []


def write_pairs(config: Config, number: int, times: int) -> list[Told]:
    """Commits of two keys that must always be seen alike; then a mark that this is the end."""
    who = identity(config.client)
    told = []
    for index in range(times):
        value = b"%d %d " % (number, index) + b"x" * (index % 5 * 15_000)
        begin = time.monotonic()
        commit = config.committed(put("pair/x", value), put("pair/y", value))
        told.append(Told(who, begin, time.monotonic(), commit.revision, stale=False))
    config.set(f"done/{number}")
    return told


def observe(config: Config, number: int, writers: int) -> list[Told]:
    """Read, sometimes behind, until every writer has made its mark; each view is whole."""
    chance = random.Random(number)
    who = identity(config.client)
    told = []
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        stale = chance.random() < 0.3
        begin = time.monotonic()
        view = config.view(max_staleness=3600.0 if stale else None)
        told.append(Told(who, begin, time.monotonic(), view.revision, stale))
        _assert_whole(view)
        if len(view.list("done")) == writers:
            return told
        # Not so often that the writers do not come to write.
        time.sleep(chance.random() * 0.002)
    raise AssertionError("the writers did not end")


def _assert_whole(view: JudgedView) -> None:
    x, y = view.get("pair/x"), view.get("pair/y")
    assert (x is None) == (y is None), f"revision {view.revision} has one key of a commit"
    if x is not None and y is not None:
        assert (x.revision, x.value) == (y.revision, y.value), (
            f"revision {view.revision} has a key of revision {x.revision} beside one of {y.revision}"
        )
    # Nothing is ever removed here, so the latest commit wrote the latest node.
    newest = max((node.revision for node in view.list()), default=0)
    assert newest == view.revision, f"a view of revision {view.revision} ends at {newest}"
