from __future__ import annotations

from discfg_rethinkdb import target
from discfg_rethinkdb.substrate import RethinkDBSubstrate

from discfg_core.testing import SubstrateSuite
from discfg_core.urls import parse


class TestRethinkDBSubstrate(SubstrateSuite):
    @staticmethod
    def open_client(place: str) -> RethinkDBSubstrate:
        return RethinkDBSubstrate(target(parse(place)))
