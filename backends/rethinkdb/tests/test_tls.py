"""TLS: the server is checked, and its certificate is what it must be."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from discfg_core.clock import Deadline
from discfg_core.errors import StoreUnavailable
from discfg_core.testing.substrate_client import Client
from tests.servers.certificates import Authority
from tests.servers.rethinkdb import ServerTLS

if TYPE_CHECKING:
    from tests.servers.plugin import Servers

Open = Callable[..., Client]


def test_tls_with_an_authority_of_ones_own(
    servers: Servers, client: Open, authority: Authority, name: str
) -> None:
    tls = ServerTLS(*authority.issue("server"))
    with servers.own("rethinkdb", tls=tls, password="pä ss") as server:
        url = server.url.replace("://", "://admin:p%C3%A4%20ss@")
        opened = client(f"{url}?ca={authority.path}")
        token = opened.swap(name, None, b"x" * 300_000, {"blob": b"y" * 600_000})
        opened.wait(name, None)
        opened.wait(name, token, deadline=Deadline.after(0.2))
        assert opened.register(name).data == b"x" * 300_000
        assert opened.get_blob(name, "blob") == b"y" * 600_000
        findings = {each.check: each for each in opened.inner.diagnose(deadline=_soon())}
        assert "encryption" not in findings

        # Not trusted by this system's own authorities; and plain bytes are not TLS.
        with pytest.raises(StoreUnavailable) as caught:
            client(f"{url}?tls=true").read(name)
        assert "certificate" in (caught.value.hint or "")
        assert not caught.value.retryable
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            client(url).read(name, deadline=Deadline.after(5))
        assert time.monotonic() - began < 8


def test_expired_certificate_is_refused(
    servers: Servers, client: Open, authority: Authority, name: str
) -> None:
    tls = ServerTLS(*authority.issue("server", days=-1))
    with servers.own("rethinkdb", tls=tls) as server:
        with pytest.raises(StoreUnavailable, match="expired") as caught:
            client(f"{server.url}?ca={authority.path}").swap(name, None, b"data")
        assert "renew" in (caught.value.hint or "")


def test_certificate_of_another_host_is_refused(
    servers: Servers, client: Open, authority: Authority, name: str
) -> None:
    tls = ServerTLS(*authority.issue("server"))
    with servers.own("rethinkdb", tls=tls) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        with pytest.raises(StoreUnavailable, match="localhost"):
            client(f"{url}?ca={authority.path}").read(name)


def test_server_that_asks_for_a_certificate_gets_one(
    servers: Servers, client: Open, authority: Authority, name: str
) -> None:
    tls = ServerTLS(*authority.issue("server"), ca=authority.path)
    mine = authority.issue("client")
    with servers.own("rethinkdb", tls=tls) as server:
        url = f"{server.url}?ca={authority.path}"
        opened = client(f"{url}&cert={mine.cert}&key={mine.key}")
        opened.swap(name, None, b"data")
        with pytest.raises(StoreUnavailable):
            client(url, timeout=5.0).read(name)


def test_plain_server_is_not_taken_for_a_secure_one(
    client: Open, server_url: str, authority: Authority, name: str
) -> None:
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        client(f"{server_url}?ca={authority.path}").read(name, deadline=Deadline.after(5))
    assert time.monotonic() - began < 8


def _soon() -> Deadline:
    return Deadline.after(20)
