from __future__ import annotations

from discfg_s3.substrate import S3Substrate

from discfg_core.testing import SubstrateEngineSuite
from discfg_core.urls import StoreURL


class TestS3Faulted(SubstrateEngineSuite):
    @staticmethod
    def open_substrate(place: StoreURL) -> S3Substrate:
        return S3Substrate(place)
