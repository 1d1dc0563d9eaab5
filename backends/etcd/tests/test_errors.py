"""Every row of the table: what etcd says, what becomes of it, and whether it is certain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from discfg_etcd import errors
from discfg_etcd.errors import judge, translate
from discfg_etcd.versions import refusal

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

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.etcd import Raw

# code, text, the class, whether it is certain, whether another endpoint is asked, whether the
# core tries again.
ROWS = [
    ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", StoreFull, True, False, False),
    ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", StoreBusy, True, False, True),
    ("INVALID_ARGUMENT", "etcdserver: request is too large", StoreError, True, False, False),
    ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (9 vs. 8)", StoreError, True, False, False),
    ("INVALID_ARGUMENT", "etcdserver: too many operations in txn request", StoreError, True, False, False),
    ("PERMISSION_DENIED", "etcdserver: permission denied", AccessDenied, True, False, False),
    ("UNAUTHENTICATED", "etcdserver: invalid auth token", AccessDenied, True, False, False),
    ("INVALID_ARGUMENT", "etcdserver: revision of auth store is old", AccessDenied, True, False, True),
    ("INVALID_ARGUMENT", "etcdserver: user name is empty", AccessDenied, True, False, False),
    ("INVALID_ARGUMENT", "etcdserver: authentication failed, invalid user ID or password", AccessDenied, True, False, False),
    ("UNAVAILABLE", "etcdserver: no leader", StoreUnavailable, True, True, True),
    ("FAILED_PRECONDITION", "etcdserver: not leader", StoreUnavailable, True, True, True),
    ("UNAVAILABLE", "etcdserver: rpc not supported for learner", StoreUnavailable, True, True, True),
    ("UNAVAILABLE", "etcdserver: not capable", StoreUnavailable, True, True, True),
    ("DATA_LOSS", "etcdserver: corrupt cluster", Corrupt, True, True, False),
    ("UNAVAILABLE", "etcdserver: request timed out", StoreUnavailable, False, True, True),
    ("UNAVAILABLE", "etcdserver: request timed out, possibly due to connection lost", StoreUnavailable, False, True, True),
    ("UNAVAILABLE", "etcdserver: leader changed", StoreUnavailable, False, True, True),
    ("UNAVAILABLE", "etcdserver: server stopped", StoreUnavailable, False, True, True),
    ("UNAVAILABLE", "etcdserver: unhealthy cluster", StoreUnavailable, False, True, True),
    # The client library's own.
    ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: ipv4:1.2.3.4:5: Connection refused", StoreUnavailable, True, True, True),
    ("UNAVAILABLE", "errors resolving h:2379: [Domain name not found]", StoreUnavailable, True, True, True),
    ("UNAVAILABLE", "DNS resolution failed for h:2379", StoreUnavailable, True, True, True),
    ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: ipv4:1.2.3.4:5: Tls handshake failed (TSI_PROTOCOL_FAILURE): CERTIFICATE_VERIFY_FAILED: certificate has expired", StoreUnavailable, True, True, False),
    ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: Ssl handshake failed (TSI_PROTOCOL_FAILURE): WRONG_VERSION_NUMBER", StoreUnavailable, True, True, False),
    ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: Peer name h is not in peer certificate", StoreUnavailable, True, True, False),
    ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: Hostname Verification Check failed", StoreUnavailable, True, True, False),
    ("UNAVAILABLE", "failed to connect to all addresses; last error: UNAVAILABLE: ipv4:1.2.3.4:5: Unwrap failed (TSI_DATA_CORRUPTED)", AccessDenied, True, True, False),
    ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: Tls handshake failed: SSLV3_ALERT_BAD_CERTIFICATE", AccessDenied, True, True, False),
    # By the code alone.
    ("INVALID_ARGUMENT", "etcdserver: key is not provided", StoreError, True, False, False),
    ("FAILED_PRECONDITION", "etcdserver: something new", StoreError, True, False, False),
    ("OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision", StoreError, True, False, False),
    ("NOT_FOUND", "no such thing", StoreError, True, False, False),
    ("PERMISSION_DENIED", "of a proxy", AccessDenied, True, False, False),
    ("UNAUTHENTICATED", "of a proxy", AccessDenied, True, False, False),
    ("UNIMPLEMENTED", "unknown service etcdserverpb.KV", UnsupportedStore, True, False, False),
    ("UNAVAILABLE", "Socket closed", StoreUnavailable, False, True, True),
    ("UNAVAILABLE", "recvmsg:Connection reset by peer", StoreUnavailable, False, True, True),
    ("UNAVAILABLE", "keepalive watchdog timeout", StoreUnavailable, False, True, True),
    ("DEADLINE_EXCEEDED", "Deadline Exceeded", StoreUnavailable, False, True, True),
    ("CANCELLED", "Channel closed!", StoreUnavailable, False, True, True),
    # What nobody decided on.
    ("RESOURCE_EXHAUSTED", "something new", StoreError, False, True, True),
    ("INTERNAL", "something new", StoreError, False, True, True),
    ("UNKNOWN", "raft: proposal dropped", StoreError, False, True, True),
    ("ABORTED", "", StoreError, False, True, True),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_answer_becomes_an_error(
    row: tuple[str, str, type[StoreError], bool, bool, bool],
) -> None:
    code, text, error, certain, elsewhere, again = row
    of_read: DiscfgError = translate(code, text, "h:2379", write=False)
    of_write: DiscfgError = translate(code, text, "h:2379", write=True)
    assert type(of_read) is error
    assert type(of_write) is (error if certain else OutcomeUnknown)
    assert of_read.retryable is again
    assert judge(code, text).elsewhere is elsewhere
    for each in (of_read, of_write):
        assert "h:2379" in each.message
        assert "all addresses" not in each.message


@pytest.mark.parametrize(("code", "text"), [row[:2] for row in ROWS])
def test_only_a_token_is_renewed_for_an_answer(code: str, text: str) -> None:
    renews = text.removeprefix("etcdserver: ") in {
        "invalid auth token",
        "revision of auth store is old",
        "user name is empty",
    }
    assert judge(code, text).renew is (renews or code == "UNAUTHENTICATED")


def test_every_row_of_the_table_is_here() -> None:
    texts = {text.removeprefix("etcdserver: ") for _, text, *_ in ROWS}
    assert set(errors._TEXTS) <= texts
    assert set(errors._CODES) <= {code for code, *_ in ROWS}
    for reason in [*errors._NEVER_CONNECTED, *errors._TLS]:
        assert any(reason in text for text in texts), reason


def test_table_says_what_a_real_server_says(server: Raw) -> None:
    rpc = server.rpc
    too_large = rpc.PutRequest(key=b"x", value=bytes(1_600_000))
    far_too_large = rpc.PutRequest(key=b"x", value=bytes(3_000_000))
    put = rpc.RequestOp(request_put=rpc.PutRequest(key=b"x"))
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: server.kv.Put(too_large), "request is too large"),
        (lambda: server.kv.Put(far_too_large), "received message larger than max"),
        (lambda: server.kv.Txn(rpc.TxnRequest(success=[put] * 129)), "too many operations"),
        (lambda: server.auth.Authenticate(rpc.AuthenticateRequest(name="a")), errors.AUTH_IS_OFF),
    ]
    for call, text in cases:
        with pytest.raises(Exception, match=text) as caught:
            call()
        status = caught.value
        code, details = status.code().name, status.details()  # type: ignore[attr-defined] # gRPC's
        assert judge(code, details).certain
        assert judge(code, details).error is StoreError


@pytest.mark.parametrize(
    ("version", "refused"),
    [
        ("2.3.8", True),
        ("3.3.27", True),
        ("3.4.0", False),
        ("3.4.23", False),
        ("3.5.0", True),
        ("3.5.1", True),
        ("3.5.2", True),
        ("3.5.3", False),
        ("3.5.0-rc.1", True),
        ("3.5.21", False),
        ("3.6.4", False),
        ("4.0.0", False),
        ("", False),
        ("somebody's own", False),
    ],
)
def test_versions_that_are_written_to(version: str, refused: bool) -> None:
    assert (refusal(version) is not None) is refused
