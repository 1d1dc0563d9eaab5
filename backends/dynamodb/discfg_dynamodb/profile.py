"""What can be said of this engine without opening a store; importing it imports no client."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from discfg_core.engine import EngineProfile, Guarantee
from discfg_core.substrate import Limits

# A name of DynamoDB's is 3 to 255 of these; a config's takes up to 128 of it, and up to 34 more
# if it has capital letters.
_PREFIX: Final = r"^[A-Za-z0-9_.-]{2,64}$"


class Options(msgspec.Struct, frozen=True):
    """The options of a ``dynamodb://`` URL."""

    endpoint_url: Annotated[
        Annotated[str, msgspec.Meta(pattern=r"^https?://[^/@\s]+/?$")] | None,
        msgspec.Meta(
            description="Where DynamoDB answers, such as http://127.0.0.1:8000 for DynamoDB "
            "Local; by default AWS's own address for the region",
        ),
    ] = None
    profile: Annotated[
        Annotated[str, msgspec.Meta(min_length=1)] | None,
        msgspec.Meta(
            description="The profile of ~/.aws/config to take credentials from; by default "
            "AWS_PROFILE, or `default`",
        ),
    ] = None
    prefix: Annotated[
        str,
        msgspec.Meta(
            pattern=_PREFIX,
            description="What the names of its tables begin with, 2 to 64 of A-Z a-z 0-9 . _ -; "
            "no store's prefix should begin with another's",
        ),
    ] = "discfg."


GUARANTEES: Final = frozenset({Guarantee.DURABLE, Guarantee.SHARED, Guarantee.DISTRIBUTED})

LIMITS: Final = Limits(
    register_budget=3000,
    register_max=256 * 1024,
    why={
        "register_budget": "a write is billed by each KB of the item that is begun; with the "
        "item's names this is 3 KB",
        "register_max": "DynamoDB's limit on an item is 400 KB, names included; emulators count "
        "its bytes as base64, a third more",
    },
)

PROFILE: Final = EngineProfile("dynamodb://[key:secret@]region", Options, GUARANTEES, LIMITS)
