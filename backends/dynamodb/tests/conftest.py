"""The places of tests: a prefix that nobody else uses, on each of two servers; and `Front`, which
sees, counts and changes what goes between a client and a real server.
"""

from __future__ import annotations

import http.client
import http.server
import json
import secrets
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from discfg_dynamodb.profile import Options
from discfg_dynamodb.substrate import DynamoDBSubstrate

from discfg_core.urls import parse
from tests.servers.certificates import Authority, Pair

if TYPE_CHECKING:
    from tests.servers.plugin import Servers

Ask = Callable[[], tuple[int, dict[str, Any]]]
Reply = Callable[[dict[str, Any], Ask], tuple[int, Any]]


class Front:
    """An HTTP server before a real one, which hands every request on, unless it was told else.

    An emulator does not throttle, replicate, or check who asks. Those answers are as AWS's
    documentation has them; all others are the real server's.
    """

    def __init__(self, endpoint: str, certificate: Pair | None = None) -> None:
        self._upstream = endpoint.removeprefix("http://")
        self._replies: dict[str, list[Reply]] = {}
        self.requests: Counter[str] = Counter()
        """How often each operation was asked for."""
        self.bodies: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        front = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Else the head and the body of an answer wait for one another.
            wbufsize = -1

            def do_POST(self) -> None:
                front._handle(self)

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                """Nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate.cert, certificate.key)
            # The handshake is the thread's that serves the connection, not the listener's.
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        scheme = "http" if certificate is None else "https"
        self.endpoint = f"{scheme}://127.0.0.1:{self._server.server_port}"

    def reply(self, operation: str, *replies: Reply) -> None:
        """Answer the next requests for an operation, such as ``PutItem``, by these, one each."""
        self._replies.setdefault(operation, []).extend(replies)

    def always(self, operation: str, reply: Reply) -> None:
        """Answer every request for an operation by this."""
        self.reply(operation, *[reply] * 1000)

    def refuse(
        self, operation: str, code: str, message: str = "", *, status: int = 400, times: int = 1
    ) -> None:
        """Answer the next requests for an operation by an error of DynamoDB's; nothing is done."""
        answer = _error(code, message, status)
        self.reply(operation, *[lambda _request, _ask: answer] * times)

    def reset(self) -> None:
        """Hand everything on again, and count from nothing."""
        self._replies.clear()
        self.requests.clear()
        self.bodies.clear()
        self.headers.clear()

    def _handle(self, request: http.server.BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        self.requests[operation] += 1
        self.bodies.append((operation, json.loads(body)))
        self.headers.append(dict(request.headers))

        def ask() -> tuple[int, dict[str, Any]]:
            upstream = http.client.HTTPConnection(self._upstream, timeout=60)
            try:
                upstream.request("POST", "/", body, dict(request.headers))
                answer = upstream.getresponse()
                return answer.status, json.loads(answer.read())
            finally:
                upstream.close()

        waiting = self._replies.get(operation)
        status, content = waiting.pop(0)(json.loads(body), ask) if waiting else ask()
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        request.send_response(status)
        if not isinstance(content, bytes):
            request.send_header("Content-Type", "application/x-amz-json-1.0")
            request.send_header("x-amzn-RequestId", secrets.token_hex(26).upper())
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    def close(self) -> None:
        """Serve no longer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _error(code: str, message: str, status: int = 400) -> tuple[int, Any]:
    return status, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message}


class SlowTables:
    """Makes a front's tables take a while to be created, changed and deleted, as AWS's do, and
    serve nothing while they are created.
    """

    seconds = 0.6

    def __init__(self, front: Front) -> None:
        self._changing: dict[str, tuple[str, float, dict[str, Any]]] = {}
        self._last: dict[str, dict[str, Any]] = {}
        self._timers: list[threading.Timer] = []
        front.always("CreateTable", self._create)
        front.always("UpdateTable", self._update)
        front.always("DeleteTable", self._delete)
        front.always("DescribeTable", self._describe)
        for operation in ("GetItem", "PutItem"):
            front.always(operation, self._serve)

    def close(self) -> None:
        """Wait for what was begun."""
        for timer in self._timers:
            timer.join()

    def _state(self, table: str) -> tuple[str, dict[str, Any]] | None:
        state, end, told = self._changing.get(table, ("", 0.0, {}))
        return (state, told) if time.monotonic() < end else None

    def _begin(self, table: str, state: str, told: dict[str, Any]) -> dict[str, Any]:
        told = {**told, "TableStatus": state}
        self._changing[table] = (state, time.monotonic() + self.seconds, told)
        return {"TableDescription": told}

    def _create(self, request: dict[str, Any], ask: Ask) -> tuple[int, Any]:
        status, answer = ask()
        if status == 200:
            answer = self._begin(request["TableName"], "CREATING", answer["TableDescription"])
        return status, answer

    def _update(self, request: dict[str, Any], ask: Ask) -> tuple[int, Any]:
        name = request["TableName"]
        if self._state(name):
            return _error("ResourceInUseException", f"{name} is being changed")
        before = request.get("BillingMode") and self._last[name]
        status, answer = ask()
        if status == 200 and before:
            answer = self._begin(name, "UPDATING", before)
        return status, answer

    def _delete(self, request: dict[str, Any], ask: Ask) -> tuple[int, Any]:
        name = request["TableName"]
        if self._state(name):
            return _error("ResourceInUseException", f"{name} is being changed")
        timer = threading.Timer(self.seconds / 2, ask)
        timer.start()
        self._timers.append(timer)
        return 200, self._begin(name, "DELETING", self._last[name])

    def _describe(self, request: dict[str, Any], ask: Ask) -> tuple[int, Any]:
        state = self._state(request["TableName"])
        if state is not None:
            return 200, {"Table": state[1]}
        status, answer = ask()
        if status == 200:
            self._last[request["TableName"]] = answer["Table"]
        return status, answer

    def _serve(self, request: dict[str, Any], ask: Ask) -> tuple[int, Any]:
        state = self._state(request["TableName"])
        if state is not None and state[0] == "CREATING":
            return _error("ResourceNotFoundException", "Requested resource not found")
        return ask()


def open_at(place: str) -> DynamoDBSubstrate:
    """A client of the store at a place."""
    url = parse(place)
    return DynamoDBSubstrate(url, url.options_as(Options))


@pytest.fixture(params=["dynamodb", "moto"])
def place(servers: Servers, request: pytest.FixtureRequest) -> str:
    """The URL of a store that nothing is in yet."""
    return f"{servers.url(request.param)}&prefix=t{secrets.token_hex(6)}."


@pytest.fixture
def front(place: str) -> Iterator[Front]:
    """In front of the server of the place."""
    front = Front(parse(place).options["endpoint_url"])
    yield front
    front.close()


@pytest.fixture
def fronted(place: str, front: Front) -> str:
    """The same place, through the front."""
    return place.replace(parse(place).options["endpoint_url"], front.endpoint)


@pytest.fixture
def store(place: str) -> Iterator[DynamoDBSubstrate]:
    """A client of the place, straight."""
    store = open_at(place)
    yield store
    store.close()


@pytest.fixture
def seen(fronted: str) -> Iterator[DynamoDBSubstrate]:
    """A client of the place, through the front."""
    seen = open_at(fronted)
    yield seen
    seen.close()


@pytest.fixture
def slow_tables(front: Front) -> Iterator[SlowTables]:
    """Whose tables take a while to change."""
    tables = SlowTables(front)
    yield tables
    tables.close()


@pytest.fixture
def slow(fronted: str, slow_tables: SlowTables) -> str:
    """The same place, where they do."""
    return fronted


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority of the test's own."""
    return Authority(tmp_path)


@pytest.fixture
def over_tls(place: str) -> Iterator[Callable[[Pair], str]]:
    """The same place behind a server with that certificate."""
    fronts: list[Front] = []
    endpoint = parse(place).options["endpoint_url"]

    def serve(certificate: Pair) -> str:
        fronts.append(Front(endpoint, certificate))
        return place.replace(endpoint, fronts[-1].endpoint)

    yield serve
    for front in fronts:
        front.close()
