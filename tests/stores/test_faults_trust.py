"""Credentials that are wrong, and certificates that have expired, on every store.

The certificate is shown by a TLS front before the server. Wrong credentials are refused by the
servers themselves, but for DynamoDB's two, which take any: there a proxy answers as AWS does.
"""

from __future__ import annotations

import traceback
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from discfg_core.errors import AccessDenied, StoreError
from discfg_core.testing.proxy import FaultProxy, http_answer
from discfg_core.urls import parse
from tests.servers.certificates import Authority
from tests.servers.etcd import EtcdServer, Raw
from tests.servers.rethinkdb import Admin
from tests.stores.places import SERVED, by_port, fresh, open_client, port_of, with_options
from tests.stores.tls_front import TLSFront
from tests.stores.trial import NAME, TIMEOUT, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.plugin import Servers

_RIGHT = "therightsecret"
_WRONG = "thewrongsecret"
_REFUSED = http_answer(
    400,
    b'{"__type":"com.amazon.coral.service#UnrecognizedClientException",'
    b'"message":"The security token included in the request is invalid."}',
    content_type="application/x-amz-json-1.0",
)


@pytest.mark.parametrize("store", SERVED)
def test_expired_certificate(
    servers: Servers, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = fresh(servers.url(store))
    authority = Authority(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.path))
    with TLSFront(port_of(plain), *authority.issue("server", days=-1)) as front:
        client = open_client(_secured(plain, front.port, authority), TIMEOUT)
        with pytest.raises(StoreError) as caught:
            client.create(NAME)
        client.close()
    told = "".join(traceback.format_exception(caught.value))
    assert "expired" in told, told
    assert caught.value.engine == parse(plain).scheme
    assert caught.value.operation == "create_config"
    assert caught.value.hint
    assert not caught.value.retryable
    # The same way, with a certificate that holds.
    with TLSFront(port_of(plain), *authority.issue("server")) as front:
        url = _secured(plain, front.port, authority)
        with Trial(url, plain) as trial:
            assert trial.write() is None


def _secured(url: str, port: int, authority: Authority) -> str:
    """The same store behind TLS at another port, trusted for this authority."""
    there = by_port(url, port)
    scheme = parse(url).scheme
    if scheme in {"s3", "dynamodb"}:
        there = with_options(there, endpoint_url=f"https://127.0.0.1:{port}")
    # DynamoDB's is the AWS configuration's.
    return there if scheme == "dynamodb" else with_options(there, ca=str(authority.path))


@pytest.fixture
def guarded(servers: Servers, store: str) -> Iterator[tuple[str, str]]:
    """The URL of a store with the right credentials, and then with wrong ones."""
    with ExitStack() as ends:
        if store == "etcd":
            server = ends.enter_context(servers.own(store))
            assert isinstance(server, EtcdServer)
            raw = Raw(server.host)
            raw.demand_credentials(user="ann", password=_RIGHT, prefix="/mine/")
            raw.close()
            right = f"etcd://ann:{_RIGHT}@{server.host}/mine"
            yield right, right.replace(_RIGHT, _WRONG)
        elif store == "rethinkdb":
            url = fresh(servers.url(store))
            admin = Admin(url)
            right = admin.user(url, password=_RIGHT, read=True, write=True, config=True)
            admin.close()
            yield right, right.replace(_RIGHT, _WRONG)
        elif store == "s3":
            url = fresh(servers.url(store))
            yield url, url
        else:
            url = fresh(servers.url(store))
            proxy = ends.enter_context(FaultProxy("127.0.0.1", port_of(url)))
            proxy.answer(_REFUSED)
            yield url, by_port(url, proxy.port)


@pytest.mark.parametrize("store", SERVED)
def test_wrong_credentials(
    guarded: tuple[str, str], store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = guarded
    with Trial(right, right, (_RIGHT, _WRONG)) as trial:
        with monkeypatch.context() as patch:
            patch.setenv("AWS_SECRET_ACCESS_KEY", _WRONG)
            intruder = open_client(wrong, TIMEOUT)
            config = intruder.config(NAME)
            for error in (
                trial.fails(lambda: config.get("warm")),
                trial.fails(lambda: config.set("k", b"v")),
                trial.fails(lambda: intruder.create("other")),
            ):
                assert isinstance(error, AccessDenied), repr(error)
                assert not error.retryable
            intruder.close()
        assert trial.write() is None
