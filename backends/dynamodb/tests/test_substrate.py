from __future__ import annotations

from discfg_dynamodb.profile import Options
from discfg_dynamodb.substrate import DynamoDBSubstrate

from discfg_core.testing import SubstrateSuite
from discfg_core.urls import parse


class TestDynamoDBSubstrate(SubstrateSuite):
    @staticmethod
    def open_client(place: str) -> DynamoDBSubstrate:
        url = parse(place)
        return DynamoDBSubstrate(url, url.options_as(Options))
