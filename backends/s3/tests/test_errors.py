"""Each row of the table of errors, by the answer on the wire; time-outs; what cannot be reached."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from discfg_s3 import errors
from discfg_s3.substrate import S3Substrate

from discfg_core.clock import Deadline
from discfg_core.errors import (
    AccessDenied,
    DiscfgError,
    OutcomeUnknown,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreUnavailable,
    Timeout,
    UnsupportedStore,
)
from discfg_core.substrate import BlobRange, SwapConflict
from discfg_core.testing.proxy import FaultProxy, http_answer
from discfg_core.urls import StoreURL
from tests.servers.certificates import Authority
from tests.servers.s3 import Front, at

Open = Callable[[StoreURL], S3Substrate]

# Status, code, error; as S3 documents them.
TABLE: list[tuple[int, str, type[DiscfgError]]] = [
    (403, "AccessDenied", AccessDenied),
    (403, "AllAccessDisabled", AccessDenied),
    (403, "AccountProblem", AccessDenied),
    (403, "NotSignedUp", AccessDenied),
    (403, "InvalidAccessKeyId", AccessDenied),
    (403, "SignatureDoesNotMatch", AccessDenied),
    (400, "InvalidToken", AccessDenied),
    (400, "ExpiredToken", AccessDenied),
    (400, "TokenRefreshRequired", AccessDenied),
    (400, "RequestExpired", AccessDenied),
    (403, "RequestTimeTooSkewed", AccessDenied),
    (404, "NoSuchBucket", StoreUnavailable),
    (400, "InvalidBucketName", StoreUnavailable),
    (301, "PermanentRedirect", StoreUnavailable),
    (400, "AuthorizationHeaderMalformed", StoreUnavailable),
    (400, "IllegalLocationConstraintException", StoreUnavailable),
    (307, "TemporaryRedirect", StoreUnavailable),
    (409, "ConditionalRequestConflict", StoreBusy),
    (409, "OperationAborted", StoreBusy),
    (503, "SlowDown", StoreBusy),
    (400, "Throttling", StoreBusy),
    (400, "ThrottlingException", StoreBusy),
    (429, "TooManyRequests", StoreBusy),
    (503, "RequestLimitExceeded", StoreBusy),
    (400, "RequestTimeout", StoreUnavailable),
    (400, "IncompleteBody", StoreUnavailable),
    (400, "BadDigest", StoreUnavailable),
    (400, "XAmzContentSHA256Mismatch", StoreUnavailable),
    (400, "QuotaExceeded", StoreFull),
    (507, "InsufficientCapacity", StoreFull),
    (507, "XMinioStorageFull", StoreFull),
    (400, "XMinioAdminBucketQuotaExceeded", StoreFull),
    (400, "EntityTooLarge", StoreError),
    (400, "KeyTooLongError", StoreError),
    (501, "NotImplemented", UnsupportedStore),
    (403, "InvalidObjectState", StoreError),
    (500, "InternalError", OutcomeUnknown),
    (503, "ServiceUnavailable", OutcomeUnknown),
    (503, "SlowDownRead", OutcomeUnknown),
    (503, "SlowDownWrite", OutcomeUnknown),
    # By their status alone.
    (401, "Whatever", AccessDenied),
    (403, "Whatever", AccessDenied),
    (408, "Whatever", StoreUnavailable),
    (409, "Whatever", StoreBusy),
    (429, "Whatever", StoreBusy),
    (501, "Whatever", UnsupportedStore),
    (507, "Whatever", StoreFull),
    (400, "Whatever", StoreError),
    (500, "Whatever", OutcomeUnknown),
    (502, "", OutcomeUnknown),
    (503, "", OutcomeUnknown),
    (504, "", OutcomeUnknown),
    (403, "", AccessDenied),
    (429, "", StoreBusy),
    (412, "PreconditionFailed", SwapConflict),
    (412, "", SwapConflict),
    (404, "NoSuchKey", SwapConflict),
]
# What trying again cannot mend.
FINAL = {
    "NoSuchBucket",
    "InvalidBucketName",
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "TemporaryRedirect",
}


@pytest.fixture
def proxy(place: StoreURL) -> Iterator[FaultProxy]:
    port = urlsplit(place.options["endpoint_url"]).port
    assert port is not None
    with FaultProxy("127.0.0.1", port) as proxy:
        yield proxy


@pytest.fixture
def client(place: StoreURL, proxy: FaultProxy, opened: Open) -> S3Substrate:
    return opened(at(place, endpoint_url=f"http://127.0.0.1:{proxy.port}"))


def xml(code: str) -> bytes:
    said = "<Token-0>s3cr3t-session</Token-0><AWSAccessKeyId>id</AWSAccessKeyId>"
    return f"<Error><Code>{code}</Code><Message>As told.</Message>{said}</Error>".encode()


def test_the_table_is_tested_whole() -> None:
    assert set(errors.MEANINGS) <= {code for _, code, _ in TABLE}
    statuses = {status for status, code, _ in TABLE if code not in errors.MEANINGS}
    assert set(errors.STATUSES) - statuses == {301, 307}, "tested on their own"


@pytest.mark.parametrize(("status", "code", "error"), TABLE)
def test_a_swap_is_certain_or_unknown_by_the_answer(
    client: S3Substrate, proxy: FaultProxy, status: int, code: str, error: type[DiscfgError]
) -> None:
    proxy.answer(http_answer(status, xml(code) if code else b""))
    with pytest.raises(DiscfgError) as caught:
        client.swap("name", b"0" * 32, b"data", deadline=Deadline.after(10))
    assert type(caught.value) is error
    assert caught.value.engine == "s3"
    assert caught.value.config == "name"
    assert isinstance(caught.value, SwapConflict) or caught.value.hint or code == "Whatever"
    if issubclass(error, StoreUnavailable):
        assert caught.value.retryable is (code not in FINAL)
    cause = caught.value.__cause__
    assert cause is not None or status in (301, 307)
    assert "s3cr3t-session" not in repr(cause) + str(getattr(cause, "response", ""))


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [row for row in TABLE if row[2] is not SwapConflict and row[1] != "InvalidObjectState"],
)
def test_a_read_is_always_certain(
    client: S3Substrate, proxy: FaultProxy, status: int, code: str, error: type[DiscfgError]
) -> None:
    proxy.answer(http_answer(status, xml(code) if code else b""))
    with pytest.raises(StoreError) as caught:
        client.read("name", deadline=Deadline.after(10))
    assert type(caught.value) is (StoreUnavailable if error is OutcomeUnknown else error)


def test_the_right_region_is_told(client: S3Substrate, proxy: FaultProxy) -> None:
    proxy.answer(http_answer(301, xml("PermanentRedirect"), x_amz_bucket_region="eu-central-1"))
    with pytest.raises(StoreUnavailable, match="its region is eu-central-1"):
        client.read("name", deadline=Deadline.after(10))


@pytest.mark.parametrize(("status", "hint"), [(301, "region"), (307, ""), (404, "bucket")])
def test_an_answer_that_leads_nowhere(
    client: S3Substrate, proxy: FaultProxy, status: int, hint: str
) -> None:
    fault = proxy.answer(http_answer(status))
    with pytest.raises(StoreUnavailable) as caught:
        list(client.names(deadline=Deadline.after(10)))
    assert hint in (caught.value.hint or "")
    assert fault.hits <= 4


@pytest.mark.parametrize("status", [200, 502])
def test_what_is_no_answer_of_s3_leaves_a_swap_unknown(
    client: S3Substrate, proxy: FaultProxy, status: int
) -> None:
    proxy.answer(http_answer(status, b"<html>Hello</html>", content_type="text/html"))
    with pytest.raises(OutcomeUnknown):
        client.swap("name", b"0" * 32, b"data", deadline=Deadline.after(10))
    with pytest.raises(StoreUnavailable):
        client.read("name", deadline=Deadline.after(10))


# --- the network ---


def calls(client: S3Substrate, seconds: float) -> dict[str, Callable[[], object]]:
    deadline = Deadline.after(seconds)
    return {
        "read": lambda: client.read("name", deadline=deadline),
        "swap": lambda: client.swap("name", b"0" * 32, b"data", deadline=deadline),
        "blobs": lambda: client.swap(
            "name", b"0" * 32, b"", {"a": b"", "b": b""}, deadline=deadline
        ),
        "names": lambda: list(client.names(deadline=deadline)),
        "get": lambda: client.get_blobs("name", [BlobRange("a")] * 40, deadline=deadline),
        "put": lambda: client.put_blob("name", "a", b"x" * (1 << 22), deadline=deadline),
        "delete": lambda: client.delete_blobs("name", ["a"], deadline=deadline),
        "list": lambda: list(client.list_blobs("name", deadline=deadline)),
        "diagnose": lambda: list(client.diagnose(deadline=deadline)),
    }


WRITES = ["swap", "put", "delete"]
CALLS = [*WRITES, "read", "blobs", "names", "get", "list"]


@pytest.mark.parametrize("call", CALLS)
def test_a_server_that_cannot_be_reached_leaves_no_doubt(
    client: S3Substrate, proxy: FaultProxy, call: str
) -> None:
    proxy.refuse()
    with pytest.raises(StoreUnavailable) as caught:
        calls(client, 10)[call]()
    assert caught.value.retryable
    assert str(proxy.port) in str(caught.value)


@pytest.mark.parametrize("call", [*CALLS, "diagnose"])
def test_a_server_that_hangs_holds_nobody_beyond_the_deadline(
    client: S3Substrate, proxy: FaultProxy, call: str
) -> None:
    client.read("name", deadline=Deadline.after(10))
    proxy.black_hole()
    began = time.monotonic()
    try:
        calls(client, 1.0)[call]()
    except (StoreUnavailable, Timeout):
        assert call not in WRITES
    except OutcomeUnknown:
        assert call in WRITES
    assert 0.9 < time.monotonic() - began < 15.0


def test_an_answer_in_small_pieces_ends_by_the_deadline(place: StoreURL, opened: Open) -> None:
    def trickle() -> None:
        line, _ = listener.accept()
        with line:
            line.recv(65536)
            line.sendall(b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 1000\r\n\r\n')
            try:
                for _ in range(60):
                    line.sendall(b"x")
                    time.sleep(0.1)
            except OSError:
                pass  # the client went away, as it should

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = threading.Thread(target=trickle)
        server.start()
        client = opened(at(place, endpoint_url=f"http://127.0.0.1:{port}"))
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            client.read("name", deadline=Deadline.after(1.0))
        assert time.monotonic() - began < 15.0
        server.join()


def test_a_dead_connection_does_not_cost_all_the_time_there_is(
    client: S3Substrate, proxy: FaultProxy
) -> None:
    client.read("name", deadline=Deadline.after(10))
    proxy.black_hole(times=1)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        client.read("name", deadline=Deadline.after(60))
    assert time.monotonic() - began < 30.0
    assert caught.value.retryable
    client.read("name", deadline=Deadline.after(10))


@pytest.mark.parametrize("call", ["swap", "put", "delete"])
def test_a_write_whose_answer_is_lost_is_unknown(
    client: S3Substrate, proxy: FaultProxy, call: str
) -> None:
    fault = proxy.reset_after()
    with pytest.raises(OutcomeUnknown):
        calls(client, 10)[call]()
    assert fault.hits == 1, "it was sent once"


def test_a_blob_whose_answer_is_lost_leaves_the_swap_undone(
    client: S3Substrate, proxy: FaultProxy
) -> None:
    proxy.reset_after(times=1)
    with pytest.raises(StoreUnavailable) as caught:
        client.swap("name", b"0" * 32, b"", {"a": b"x"}, deadline=Deadline.after(10))
    assert caught.value.retryable


# --- TLS ---


def test_tls_is_checked(place: StoreURL, opened: Open, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    endpoint = place.options["endpoint_url"]
    with (
        Front(endpoint, certificate=authority.issue("good")) as good,
        Front(endpoint, certificate=authority.issue("expired", days=-1)) as expired,
    ):
        ca = str(authority.path)
        trusting = opened(at(place, endpoint_url=good.endpoint, ca=ca))
        assert trusting.read("name", deadline=Deadline.after(10)) is None
        trusting.put_blob("name", "tls", b"data", deadline=Deadline.after(10))
        for url, said in (
            (at(place, endpoint_url=good.endpoint), "certificate verify failed"),
            (at(place, endpoint_url=expired.endpoint, ca=ca), "expired"),
        ):
            with pytest.raises(StoreUnavailable, match=said) as caught:
                opened(url).swap("name", b"0" * 32, b"", deadline=Deadline.after(10))
            assert not caught.value.retryable
            assert "option ca" in (caught.value.hint or "")


def test_a_bare_404_says_nothing_of_the_object(client: S3Substrate, proxy: FaultProxy) -> None:
    token = client.swap("name", None, b"data", deadline=Deadline.after(10))
    proxy.answer(http_answer(404, b"404 page not found\n", content_type="text/plain"))
    for call in (
        lambda: client.read("name", deadline=Deadline.after(2)),
        lambda: client.swap("name", token, b"more", deadline=Deadline.after(2)),
        lambda: client.get_blobs("name", [BlobRange("blob")], deadline=Deadline.after(2)),
    ):
        with pytest.raises(StoreUnavailable):
            call()
    proxy.clear()
    assert client.read("name", deadline=Deadline.after(10)) is not None
