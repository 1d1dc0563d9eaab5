from __future__ import annotations

from discfg_s3.substrate import S3Substrate

from discfg_core.testing import SubstrateSuite
from discfg_core.urls import StoreURL


class TestS3Substrate(SubstrateSuite):
    @staticmethod
    def open_client(place: StoreURL) -> S3Substrate:
        return S3Substrate(place)
