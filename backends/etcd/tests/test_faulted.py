from __future__ import annotations

from discfg_etcd.substrate import EtcdSubstrate

from discfg_core.testing import SubstrateEngineSuite
from discfg_core.urls import parse


class TestEtcdFaulted(SubstrateEngineSuite):
    @staticmethod
    def open_substrate(place: str) -> EtcdSubstrate:
        return EtcdSubstrate(parse(place))
