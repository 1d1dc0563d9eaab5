"""Code as applications write it; `test_typing` has it checked, and nothing runs it.

Each `type: ignore` stands for an error that must be found: one that is not needed is itself an
error in strict mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, assert_type

import discfg_core as discfg
from discfg_core import Change, Commit, Config, Node


def counted(n: int | None) -> int:
    return (n or 0) + 1


def opens() -> None:
    with discfg.connect("sqlite:///app.db", actor="ann", timeout=5) as store:
        assert_type(store, discfg.Store)
        assert_type(store.create_config("mycfg", {"a": 1}), Config)
        assert_type(store.config("mycfg"), Config)
        assert_type(store.configs(), list[str])
        assert_type(store.drop_config("mycfg"), discfg.ConfigInfo)
        assert_type(store.check("mycfg"), discfg.CheckReport)
        assert_type(store.guarantees, frozenset[discfg.Guarantee])
    discfg.connect("memory://", max_staleness=None, require={discfg.Guarantee.SHARED})
    discfg.connect("memory://", require={"shared"})
    discfg.connect("memory://", "ann")  # type: ignore[call-arg]  # it must be refused
    discfg.connect("memory://", timeout=None)  # type: ignore[arg-type]  # it must be refused
    discfg.conect("memory://")  # type: ignore[attr-defined]  # it must be refused


def reads(cfg: Config) -> None:
    assert_type(cfg.get("a"), Node)
    assert_type(cfg.get("a").data, Any)
    assert_type(cfg.get("a").value, bytes)
    assert_type(cfg.get("a", None), Node | None)
    assert_type(cfg.get("a", 5), Node | int)
    assert_type(cfg.get("a", default="x", max_staleness=5, timeout=1.5), Node | str)
    assert_type(cfg.get("a", max_staleness=None), Node)
    assert_type(cfg.list("db", after="db/x"), Iterator[Node])
    assert_type(cfg.document("db", at=3, max_staleness=None), dict[str, Any])
    assert_type(cfg.history("db", before=7, limit=20), Iterator[Commit])
    assert_type(cfg.outcome("id"), Commit | None)
    assert_type(cfg.new_commit_id(), str)
    cfg.get(5)  # type: ignore[call-overload]  # it must be refused
    cfg.list(limit=5)  # type: ignore[call-arg]  # it must be refused


def writes(cfg: Config) -> None:
    assert_type(cfg.set("a", {"any": ["thing"]}), Change)
    assert_type(cfg.set("a", 1, if_version=1, message="why", commit_id="id").prev_node, Node | None)
    assert_type(cfg.delete("a", if_revision=3, actor="ann", timeout=1), Change)
    assert_type(cfg.delete_prefix("db", if_config_revision=7), Commit | None)
    assert_type(cfg.update("hits", counted), Change)
    assert_type(cfg.update("hits", lambda n: (n or 0) + 1, message="why"), Change)
    assert_type(cfg.update({"a": 1, "b": "x"}), Commit | None)
    assert_type(cfg.update([("a", 1)], message="why"), Commit | None)
    cfg.update({"a": 1}, b=2)  # type: ignore[call-overload]  # it must be refused
    assert_type(cfg.update_settings({"a": 1}), Commit | None)
    cfg.set("a", 1, ttl="soon")  # type: ignore[call-arg]  # it must be refused
    cfg.set("a", 1, if_version="1")  # type: ignore[arg-type]  # it must be refused
    cfg.set("a", 1, message=None)  # type: ignore[arg-type]  # it must be refused
    cfg.update("hits", 5)  # type: ignore[call-overload]  # it must be refused
    cfg.update("hits")  # type: ignore[arg-type]  # it must be refused


def transacts(cfg: Config) -> None:
    with cfg.transaction(message="rotate", if_config_revision=7) as tx:
        assert_type(tx, discfg.ConfigTransaction)
        assert_type(tx.get("db/user"), Node | None)
        assert_type(tx.list("db"), Iterator[Node])
        tx.set("db/user", "u2", if_version=1)
        tx.delete("db/old", missing_ok=True)
        tx.delete_prefix("tmp")
        assert tx.get("db/user").data  # type: ignore[union-attr]  # it must be refused
        tx.set("db/user", "u2", message="why")  # type: ignore[call-arg]  # it must be refused
    assert_type(tx.commit, Commit | None)


def maps(cfg: Config) -> None:
    def count(mapping: Mapping[str, Any]) -> int:
        return len(mapping)

    def put(mapping: MutableMapping[str, Any]) -> None:
        mapping["a"] = 1

    count(cfg)
    put(cfg)
    assert_type(cfg["a"], Any)
    assert_type(cfg.values(), dict[str, Any])
    assert_type(list(cfg), list[str])
    assert_type(dict(cfg.items()), dict[str, Any])
    assert_type(cfg.setdefault("a", 1), Any)
    assert_type(cfg.pop("a", None), Any)
    assert_type(cfg.popitem(), tuple[str, Any])
    cfg["a"] = 1
    del cfg["a"]
    cfg[5] = 1  # type: ignore[index]  # it must be refused


def handles(cfg: Config) -> Node | None:
    try:
        return cfg.set("a", 1, if_absent=True).node
    except discfg.ConditionFailed as error:
        assert_type(error.node, Node | None)
        assert_type(error.hint, str | None)
        assert_type(error.retryable, bool)
        return error.node
    except discfg.OutcomeUnknown as error:
        assert_type(error.commit_id, str | None)
        return None
