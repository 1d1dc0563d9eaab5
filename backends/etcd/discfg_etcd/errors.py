"""What each answer of etcd means: is it certain that nothing happened, and what to do now?

The one table of this store. etcd's own errors are told by their text, which is part of its API
(https://github.com/etcd-io/etcd/blob/main/api/v3rpc/rpctypes/error.go), because one gRPC code
stands for several that mean different things. What is judged before a request is proposed to the
cluster, or refused as it is applied on every member alike, is *certain*; what ends the waiting
for it is *unknown* (https://github.com/etcd-io/etcd/blob/main/server/etcdserver/v3_server.go,
`processInternalRaftRequestOnce`). An answer that the table does not know is unknown.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from discfg_core.errors import (
    AccessDenied,
    Corrupt,
    DiscfgError,
    OutcomeUnknown,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreUnavailable,
    UnsupportedStore,
)


class Meaning(NamedTuple):
    """What one answer says.

    Attributes:
        error: The class it becomes, of a read, or of a write that surely did nothing.
        certain: Whether it is certain that nothing happened.
        elsewhere: Whether another endpoint may do better.
        renew: Whether a new auth token may help.
        retryable: Whether the same call may succeed later; ``None``: as the class says.
        hint: What to do; ``None``: as the class says.
    """

    error: type[StoreError]
    certain: bool = True
    elsewhere: bool = False
    renew: bool = False
    retryable: bool | None = None
    hint: str | None = None


_ROOM: Final = (
    "its database has reached --quota-backend-bytes: turn auto-compaction on or compact "
    "(`etcdctl compact REVISION`), then `etcdctl defrag` each member, then `etcdctl alarm disarm`; "
    "or raise the quota"
)
_CREDENTIALS: Final = "check the user and the password, in the URL or in ETCDCTL_USER"
_PERMISSIONS: Final = "grant the user's role both: `etcdctl role grant-permission ROLE readwrite --prefix=true PREFIX/`"
_NO_QUORUM: Final = "see `etcdctl endpoint status --cluster`: a majority of its members must be up"
_CERTIFICATE: Final = (
    "check the server's certificate, when it expires and which names and addresses it is for, and "
    "the option ca"
)
_OWN_CERTIFICATE: Final = (
    "the server wants a certificate of this client, or refuses the one it got: check cert and key"
)
_SERVER: Final = "check the URL's hosts and ports, and whether the server wants TLS (?ca=…)"
_DAMAGED: Final = "etcd itself found that its members differ: see `etcdctl alarm list`"
_LIMITS: Final = "start the members with etcd's own limits: --max-request-bytes and --max-txn-ops"

COMPACTED: Final = "required revision has been compacted"
"""A part of etcd's text for a revision that is gone."""

AUTH_IS_OFF: Final = "authentication is not enabled"
"""A part of etcd's text for credentials that it has no use for."""

# By etcd's text, without "etcdserver: ".
_TEXTS: Final[dict[str, Meaning]] = {
    # The quota is checked before the proposal, and again as it is applied, on each member.
    "mvcc: database space exceeded": Meaning(StoreFull, hint=_ROOM),
    # Too many proposals wait to be applied: refused before it is proposed.
    "too many requests": Meaning(StoreBusy),
    "request is too large": Meaning(StoreError, hint=_LIMITS),
    "too many operations in txn request": Meaning(StoreError, hint=_LIMITS),
    "permission denied": Meaning(AccessDenied, hint=_PERMISSIONS),
    "invalid auth token": Meaning(AccessDenied, renew=True, hint=_CREDENTIALS),
    # The permissions were changed since the token was given; the members refuse to apply it.
    "revision of auth store is old": Meaning(AccessDenied, renew=True, retryable=True),
    "user name is empty": Meaning(
        AccessDenied, renew=True, hint="this cluster wants a user and a password"
    ),
    "authentication failed, invalid user ID or password": Meaning(AccessDenied, hint=_CREDENTIALS),
    # Said by a member that knows no leader, before it takes a request that requires one.
    "no leader": Meaning(StoreUnavailable, elsewhere=True, hint=_NO_QUORUM),
    "not leader": Meaning(StoreUnavailable, elsewhere=True),
    "rpc not supported for learner": Meaning(StoreUnavailable, elsewhere=True),
    "not capable": Meaning(StoreUnavailable, elsewhere=True),
    # A member stops applying what would widen a difference it was told of.
    "corrupt cluster": Meaning(Corrupt, elsewhere=True, hint=_DAMAGED),
    # These end the waiting for a proposal that may yet be applied.
    "request timed out": Meaning(StoreUnavailable, certain=False, elsewhere=True, hint=_NO_QUORUM),
    "leader changed": Meaning(StoreUnavailable, certain=False, elsewhere=True),
    "server stopped": Meaning(StoreUnavailable, certain=False, elsewhere=True),
    "unhealthy cluster": Meaning(StoreUnavailable, certain=False, elsewhere=True, hint=_NO_QUORUM),
}

# What the client library says of connections that never came to be, so that nothing was sent
# (https://github.com/grpc/grpc/tree/master/src/core/load_balancing/pick_first, and the resolvers).
_NEVER_CONNECTED: Final = (
    "failed to connect to all addresses",
    "errors resolving",
    "DNS resolution failed",
)
_CONNECTION: Final = Meaning(StoreUnavailable, elsewhere=True, hint=_SERVER)
_REFUSED: Final = Meaning(StoreUnavailable, elsewhere=True, retryable=False, hint=_CERTIFICATE)
# What stands in such a text when TLS was the reason, which waiting does not mend.
_TLS: Final[dict[str, Meaning]] = {
    # The server's alert comes behind the handshake, and is not passed on.
    "Unwrap failed": Meaning(AccessDenied, elsewhere=True, hint=_OWN_CERTIFICATE),
    "ALERT": Meaning(AccessDenied, elsewhere=True, hint=_OWN_CERTIFICATE),
    # "Tls" or "Ssl", by gRPC's version.
    "Tls handshake failed": _REFUSED,
    "Ssl handshake failed": _REFUSED,
    "Verification": _REFUSED,
    "not in peer certificate": _REFUSED,
}
_ADDRESSES: Final = re.compile(
    r"failed to connect to all addresses; last error: \w+: (?:ipv[46]:[^ ]+: )?"
)

# Any other text, by gRPC's code.
_CODES: Final[dict[str, Meaning]] = {
    # Judged before anything is proposed.
    "INVALID_ARGUMENT": Meaning(StoreError),
    "FAILED_PRECONDITION": Meaning(StoreError),
    "OUT_OF_RANGE": Meaning(StoreError),
    "NOT_FOUND": Meaning(StoreError),
    "PERMISSION_DENIED": Meaning(AccessDenied, hint=_PERMISSIONS),
    "UNAUTHENTICATED": Meaning(AccessDenied, renew=True, hint=_CREDENTIALS),
    # There is no such service: not etcd, or something between that is not for gRPC.
    "UNIMPLEMENTED": Meaning(UnsupportedStore, hint=_SERVER),
    # The connection broke, or the server did, with the request under way.
    "UNAVAILABLE": Meaning(StoreUnavailable, certain=False, elsewhere=True),
    "DEADLINE_EXCEEDED": Meaning(StoreUnavailable, certain=False, elsewhere=True),
    # This client hung up, for a fork or because it was closed.
    "CANCELLED": Meaning(StoreUnavailable, certain=False, elsewhere=True),
}
_UNKNOWN: Final = Meaning(StoreError, certain=False, elsewhere=True, retryable=True)


def judge(code: str, details: str) -> Meaning:
    """What gRPC's status means.

    Args:
        code: Its code's name, such as ``UNAVAILABLE``.
        details: Its text.
    """
    prefix, _, text = details.partition("etcdserver: ")
    if not prefix and text:
        if text in _TEXTS:
            return _TEXTS[text]
        if text.startswith("request timed out"):
            return _TEXTS["request timed out"]
    if never_connected(code, details):
        return next((_TLS[part] for part in _TLS if part in details), _CONNECTION)
    if code == "RESOURCE_EXHAUSTED" and "received message larger than max" in details:
        # The server's receiving end, before it understands the message.
        return _TEXTS["request is too large"]
    return _CODES.get(code, _UNKNOWN)


def never_connected(code: str, details: str) -> bool:
    """Whether this says that no connection came to be, so that nothing was sent."""
    return code == "UNAVAILABLE" and details.startswith(_NEVER_CONNECTED)


def translate(code: str, details: str, server: str, *, write: bool) -> DiscfgError:
    """What to raise for gRPC's status.

    Args:
        code: Its code's name.
        details: Its text.
        server: The endpoint, or what else answered.
        write: The request would have changed something.

    Returns:
        A `StoreError`, certain; or `OutcomeUnknown`.
    """
    meaning = judge(code, details)
    text = f"etcd at {server}: {_readable(code, details)}"
    if write and not meaning.certain:
        return OutcomeUnknown(text)
    return meaning.error(text, hint=meaning.hint, retryable=meaning.retryable)


def _readable(code: str, details: str) -> str:
    if code == "DEADLINE_EXCEEDED":
        return "no answer in time"
    if code == "CANCELLED":
        return "the connection was given up"
    return _ADDRESSES.sub("no connection: ", details) or code
