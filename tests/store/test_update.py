"""`Config.update` with a function loses no update, whoever else writes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import discfg_core as discfg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.store.conftest import Spied

Clients = tuple[discfg.Config, discfg.Config]


def count(value: int | None) -> int:
    return (value or 0) + 1


def test_it_creates_then_changes(cfg: discfg.Config) -> None:
    seen: list[Any] = []

    def note(value: Any) -> Any:
        seen.append(value)
        return {"n": len(seen)}

    first = cfg.update("a", note)
    second = cfg.update("/a", note, message="why", actor="bob")
    assert seen == [None, {"n": 1}]
    assert (first.action, second.action) == ("added", "updated")
    assert second.prev_node == first.node
    assert next(cfg.history()).message == "why"


def test_it_stores_null_where_the_function_returns_none(cfg: discfg.Config) -> None:
    assert cfg.update("a", lambda _: None).node.value == b"null"


def test_it_takes_a_content_type(cfg: discfg.Config) -> None:
    change = cfg.update("a", lambda _: "<p>", content_type="text/html")
    assert change.node.content_type == "text/html"


def test_what_the_function_raises_comes_out_as_it_is(spied: Spied) -> None:
    for raised in (ZeroDivisionError(), discfg.ConditionFailed("mine"), KeyError("mine")):

        def fail(value: Any, error: Exception = raised) -> Any:
            raise error

        with pytest.raises(type(raised)) as caught:
            spied.config.update("a", fail)
        assert caught.value is raised
        assert caught.value.__cause__ is caught.value.__context__ is None
        assert spied.take() == ["get"]


def test_it_begins_again_when_the_key_has_changed(clients: Clients) -> None:
    ours, theirs = clients
    rivals: Iterator[Callable[[], object]] = iter(
        [
            lambda: theirs.set("a", 10),
            lambda: theirs.set("a", 20),
            lambda: theirs.delete("a"),
            lambda: theirs.set("other", 1),
        ]
    )
    seen: list[int | None] = []

    def add(value: int | None) -> int:
        seen.append(value)
        next(rivals)()
        return (value or 0) + 1

    assert ours.update("a", add).node.data == 1
    assert seen == [None, 10, 20, None]


def test_a_key_that_was_away_and_came_back_is_not_the_same(clients: Clients) -> None:
    ours, theirs = clients
    ours["a"] = 1
    seen: list[int] = []

    def add(value: int) -> int:
        if not seen:
            theirs.delete("a")
            theirs["a"] = 5
        seen.append(value)
        return value + 1

    assert ours.update("a", add).node.data == 6
    assert seen == [1, 5]


def test_it_ends_by_its_timeout_with_nothing_written(clients: Clients) -> None:
    ours, theirs = clients
    theirs["a"] = 0
    began = time.monotonic()
    with pytest.raises(discfg.Timeout) as caught:
        ours.update("a", lambda n: [theirs.update("a", count), n][1] + 100, timeout=0.3)
    assert time.monotonic() - began < 5
    assert caught.value.key == "/a"
    assert theirs["a"] < 100


def test_a_store_that_may_be_stale_still_loses_nothing(url: str) -> None:
    with discfg.connect(url) as fresh, discfg.connect(url, max_staleness=3600) as stale:
        ours, theirs = fresh.create_config("mycfg"), stale.config("mycfg")
        assert len(theirs) == 0
        ours["a"] = 5
        assert theirs.update("a", count).node.data == 6


@pytest.mark.parametrize(
    "bad",
    [
        lambda cfg: cfg.update("a"),
        lambda cfg: cfg.update("a", 5),
        lambda cfg: cfg.update("a", None),
        lambda cfg: cfg.update("a", count, commit_id="x"),
        lambda cfg: cfg.update("a", count, if_config_revision=0),
        lambda cfg: cfg.update("a", count, b=1),
        lambda cfg: cfg.update("a", count, timeout=0),
        lambda cfg: cfg.update({"a": 1}, 5),
    ],
    ids=lambda each: None,
)
def test_bad_arguments_send_nothing(spied: Spied, bad: Any) -> None:
    with pytest.raises(discfg.InvalidOption) as caught:
        bad(spied.config)
    assert caught.value.hint
    assert spied.take() == []


def test_a_bad_key_or_value(spied: Spied) -> None:
    with pytest.raises(discfg.InvalidKey):
        spied.config.update("a//b", count)
    with pytest.raises(discfg.InvalidKey):
        spied.config.update({"a": 1}, count)  # type: ignore[call-overload]  # bad input, on purpose
    assert spied.take() == []
    with pytest.raises(discfg.InvalidValue):
        spied.config.update("a", lambda _: {1})


def test_many_threads_of_two_clients_lose_nothing(clients: Clients) -> None:
    each, threads = 15, 4

    def work(config: discfg.Config) -> None:
        for _ in range(each):
            config.update("hits", count)

    workers = [
        threading.Thread(target=work, args=(client,)) for client in clients for _ in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    total = each * len(workers)
    assert clients[0]["hits"] == clients[0].get("hits").version == total
    written = [commit.changes[0].node.data for commit in clients[1].history("hits")]
    assert written == list(range(total, 0, -1))


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    each = 40
    url = f"sqlite:///{tmp_path}/store.db"
    script = (
        "import sys, discfg_core as discfg\n"
        "with discfg.connect(sys.argv[1], actor=sys.argv[2]) as store:\n"
        "    cfg = store.config('mycfg')\n"
        "    print('ready', flush=True); sys.stdin.readline()\n"
        f"    for _ in range({each}): cfg.update('hits', lambda n: (n or 0) + 1)\n"
    )
    with discfg.connect(url) as store:
        cfg = store.create_config("mycfg")
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", script, url, name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={"PYTHONPATH": ":".join(sys.path)},
            )
            for name in ("one", "two")
        ]
        try:
            for worker in workers:
                assert worker.stdout is not None
                assert worker.stdout.readline() == "ready\n"
            for worker in workers:
                assert worker.stdin is not None
                worker.stdin.write("go\n")
                worker.stdin.flush()
            assert [worker.wait(120) for worker in workers] == [0, 0]
        finally:
            for worker in workers:
                worker.kill()
                worker.communicate()
        assert cfg["hits"] == cfg.info().revision == 2 * each
        actors = [commit.actor for commit in cfg.history()]
        assert actors.count("one") == actors.count("two") == each
