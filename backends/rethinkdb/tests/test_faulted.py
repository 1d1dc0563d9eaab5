from __future__ import annotations

from discfg_rethinkdb import target
from discfg_rethinkdb.substrate import RethinkDBSubstrate

from discfg_core.testing import SubstrateEngineSuite
from discfg_core.urls import parse


class TestRethinkDBFaulted(SubstrateEngineSuite):
    @staticmethod
    def open_substrate(place: str) -> RethinkDBSubstrate:
        return RethinkDBSubstrate(target(parse(place)))
