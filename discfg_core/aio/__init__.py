"""discfg for asyncio: what `connect`, `Store` and `Config` do, awaited.

    from discfg_core import aio

    async with aio.connect("sqlite:///app.db", actor="ann") as store:
        cfg = await store.create_config("mycfg")
        await cfg.set("db/host", "10.0.0.1")
        async for node in cfg.list("db"):
            ...

Every guarantee is that of the method of the same name in `discfg_core.Config` or
`discfg_core.Store`, whose docstring it has: the very same call is made, in a thread. No call
blocks the event loop. What is awaited raises what that call raises, and bad arguments too are
told only then.

Cancelling a task ends its waiting, not the call. One that no thread has begun yet never happens.
One that has begun goes on, at most to its time-out, and a write may still be committed: whoever
must know gives it a `commit_id` and asks `outcome`, or repeats it with the same id. Only what waits
for others (`watch`, `wait_for`) is stopped.

A node has its value at hand, but for a large one of a list, a history, a watch or a previous
node: its `data` are fetched when they are asked for, which would block the loop. Ask for those in
a thread, or `get` the key.
"""

from discfg_core.aio.config import AsyncConfig
from discfg_core.aio.opening import Opening
from discfg_core.aio.store import AsyncStore, connect
from discfg_core.aio.transaction import AsyncTransaction
from discfg_core.aio.watching import AsyncSubscription, AsyncWatch

__all__ = [
    "AsyncConfig",
    "AsyncStore",
    "AsyncSubscription",
    "AsyncTransaction",
    "AsyncWatch",
    "Opening",
    "connect",
]
