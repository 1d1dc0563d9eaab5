"""The event loop is not blocked; what becomes of calls that are cancelled, and of a closed loop."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

import discfg_core as discfg
from discfg_core import aio
from discfg_core import store as store_module
from tests.aio.conftest import PATIENCE_SECONDS, until, waiting_threads

if TYPE_CHECKING:
    from pathlib import Path

    from discfg_core.aio import AsyncStore
    from tests.aio.conftest import Held


def test_the_loop_goes_on_while_calls_are_slow(store: AsyncStore, held: Held) -> None:
    async def main() -> None:
        cfg = store.config("c")
        await cfg.set("a", 1)
        held.hold("read", "swap")
        calls: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(cfg.get("a")),
            asyncio.ensure_future(cfg.set("b", 1)),
            asyncio.ensure_future(anext(cfg.list())),
            asyncio.ensure_future(anext(cfg.history())),
        ]
        for _ in range(100):
            await asyncio.sleep(0.001)
        assert held.reached.is_set()
        assert not any(call.done() for call in calls)
        held.let_go()
        await asyncio.gather(*calls)
        await store.close()

    asyncio.run(main())


def test_a_call_that_no_thread_has_begun_never_happens(sync: discfg.Store, held: Held) -> None:
    store = aio.AsyncStore(sync, threads=1)

    async def main() -> None:
        cfg = store.config("c")
        held.hold("swap")
        first = asyncio.create_task(cfg.set("a", 1))
        await until(held.reached.is_set)
        second = asyncio.create_task(cfg.set("b", 1))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        held.let_go()
        await first
        assert await cfg.values() == {"/a": 1}
        assert (await cfg.info()).revision == 1
        await store.close()

    asyncio.run(main())


def test_a_call_that_has_begun_goes_on_and_can_be_asked_about(
    store: AsyncStore, held: Held
) -> None:
    async def main() -> None:
        cfg = store.config("c")
        commit_id = await cfg.new_commit_id()
        held.hold("swap")
        write = asyncio.create_task(cfg.set("a", 1, commit_id=commit_id))
        await until(held.reached.is_set)
        write.cancel()
        with pytest.raises(asyncio.CancelledError):
            await write
        assert held.calls[-1] == "swap"
        held.let_go()
        await cfg.wait_for(1)
        commit = await cfg.outcome(commit_id)
        assert commit is not None
        again = await cfg.set("a", 1, commit_id=commit_id)
        assert again.revision == commit.revision == (await cfg.info()).revision == 1
        await store.close()

    asyncio.run(main())


def test_a_time_out_of_the_task_s_own(store: AsyncStore, held: Held) -> None:
    async def main() -> None:
        held.hold("read")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(store.config("c").info(), 0.05)
        held.let_go()
        await store.close()

    asyncio.run(main())


def test_wait_for(store: AsyncStore) -> None:
    async def main() -> None:
        cfg = store.config("c")
        waiting = asyncio.create_task(cfg.wait_for(2))
        await cfg.set("a", 1)
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await cfg.set("a", 2)
        await waiting
        cancelled = asyncio.create_task(cfg.wait_for(9, timeout=86_400))
        await until(waiting_threads)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        await until(lambda: not waiting_threads())
        await store.close()

    asyncio.run(main())


class TestClosing:
    def test_later_calls_raise_closed(self, store: AsyncStore) -> None:
        async def main() -> None:
            async with store:
                cfg = store.config("c")
                await cfg.set("a", 1)
            for call in (cfg.get("a"), cfg.set("a", 1), store.configs(), cfg.wait_for(9)):
                with pytest.raises(discfg.Closed):
                    await call
            for items in (cfg.list(), cfg.history(), cfg.watch()):
                with pytest.raises(discfg.Closed):
                    await anext(items)
            with pytest.raises(discfg.Closed):
                async with cfg.transaction() as tx:
                    tx.set("a", 1)
            with pytest.raises(discfg.Closed):
                await cfg.on_change(print)
            await store.close()

        asyncio.run(main())

    def test_it_waits_for_calls_under_way_and_leaves_no_thread(
        self, store: AsyncStore, held: Held
    ) -> None:
        async def main() -> None:
            cfg = store.config("c")
            held.hold("swap")
            write = asyncio.create_task(cfg.set("a", 1))
            await until(held.reached.is_set)
            closing = asyncio.create_task(store.close())
            await asyncio.sleep(0.05)
            assert not closing.done()
            held.let_go()
            await closing
            assert write.done() or await asyncio.wait([write])

            assert not [
                each.name for each in threading.enumerate() if each.name.startswith("discfg-aio_")
            ]
            assert write.exception() is None or isinstance(write.exception(), discfg.DiscfgError)

        asyncio.run(main())

    def test_a_store_given_is_closed_too(self, sync: discfg.Store) -> None:
        async def main() -> None:
            async with aio.AsyncStore(sync):
                pass
            with pytest.raises(discfg.Closed):
                sync.configs()

        asyncio.run(main())

    def test_a_store_that_nobody_waits_for_any_more_is_closed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect = store_module.connect
        reached, release = threading.Event(), threading.Event()
        made: list[discfg.Store] = []

        def slowly(*args: Any, **kwargs: Any) -> discfg.Store:
            reached.set()
            assert release.wait(PATIENCE_SECONDS)
            made.append(connect(*args, **kwargs))
            return made[0]

        def closed() -> bool:
            try:
                made[0].configs()
            except discfg.Closed:
                return True
            return False

        monkeypatch.setattr(store_module, "connect", slowly)

        async def main() -> None:
            opening = asyncio.ensure_future(aio.connect("memory://"))
            await until(reached.is_set)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            release.set()
            await until(lambda: made and closed())

        asyncio.run(main())


class TestLoopThatIsClosedEarly:
    def test_what_was_under_way_is_done_and_the_store_goes_on(
        self, store: AsyncStore, held: Held, caplog: pytest.LogCaptureFixture
    ) -> None:
        loop = asyncio.new_event_loop()
        held.hold("swap")

        async def begin() -> tuple[asyncio.Task[Any], asyncio.Task[Any]]:
            cfg = store.config("c")
            watch = asyncio.create_task(anext(cfg.watch(after=0, prefix="other")))
            write = asyncio.create_task(cfg.set("a", 1))
            await until(held.reached.is_set)
            await until(waiting_threads)
            return write, watch

        left = loop.run_until_complete(begin())
        loop.close()
        held.let_go()

        async def look() -> None:
            cfg = store.config("c")
            await cfg.wait_for(1)
            assert await cfg.values() == {"/a": 1}
            await store.close()
            await until(lambda: not waiting_threads())

        asyncio.run(look())
        del left
        gc.collect()
        # That tasks were left is what asyncio says of it; nothing of ours fails.
        assert {record.name for record in caplog.records} <= {"asyncio"}
        assert all("was destroyed" in record.getMessage() for record in caplog.records)

    def test_it_goes_on_in_a_forked_process(self, tmp_path: Path) -> None:
        code = """
import asyncio, os, sys, warnings
warnings.simplefilter("ignore")  # that threads do not come along is what is tested
from discfg_core import aio

async def begin():
    store = await aio.connect(f"sqlite:///{sys.argv[1]}/app.db")
    cfg = await store.create_config("c")
    await asyncio.gather(*(cfg.set(f"k/{n}", n) for n in range(8)))
    return store

async def write(store, key):
    await asyncio.gather(*(store.config("c").set(f"{key}/{n}", n) for n in range(8)))
    await store.close()

store = asyncio.run(begin())
child = os.fork()
if child == 0:
    asyncio.run(write(store, "child"))
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
asyncio.run(write(store, "parent"))
"""
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=60, check=True)
        with discfg.connect(f"sqlite:///{tmp_path}/app.db") as store:
            assert len(store.config("c")) == store.config("c").info().revision == 24

    def test_a_watch_that_nobody_ended_keeps_no_process_alive(self) -> None:
        code = """
import asyncio
from discfg_core import aio

async def main():
    store = await aio.connect("memory://")
    cfg = await store.create_config("c")
    waiting = asyncio.ensure_future(cfg.watch(after=0).__anext__())
    subscription = await cfg.on_change(print)
    await cfg.set("a", 1)
    await waiting
    asyncio.ensure_future(cfg.watch().__anext__())
    await asyncio.sleep(0.05)

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
print("the end")
"""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout.endswith("the end\n")
