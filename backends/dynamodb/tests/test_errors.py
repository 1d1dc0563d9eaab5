"""Each row of the table of errors: what it becomes, and whether it is certain."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from botocore import exceptions as boto
from discfg_dynamodb.errors import TableInUse, translate
from discfg_dynamodb.profile import Options
from discfg_dynamodb.substrate import DynamoDBSubstrate

from discfg_core.clock import Deadline
from discfg_core.errors import (
    AccessDenied,
    DiscfgError,
    InvalidOption,
    OutcomeUnknown,
    StoreBusy,
    StoreError,
    StoreUnavailable,
    Timeout,
    UnsupportedStore,
)
from discfg_core.substrate import Register
from discfg_core.testing.proxy import FaultProxy
from discfg_core.urls import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.plugin import Servers

NAME = "app"

# Code, status, what it becomes, whether a write that it answers surely did not happen, whether
# it may be tried again.
ROWS = [
    ("ProvisionedThroughputExceededException", 400, StoreBusy, True, True),
    ("ThrottlingException", 400, StoreBusy, True, True),
    ("Throttling", 400, StoreBusy, True, True),
    ("ThrottledException", 400, StoreBusy, True, True),
    ("RequestLimitExceeded", 400, StoreBusy, True, True),
    ("TooManyRequestsException", 429, StoreBusy, True, True),
    ("SlowDown", 503, StoreBusy, True, True),
    ("LimitExceededException", 400, StoreBusy, True, False),
    ("TransactionConflictException", 400, StoreBusy, True, True),
    ("ReplicatedWriteConflictException", 400, StoreBusy, True, True),
    ("ResourceInUseException", 400, TableInUse, True, True),
    ("TableInUseException", 400, TableInUse, True, True),
    ("AccessDeniedException", 400, AccessDenied, True, False),
    ("AccessDenied", 403, AccessDenied, True, False),
    ("OptInRequired", 403, AccessDenied, True, False),
    ("UnrecognizedClientException", 400, AccessDenied, True, False),
    ("InvalidClientTokenId", 403, AccessDenied, True, False),
    ("InvalidAccessKeyId", 403, AccessDenied, True, False),
    ("InvalidSignatureException", 400, AccessDenied, True, False),
    ("SignatureDoesNotMatch", 403, AccessDenied, True, False),
    ("IncompleteSignature", 400, AccessDenied, True, False),
    ("IncompleteSignatureException", 400, AccessDenied, True, False),
    ("MissingAuthenticationToken", 403, AccessDenied, True, False),
    ("MissingAuthenticationTokenException", 400, AccessDenied, True, False),
    ("ExpiredToken", 400, AccessDenied, True, False),
    ("ExpiredTokenException", 400, AccessDenied, True, False),
    ("RequestExpired", 400, AccessDenied, True, False),
    ("AuthFailure", 401, AccessDenied, True, False),
    ("NotAuthorized", 400, AccessDenied, True, False),
    ("KMSAccessDeniedException", 400, AccessDenied, True, False),
    ("RequestTimeout", 408, StoreUnavailable, False, True),
    ("RequestTimeoutException", 408, StoreUnavailable, False, True),
    ("InternalServerError", 500, StoreUnavailable, False, True),
    ("InternalFailure", 500, StoreUnavailable, False, True),
    ("ServiceUnavailable", 503, StoreUnavailable, False, True),
    ("NobodyKnowsThisOne", 500, StoreUnavailable, False, True),
    ("NobodyKnowsThisOneEither", 400, StoreError, True, False),
    ("ValidationException", 400, StoreError, True, False),
    # A status in the place of a code: what answered is something else.
    ("404", 404, UnsupportedStore, True, False),
]


def soon(seconds: float = 30.0) -> Deadline:
    """A deadline; by default one that no sound store reaches."""
    return Deadline.after(seconds)


def client_at(url: str) -> DynamoDBSubstrate:
    parsed = parse(url)
    return DynamoDBSubstrate(parsed, parsed.options_as(Options))


@pytest.fixture(params=["dynamodb"])
def place(servers: Servers, request: pytest.FixtureRequest) -> str:
    """On one server: these answers are none of its own."""
    return f"{servers.url(request.param)}&prefix=t{secrets.token_hex(6)}."


@pytest.fixture
def token(seen: DynamoDBSubstrate, front: Any) -> bytes:
    """That of a register that is there; the client has written before."""
    seen.provision(NAME, {}, deadline=soon())
    token = seen.swap(NAME, None, b"data", deadline=soon())
    front.reset()
    return token


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_answer_to_a_write(
    seen: DynamoDBSubstrate, token: bytes, front: Any, row: tuple[Any, ...]
) -> None:
    code, status, kind, certain, retryable = row
    front.refuse("PutItem", code, "as the store says", status=status)
    with pytest.raises(kind if certain else OutcomeUnknown) as caught:
        seen.swap(NAME, token, b"more", deadline=soon())
    error = caught.value
    assert "put_item" in str(error)
    assert code in str(error)
    assert error.__cause__ is not None
    assert (error.engine, error.config) == ("dynamodb", NAME)
    if certain:
        assert error.retryable is retryable
    assert front.requests == {"PutItem": 1}
    assert seen.read(NAME, deadline=soon()) == Register(b"data", token)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_answer_to_a_read(
    seen: DynamoDBSubstrate, token: bytes, front: Any, row: tuple[Any, ...]
) -> None:
    code, status, kind, _, retryable = row
    front.refuse("GetItem", code, "as the store says", status=status, times=1000)
    with pytest.raises(kind) as caught:
        seen.read(NAME, deadline=soon(0.3))
    assert caught.value.retryable is retryable
    # A read is repeated while the store says that it is busy, or failed.
    again = retryable and kind is not TableInUse
    assert (front.requests["GetItem"] > 1) is again


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("The provided key element does not match the schema", UnsupportedStore),
        ("One of the required keys was not given a value", UnsupportedStore),
        ("Item size has exceeded the maximum allowed size", StoreError),
    ],
)
def test_validation_is_told_apart_by_its_text(
    seen: DynamoDBSubstrate, token: bytes, front: Any, message: str, kind: type[DiscfgError]
) -> None:
    front.refuse("PutItem", "ValidationException", message)
    with pytest.raises(kind) as caught:
        seen.swap(NAME, token, b"more", deadline=soon())
    assert type(caught.value) is kind
    assert not caught.value.retryable


def test_limit_on_changes_at_once_passes(seen: DynamoDBSubstrate, token: bytes, front: Any) -> None:
    front.refuse(
        "PutItem",
        "LimitExceededException",
        "Subscriber limit exceeded: Only 500 tables can be created simultaneously",
    )
    with pytest.raises(StoreBusy) as caught:
        seen.swap(NAME, token, b"more", deadline=soon())
    assert caught.value.retryable


def test_register_that_is_too_large_is_refused_for_good(
    seen: DynamoDBSubstrate, token: bytes
) -> None:
    with pytest.raises(StoreError, match="size") as caught:
        seen.swap(NAME, token, b"x" * 500_000, deadline=soon())
    assert not caught.value.retryable
    assert seen.read(NAME, deadline=soon()) == Register(b"data", token)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (boto.NoCredentialsError(), AccessDenied),
        (boto.PartialCredentialsError(provider="env", cred_var="secret"), AccessDenied),
        (boto.CredentialRetrievalError(provider="process", error_msg="no"), AccessDenied),
        (boto.TokenRetrievalError(provider="sso", error_msg="expired"), AccessDenied),
        (boto.UnauthorizedSSOTokenError(), AccessDenied),
        (boto.MetadataRetrievalError(error_msg="no"), AccessDenied),
        (boto.ProfileNotFound(profile="ops"), InvalidOption),
        (boto.ConfigParseError(path="~/.aws/config"), InvalidOption),
        (boto.InvalidRegionError(region_name="-"), InvalidOption),
        (boto.ReadTimeoutError(endpoint_url="https://sts.example"), StoreUnavailable),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_error_before_anything_is_sent_is_certain(
    error: Exception, kind: type[DiscfgError]
) -> None:
    told = translate(error, "put_item", writes=True, secrets=())
    assert type(told) is kind
    assert told.hint


@pytest.mark.parametrize("error", [RuntimeError("?"), ValueError("?"), boto.BotoCoreError()])
def test_error_that_nobody_decided_on_is_unknown(error: Exception) -> None:
    assert type(translate(error, "put_item", writes=True, secrets=())) is OutcomeUnknown
    assert type(translate(error, "get_item", writes=False, secrets=())) is StoreUnavailable


# --- no answer -----------------------------------------------------------------------------------


@pytest.fixture
def proxy(place: str) -> Iterator[FaultProxy]:
    """In front of the server, at the level of TCP."""
    address = parse(place).options["endpoint_url"].removeprefix("http://")
    host, _, port = address.partition(":")
    with FaultProxy(host, int(port)) as proxy:
        yield proxy


@pytest.fixture
def proxied(place: str, proxy: FaultProxy, token: bytes) -> Iterator[DynamoDBSubstrate]:
    """A client through the proxy, which has written before."""
    endpoint = parse(place).options["endpoint_url"]
    client = client_at(place.replace(endpoint, f"http://127.0.0.1:{proxy.port}"))
    client.put_blob(NAME, "blob", b"x" * 300_000, deadline=soon())
    yield client
    client.close()


def test_refused_connection_is_certain(proxied: DynamoDBSubstrate, proxy: FaultProxy) -> None:
    proxy.refuse()
    with pytest.raises(StoreUnavailable, match="refused") as caught:
        proxied.swap(NAME, b"token", b"more", deadline=soon())
    assert caught.value.retryable
    assert "region" in str(caught.value)


def test_reset_is_unknown(
    proxied: DynamoDBSubstrate, proxy: FaultProxy, token: bytes, seen: DynamoDBSubstrate
) -> None:
    proxy.reset_before(times=1)
    with pytest.raises(OutcomeUnknown):
        proxied.swap(NAME, token, b"lost", deadline=soon())
    assert seen.read(NAME, deadline=soon()) == Register(b"data", token)
    proxy.reset_after(times=1)
    with pytest.raises(OutcomeUnknown):
        proxied.swap(NAME, token, b"done", deadline=soon())
    register = seen.read(NAME, deadline=soon())
    assert isinstance(register, Register)
    assert register.data == b"done"
    proxy.reset_before(times=1)
    with pytest.raises(StoreUnavailable):
        proxied.read(NAME, deadline=soon())
    assert proxied.read(NAME, deadline=soon()) == register


def test_silence_ends_by_the_deadline(proxied: DynamoDBSubstrate, proxy: FaultProxy) -> None:
    proxy.black_hole()
    calls: list[tuple[Callable[[], object], type[DiscfgError]]] = [
        (lambda: proxied.read(NAME, deadline=soon(0.5)), StoreUnavailable),
        (lambda: proxied.swap(NAME, b"token", b"x", deadline=soon(0.5)), OutcomeUnknown),
        (lambda: list(proxied.names(deadline=soon(0.5))), StoreUnavailable),
        (lambda: proxied.provision(NAME, {}, deadline=soon(0.5)), StoreUnavailable),
        (lambda: proxied.drop(NAME, b"token", deadline=soon(0.5)), StoreUnavailable),
    ]
    for call, kind in calls:
        began = time.monotonic()
        with pytest.raises(kind):
            call()
        assert time.monotonic() - began < 15.0


def test_answer_that_stops_halfway_ends_by_the_deadline(place: str, token: bytes) -> None:
    """A server that takes its time, says what will come, sends half of it, and hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = parse(place).options["endpoint_url"]
        port = server.getsockname()[1]
        client = client_at(place.replace(endpoint, f"http://127.0.0.1:{port}"))

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                time.sleep(1.6)
                head = b"HTTP/1.1 200 OK\r\nx-amzn-RequestId: 1\r\nContent-Length: 100\r\n\r\n"
                connection.sendall(head + b'{"Item"')
                ended.wait(10)

        ended = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            client.read(NAME, deadline=soon(2.0))
        assert time.monotonic() - began < 15.0
        ended.set()
        thread.join()
        client.close()


def test_deadline_that_has_passed_is_a_timeout(seen: DynamoDBSubstrate, front: Any) -> None:
    front.reset()
    with pytest.raises(Timeout):
        seen.swap(NAME, None, b"x", deadline=soon(0.0))
    assert not front.requests


# --- TLS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_tls_with_an_authority_of_ones_own(
    over_tls: Any, authority: Any, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(authority.path))
    client = client_at(over_tls(authority.issue("server")))
    client.provision(NAME, {}, deadline=soon())
    assert client.swap(NAME, None, b"data", deadline=soon())
    client.close()


@pytest.mark.parametrize("case", ["unknown", "expired"])
def test_tls_with_a_certificate_that_is_not_to_be_trusted(
    over_tls: Any, authority: Any, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    if case == "expired":
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.path))
    client = client_at(over_tls(authority.issue("server", days=-1)))
    with pytest.raises(StoreUnavailable, match="certificate") as caught:
        client.swap(NAME, None, b"data", deadline=soon())
    assert not caught.value.retryable
    assert "AWS_CA_BUNDLE" in str(caught.value)
    client.close()


def test_tls_with_a_server_that_speaks_none(fronted: str) -> None:
    client = client_at(fronted.replace("endpoint_url=http:", "endpoint_url=https:"))
    with pytest.raises(StoreUnavailable, match="trusted") as caught:
        client.swap(NAME, None, b"data", deadline=soon())
    assert not caught.value.retryable
    client.close()
