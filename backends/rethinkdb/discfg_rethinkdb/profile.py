"""What can be said of ``rethinkdb://`` before any store is opened."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from discfg_core.engine import EngineProfile, Guarantee
from discfg_core.substrate import Limits


class Options(msgspec.Struct, frozen=True):
    """The options of a ``rethinkdb://`` URL; each has a default."""

    tls: Annotated[
        bool,
        msgspec.Meta(
            description="speak TLS, and trust the authorities that this system trusts; "
            "`ca` and `cert` imply it"
        ),
    ] = False
    ca: Annotated[
        str | None,
        msgspec.Meta(description="path of the PEM file of the authorities to trust instead"),
    ] = None
    cert: Annotated[
        str | None,
        msgspec.Meta(
            description="path of this client's certificate, PEM, for a server that asks for one "
            "(`--driver-tls-ca`)"
        ),
    ] = None
    key: Annotated[
        str | None,
        msgspec.Meta(description="path of its private key, PEM, if that is not in `cert`"),
    ] = None
    replicas: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            le=16,
            description="replicas of the two tables, when they are created; later it is up to "
            "`reconfigure`",
        ),
    ] = 1
    connections: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            le=1000,
            description="connections to the server at most, one more while something is watched",
        ),
    ] = 16


LIMITS: Final = Limits(
    register_budget=16 * 1024,
    register_max=16 * 1024 * 1024,
    push_wait=True,
    why={
        "register_budget": "each swap sends the whole document as base64 in JSON and writes all "
        "of it to disk: 16 KiB take about twice the time of 4 KiB",
        "register_max": "the size up to which RethinkDB recommends documents",
        "push_wait": "a changefeed on the register's document",
    },
)

GUARANTEES: Final = frozenset(
    {
        Guarantee.DURABLE,
        Guarantee.SHARED,
        Guarantee.DISTRIBUTED,
        Guarantee.PUSH_WATCH,
        Guarantee.UNDROP,
    }
)

PROFILE: Final = EngineProfile(
    url="rethinkdb://[user[:password]@]host[:port][,host[:port]…]/database",
    options=Options,
    guarantees=GUARANTEES,
    limits=LIMITS,
)
