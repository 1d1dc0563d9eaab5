"""Credentials: of the environment first, then of the URL; and never shown."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from discfg_s3 import open_engine
from discfg_s3.place import understand
from discfg_s3.substrate import S3Substrate

from discfg_core.clock import Deadline
from discfg_core.errors import AccessDenied
from discfg_core.urls import StoreURL, parse
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY, Answer, Front, Request, Send, at

Open = Callable[[StoreURL], S3Substrate]

WRONG = "wrong/s3cr3t+key"


def soon() -> Deadline:
    return Deadline.after(30)


def with_keys(url: StoreURL, user: str, password: str) -> StoreURL:
    return msgspec.structs.replace(url, user=user, password=password)


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing in the environment or in a home."""
    for name in list(os.environ):
        if name.startswith("AWS_") and name != "AWS_EC2_METADATA_DISABLED":
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def test_those_of_the_environment_come_first(place: StoreURL, opened: Open) -> None:
    client = opened(with_keys(place, "nobody", WRONG))
    assert client.read("name", deadline=soon()) is None


@pytest.mark.usefixtures("no_credentials")
def test_those_of_the_url_come_next(place: StoreURL, opened: Open) -> None:
    client = opened(with_keys(place, ACCESS_KEY, SECRET_KEY))
    assert client.read("name", deadline=soon()) is None
    # As text, with what a URL must escape.
    text = f"s3://{ACCESS_KEY}:{SECRET_KEY}@discfg/x"
    assert understand(parse(text)).credentials == (ACCESS_KEY, SECRET_KEY)
    assert understand(parse("s3://a:b%2Fc+d@discfg/x")).credentials == ("a", "b/c+d")


@pytest.mark.usefixtures("no_credentials")
def test_those_of_a_profile(place: StoreURL, opened: Open, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        f"[team]\naws_access_key_id={ACCESS_KEY}\naws_secret_access_key={SECRET_KEY}\n"
    )
    options = {**place.options, "profile": "team"}
    assert (
        opened(msgspec.structs.replace(place, options=options)).read("n", deadline=soon()) is None
    )
    options["profile"] = "nobody"
    with pytest.raises(AccessDenied, match="nobody"):
        opened(msgspec.structs.replace(place, options=options)).read("n", deadline=soon())


@pytest.mark.usefixtures("no_credentials")
def test_none_at_all_are_missed_with_a_remedy(place: StoreURL, opened: Open) -> None:
    with pytest.raises(AccessDenied, match="AWS_ACCESS_KEY_ID"):
        opened(place).read("name", deadline=soon())


@pytest.mark.usefixtures("no_credentials")
@pytest.mark.parametrize("user", [ACCESS_KEY, "nobody"])
def test_wrong_ones_are_refused_and_shown_nowhere(
    place: StoreURL, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], user: str
) -> None:
    caplog.set_level(logging.DEBUG)
    url = with_keys(place, user, WRONG)
    client = S3Substrate(url)
    engine = open_engine(url)
    shown = [repr(client), str(client), repr(engine), repr(url), repr(understand(url))]
    shown += [repr(vars(client)), repr(understand(url).__rich_repr__())]
    try:
        for call in (
            lambda: client.read("name", deadline=soon()),
            lambda: client.swap("name", None, b"data", deadline=soon()),
            lambda: client.put_blob("name", "blob", b"data", deadline=soon()),
            lambda: list(client.names(deadline=soon())),
            lambda: engine.create_config("name", {}, deadline=soon()),
        ):
            with pytest.raises(AccessDenied) as caught:
                call()
            assert caught.value.hint
            error: BaseException | None = caught.value
            shown.append("".join(traceback.format_exception(caught.value)))
            while error is not None:
                shown += [repr(error), repr(vars(error))]
                error = error.__cause__ or error.__context__
    finally:
        client.close()
        engine.close()
    shown += [caplog.text, *capfd.readouterr()]
    for text in shown:
        for secret in (WRONG, WRONG.replace("/", "%2F"), "s3cr3t"):
            assert secret not in text


@pytest.mark.usefixtures("no_credentials")
def test_a_machine_s_role_does_not_come_before_the_url(place: StoreURL) -> None:
    """Nor is the server asked for it, which takes seconds where there is none."""
    code = (
        "import sys, botocore.utils\n"
        "def asked(*_, **__): sys.exit('asked for the role')\n"
        "botocore.utils.InstanceMetadataFetcher.retrieve_iam_role_credentials = asked\n"
        "from discfg_core.clock import Deadline\n"
        "from discfg_core.urls import parse\n"
        "from discfg_s3.substrate import S3Substrate\n"
        "import msgspec\n"
        f"url = msgspec.structs.replace(parse({str(place)!r}), user={ACCESS_KEY!r}, "
        f"password={SECRET_KEY!r})\n"
        "client = S3Substrate(url)\n"
        "assert client.read('name', deadline=Deadline.after(30)) is None\n"
        "client.close()\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "AWS_EC2_METADATA_DISABLED"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_a_session_s_token_is_in_no_log(
    place: StoreURL,
    opened: Open,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(request: Request, send: Send) -> Answer:
        token = request.headers["x-amz-security-token"]
        assert token == "s3cr3t+session/token=="
        body = f"<Error><Code>ExpiredToken</Code><Token-0>{token}</Token-0></Error>"
        return Answer(400, {"content-type": "application/xml"}, body.encode())

    monkeypatch.setenv("AWS_SESSION_TOKEN", "s3cr3t+session/token==")
    caplog.set_level(logging.DEBUG)
    with Front(place.options["endpoint_url"], refuse) as front:
        client = opened(at(place, endpoint_url=front.endpoint))
        with pytest.raises(AccessDenied, match="ExpiredToken") as caught:
            client.read("name", deadline=soon())
    assert "x-amz-security-token" in caplog.text, "botocore logs it no more: remove the filter"
    assert "s3cr3t" not in caplog.text
    assert "s3cr3t" not in str(getattr(caught.value.__cause__, "response", ""))
