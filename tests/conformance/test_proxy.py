"""The proxy that fails on purpose fails as it says, and counts it: seen with plain sockets."""

from __future__ import annotations

import http.client
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from discfg_core.testing.invariants import Leaks
from discfg_core.testing.proxy import FaultProxy, http_answer

Send = Callable[[socket.socket], None]


def is_put(request: bytes) -> bool:
    return request.startswith(b"PUT ")


class WebServer:
    """An HTTP/1.1 server that keeps what was put, and tells how many connections it saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(b"")

            def do_PUT(self) -> None:
                self._answer(
                    self._chunks() if "Transfer-Encoding" in self.headers else self._body()
                )

            def _body(self) -> bytes:
                return self.rfile.read(int(self.headers["Content-Length"]))

            def _chunks(self) -> bytes:
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def _answer(self, body: bytes) -> None:
                outer.seen.append((self.command, body))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class EchoServer:
    """Greets, then returns each piece it gets; keeps all of it."""

    def __init__(self, greeting: bytes = b"", answer: Callable[[bytes], bytes] = bytes) -> None:
        self.seen = b""
        self._greeting = greeting
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.sendall(self._greeting)
            while data := connection.recv(65536):
                self.seen += data
                connection.sendall(self._answer(data))
            connection.close()
        except OSError:
            connection.close()

    def close(self) -> None:
        # A close alone leaves the thread in its `accept`.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    leaks = Leaks()
    yield
    leaks.assert_none()


@pytest.fixture
def web(_nothing_left: None) -> Iterator[WebServer]:
    with closing(WebServer()) as server:
        yield server


@pytest.fixture
def proxy(web: WebServer) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", web.port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[http.client.HTTPConnection]:
    client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    yield client
    client.close()


@pytest.fixture
def echo(_nothing_left: None) -> Iterator[EchoServer]:
    with closing(EchoServer()) as server:
        yield server


@pytest.fixture
def echo_proxy(echo: EchoServer) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", echo.port) as proxy:
        yield proxy


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def ask(client: http.client.HTTPConnection, method: str, body: bytes = b"") -> tuple[int, bytes]:
    client.request(method, "/key", body=body if method == "PUT" else None)
    answer = client.getresponse()
    return answer.status, answer.read()


def exchange(line: socket.socket, sent: bytes, expected: bytes | None = None) -> None:
    """Send bytes, and get the same back."""
    line.sendall(sent)
    left = len(expected or sent)
    received = b""
    while len(received) < left:
        piece = line.recv(65536)
        assert piece, "the connection ended"
        received += piece
    assert received == (expected or sent)


# --- nothing fails ---


def test_it_passes_bytes_on_as_they_are(echo_proxy: FaultProxy) -> None:
    sent = bytes(range(256)) * 20_000
    with connect(echo_proxy) as line:
        sender = threading.Thread(target=line.sendall, args=(sent,))
        sender.start()
        received = b""
        while len(received) < len(sent):
            received += line.recv(65536)
        sender.join()
        assert received == sent


def test_it_passes_the_end_of_either_side_on(echo_proxy: FaultProxy) -> None:
    with connect(echo_proxy) as line:
        line.sendall(b"last words")
        line.shutdown(socket.SHUT_WR)
        received = b""
        while piece := line.recv(100):
            received += piece
        assert received == b"last words"


def test_one_connection_carries_many_requests(
    web: WebServer, client: http.client.HTTPConnection
) -> None:
    for method in ("GET", "PUT", "GET"):
        assert ask(client, method, b"x" * 300_000) == (200, b"ok")
    assert [(method, len(body)) for method, body in web.seen] == [
        ("GET", 0),
        ("PUT", 300_000),
        ("GET", 0),
    ]


# --- connections ---


def test_refused_connections_come_back_on_the_same_port(
    proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    assert ask(client, "GET") == (200, b"ok")
    port = proxy.port
    proxy.refuse()
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        ask(client, "GET")
    client.close()
    for _ in range(20):
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
    proxy.clear()
    assert proxy.port == port
    assert ask(client, "GET") == (200, b"ok")


def test_a_server_that_is_down_shows_as_a_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with (
        FaultProxy("127.0.0.1", port) as proxy,
        pytest.raises(ConnectionResetError),
        connect(proxy) as line,
    ):
        line.recv(1)


def test_open_connections_can_be_reset_and_new_ones_work(echo_proxy: FaultProxy) -> None:
    with connect(echo_proxy) as old:
        exchange(old, b"before")
        echo_proxy.reset_connections()
        with pytest.raises(ConnectionResetError):
            old.recv(1)
    with connect(echo_proxy) as new:
        exchange(new, b"after")


# --- HTTP/1.1 ---


def test_a_request_reset_before_is_never_seen(
    web: WebServer, proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    fault = proxy.reset_before(times=1, when=is_put)
    assert ask(client, "GET") == (200, b"ok")
    assert fault.hits == 0
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        ask(client, "PUT", b"lost")
    fault.wait(timeout=5)
    client.close()
    assert ask(client, "PUT", b"kept") == (200, b"ok")
    assert web.seen == [("GET", b""), ("PUT", b"kept")]
    assert fault.hits == 1


def test_a_request_reset_after_was_applied_and_its_answer_is_lost(
    web: WebServer, proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    body = b"applied" * 30_000
    fault = proxy.reset_after(times=1, when=is_put)
    assert ask(client, "GET") == (200, b"ok")
    with pytest.raises(ConnectionResetError):
        ask(client, "PUT", body)
    assert fault.hits == 1
    assert web.seen == [("GET", b""), ("PUT", body)]
    client.close()
    assert ask(client, "PUT", b"again") == (200, b"ok")
    assert fault.hits == 1


def test_a_server_that_never_answers_is_no_hit_of_reset_after(echo: EchoServer) -> None:
    with (
        closing(EchoServer(answer=lambda data: b"")) as silent,
        FaultProxy("127.0.0.1", silent.port) as proxy,
    ):
        fault = proxy.reset_after(patience=0.2)
        with connect(proxy) as line:
            line.sendall(b"ask")
            with pytest.raises(ConnectionResetError):
                line.recv(1)
        assert silent.seen == b"ask"
        assert fault.hits == 0
        with pytest.raises(AssertionError, match="reset_after struck 0 times, not 1"):
            fault.wait(timeout=0.05)


def test_a_delay_is_taken_each_way(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    fault = proxy.delay(0.2, times=1)
    started = time.monotonic()
    assert ask(client, "PUT", b"x" * 300_000) == (200, b"ok")
    assert time.monotonic() - started >= 0.4
    assert ask(client, "GET") == (200, b"ok")
    assert fault.hits == 1


def test_an_answer_stands_in_for_the_server_on_the_same_connection(
    web: WebServer, proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    slow_down = b"<Error><Code>SlowDown</Code></Error>"
    assert ask(client, "GET") == (200, b"ok")
    line = client.sock
    fault = proxy.answer(http_answer(503, slow_down, retry_after="1"), times=2, when=is_put)
    for _ in range(2):
        client.request("PUT", "/key", body=b"x" * 300_000)
        answer = client.getresponse()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert answer.read() == slow_down
    assert ask(client, "PUT", b"kept") == (200, b"ok")
    assert client.sock is line
    assert web.seen == [("GET", b""), ("PUT", b"kept")]
    assert fault.hits == 2


def test_a_chunked_request_is_read_to_its_end(
    web: WebServer, proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    fault = proxy.answer(http_answer(503), times=1)
    for status in (503, 200):
        client.request("PUT", "/key", body=iter([b"a" * 10, b"\r\n\r\n", b"b" * 100_000]))
        answer = client.getresponse()
        answer.read()
        assert answer.status == status
    assert [len(body) for _, body in web.seen] == [100_014]
    assert fault.hits == 1


def test_a_client_that_waits_to_be_asked_for_the_body_is_asked(
    web: WebServer, proxy: FaultProxy
) -> None:
    head = b"PUT /key HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
    content = http_answer(503)
    with connect(proxy) as line:
        fault = proxy.answer(content, times=1)
        exchange(line, head, go_on)
        exchange(line, b"lost", content)
        assert fault.hits == 1
        fault = proxy.reset_after(times=1)
        # The interim answer is not the one that is dropped.
        exchange(line, head, go_on)
        assert fault.hits == 0
        line.sendall(b"kept")
        with pytest.raises(ConnectionResetError):
            line.recv(1)
        assert fault.hits == 1
    assert web.seen == [("PUT", b"kept")]


def test_a_request_in_many_small_pieces_is_one(web: WebServer, proxy: FaultProxy) -> None:
    content = http_answer(503)
    fault = proxy.answer(content, times=1)
    with connect(proxy) as line:
        for byte in b"PUT /key HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nlos":
            line.sendall(bytes([byte]))
        line.settimeout(0.1)
        with pytest.raises(TimeoutError):
            line.recv(1)
        line.settimeout(10)
        exchange(line, b"t", content)
    assert fault.hits == 1
    assert web.seen == []


# --- black hole ---


def test_a_black_hole_swallows_a_request_and_leaves_the_connection_open(
    web: WebServer, proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    fault = proxy.black_hole(times=1, when=is_put)
    client.timeout = 0.3
    with pytest.raises(TimeoutError):
        ask(client, "PUT", b"lost")
    assert fault.hits == 1
    client.close()
    assert ask(client, "PUT", b"kept") == (200, b"ok")
    assert web.seen == [("PUT", b"kept")]


def test_a_black_hole_silences_open_connections_at_once(
    echo: EchoServer, echo_proxy: FaultProxy
) -> None:
    with connect(echo_proxy) as old:
        exchange(old, b"before")
        echo_proxy.black_hole()
        echo.connections[0].sendall(b"unasked")
        old.settimeout(0.2)
        with pytest.raises(TimeoutError):
            old.recv(1)
        echo_proxy.clear()
        # Who was forgotten by the network is not remembered.
        old.sendall(b"hello?")
        with pytest.raises(TimeoutError):
            old.recv(1)
        with connect(echo_proxy) as new:
            exchange(new, b"after")
    assert echo.seen == b"beforeafter"
    # The client's end is the end of it on the other side, too.
    end = time.monotonic() + 10
    while echo.connections[0].fileno() >= 0:
        assert time.monotonic() < end
        time.sleep(0.01)


# --- other protocols ---


def test_a_request_of_another_protocol_is_found_by_its_bytes(
    echo: EchoServer, echo_proxy: FaultProxy
) -> None:
    fault = echo_proxy.reset_after(times=1, when=lambda piece: b"write" in piece, settle=0.05)
    with connect(echo_proxy) as line:
        exchange(line, b"read")
        line.sendall(b"write")
        with pytest.raises(ConnectionResetError):
            line.recv(1)
    assert fault.hits == 1
    assert echo.seen == b"readwrite"


def frame(kind: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2."""
    return len(payload).to_bytes(3) + bytes([kind, 0]) + stream.to_bytes(4) + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, DATA, HEADERS, WINDOW = 4, 6, 0, 1, 8


def test_of_http2_only_the_streams_own_answer_counts() -> None:
    first = frame(HEADERS, 1, b"h") + frame(DATA, 1, b"/read")
    second = frame(HEADERS, 3, b"h") + frame(DATA, 3, b"/write")
    unrelated = frame(WINDOW, 0, b"1234") + frame(DATA, 1, b"another stream's")
    may_answer = threading.Event()

    def answer(data: bytes) -> bytes:
        if b"/write" not in data:
            return b""
        server.connections[0].sendall(unrelated)
        assert may_answer.wait(10)
        return frame(HEADERS, 3, b"h") + frame(DATA, 3, b"applied")

    with closing(EchoServer(frame(SETTINGS, 0, b"s"), answer)) as server:
        with FaultProxy("127.0.0.1", server.port) as proxy, connect(proxy) as line:
            fault = proxy.reset_after(when=lambda piece: b"/write" in piece)
            exchange(line, PREFACE + frame(SETTINGS, 0) + first, frame(SETTINGS, 0, b"s"))
            exchange(line, frame(PING, 0, b"/write!!") + second, unrelated)
            assert fault.hits == 0
            may_answer.set()
            with pytest.raises(ConnectionResetError):
                line.recv(1)
            assert fault.hits == 1
        assert server.seen == PREFACE + b"".join(
            (frame(SETTINGS, 0), first, frame(PING, 0, b"/write!!"), second)
        )


def test_of_http2_a_ping_is_no_request(echo: EchoServer, echo_proxy: FaultProxy) -> None:
    with connect(echo_proxy) as line:
        exchange(line, PREFACE + frame(SETTINGS, 0))
        fault = echo_proxy.reset_before()
        exchange(line, frame(PING, 0, b"12345678"))
        assert fault.hits == 0
        line.sendall(frame(HEADERS, 1, b"h"))
        with pytest.raises(ConnectionResetError):
            line.recv(1)
        assert fault.hits == 1
    assert echo.seen == PREFACE + frame(SETTINGS, 0) + frame(PING, 0, b"12345678")


# --- the proxy itself ---


def test_closing_resets_and_leaves_nothing(web: WebServer) -> None:
    proxy = FaultProxy("127.0.0.1", web.port)
    proxy.delay(60.0)
    with connect(proxy) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        proxy.close()
        proxy.close()
        with pytest.raises(ConnectionResetError):
            line.recv(1)
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)


def test_what_a_condition_raises_is_not_lost(web: WebServer) -> None:
    def broken(request: bytes) -> bool:
        raise LookupError("no such request")

    proxy = FaultProxy("127.0.0.1", web.port)
    proxy.reset_before(when=broken)
    with connect(proxy) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            line.recv(1)
    with pytest.raises(ExceptionGroup) as caught:
        proxy.close()
    assert caught.group_contains(LookupError, match="no such request")
