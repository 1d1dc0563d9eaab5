"""What is awaited is what the synchronous call gives, raises, and writes."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

import discfg_core as discfg
from discfg_core import aio
from discfg_core.aio import AsyncConfig, AsyncStore, AsyncTransaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.aio.conftest import Held


async def all_of(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


def test_the_main_job(url: str) -> None:
    async def main() -> None:
        async with aio.connect(url, actor="ann") as store:
            cfg = await store.create_config("mycfg", {"a": 1})
            change = await cfg.set("db/host", "10.0.0.1")
            assert (change.node.version, change.prev_node) == (1, None)
            with pytest.raises(discfg.ConditionFailed) as caught:
                await cfg.set("db/host", "x", if_version=2)
            assert caught.value.node == change.node
            assert (await cfg.get("db/host")).data == "10.0.0.1"
            assert await cfg.get("absent", None) is None
            await cfg.update("hits", lambda n: (n or 0) + 1)
            await cfg.update({"b": 1, "c": [2]}, message="two")
            assert (await cfg.delete("b")).prev_node is not None
            assert await cfg.values() == {"/c": [2], "/db/host": "10.0.0.1", "/hits": 1}
            assert [commit.actor async for commit in cfg.history(limit=2)] == ["ann", "ann"]
            assert (await store.configs(), cfg.name) == (["mycfg"], "mycfg")
            await store.drop_config("mycfg")
            again = await store.undrop("mycfg")
            assert (await again.info()).settings == {"a": 1}

    asyncio.run(main())


def test_reads_are_equal(sync: discfg.Store, store: AsyncStore) -> None:
    theirs = sync.config("c")
    for number in range(250):
        theirs.set(f"a/{number % 7}", number)
    theirs.update({f"many/{number:03}": b"x" * number for number in range(250)})
    theirs.set("large", b"x" * 2_000_000)

    async def main() -> None:
        cfg = store.config("c")
        assert await cfg.info() == theirs.info()
        assert await cfg.get("a/3") == theirs.get("a/3")
        assert await cfg.get("a/3", at=20) == theirs.get("a/3", at=20)
        assert await all_of(cfg.list()) == list(theirs.list())
        assert await all_of(cfg.list("a", after="a/2", at=9)) == list(
            theirs.list("a", after="a/2", at=9)
        )
        assert await all_of(cfg.history()) == list(theirs.history())
        assert await all_of(cfg.history("a/1", oldest_first=True, limit=3)) == list(
            theirs.history("a/1", oldest_first=True, limit=3)
        )
        assert await cfg.values() == theirs.values()
        assert await cfg.document("a") == theirs.document("a")
        assert await cfg.keys() == theirs.keys()
        assert await cfg.items() == theirs.items()
        assert await cfg.diff(3, 30) == theirs.diff(3, 30)
        commit_id = await cfg.new_commit_id()
        change = await cfg.set("z", 1, commit_id=commit_id)
        assert await cfg.outcome(commit_id) == theirs.outcome(commit_id)
        assert change.node == theirs.get("z")
        assert await store.configs() == sync.configs()
        assert await store.check("c") == sync.check("c")
        assert (store.engine, store.guarantees) == (sync.engine, sync.guarantees)
        await store.close()

    asyncio.run(main())


def test_writes_are_there(sync: discfg.Store, store: AsyncStore) -> None:
    async def main() -> None:
        cfg, theirs = store.config("c"), sync.config("c")
        await cfg.replace({"a": 1, "b/c": 2, "b/d": 3})
        assert theirs.values() == {"/a": 1, "/b/c": 2, "/b/d": 3}
        assert await cfg.pop("a") == 1
        assert await cfg.setdefault("a", 4) == 4
        assert await cfg.popitem() == ("/a", 4)
        await cfg.delete_prefix("b")
        assert theirs.values() == {}
        commit = await cfg.revert(1)
        assert commit is not None
        assert (commit.reverted_to, theirs["a"]) == (1, 1)
        await cfg.update_settings({"x": 1})
        assert theirs.info().settings == {"x": 1}
        await cfg.set_schema({"properties": {"a": {"type": "integer"}}})
        assert await cfg.schema() == theirs.schema() is not None
        with pytest.raises(discfg.SchemaViolated):
            await cfg.set("a", "text")
        assert await cfg.check_schema() == ()
        await cfg.drop_schema()
        assert theirs.schema() is None
        await cfg.clear()
        assert len(theirs) == 0
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "call",
    [
        lambda cfg: cfg.get("absent"),
        lambda cfg: cfg.get("a//b"),
        lambda cfg: cfg.get("a", at=99),
        lambda cfg: cfg.get("a", timeout=-1),
        lambda cfg: cfg.set("a", {1}),
        lambda cfg: cfg.set("a", 1, if_absent=True),
        lambda cfg: cfg.set("a", 1, if_config_revision=7, actor="x" * 300),
        lambda cfg: cfg.set("a", 1, ttl=5),
        lambda cfg: cfg.delete("absent"),
        lambda cfg: cfg.update("a"),
        lambda cfg: cfg.update("a", lambda n: n / 0),
        lambda cfg: cfg.revert(99),
        lambda cfg: cfg.diff(-1),
        lambda cfg: cfg.outcome(""),
        lambda cfg: cfg.pop("absent"),
        lambda cfg: cfg.wait_for(0),
        lambda cfg: cfg.wait_for(9, timeout=0.05),
        lambda cfg: cfg.values(at=datetime(2001, 1, 1)),  # noqa: DTZ001 - a time without a zone is what is refused
        lambda cfg: cfg.document("."),
        lambda cfg: cfg.info(5),
    ],
)
def test_errors_are_the_same(
    sync: discfg.Store, store: AsyncStore, call: Callable[[Any], Any]
) -> None:
    theirs = sync.config("c")
    theirs.set("a", 1)
    with pytest.raises(Exception) as expected:  # noqa: PT011 - which one is what is compared
        call(theirs)

    async def main() -> None:
        with pytest.raises(type(expected.value)) as caught:
            await call(store.config("c"))
        assert type(caught.value) is type(expected.value)
        assert str(caught.value) == str(expected.value)
        assert {**vars(caught.value), "_": 0} == {**vars(expected.value), "_": 0}
        await store.close()

    asyncio.run(main())


def test_errors_of_what_is_iterated_come_with_the_iteration(
    sync: discfg.Store, store: AsyncStore
) -> None:
    async def main() -> None:
        cfg = store.config("c")
        for items, error in (
            (cfg.list("a//b"), discfg.InvalidKey),
            (cfg.list(at=5), discfg.RevisionNotFound),
            (cfg.history(before=0), discfg.InvalidOption),
            (cfg.watch(after=5), discfg.RevisionNotFound),
            (cfg.watch(timeout=0), discfg.InvalidOption),
            (store.config("none").list(), discfg.ConfigNotFound),
            (store.config("none").watch(), discfg.ConfigNotFound),
        ):
            with pytest.raises(error):
                await anext(items)
        with pytest.raises(discfg.InvalidOption):
            await cfg.on_change("print")  # type: ignore[arg-type]  # what is refused
        with pytest.raises(discfg.InvalidName):
            store.config("no/name")
        await store.close()

    asyncio.run(main())


def test_what_cannot_be_opened() -> None:
    async def main() -> None:
        for url in ("nothing://here", "sqlite:///x.db?nothing=1", "sqlite://"):
            with pytest.raises(discfg.DiscfgError) as expected:
                discfg.connect(url)
            with pytest.raises(type(expected.value)):
                async with aio.connect(url):
                    pass
        for threads in (0, None, True, "many"):
            with pytest.raises(discfg.InvalidOption):
                await aio.connect("memory://", threads=threads)  # type: ignore[arg-type]  # what is refused
        with pytest.raises(discfg.GuaranteeNotMet):
            await aio.connect("memory://", require={"durable"})

    asyncio.run(main())


def test_no_call_is_made_in_the_loop_s_thread(
    sync: discfg.Store, store: AsyncStore, held: Held
) -> None:
    theirs = sync.config("c")
    for number in range(300):
        theirs.set(f"a/{number}", b"x" * 10_000)
    # Nothing of it is in the memory of the engine that is looked at.
    with_empty_cache = AsyncStore(discfg.Store(type(sync.engine)(held)))  # type: ignore[call-arg]  # a `VersionedEngine`
    held.threads.clear()

    async def main() -> None:
        for each in (with_empty_cache, store):
            cfg = each.config("c")
            await all_of(cfg.history())
            await all_of(cfg.list())
            await all_of(cfg.list(at=150))
            await cfg.set("b", 1)
            async with cfg.transaction() as tx:
                await tx.get("b")
                await all_of(tx.list("a"))
                tx.set("b", 2)
            async with cfg.watch(after=300) as watch:
                await anext(watch)
            async with cfg.on_change(lambda commit: None):
                await cfg.set("b", 3)
            await cfg.wait_for(303)
            other = await each.create_config("other")
            await other.update({"a": 1})
            await each.drop_config("other")
            await each.close()

    asyncio.run(main())
    assert len(held.calls) > 30
    assert {name.partition("_")[0] for name in held.threads} <= {
        "discfg-aio",
        "discfg-aio-wait",
        "discfg-watch",
    }


def test_a_thousand_concurrent_writers(url: str) -> None:
    async def main() -> None:
        async with aio.connect(url, timeout=120) as store:
            cfg = await store.create_config("c")
            changes = await asyncio.gather(*(cfg.set(f"k/{n}", n) for n in range(1000)))
            assert sorted(change.revision for change in changes) == list(range(1, 1001))
            assert await cfg.values() == {f"/k/{n}": n for n in range(1000)}
            pool = [each for each in threading.enumerate() if each.name.startswith("discfg-aio_")]
            assert len(pool) <= 64
            await asyncio.gather(*(cfg.update("sum", lambda n: (n or 0) + 1) for _ in range(50)))
            assert (await cfg.get("sum")).data == 50

    asyncio.run(main())


def test_a_function_sees_the_context_of_its_task(store: AsyncStore) -> None:
    variable: ContextVar[int] = ContextVar("variable")

    async def main() -> None:
        variable.set(7)
        await store.config("c").update("a", lambda _: variable.get())
        assert (await store.config("c").get("a")).data == 7
        await store.close()

    asyncio.run(main())


def test_a_function_that_raises_stop_iteration_keeps_nobody_waiting(store: AsyncStore) -> None:
    def stop(_: Any) -> Any:
        raise StopIteration

    async def main() -> None:
        with pytest.raises(RuntimeError) as caught:
            await store.config("c").update("a", stop)
        assert isinstance(caught.value.__cause__, StopIteration)
        await store.close()

    asyncio.run(main())


class TestTransaction:
    def test_is_one_commit(self, store: AsyncStore) -> None:
        async def main() -> None:
            cfg = store.config("c")
            await cfg.update({"a": 1, "b": 2})
            async with cfg.transaction(message="why") as tx:
                node = await tx.get("a")
                assert node is not None
                tx.set("a", node.data + 1)
                tx.delete("b")
                assert [each.key async for each in tx.list()] == ["/a"]
                before = tx.commit
            assert before is None
            assert tx.commit is not None
            assert (tx.commit.revision, tx.commit.message) == (2, "why")
            assert await cfg.values() == {"/a": 2}
            await store.close()

        asyncio.run(main())

    def test_is_serializable(self, store: AsyncStore) -> None:
        async def main() -> None:
            cfg = store.config("c")

            async def overtaken() -> None:
                async with cfg.transaction() as tx:
                    await tx.get("a")
                    await cfg.set("a", 1)
                    tx.set("b", 1)

            with pytest.raises(discfg.ConditionFailed):
                await overtaken()
            assert await cfg.values() == {"/a": 1}
            await store.close()

        asyncio.run(main())

    def test_an_error_or_a_cancellation_in_it_sends_nothing(self, store: AsyncStore) -> None:
        async def main() -> None:
            cfg = store.config("c")

            async def wait_in_it() -> None:
                async with cfg.transaction() as tx:
                    tx.set("a", 1)
                    await asyncio.sleep(3600)

            with pytest.raises(ZeroDivisionError):
                async with cfg.transaction() as tx:
                    tx.set("a", 1 / 0)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait_in_it(), 0.05)
            assert (await cfg.info()).revision == 0
            await store.close()

        asyncio.run(main())

    def test_is_for_one_task(self, store: AsyncStore, held: Held) -> None:
        async def main() -> None:
            cfg = store.config("c")
            async with cfg.transaction() as tx:
                first, second = await asyncio.gather(
                    asyncio.create_task(tx.get("a")),
                    asyncio.create_task(refused_read(tx)),
                )
                assert (first, second) == (None, True)
                assert await tx.get("b") is None
            held.hold("read")
            with pytest.raises(discfg.InvalidTransaction):
                await cancel_a_read_and_go_on(cfg)
            with pytest.raises(discfg.InvalidTransaction):
                await leave_a_read_behind(cfg)
            held.let_go()
            await asyncio.gather(*left, return_exceptions=True)
            with pytest.raises(discfg.InvalidTransaction):
                ended[0].set("a", 1)
            assert (await cfg.info()).revision == 0
            with pytest.raises(discfg.InvalidTransaction):
                tx.set("a", 1)
            await store.close()

        async def refused_read(tx: AsyncTransaction) -> bool:
            with pytest.raises(discfg.InvalidTransaction):
                await tx.get("b")
            return True

        left: list[asyncio.Task[Any]] = []
        ended: list[AsyncTransaction] = []

        async def leave_a_read_behind(cfg: AsyncConfig) -> None:
            async with cfg.transaction() as tx:
                ended.append(tx)
                tx.set("a", 1)
                left.append(asyncio.create_task(tx.get("a")))
                await asyncio.sleep(0)

        async def cancel_a_read_and_go_on(cfg: AsyncConfig) -> None:
            async with cfg.transaction() as tx:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(tx.get("a"), 0.05)
                # Its thread is still at it, and would not see what is written here.
                tx.set("a", 1)

        asyncio.run(main())


def test_they_say_what_they_are(store: AsyncStore, sync: discfg.Store) -> None:
    assert repr(store) == "<AsyncStore a test>"
    assert repr(store.config("c")) == "<AsyncConfig 'c' in a test>"
    assert isinstance(store.config("c"), AsyncConfig)
