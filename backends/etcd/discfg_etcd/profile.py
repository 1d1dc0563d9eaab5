"""What can be said of ``etcd://`` before a server is asked: its options, guarantees and figures."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from discfg_core.engine import EngineProfile, Guarantee
from discfg_core.substrate import Limits

REQUEST_BYTES: Final = 1_400_000
"""What one transaction may hold, keys and headers included; etcd takes 1.5 MiB."""
TXN_OPS: Final = 128
"""Operations of one transaction; etcd's default for ``--max-txn-ops``."""
PART_BYTES: Final = 256 * 1024
"""A blob is cut into parts of this size. A figure of the stored format: it never changes."""
_MAX_PARTS: Final = 1 << 16


class Options(msgspec.Struct, frozen=True):
    """The options of an ``etcd://`` URL."""

    ca: Annotated[
        str | None,
        msgspec.Meta(
            description="path of the PEM file with the authorities that the server's certificate "
            "must come from; turns TLS on"
        ),
    ] = None
    cert: Annotated[
        str | None,
        msgspec.Meta(
            description="path of the PEM file with this client's own certificate; needs `key`, "
            "turns TLS on"
        ),
    ] = None
    key: Annotated[
        str | None,
        msgspec.Meta(description="path of the PEM file with the key of `cert`, not encrypted"),
    ] = None
    tls: Annotated[
        bool | None,
        msgspec.Meta(
            description="`true`: TLS with the certificate authorities that gRPC brings, where no "
            "`ca` is given; off by default"
        ),
    ] = None


GUARANTEES: Final = frozenset(
    {
        Guarantee.DURABLE,
        Guarantee.SHARED,
        Guarantee.DISTRIBUTED,
        Guarantee.PUSH_WATCH,
        Guarantee.UNDROP,
    }
)

LIMITS: Final = Limits(
    register_budget=4096,
    register_max=1024 * 1024,
    blob_max=_MAX_PARTS * PART_BYTES,
    blobs_ride=True,
    push_wait=True,
    why={
        "register_budget": "etcd keeps every overwritten value until it is compacted, at the "
        "soonest five minutes later, and its default quota is 2 GiB",
        "register_max": "a request holds at most 1.5 MiB (--max-request-bytes)",
        "blob_max": "65,536 parts of 256 KiB, for a request holds at most 1.5 MiB",
        "blobs_ride": "a swap and its blobs are one transaction, as far as they fit into one of "
        "1.5 MiB and 128 operations; what does not is put before it",
        "push_wait": "etcd's watch tells of a change",
    },
)

PROFILE: Final = EngineProfile(
    url="etcd://[user[:password]@]host[:port][,host[:port]…]/prefix",
    options=Options,
    guarantees=GUARANTEES,
    limits=LIMITS,
)
