from __future__ import annotations

from discfg_dynamodb.profile import Options
from discfg_dynamodb.substrate import DynamoDBSubstrate

from discfg_core.testing import SubstrateEngineSuite
from discfg_core.urls import parse


class TestDynamoDBFaulted(SubstrateEngineSuite):
    @staticmethod
    def open_substrate(place: str) -> DynamoDBSubstrate:
        url = parse(place)
        return DynamoDBSubstrate(url, url.options_as(Options))
