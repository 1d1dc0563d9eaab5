"""An engine as a third party would ship it: here, the memory engine by another name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from discfg_core.substrates import memory

if TYPE_CHECKING:
    from discfg_core.engine import StorageEngine
    from discfg_core.urls import StoreURL


def open_engine(url: StoreURL) -> StorageEngine:
    """An engine for ``fixture://name``."""
    return memory.open_engine(msgspec.structs.replace(url, scheme="memory"))
