"""Credentials: boto3's own chain first, then the URL; and nobody ever sees one."""

from __future__ import annotations

import logging
import secrets
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from discfg_dynamodb.profile import Options
from discfg_dynamodb.substrate import DynamoDBSubstrate

import discfg_core
from discfg_core.clock import Deadline
from discfg_core.errors import AccessDenied, DiscfgError
from discfg_core.urls import parse

if TYPE_CHECKING:
    from tests.servers.plugin import Servers

NAME = "app"
KEY = "AKIAURLURLURLURLURLU"
SECRET = "url/secret+with=every%kind&of#sign"
CHAIN_KEY = "AKIACHAINCHAINCHAINC"
CHAIN_SECRET = "chain/secret+0123456789"
CHAIN_TOKEN = "chain/session+token=="


def soon() -> Deadline:
    return Deadline.after(30)


@pytest.fixture(params=["dynamodb"])
def place(servers: Servers, request: pytest.FixtureRequest) -> str:
    """On one server; none of them checks who asks."""
    return f"{servers.url(request.param)}&prefix=t{secrets.token_hex(6)}."


@pytest.fixture
def with_secret(fronted: str) -> str:
    """The place, with credentials in its URL."""
    return fronted.replace("://", f"://{KEY}:{quote(SECRET, safe='')}@", 1)


@pytest.fixture
def no_chain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """boto3 finds no credentials by itself."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 finds temporary credentials in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CHAIN_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CHAIN_SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", CHAIN_TOKEN)


def use(url: str) -> None:
    parsed = parse(url)
    store = DynamoDBSubstrate(parsed, parsed.options_as(Options))
    try:
        store.provision(NAME, {}, deadline=soon())
        store.swap(NAME, None, b"data", deadline=soon())
    finally:
        store.close()


def signers(front: Any) -> set[str]:
    """The access keys that requests were signed with."""
    return {
        headers["Authorization"].partition("Credential=")[2].partition("/")[0]
        for headers in front.headers
    }


@pytest.mark.usefixtures("no_chain")
def test_credentials_of_the_url(with_secret: str, front: Any) -> None:
    use(with_secret)
    assert signers(front) == {KEY}


@pytest.mark.usefixtures("chain")
def test_credentials_of_the_chain_come_first(with_secret: str, front: Any) -> None:
    use(with_secret)
    assert signers(front) == {CHAIN_KEY}
    assert {headers["X-Amz-Security-Token"] for headers in front.headers} == {CHAIN_TOKEN}


@pytest.mark.usefixtures("no_chain")
def test_credentials_of_a_profile(fronted: str, front: Any, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        f"[ops]\naws_access_key_id = {CHAIN_KEY}\naws_secret_access_key = {CHAIN_SECRET}\n"
    )
    use(f"{fronted}&profile=ops")
    assert signers(front) == {CHAIN_KEY}


@pytest.mark.usefixtures("no_chain")
def test_credentials_that_are_nowhere(fronted: str, front: Any) -> None:
    with pytest.raises(AccessDenied, match="AWS_ACCESS_KEY_ID") as caught:
        use(fronted)
    assert caught.value.__cause__ is not None
    assert not front.requests


@pytest.mark.usefixtures("no_chain")
def test_credentials_that_are_half_there(fronted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CHAIN_KEY)
    with pytest.raises(AccessDenied):
        use(fronted)


# --- never shown -----------------------------------------------------------------------------------


def assert_hidden(*texts: str) -> None:
    for text in texts:
        for secret in (SECRET, quote(SECRET, safe=""), CHAIN_SECRET, CHAIN_TOKEN):
            assert secret not in text


def told_by(error: BaseException) -> str:
    """All that can be read of an error: itself, its causes, and what its traceback prints."""
    parts = traceback.format_exception(error)
    link: BaseException | None = error
    while link is not None:
        parts += [str(link), repr(link), str(getattr(link, "response", "")), str(vars(link))]
        link = link.__cause__ or link.__context__
    return "\n".join(parts)


@pytest.mark.usefixtures("no_chain")
def test_secret_is_in_no_repr(with_secret: str) -> None:
    parsed = parse(with_secret)
    store = DynamoDBSubstrate(parsed, parsed.options_as(Options))
    assert list(store.names(deadline=soon())) == []
    with discfg_core.connect(with_secret) as connected:
        assert_hidden(repr(connected), str(connected), repr(connected.engine))
    assert_hidden(repr(store), repr(store._client), repr(parsed), str(parsed))
    store.close()


# As AWS answers to a wrong signature: the request as it should have been, token and all.
LECTURE = f"""The request signature we calculated does not match the signature you provided. Check \
your AWS Secret Access Key and signing method. Consult the service documentation for details.

The Canonical String for this request should have been
'POST
/

x-amz-security-token:{CHAIN_TOKEN}
'"""


@pytest.mark.usefixtures("chain")
def test_secret_that_the_store_quotes_is_in_no_error(with_secret: str, front: Any) -> None:
    front.refuse("DescribeTable", "InvalidSignatureException", LECTURE)
    with pytest.raises(AccessDenied) as caught:
        use(with_secret)
    assert "signature we calculated" in str(caught.value)
    assert "clock" in str(caught.value)
    assert_hidden(told_by(caught.value))


@pytest.mark.usefixtures("no_chain")
@pytest.mark.parametrize("code", ["UnrecognizedClientException", "NobodyKnowsThisOne"])
def test_secret_of_the_url_that_is_quoted_is_in_no_error(
    with_secret: str, front: Any, code: str
) -> None:
    front.refuse("DescribeTable", code, f"the secret is {SECRET} and {with_secret}")
    with pytest.raises(DiscfgError) as caught:
        use(with_secret)
    assert code in str(caught.value)
    assert_hidden(told_by(caught.value))


@pytest.mark.usefixtures("no_chain")
def test_secret_is_in_no_error_when_nothing_answers(with_secret: str, front: Any) -> None:
    unreachable = with_secret.replace(front.endpoint, "http://127.0.0.1:9")
    with pytest.raises(DiscfgError) as caught:
        use(unreachable)
    assert_hidden(told_by(caught.value))


@pytest.mark.usefixtures("chain")
def test_secret_is_in_no_log(
    with_secret: str, front: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        use(with_secret)
    assert any(record.name == "botocore.endpoint" for record in caplog.records)
    assert_hidden(caplog.text)


@pytest.mark.usefixtures("no_chain")
def test_secret_of_the_url_is_in_no_log(with_secret: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        use(with_secret)
    assert_hidden(caplog.text)
