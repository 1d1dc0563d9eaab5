"""The example that the documentation opens with, as far as it is built."""

from __future__ import annotations

from pathlib import Path

import pytest

import discfg_core as discfg


def test_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with discfg.connect("sqlite:///app.db", actor="ann") as store:
        cfg = store.create_config("mycfg")
        with pytest.raises(discfg.ConfigExists):
            store.create_config("mycfg")

        change = cfg.set("db/host", "10.0.0.1")
        assert (change.node.version, change.prev_node) == (1, None)
        assert cfg.get("/db/host").data == "10.0.0.1"
        assert cfg["db/host"] == "10.0.0.1"

        cfg.set("db/host", "10.0.0.2", if_version=1)
        with pytest.raises(discfg.ConditionFailed) as refused:
            cfg.set("db/host", "10.0.0.3", if_version=1)
        assert refused.value.node == cfg.get("db/host")

        cfg.update("hits", lambda n: (n or 0) + 1)
        assert cfg.update("hits", lambda n: (n or 0) + 1).node.data == 2

        cfg.delete("db/host")
        with pytest.raises(discfg.KeyNotFound):
            cfg.get("db/host")
        cfg.set("db/port", 5432)
        removed = cfg.delete_prefix("db")
        assert removed is not None
        assert [each.key for each in removed.changes] == ["/db/port"]

        cfg.set("db/user", "u1")
        cfg.set("db/old", True)
        with cfg.transaction(message="rotate", if_config_revision=cfg.info().revision) as tx:
            if tx.get("db/user") is not None:
                tx.set("db/user", "u2")
                tx.delete("db/old")
        assert tx.commit is not None
        assert (tx.commit.message, tx.commit.actor, len(tx.commit.changes)) == ("rotate", "ann", 2)

        assert [node.key for node in cfg.list("db")] == ["/db/user"]
        history = list(cfg.history(limit=20))
        assert history[0] == tx.commit
        assert [commit.revision for commit in history] == list(range(10, 0, -1))
        assert cfg.values() == {"/db/user": "u2", "/hits": 2}

    with discfg.connect("sqlite:///app.db") as store:
        assert store.configs() == ["mycfg"]
        assert store.config("mycfg").values() == {"/db/user": "u2", "/hits": 2}
