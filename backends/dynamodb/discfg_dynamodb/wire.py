"""HTTP requests that end by a deadline, and errors that say whether the request may have arrived.

A client of botocore has one time-out for all its requests, judged anew at each piece that
arrives. So botocore makes and signs the requests and reads the answers, and this module, called
at botocore's event ``before-send``, does what lies between.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import urllib3
from botocore.awsrequest import AWSResponse
from botocore.httpsession import create_urllib3_context, get_cert_path
from botocore.utils import get_environ_proxies
from urllib3.exceptions import (
    ClosedPoolError,
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NewConnectionError,
    ProxyError,
    SSLError,
)
from urllib3.util import make_headers, parse_url

from discfg_core.clock import Deadline

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest

# DynamoDB answers within milliseconds. Where it does not, the request or its answer is lost, and
# the caller should have time for another.
_CONNECT_SECONDS: Final = 5.0
_SILENCE_SECONDS: Final = 10.0
_READ_BYTES: Final = 256 * 1024
_IDLE_CONNECTIONS: Final = 64

_BEFORE_IT_IS_SENT: Final = (
    ClosedPoolError,
    ConnectTimeoutError,
    LocationParseError,
    NewConnectionError,
    ProxyError,
)


class NotSent(Exception):
    """Raised when a request surely did not reach the store."""


class TooLate(NotSent):
    """Raised when it was not even tried, because the deadline had passed."""


class Distrusted(NotSent):
    """Raised when there is no TLS with the server, or its certificate is not one to trust."""


class NoAnswer(Exception):
    """Raised when a request may have reached the store, and its answer did not come back."""


class Wire:
    """Connections, kept alive; for any number of threads.

    Args:
        ca_bundle: The file of certificates to trust; ``None``: those botocore trusts.
    """

    def __init__(self, ca_bundle: str | None) -> None:
        self._ca_bundle = ca_bundle
        self._local = threading.local()
        self._lock = threading.Lock()
        self._managers: dict[str, urllib3.PoolManager] = {}
        self._closed = False

    @contextmanager
    def until(self, deadline: Deadline) -> Iterator[None]:
        """The requests of this thread, meanwhile, end by `deadline`."""
        self._local.deadline = deadline
        try:
            yield
        finally:
            del self._local.deadline

    def send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """Send, and read the whole answer: a handler of the event ``before-send``.

        Raises:
            NotSent, NoAnswer: There is none, or no time for one.
        """
        deadline: Deadline = self._local.deadline
        remaining = deadline.remaining()
        if remaining <= 0:
            raise TooLate("the deadline had passed")
        try:
            answer = self._manager(request.url).urlopen(
                request.method,
                request.url,
                body=request.body,
                headers=request.headers,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(
                    connect=min(remaining, _CONNECT_SECONDS),
                    read=min(remaining, _SILENCE_SECONDS),
                ),
                preload_content=False,
                decode_content=False,
            )
            try:
                body = _read(answer, deadline)
            except BaseException:
                answer.close()
                raise
        except _BEFORE_IT_IS_SENT as error:
            raise NotSent(_reason(error)) from error
        except SSLError as error:
            raise (Distrusted if _is_of_handshake(error) else NoAnswer)(_reason(error)) from error
        except (HTTPError, OSError) as error:
            raise NoAnswer(_reason(error)) from error
        _check(answer, body)
        headers: Any = answer.headers
        return AWSResponse(request.url, answer.status, headers, _Body(body))

    def close(self) -> None:
        """Close the connections that are idle; those in use close when they are done."""
        with self._lock:
            self._closed = True
        for manager in self._managers.values():
            # Not by `clear`, which leaves the closing to the collector.
            for address in manager.pools.keys():  # noqa: SIM118 - it cannot be iterated itself
                manager.pools[address].close()

    def _manager(self, url: str) -> urllib3.PoolManager:
        # By the whole URL, which is the same for every request: looking through the environment
        # for proxies takes as long as signing.
        manager = self._managers.get(url)
        if manager is None:
            with self._lock:
                manager = self._managers.get(url)
                if self._closed:
                    raise NotSent("this store was closed")
                if manager is None:
                    proxy = get_environ_proxies(url).get(url.partition(":")[0])
                    manager = self._managers[url] = self._connect_by(proxy)
        return manager

    def _connect_by(self, proxy: str | None) -> urllib3.PoolManager:
        settings: dict[str, Any] = {
            "maxsize": _IDLE_CONNECTIONS,
            "ssl_context": create_urllib3_context(),
            "cert_reqs": "CERT_REQUIRED",
            "ca_certs": self._ca_bundle or get_cert_path(verify=True),
        }
        if proxy is None:
            return urllib3.PoolManager(**settings)
        address = proxy if "://" in proxy else f"http://{proxy}"
        auth = parse_url(address).auth
        headers = make_headers(proxy_basic_auth=auth) if auth else None
        return urllib3.ProxyManager(address, proxy_headers=headers, **settings)


class _Body:
    """A body that was read, as `AWSResponse` wants to read it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._body


def _read(answer: urllib3.BaseHTTPResponse, deadline: Deadline) -> bytes:
    parts: list[bytes] = []
    while True:
        # None where the server closes the connection behind this answer; then what was set for
        # the request goes on to hold for each piece.
        connection = answer.connection
        sock = getattr(connection, "sock", None)
        remaining = deadline.remaining()
        if remaining <= 0:
            raise NoAnswer("the deadline passed in the midst of the answer")
        if sock is not None:
            sock.settimeout(min(remaining, _SILENCE_SECONDS))
        part = answer.read1(_READ_BYTES)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _check(answer: urllib3.BaseHTTPResponse, body: bytes) -> None:
    """A success is believed from DynamoDB alone, and as it left it.

    Raises:
        NoAnswer: It comes from something in between, or was damaged on its way.
    """
    if answer.status == 200 and "x-amzn-requestid" not in answer.headers:
        raise NoAnswer("what answered is not DynamoDB")
    checksum = answer.headers.get("x-amz-crc32")
    if checksum is not None and checksum != str(crc32(body)):
        raise NoAnswer("the answer was damaged on its way")


def _is_of_handshake(error: SSLError) -> bool:
    """Whether the server's certificate was refused, or it speaks no TLS: nothing was sent yet."""
    cause = error.args[0] if error.args else None
    return isinstance(cause, ssl.SSLCertVerificationError) or (
        isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER"
    )


def _reason(error: Exception) -> str:
    """What went wrong, without the objects that urllib3 puts before it."""
    inner = error.args[-1] if error.args else error
    return str(inner).rpartition(">: ")[2] or type(error).__name__
