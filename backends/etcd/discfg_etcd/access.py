"""How a URL's servers are reached: addresses, TLS, user and password."""

from __future__ import annotations

import os
import re
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from discfg_core.errors import FileUnreadable, InvalidOption, InvalidURL
from discfg_core.urls import StoreURL
from discfg_etcd.profile import Options

_PORT: Final = 2379


class Credentials:
    """A user and a password. Its text forms show neither."""

    __slots__ = ("password", "user")

    def __init__(self, user: str, password: str) -> None:
        self.user = user
        self.password = password

    def __repr__(self) -> str:
        return "<credentials>"


class AuthToken:
    """What the cluster gave for credentials; ``""`` where it wants none. Its text is no secret."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return "<token>"


class TLS(NamedTuple):
    """Paths of PEM files; ``None`` for gRPC's own authorities, or no certificate of one's own."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def load(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """The contents of the files: authorities, key, certificate.

        Raises:
            FileUnreadable: One cannot be read.
            InvalidOption: One is not what it should be, or the key is another certificate's.
        """
        ca, key, cert = _read("ca", self.ca), _read("key", self.key), _read("cert", self.cert)
        # gRPC would only say that no connection comes to be.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if self.ca is not None:
                context.load_verify_locations(self.ca)
        except ssl.SSLError as error:
            raise InvalidOption(
                f"{self.ca} holds no certificate in PEM", engine="etcd", hint="it is the option ca"
            ) from error
        try:
            if self.cert is not None:
                # With no prompt for a passphrase, which nobody would answer.
                context.load_cert_chain(self.cert, self.key, password=str)
        except ssl.SSLError as error:
            raise InvalidOption(
                f"{self.cert} and {self.key} are no certificate and its key in PEM",
                engine="etcd",
                hint="they are the options cert and key; the key must not be encrypted",
            ) from error
        return ca, key, cert

    def expiry(self) -> datetime | None:
        """When this client's own certificate expires; ``None`` where there is none to tell."""
        cert = _read("cert", self.cert)
        return None if cert is None else _expiry(cert.decode(errors="replace"))


_FIRST_CERTIFICATE: Final = re.compile(
    "-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL
)


def _expiry(pem: str) -> datetime | None:
    """When the first certificate of a PEM file expires.

    By hand, for Python has no public way to read a certificate: RFC 5280, section 4.1.
    """
    found = _FIRST_CERTIFICATE.search(pem)
    try:
        assert found is not None
        certificate = _elements(ssl.PEM_cert_to_DER_cert(found[0]))
        fields = _elements(_elements(certificate[0][1])[0][1])
        if fields[0][0] == _VERSION:
            del fields[0]
        kind, text = _elements(fields[3][1])[1]
        form = "%y%m%d%H%M%SZ" if kind == _UTC_TIME else "%Y%m%d%H%M%SZ"
        return datetime.strptime(text.decode(), form).replace(tzinfo=UTC)
    except (AssertionError, IndexError, ValueError):
        return None


_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """The elements that DER bytes consist of, each a tag and its content."""
    found = []
    while data:
        kind, length, start = data[0], data[1], 2
        if length >= 0x80:
            start += length - 0x80
            length = int.from_bytes(data[2:start], "big")
        found.append((kind, data[start : start + length]))
        data = data[start + length :]
    return found


def _read(option: str, path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise FileUnreadable(
            f"{path}, the option {option}, cannot be read: {error.strerror}", engine="etcd"
        ) from error


class Access(NamedTuple):
    """Where the servers are and how to be let in; its text forms hold no secret.

    Attributes:
        addresses: ``host:port``, at least one.
        tls: ``None`` for plain connections.
        credentials: ``None`` for none.
    """

    addresses: tuple[str, ...]
    tls: TLS | None = None
    credentials: Credentials | None = None


def access_of(url: StoreURL) -> Access:
    """How to reach the servers of a URL; what it lacks is taken from etcdctl's own variables.

    https://github.com/etcd-io/etcd/blob/main/etcdctl/README.md, "environment variables".

    Raises:
        InvalidURL: It has no host, or a password is missing.
        InvalidOption: An option is unknown, or does not go with the others.
        FileUnreadable: A file of the TLS options cannot be read.
    """
    options = url.options_as(Options)
    if not url.hosts:
        raise InvalidURL(f"{url} has no host", engine="etcd", hint="write etcd://host:2379/prefix")
    addresses = tuple(str(host._replace(port=host.port or _PORT)) for host in url.hosts)
    return Access(tuple(dict.fromkeys(addresses)), _tls(options), _credentials(url))


def _tls(options: Options) -> TLS | None:
    if options.tls is False and (options.ca or options.cert or options.key):
        raise InvalidOption(
            "option 'tls' is off, and there are TLS files", engine="etcd", hint="leave one out"
        )
    if options.tls is False:
        return None
    ca = options.ca or os.environ.get("ETCDCTL_CACERT") or None
    cert, key = options.cert, options.key
    if cert is None and key is None:
        cert = os.environ.get("ETCDCTL_CERT") or None
        key = os.environ.get("ETCDCTL_KEY") or None
    if (cert is None) != (key is None):
        raise InvalidOption(
            "a certificate needs its key, and a key its certificate",
            engine="etcd",
            hint="give both, cert and key, or neither",
        )
    if not (options.tls or ca or cert):
        return None
    tls = TLS(ca, cert, key)
    tls.load()
    return tls


def _credentials(url: StoreURL) -> Credentials | None:
    user, password = url.user, url.password
    if user is None:
        user, colon, rest = os.environ.get("ETCDCTL_USER", "").partition(":")
        password = rest if colon else None
    if not user:
        return None
    if password is None:
        password = os.environ.get("ETCDCTL_PASSWORD")
    if password is None:
        raise InvalidURL(
            f"{url} has a user without a password",
            engine="etcd",
            hint="write etcd://user:password@host/prefix, or set ETCDCTL_PASSWORD",
        )
    return Credentials(user, password)
