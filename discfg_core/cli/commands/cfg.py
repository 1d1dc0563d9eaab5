"""`cfg`: the ancestor's spelling of the commands about whole configs."""

from __future__ import annotations

from discfg_core.cli.app import LazyGroup

cfg = LazyGroup(
    "cfg",
    lazy={
        "create": "configs:create",
        "use": "working:use",
        "which": "working:which",
        "update": "configs:update",
        "delete": "configs:drop",
        "info": "configs:info",
    },
    help="The same, as `discfg cfg create`; its delete is drop.",
)
