from __future__ import annotations

from discfg_s3 import open_engine

from discfg_core.engine import StorageEngine
from discfg_core.testing import EngineSuite
from discfg_core.urls import StoreURL


class TestS3(EngineSuite):
    @staticmethod
    def open_client(place: StoreURL) -> StorageEngine:
        return open_engine(place)
