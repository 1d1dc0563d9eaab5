"""RethinkDB, as its own program: one server, or one of a cluster."""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import struct
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from discfg_core.urls import parse
from tests.servers.base import Server, program

# What a client says first, https://rethinkdb.com/docs/writing-drivers/.
_MAGIC = struct.pack("<L", 0x34C2BDC3)


class ServerTLS(NamedTuple):
    """PEM files for the connections of clients.

    Attributes:
        cert: The server's certificate.
        key: Its key.
        ca: The authorities that a client's certificate must come from; ``None``: it needs none.
    """

    cert: Path
    key: Path
    ca: Path | None = None


class RethinkDBServer(Server):
    """One server, on loopback, without its web interface.

    Args:
        folder: See `Server`.
        password: Of the user ``admin``.
        tls: For the connections of clients.
        join: A server whose cluster it joins.
    """

    name = "rethinkdb"
    product = "RethinkDB"
    ports = ("driver", "cluster")

    def __init__(
        self,
        folder: Path,
        *,
        password: str = "",
        tls: ServerTLS | None = None,
        join: RethinkDBServer | None = None,
    ) -> None:
        super().__init__(folder)
        self._password = password
        self._tls = tls
        self._join = join

    @classmethod
    def requirement(cls) -> str | None:
        """See `Server.requirement`."""
        return None if program("rethinkdb") else "no `rethinkdb` on PATH"

    def command(self) -> list[str]:
        """See `Server.command`."""
        data = self.folder / "data"
        options: dict[str, object] = {
            "directory": data,
            "server-name": f"s{self.port_of('cluster')}",
            "bind": "127.0.0.1",
            "driver-port": self.port,
            "cluster-port": self.port_of("cluster"),
            # Of both it would take what the machine has.
            "cores": 2,
            "cache-size": 256,
        }
        if self._password and not data.exists():
            options["initial-password"] = self._password
        if self._tls is not None:
            options["driver-tls-cert"] = self._tls.cert
            options["driver-tls-key"] = self._tls.key
            if self._tls.ca is not None:
                options["driver-tls-ca"] = self._tls.ca
        if self._join is not None:
            options["join"] = f"127.0.0.1:{self._join.port_of('cluster')}"
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return [str(program("rethinkdb")), "--no-http-admin", "--no-update-check", *words]

    def ready(self) -> bool:
        """See `Server.ready`."""
        return bool(self._hello()["success"])

    @property
    def host(self) -> str:
        """``127.0.0.1:port``, for a URL."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """See `Server.url`."""
        return f"rethinkdb://{self.host}/discfg"

    @property
    def version(self) -> str:
        """See `Server.version`."""
        return str(self._hello()["server_version"])

    def _hello(self) -> Any:
        """What the server says when a client comes. Raises OSError."""
        with socket.create_connection(("127.0.0.1", self.port), 2) as plain:
            if self._tls is None:
                return _hear(plain)
            if self._tls.ca is not None:
                # Without a certificate it does not let us in; that it listens has to do.
                return {"success": True, "server_version": "unknown, behind TLS"}
            # It is asked whether it is there, not who it is.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            with context.wrap_socket(plain) as secured:
                return _hear(secured)


def _hear(connection: socket.socket) -> Any:
    connection.sendall(_MAGIC)
    text = b""
    while not text.endswith(b"\0"):
        part = connection.recv(1024)
        if not part:
            raise ConnectionResetError("the server closed the connection")
        text += part
    return json.loads(text[:-1])


def with_path(url: str, path: str) -> str:
    """The URL with another database; its password stays in it."""
    before, _, options = url.partition("?")
    scheme, authority = before.split("://")
    plain = f"{scheme}://{authority.split('/')[0]}/{path}"
    return f"{plain}?{options}" if options else plain


class Admin:
    """A server as its own driver sees it, as the user of a URL.

    Attributes:
        r: The query language.
    """

    def __init__(self, url: str) -> None:
        parsed = parse(url)
        import rethinkdb  # type: ignore[import-untyped]  # the driver has no types

        self.r: Any = rethinkdb.RethinkDB()
        self._connection = self.r.connect(
            parsed.hosts[0].host, parsed.hosts[0].port, user=parsed.user, password=parsed.password
        )

    def run(self, term: Any) -> Any:
        """The answer to a query."""
        return term.run(self._connection)

    def table(self, url: str, name: str) -> Any:
        """A table of the URL's database."""
        return self.r.db(parse(url).path).table(name)

    def rows(self, url: str, name: str) -> list[Any]:
        """All its documents."""
        return list(self.run(self.table(url, name)))

    def user(self, url: str, *, password: str = "s3cret", **rights: bool) -> str:
        """The URL for a new user with these rights on its database, which is made if need be."""
        user = f"u{secrets.token_hex(4)}"
        path = parse(url).path
        if path not in self.run(self.r.db_list()):
            self.run(self.r.db_create(path))
        users = self.r.db("rethinkdb").table("users")
        self.run(users.insert({"id": user, "password": password}))
        if rights:
            self.run(self.r.db(path).grant(user, rights))
        host = msgspec.structs.replace(parse(url), user=None, password=None)
        return str(host).replace("://", f"://{user}:{quote(password, safe='')}@")

    def drop(self, path: str) -> None:
        """Drop a database, if it is there."""
        if path in self.run(self.r.db_list()):
            self.run(self.r.db_drop(path))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
