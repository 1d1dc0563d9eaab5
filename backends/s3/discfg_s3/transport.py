"""HTTP with a deadline: what sends botocore's requests instead of botocore's own sessions.

Those have one time-out a client, fixed when it is made, so that a server which hangs would hold a
call far beyond its deadline. Here each request has its own, from connecting to the last byte of
the answer. Nothing is ever sent twice.
"""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import urllib3
from botocore.awsrequest import AWSResponse
from botocore.httpsession import create_urllib3_context, get_cert_path
from botocore.utils import get_environ_proxies
from urllib3.exceptions import ProtocolError
from urllib3.util import Timeout, make_headers

from discfg_core.errors import Closed
from discfg_core.errors import Timeout as DeadlinePassed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from discfg_core.clock import Deadline

_POOL_SIZE: Final = 64
# To connect, or to get rid of a small request.
_CONNECT_SECONDS: Final = 4.0
_BYTES_A_SECOND: Final = 64 * 1024
_CHUNK_BYTES: Final = 1 << 18


class _Body(io.BytesIO):
    """An answer's body, all of it here, in the form that botocore reads."""

    def stream(self) -> Iterator[bytes]:
        """All of it."""
        yield self.read()


class Transport:
    """Connections, up to 64 of them kept; for any number of threads.

    Args:
        ca: PEM file of the authorities to trust; ``None``: those that botocore trusts.
    """

    def __init__(self, ca: str | None) -> None:
        self._ca = ca
        self._lock = threading.Lock()
        self._managers: dict[tuple[str, str], urllib3.PoolManager] = {}
        self._closed = threading.Event()

    def send(self, request: Any, deadline: Deadline, patience: float) -> AWSResponse:
        """The answer to one request, read to its end.

        Args:
            request: botocore's, signed.
            deadline: The end of it.
            patience: Seconds without a sign of life until an answer is given up before the
                deadline, so that a connection that died unseen does not cost all there is.

        Raises:
            Timeout: The deadline had passed; nothing was sent.
            Closed: This was closed; nothing was sent.
            urllib3.exceptions.HTTPError: What became of it otherwise.
        """
        if self._closed.is_set():
            raise Closed("this store was closed", engine="s3")
        remaining = deadline.remaining()
        if remaining <= 0:
            raise DeadlinePassed("the deadline had passed", engine="s3")
        # botocore makes a file of it, which would be sent in small pieces.
        body = request.body.read() if hasattr(request.body, "read") else request.body
        # Nobody here waits for an answer before the body is sent.
        request.headers.pop("Expect", None)
        connect = min(remaining, _CONNECT_SECONDS + len(body or b"") / _BYTES_A_SECOND)
        response = self._manager(request.url).urlopen(
            request.method,
            request.url,
            body=body,
            headers=request.headers,
            # urllib3 takes the one for connecting for sending, too.
            timeout=Timeout(total=remaining, connect=connect, read=min(remaining, patience)),
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )
        try:
            received = _Body(b"".join(_received(response, deadline, patience)))
        except BaseException:
            response.close()
            raise
        if self._closed.is_set():
            self.close()
        headers: Any = response.headers
        return AWSResponse(request.url, response.status, headers, received)

    def close(self) -> None:
        """Close what is idle; connections in use close when they come back."""
        self._closed.set()
        with self._lock:
            managers = list(self._managers.values())
        for manager in managers:
            # Clearing alone leaves each pool's connections to whoever still refers to the pool,
            # such as an error of it.
            for key in manager.pools.keys():  # noqa: SIM118 - it cannot be iterated over
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
            manager.clear()

    def _manager(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        with self._lock:
            manager = self._managers.get(parts[:2])
            if manager is None:
                manager = self._managers[parts[:2]] = self._make_manager(url)
            return manager

    def _make_manager(self, url: str) -> urllib3.PoolManager:
        options: dict[str, Any] = {"maxsize": _POOL_SIZE, "num_pools": 4}
        if url.startswith("https:"):
            context = create_urllib3_context()
            context.load_verify_locations(self._ca or get_cert_path(True))  # noqa: FBT003 - botocore's
            options["ssl_context"] = context
        proxy = get_environ_proxies(url).get(urlsplit(url).scheme)
        if proxy is None:
            return urllib3.PoolManager(**options)
        if "://" not in proxy:
            proxy = f"http://{proxy}"
        parts = urlsplit(proxy)
        credentials, at, address = parts.netloc.rpartition("@")
        if at:
            options["proxy_headers"] = make_headers(proxy_basic_auth=unquote(credentials))
        return urllib3.ProxyManager(f"{parts.scheme}://{address}", **options)


def _received(
    response: urllib3.BaseHTTPResponse, deadline: Deadline, patience: float
) -> Iterator[bytes]:
    while True:
        remaining = deadline.remaining()
        if remaining <= 0:
            raise ProtocolError("the answer did not end in time")
        # A time-out counts from each packet: without this a slow trickle would never end.
        socket = getattr(response.connection, "sock", None)
        if socket is not None:
            socket.settimeout(min(remaining, patience))
        chunk = response.read1(_CHUNK_BYTES)
        if not chunk:
            return
        yield chunk
