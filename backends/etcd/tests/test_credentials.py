"""Users, passwords, tokens and certificates: they work, and never show."""

from __future__ import annotations

import logging
import pickle
import threading
import traceback
from typing import TYPE_CHECKING

import pytest
from discfg_etcd import open_engine
from discfg_etcd.substrate import EtcdSubstrate

from discfg_core.clock import Deadline
from discfg_core.engine import ConfigHandle, FindingStatus
from discfg_core.errors import AccessDenied, DiscfgError, StoreUnavailable
from discfg_core.urls import parse
from tests.servers.etcd import EtcdServer, ServerTLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from discfg_core import Store
    from discfg_core.testing.substrate_client import Client
    from tests.servers.certificates import Authority
    from tests.servers.etcd import Raw
    from tests.servers.plugin import Servers

PASSWORD = "pa/ss:w@rd"
IN_URL = "pa%2Fss:w%40rd"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "PASSWORD", "CACERT", "CERT", "KEY"):
        monkeypatch.delenv(f"ETCDCTL_{name}", raising=False)


@pytest.fixture
def guarded(servers: Servers, raw: Callable[[str], Raw]) -> Iterator[EtcdServer]:
    """A server where ann may read and write below /mine/."""
    with servers.own("etcd") as own:
        assert isinstance(own, EtcdServer)
        raw(own.host).demand_credentials(user="ann", password=PASSWORD, prefix="/mine/")
        yield own


def hold(client: Client) -> EtcdSubstrate:
    inner = client.inner
    assert isinstance(inner, EtcdSubstrate)
    return inner


def test_user_and_password_of_the_url_are_used(
    guarded: EtcdServer, store: Callable[..., Store]
) -> None:
    config = store(f"etcd://ann:{IN_URL}@{guarded.host}/mine").create_config("c")
    config.set("key", "value")
    config.set("large", "x" * 300_000)
    assert config.get("key").data == "value"


@pytest.mark.parametrize(
    ("user", "variables"),
    [
        ("", {"ETCDCTL_USER": f"ann:{PASSWORD}"}),
        ("", {"ETCDCTL_USER": "ann", "ETCDCTL_PASSWORD": PASSWORD}),
        ("ann@", {"ETCDCTL_PASSWORD": PASSWORD}),
        (f"ann:{IN_URL}@", {"ETCDCTL_USER": "bob:other", "ETCDCTL_PASSWORD": "other"}),
    ],
)
def test_what_the_url_lacks_comes_from_the_variables_of_etcdctl(
    guarded: EtcdServer,
    client: Callable[..., Client],
    monkeypatch: pytest.MonkeyPatch,
    user: str,
    variables: dict[str, str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    mine = client(f"etcd://{user}{guarded.host}/mine")
    token = mine.swap("c", None, b"head")
    mine.wait("c", token, deadline=Deadline.after(0.2))


@pytest.mark.parametrize("user", ["", "ann:wrong@", f"bob:{IN_URL}@"])
def test_wrong_credentials_are_denied_at_once(
    guarded: EtcdServer, client: Callable[..., Client], user: str
) -> None:
    mine = client(f"etcd://{user}{guarded.host}/mine")
    for call in (
        lambda: mine.read("c"),
        lambda: mine.swap("c", None, b"head"),
        lambda: mine.wait("c", None),
        lambda: mine.put_blob("c", "b", b"data"),
    ):
        with pytest.raises(AccessDenied) as caught:
            call()
        assert not caught.value.retryable
        assert caught.value.hint


def test_what_the_role_does_not_grant_is_denied(
    guarded: EtcdServer, client: Callable[..., Client]
) -> None:
    theirs = client(f"etcd://ann:{IN_URL}@{guarded.host}/theirs")
    for call in (
        lambda: theirs.read("c"),
        lambda: theirs.swap("c", None, b"head"),
        lambda: theirs.put_blob("c", "b", b"data"),
        lambda: list(theirs.names()),
        lambda: theirs.wait("c", None),
    ):
        with pytest.raises(AccessDenied, match="grant-permission"):
            call()
    findings = {finding.check: finding for finding in theirs.diagnose()}
    assert findings["permissions"].status is FindingStatus.FAILED


def test_diagnosis_needs_no_more_than_the_role(
    guarded: EtcdServer, client: Callable[..., Client]
) -> None:
    mine = client(f"etcd://ann:{IN_URL}@{guarded.host}/mine")
    findings = mine.diagnose()
    assert not [each for each in findings if each.status is FindingStatus.FAILED]
    assert any(each.check == "permissions" for each in findings)
    assert list(mine.names()) == [], "the diagnosis wrote something"


def test_credentials_that_the_cluster_does_not_want_are_no_hindrance(
    client: Callable[..., Client], host: str, prefix: str
) -> None:
    mine = client(f"etcd://ann:{IN_URL}@{host}/{prefix}")
    token = mine.swap("c", None, b"head")
    mine.wait("c", token, deadline=Deadline.after(0.2))


def test_token_that_no_longer_holds_is_renewed(
    guarded: EtcdServer, client: Callable[..., Client]
) -> None:
    mine = client(f"etcd://ann:{IN_URL}@{guarded.host}/mine")
    token = mine.swap("c", None, b"0")
    # Tokens are in the servers' memory alone.
    guarded.restart()
    while True:
        try:
            mine.read("c")
            break
        except StoreUnavailable:
            continue
    for number in range(1, 4):
        hold(mine)._client._token.text = "no.such.token"  # type: ignore[union-attr] # it has one
        token = mine.swap("c", token, b"%d" % number, {f"b{number}": b"data"})
        hold(mine)._client._token.text = "no.such.token"  # type: ignore[union-attr] # it has one
        assert mine.register("c").token == token
    hold(mine)._client._token.text = "no.such.token"  # type: ignore[union-attr] # it has one
    mine.wait("c", token, deadline=Deadline.after(0.3))
    assert mine.sizes("c").keys() == {"b1", "b2", "b3"}


def test_permissions_that_change_meanwhile_are_survived(
    guarded: EtcdServer, client: Callable[..., Client], raw: Callable[[str], Raw]
) -> None:
    mine = client(f"etcd://ann:{IN_URL}@{guarded.host}/mine")
    token = mine.swap("c", None, b"0")
    server = raw(guarded.host)
    rpc = server.rpc
    root = server.auth.Authenticate(
        rpc.AuthenticateRequest(name="root", password="of-the-root")
    ).token
    for number in range(3):
        server.auth.RoleAdd(rpc.AuthRoleAddRequest(name=f"r{number}"), metadata=[("token", root)])
        token = mine.swap("c", token, b"%d" % number)
        root = server.auth.Authenticate(
            rpc.AuthenticateRequest(name="root", password="of-the-root")
        ).token


def test_one_of_many_threads_authenticates(
    guarded: EtcdServer, client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = client(f"etcd://ann:{IN_URL}@{guarded.host}/mine")
    asked: list[str] = []
    send = type(hold(mine)._client)._send

    def count(self: object, endpoint: object, method: str, *rest: object) -> object:
        asked.append(method)
        return send(self, endpoint, method, *rest)  # type: ignore[arg-type] # passed on as it came

    monkeypatch.setattr(type(hold(mine)._client), "_send", count)
    threads = [threading.Thread(target=mine.read, args=("c",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked.count("Authenticate") == 1
    assert asked.count("Txn") == 8


# --- they never show ------------------------------------------------------------------------


def everything_told(error: BaseException) -> Iterator[str]:
    """All that an error, its causes and their frames can tell, the variables included.

    But for the frames of this file, whose own business the URL is.
    """
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        left += [each.__cause__, each.__context__]
        yield from (str(each), repr(each), repr(vars(each)))
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if frame.f_code.co_filename != __file__:
                yield from map(repr, frame.f_locals.values())
    yield repr(pickle.dumps(error))


@pytest.mark.parametrize("reason", ["away", "denied", "wrong user", "wrong prefix", "paused"])
def test_credentials_never_show(
    guarded: EtcdServer, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"etcd://ann:{IN_URL}@{guarded.host}/mine"
    if reason == "denied":
        url = url.replace(IN_URL, f"{IN_URL}x")
    elif reason == "wrong user":
        url = url.replace("ann", "bob")
    elif reason == "wrong prefix":
        url = url.replace("/mine", "/theirs")
    engine = open_engine(parse(url))
    texts = [repr(engine), repr(vars(engine)), str(engine)]
    substrate = EtcdSubstrate(parse(url))
    texts += [repr(vars(substrate)), repr(vars(substrate._client)), repr(substrate._client.access)]
    if reason in {"away", "paused"}:
        assert substrate.read("c", deadline=Deadline.after(5.0)) is None
        getattr(guarded, {"away": "kill", "paused": "pause"}[reason])()
    for call in (
        lambda: substrate.read("c", deadline=Deadline.after(0.5)),
        lambda: substrate.swap("c", None, b"x", deadline=Deadline.after(0.5)),
        lambda: engine.describe_config(ConfigHandle("c"), deadline=Deadline.after(0.5)),
    ):
        with pytest.raises(DiscfgError) as caught:
            call()
        texts += everything_told(caught.value)
    token = substrate._client._token
    texts += [repr(vars(substrate._client)), repr(token)]
    substrate.close()
    engine.close()
    secrets = {PASSWORD, IN_URL}
    if token is not None:
        secrets.add(token.text)
    for text in [*texts, caplog.text]:
        for secret in secrets:
            assert secret not in text
    assert len(texts) > 30, "nothing was looked at"


# --- TLS ------------------------------------------------------------------------------------


@pytest.fixture
def secured(servers: Servers, authority: Authority) -> Iterator[EtcdServer]:
    """A server that speaks TLS, and wants a certificate of the client's."""
    pair = authority.issue("server")
    with servers.own("etcd", tls=ServerTLS(pair.cert, pair.key, authority.path)) as own:
        assert isinstance(own, EtcdServer)
        yield own


def test_tls_with_a_certificate_of_ones_own(
    secured: EtcdServer, authority: Authority, store: Callable[..., Store]
) -> None:
    pair = authority.issue("client")
    url = f"etcd://{secured.host}/p?ca={authority.path}&cert={pair.cert}&key={pair.key}"
    opened = store(url)
    opened.create_config("c").set("key", "value")
    assert opened.config("c").get("key").data == "value"


def test_client_without_a_certificate_is_told_so(
    secured: EtcdServer, authority: Authority, client: Callable[..., Client]
) -> None:
    with pytest.raises(AccessDenied, match="cert and key"):
        client(f"etcd://{secured.host}/p?ca={authority.path}").swap("c", None, b"x")


def test_expired_certificate_of_the_client_is_named(
    secured: EtcdServer, authority: Authority, client: Callable[..., Client]
) -> None:
    pair = authority.issue("stale", days=-1)
    mine = client(f"etcd://{secured.host}/p?ca={authority.path}&cert={pair.cert}&key={pair.key}")
    with pytest.raises(AccessDenied, match=r"stale\.pem expired on"):
        mine.read("c")
    findings = {finding.check: finding for finding in mine.diagnose()}
    assert findings["transport"].status is FindingStatus.WARNING
    assert findings["server"].status is FindingStatus.FAILED


def test_certificate_that_was_renewed_is_read_with_the_next_connection(
    secured: EtcdServer, authority: Authority, client: Callable[..., Client]
) -> None:
    pair = authority.issue("client", days=-1)
    mine = client(f"etcd://{secured.host}/p?ca={authority.path}&cert={pair.cert}&key={pair.key}")
    with pytest.raises(AccessDenied):
        mine.read("c")
    authority.issue("client")
    assert mine.read("c") is None


@pytest.mark.parametrize("trouble", ["expired", "stranger", "other host"])
def test_certificate_of_the_server_that_does_not_hold_is_refused(
    servers: Servers, authority: Authority, client: Callable[..., Client], trouble: str
) -> None:
    pair = authority.issue("server", days=-1 if trouble == "expired" else 1)
    with servers.own("etcd", tls=ServerTLS(pair.cert, pair.key)) as own:
        ca = "tls=true" if trouble == "stranger" else f"ca={authority.path}"
        host = "localhost" if trouble == "other host" else "127.0.0.1"
        mine = client(f"etcd://{host}:{own.port}/p?{ca}")
        for call in (lambda: mine.read("c"), lambda: mine.swap("c", None, b"x")):
            with pytest.raises(StoreUnavailable) as caught:
                call()
            assert not caught.value.retryable, "waiting mends no certificate"
            assert "certificate" in str(caught.value)
            if trouble == "expired":
                assert "expired" in caught.value.message


def test_plain_connection_to_a_server_with_tls_is_told_so(
    secured: EtcdServer, client: Callable[..., Client]
) -> None:
    with pytest.raises(StoreUnavailable, match="TLS"):
        client(f"etcd://{secured.host}/p").read("c")
