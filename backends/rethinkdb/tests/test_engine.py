from __future__ import annotations

from discfg_rethinkdb import open_engine

from discfg_core.engine import StorageEngine
from discfg_core.testing import EngineSuite
from discfg_core.urls import parse


class TestRethinkDB(EngineSuite):
    @staticmethod
    def open_client(place: str) -> StorageEngine:
        return open_engine(parse(place))

    @staticmethod
    def url(place: str) -> str:
        return place
