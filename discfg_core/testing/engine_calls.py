"""Every method of an engine that takes a handle, as a table of calls.

What holds for all of them (a config that is gone, a bad name, a closed engine) is tested on
each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from discfg_core.testing.engine_client import put

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from discfg_core.testing.engine_client import Client, Config

READS: Mapping[str, Callable[[Config], object]] = {
    "describe_config": lambda config: config.info(),
    "get": lambda config: config.get("a"),
    "view": lambda config: config.view(),
    "history": lambda config: config.page(),
    "outcome": lambda config: config.outcome("an-id"),
}

# Another client's deletion may be unknown to these; one's own may not.
STALE_READS: Mapping[str, Callable[[Config], object]] = {
    "get, maybe stale": lambda config: config.get("a", max_staleness=3600.0),
    "view, maybe stale": lambda config: config.view(max_staleness=3600.0),
}

WRITES: Mapping[str, Callable[[Config], object]] = {
    "set": lambda config: config.set("a", b"late"),
    "delete": lambda config: config.delete("a"),
    "commit": lambda config: config.commit(put("a", b"late"), put("late", b"late")),
    "commit of settings": lambda config: config.commit(settings={"late": True}),
    "commit without effect": lambda config: config.commit(),
    "delete_config": lambda config: config.drop(),
}

ON_A_CONFIG: Mapping[str, Callable[[Config], object]] = {
    **READS,
    **STALE_READS,
    **WRITES,
}

ON_A_NAME: Mapping[str, Callable[[Client, str], object]] = {
    "create_config": lambda client, name: client.create(name),
    "undelete_config": lambda client, name: client.undelete(name),
    "check": lambda client, name: client.check(name),
}
