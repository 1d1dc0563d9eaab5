"""``dynamodb://region``: a store in Amazon DynamoDB, a table per config.

An acknowledged swap is one conditional write, on two of three replicas at least when it is
acknowledged, and every read is consistent. The table of a config named ``app`` is
``discfg.app``; see the distribution's README for what it costs and which permissions it takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from discfg_core.engine import StorageEngine, engine_factory
from discfg_core.errors import InvalidURL
from discfg_dynamodb._version import __version__
from discfg_dynamodb.profile import PROFILE, Options

if TYPE_CHECKING:
    from discfg_core.urls import StoreURL

__all__ = ["__version__", "open_engine"]


@engine_factory(PROFILE)
def open_engine(url: StoreURL) -> StorageEngine:
    """The engine of ``dynamodb://region``. Nothing is sent yet.

    Raises:
        InvalidURL: It has no region, or more than one, a port or a path, or a user without a
            password.
        InvalidOption: An option is unknown, or its value not what it takes.
    """
    options = url.options_as(Options)
    plain = msgspec.structs.replace(url, user=None, password=None, path="")
    if len(url.hosts) != 1 or url.hosts[0].port is not None or ":" in url.hosts[0].host:
        raise InvalidURL(
            f"{url} names no region",
            engine=url.scheme,
            hint="write dynamodb://us-east-1; an address goes into ?endpoint_url=http://host:port",
        )
    if url.path:
        raise InvalidURL(
            f"{url} has the path {url.path!r}, and there is nothing below a region",
            engine=url.scheme,
            hint=f"write {plain}, with ?prefix= for a part of the region's tables",
        )
    if (url.user is None) != (url.password is None):
        raise InvalidURL(
            f"{url} has a user, which stands for an access key, and no secret",
            engine=url.scheme,
            hint="write dynamodb://KEY:SECRET@region, or leave both to boto3",
        )
    # Here, because boto3 takes a third of a second to import.
    from discfg_core.versioned import VersionedEngine  # noqa: PLC0415 - see above
    from discfg_dynamodb.substrate import DynamoDBSubstrate  # noqa: PLC0415 - see above

    return VersionedEngine(DynamoDBSubstrate(url, options))
