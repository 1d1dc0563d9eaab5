"""What can be said of ``s3://`` before a bucket is asked: its options, guarantees and figures."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from discfg_core.engine import EngineProfile, Guarantee
from discfg_core.substrate import Limits

NONCE_BYTES: Final = 16
"""Random bytes before a register's data. A figure of the stored format: it never changes."""

_PUT_BYTES: Final = 5 << 30


class Options(msgspec.Struct, frozen=True):
    """The options of an ``s3://`` URL."""

    region: Annotated[
        str | None,
        msgspec.Meta(
            description="the bucket's region; else what the AWS configuration says, else `us-east-1`",
        ),
    ] = None
    endpoint_url: Annotated[
        str | None,
        msgspec.Meta(
            description="where an S3 other than AWS is, such as `https://s3.example.com:9000`; "
            "without user and password",
        ),
    ] = None
    profile: Annotated[
        str | None,
        msgspec.Meta(description="the profile of the AWS configuration to use"),
    ] = None
    addressing: Annotated[
        Literal["path", "virtual"] | None,
        msgspec.Meta(
            description="whether the bucket stands in the path or in the host name; by default in "
            "the path where there is an `endpoint_url`, else as AWS wants it"
        ),
    ] = None
    ca: Annotated[
        str | None,
        msgspec.Meta(
            description="path of the PEM file with the authorities that the server's certificate "
            "must come from",
        ),
    ] = None
    min_swap_interval: Annotated[
        float,
        msgspec.Meta(
            ge=0.0,
            le=60.0,
            description="seconds between two commits of one process to one config; `1` for stores "
            "that take one write a second an object, such as Cloudflare R2",
        ),
    ] = 0.0


GUARANTEES: Final = frozenset(
    {Guarantee.DURABLE, Guarantee.SHARED, Guarantee.DISTRIBUTED, Guarantee.UNDROP}
)

LIMITS: Final = Limits(
    register_budget=64 * 1024,
    register_max=_PUT_BYTES - NONCE_BYTES,
    blob_max=_PUT_BYTES,
    why={
        "register_budget": "S3 bills by request: what fits one small object costs one request, and "
        "64 KiB more or less take no longer",
        "register_max": "one PUT takes at most 5 GiB, and a register begins with 16 bytes of chance",
        "blob_max": "one PUT takes at most 5 GiB",
        "min_swap_interval": "none on AWS; some other stores take one write a second an object, "
        "see the option of that name",
        "blobs_ride": "S3 changes one object atomically: blobs are put before the swap, in parallel",
        "push_wait": "S3 tells nobody of a change: waiting is asking again, every 2 s when idle",
    },
)

PROFILE: Final = EngineProfile(
    url="s3://[access_key:secret_key@]bucket[/prefix]",
    options=Options,
    guarantees=GUARANTEES,
    limits=LIMITS,
)
