from __future__ import annotations

from discfg_etcd.substrate import EtcdSubstrate

from discfg_core.testing import SubstrateSuite
from discfg_core.urls import parse


class TestEtcdSubstrate(SubstrateSuite):
    @staticmethod
    def open_client(place: str) -> EtcdSubstrate:
        return EtcdSubstrate(parse(place))
