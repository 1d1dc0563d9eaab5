"""Asynchronous code as applications write it; see `usage`."""

from __future__ import annotations

from collections.abc import AsyncIterator, ItemsView, KeysView
from typing import Any, assert_type

import discfg_core as discfg
from discfg_core import Change, Commit, ConfigInfo, Node, aio
from discfg_core.aio import AsyncConfig, AsyncStore


def counted(n: int | None) -> int:
    return (n or 0) + 1


async def heard(commit: Commit) -> None: ...


async def opens() -> None:
    async with aio.connect("sqlite:///app.db", actor="ann", timeout=5, threads=8) as store:
        assert_type(store, AsyncStore)
        assert_type(await store.create_config("mycfg", {"a": 1}), AsyncConfig)
        assert_type(await store.undrop("mycfg", timeout=1), AsyncConfig)
        assert_type(store.config("mycfg"), AsyncConfig)
        assert_type(await store.configs(), list[str])
        assert_type(await store.drop_config("mycfg"), ConfigInfo)
        assert_type(await store.check("mycfg"), discfg.CheckReport)
        assert_type(store.guarantees, frozenset[discfg.Guarantee])
    assert_type(await aio.connect("memory://"), AsyncStore)
    async with AsyncStore(discfg.connect("memory://")) as store:
        await store.close()
    await aio.connect("memory://", "ann")  # type: ignore[call-arg]  # it must be refused
    await aio.connect("memory://", threads=None)  # type: ignore[arg-type]  # it must be refused
    aio.connect("memory://")  # type: ignore[unused-awaitable]  # it must be refused
    store.configs()  # type: ignore[unused-coroutine]  # it must be refused


async def reads(cfg: AsyncConfig) -> None:
    assert_type(await cfg.get("a"), Node)
    assert_type(await cfg.get("a", None), Node | None)
    assert_type(await cfg.get("a", default="x", max_staleness=5, timeout=1.5), Node | str)
    assert_type(cfg.list("db", after="db/x"), AsyncIterator[Node])
    assert_type([node async for node in cfg.list(at=3)], list[Node])
    assert_type(cfg.history("db", before=7, limit=20), AsyncIterator[Commit])
    assert_type(await cfg.values(at=3), dict[str, Any])
    assert_type(await cfg.document("db"), dict[str, Any])
    assert_type(await cfg.keys(), KeysView[str])
    assert_type(await cfg.items(), ItemsView[str, Any])
    assert_type(await cfg.diff(1), tuple[Change, ...])
    assert_type(await cfg.info(), ConfigInfo)
    assert_type(await cfg.outcome("id"), Commit | None)
    assert_type(await cfg.new_commit_id(), str)
    assert_type(cfg.name, str)
    await cfg.get(5)  # type: ignore[call-overload]  # it must be refused
    cfg.list(limit=5)  # type: ignore[call-arg]  # it must be refused
    cfg["a"]  # type: ignore[index]  # it must be refused


async def writes(cfg: AsyncConfig) -> None:
    assert_type(await cfg.set("a", 1, if_version=1, message="why", commit_id="id"), Change)
    assert_type(await cfg.delete("a", if_revision=3, actor="ann", timeout=1), Change)
    assert_type(await cfg.delete_prefix("db", if_config_revision=7), Commit | None)
    assert_type(await cfg.update("hits", counted), Change)
    assert_type(await cfg.update({"a": 1, "b": "x"}), Commit | None)
    assert_type(await cfg.replace({"a": 1}, message="why"), Commit | None)
    assert_type(await cfg.revert(3, ["a"]), Commit | None)
    assert_type(await cfg.update_settings({"a": 1}), Commit | None)
    assert_type(await cfg.set_schema({"type": "object"}, message="why"), Commit | None)
    assert_type(await cfg.pop("a", None), Any)
    assert_type(await cfg.popitem(), tuple[str, Any])
    await cfg.clear()
    await cfg.set("a", 1, ttl="soon")  # type: ignore[call-arg]  # it must be refused
    await cfg.set("a", 1, if_version="1")  # type: ignore[arg-type]  # it must be refused
    await cfg.set("a", 1, message=None)  # type: ignore[arg-type]  # it must be refused
    await cfg.update({"a": 1}, b=2)  # type: ignore[call-overload]  # it must be refused
    cfg.set("a", 1)  # type: ignore[unused-coroutine]  # it must be refused


async def transacts(cfg: AsyncConfig) -> None:
    async with cfg.transaction(message="rotate", if_config_revision=7) as tx:
        assert_type(tx, aio.AsyncTransaction)
        assert_type(await tx.get("db/user"), Node | None)
        assert_type(tx.list("db"), AsyncIterator[Node])
        tx.set("db/user", "u2", if_version=1)
        tx.delete("db/old", missing_ok=True)
        tx.delete_prefix("tmp")
        tx.check("a", if_absent=True)
        await tx.set("a", 1)  # type: ignore[misc]  # it must be refused
        tx.set("db/user", "u2", message="why")  # type: ignore[call-arg]  # it must be refused
    assert_type(tx.commit, Commit | None)


async def watches(cfg: AsyncConfig) -> None:
    async with cfg.watch("db", after=3, timeout=5) as watch:
        assert_type(watch, aio.AsyncWatch)
        async for commit in watch:
            assert_type(commit, Commit)
        assert_type(watch.revision, int)
    async for commit in cfg.watch():
        assert_type(commit, Commit)
    async with cfg.on_change(heard, "db") as subscription:
        assert_type(subscription, aio.AsyncSubscription)
    assert_type(await cfg.on_change(lambda commit: commit.revision), aio.AsyncSubscription)
    await cfg.wait_for(3, timeout=1)
    await cfg.on_change("print")  # type: ignore[arg-type]  # it must be refused
