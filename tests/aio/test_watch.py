"""`AsyncConfig.watch` and `on_change`: lossless through cancellations, and no thread is left."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

import discfg_core as discfg
from discfg_core.aio import AsyncStore
from tests.aio.conftest import PATIENCE_SECONDS, until, waiting_threads

if TYPE_CHECKING:
    from discfg_core import Commit
    from discfg_core.aio import AsyncSubscription, AsyncWatch
    from tests.aio.conftest import Held


def test_commits_come_in_order_once(store: AsyncStore) -> None:
    async def main() -> None:
        cfg = store.config("c")
        await cfg.set("a", 0)
        async with cfg.watch() as now, cfg.watch(after=0, timeout=0.2) as all_of_them:
            assert (now.revision, all_of_them.revision) == (1, 0)
            for number in range(150):
                await cfg.set("a", number)
            assert [c.revision async for c in all_of_them] == list(range(1, 152))
            assert all_of_them.revision == 151
            assert (await anext(now)).revision == 2
            assert now.stale_for < 60
        assert [c.revision async for c in cfg.watch("b", after=0, timeout=0.05)] == []
        await store.close()

    asyncio.run(main())


def test_it_goes_on_where_it_is_first_iterated(store: AsyncStore) -> None:
    async def main() -> None:
        cfg = store.config("c")
        watch = cfg.watch()
        assert (watch.revision, watch.stale_for) == (0, 0)
        await cfg.set("a", 1)
        waiting = asyncio.ensure_future(watch.__anext__())
        await until(waiting_threads)
        await cfg.set("a", 2)
        assert (await waiting).revision == 2
        await watch.close()
        await store.close()

    asyncio.run(main())


def test_cancelling_loses_nothing(store: AsyncStore, sync: discfg.Store) -> None:
    theirs = sync.config("c")
    done = threading.Event()

    def write() -> None:
        for number in range(300):
            theirs.set(f"k/{number % 3}", number)
        done.set()

    async def main() -> None:
        told: list[int] = []
        cancelled = 0
        writer = threading.Thread(target=write)
        watch = store.config("c").watch("k/1", after=0)
        writer.start()
        while len(told) < 100:
            task = asyncio.ensure_future(watch.__anext__())
            # At any moment of it: before its thread has begun, and after it has the commit.
            for _ in range(cancelled % 40):
                await asyncio.sleep(0)
            task.cancel()
            try:
                told.append((await task).revision)
            except asyncio.CancelledError:
                cancelled += 1
            if len(told) < 100 and (cancelled % 40 == 39 or done.is_set()):
                told.append((await watch.__anext__()).revision)
        writer.join()
        assert told == [commit.revision for commit in reversed([*theirs.history("k/1")])]
        assert cancelled > 0
        await watch.close()
        await store.close()

    asyncio.run(main())


def test_what_came_too_late_for_a_cancelled_task_comes_again(
    store: AsyncStore, sync: discfg.Store
) -> None:
    def write_and_wait_for_the_thread() -> None:
        sync.config("c").set("a", 1)
        # The loop is blocked here, so that it cannot hear what the thread has.
        for thread in threading.enumerate():
            if thread.name == "discfg-aio-wait":
                thread.join(PATIENCE_SECONDS)

    async def main() -> None:
        watch = store.config("c").watch()
        task = asyncio.create_task(watch.__anext__())
        await until(waiting_threads)
        write_and_wait_for_the_thread()
        assert not waiting_threads()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert watch.revision == 0
        assert (await anext(watch)).revision == watch.revision == 1
        await watch.close()
        await store.close()

    asyncio.run(main())


def test_a_cancelled_task_leaves_no_thread(store: AsyncStore) -> None:
    async def follow(watch: AsyncWatch) -> None:
        async for _ in watch:
            pass

    async def main() -> None:
        cfg = store.config("c")
        watches = [cfg.watch() for _ in range(5)]
        # The watches are kept: it is the cancellation that ends the threads.
        tasks = [asyncio.create_task(follow(watch)) for watch in watches]
        await until(lambda: len(waiting_threads()) == 5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: not waiting_threads())
        await store.close()

    asyncio.run(main())


def test_closing_ends_it(store: AsyncStore) -> None:
    async def main() -> None:
        cfg = store.config("c")
        async with cfg.watch() as watch:
            waiting = asyncio.ensure_future(watch.__anext__())
            await until(waiting_threads)
        with pytest.raises(StopAsyncIteration):
            await waiting
        await cfg.set("a", 1)
        assert [commit async for commit in watch] == []
        await watch.close()
        await until(lambda: not waiting_threads())
        await store.close()

    asyncio.run(main())


def test_it_ends_with_its_store(store: AsyncStore) -> None:
    async def main() -> None:
        waiting = asyncio.ensure_future(store.config("c").watch().__anext__())
        await until(waiting_threads)
        await store.close()
        with pytest.raises(discfg.Closed):
            await waiting

    asyncio.run(main())


def test_watches_take_no_thread_from_calls(sync: discfg.Store) -> None:
    store = AsyncStore(sync, threads=1)

    async def main() -> None:
        cfg = store.config("c")
        waiting = [asyncio.ensure_future(cfg.watch().__anext__()) for _ in range(10)]
        await until(lambda: len(waiting_threads()) == 10)
        await cfg.set("a", 1)
        assert {commit.revision for commit in await asyncio.gather(*waiting)} == {1}
        await store.close()

    asyncio.run(main())


def test_two_tasks_share_one_watch(store: AsyncStore) -> None:
    async def main() -> None:
        cfg = store.config("c")
        watch = cfg.watch(after=0)
        both = asyncio.gather(watch.__anext__(), watch.__anext__())
        await cfg.set("a", 1)
        await cfg.set("a", 2)
        assert {commit.revision for commit in await both} == {1, 2}
        await watch.close()
        await store.close()

    asyncio.run(main())


def test_it_says_that_it_is_stale_and_goes_on(
    store: AsyncStore, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: Any, **kwargs: Any) -> None:
        raise discfg.StoreUnavailable("away")

    async def main() -> None:
        cfg = store.config("c")
        async with cfg.watch(stale_after=0.2) as watch:
            monkeypatch.setattr(held, "read", away, raising=False)
            monkeypatch.setattr(held, "wait", away, raising=False)
            for _ in range(2):
                with pytest.raises(discfg.WatchStale):
                    await anext(watch)
            monkeypatch.undo()
            await cfg.set("a", 1)
            assert (await anext(watch)).revision == 1
        await store.close()

    asyncio.run(main())


class TestOnChange:
    def test_calls_in_the_loop_one_after_the_other(self, store: AsyncStore) -> None:
        async def main() -> None:
            cfg = store.config("c")
            plain: list[Any] = []
            awaited: list[Any] = []

            def heard(commit: Commit) -> None:
                plain.append((commit.revision, asyncio.get_running_loop()))

            async def heard_too(commit: Commit) -> None:
                awaited.append(-commit.revision)
                await asyncio.sleep(0.01)
                awaited.append(commit.revision)

            async with cfg.on_change(heard, "a", after=0) as subscription:
                other = await cfg.on_change(heard_too)
                await cfg.set("a", 1)
                await cfg.set("b", 1)
                await cfg.set("a/b", 2)
                await until(lambda: len(plain) == 2 and len(awaited) == 6)
            await other.close()
            assert not subscription.alive
            assert not other.alive
            assert subscription.error is other.error is None
            loop = asyncio.get_running_loop()
            assert plain == [(1, loop), (3, loop)]
            assert awaited == [-1, 1, -2, 2, -3, 3]
            await cfg.set("a", 3)
            await asyncio.sleep(0.05)
            assert len(plain) == 2
            await store.close()

        asyncio.run(main())

    def test_ends_with_an_error_of_its_function(
        self, store: AsyncStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def broken(commit: Commit) -> None:
            raise ValueError(f"cannot take revision {commit.revision}")

        async def main() -> None:
            cfg = store.config("c")
            subscription = await cfg.on_change(broken)
            await cfg.set("a", 1)
            await until(lambda: not subscription.alive)
            assert str(subscription.error) == "cannot take revision 1"
            await subscription.close()
            await store.close()

        asyncio.run(main())
        assert "cannot take revision 1" in caplog.text

    def test_can_be_closed_by_its_function(self, store: AsyncStore) -> None:
        async def main() -> None:
            cfg = store.config("c")
            made: list[AsyncSubscription] = []
            seen: list[int] = []

            async def once(commit: Commit) -> None:
                seen.append(commit.revision)
                await made[0].close()

            made.append(await cfg.on_change(once))
            await cfg.set("a", 1)
            await cfg.set("a", 2)
            await until(lambda: not made[0].alive)
            assert (seen, made[0].error) == ([1], None)
            await store.close()

        asyncio.run(main())

    def test_closing_waits_for_the_function(self, store: AsyncStore) -> None:
        async def main() -> None:
            cfg = store.config("c")
            begun, ended = asyncio.Event(), asyncio.Event()

            async def slow(commit: Commit) -> None:
                begun.set()
                await asyncio.sleep(0.1)
                ended.set()

            async with cfg.on_change(slow):
                await cfg.set("a", 1)
                await begun.wait()
            assert ended.is_set()
            await store.close()

        asyncio.run(main())

    def test_ends_where_its_loop_is_closed(
        self, store: AsyncStore, sync: discfg.Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def main() -> AsyncSubscription:
            return await store.config("c").on_change(print)

        subscription = asyncio.run(main())
        sync.config("c").set("a", 1)
        asyncio.run(until(lambda: not subscription.alive))
        assert isinstance(subscription.error, RuntimeError)
        assert "loop is closed" in caplog.text
        sync.close()
