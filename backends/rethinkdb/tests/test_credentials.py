"""Users, passwords and rights: those of the URL work, and secrets are seen nowhere."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from discfg_rethinkdb import target

from discfg_core.clock import Deadline
from discfg_core.engine import FindingStatus
from discfg_core.errors import AccessDenied, StoreUnavailable
from discfg_core.urls import parse
from tests.servers.rethinkdb import Admin

if TYPE_CHECKING:
    from collections.abc import Callable

    from discfg_core.testing.substrate_client import Client

PASSWORDS = ["s3cret", "p@ss:w/rd?&%", "pässwörd-ж-€", "=,n=x", " "]


def with_login(url: str, user: str, password: str) -> str:
    host = parse(url).hosts[0]
    return f"rethinkdb://{user}:{quote(password, safe='')}@{host}/{parse(url).path}"


@pytest.mark.parametrize("password", PASSWORDS)
def test_password_of_any_characters_lets_in(
    client: Callable[..., Client], admin: Admin, fresh: str, name: str, password: str
) -> None:
    url = admin.user(fresh, read=True, write=True, config=True, password=password)
    opened = client(url)
    opened.swap(name, None, b"data")
    assert opened.register(name).data == b"data"
    wrong = with_login(url, parse(url).user or "", password + "x")
    with pytest.raises(AccessDenied):
        client(wrong).read(name)


@pytest.mark.parametrize("user", ["admin", "nobody"])
def test_secret_is_seen_nowhere(
    client: Callable[..., Client],
    fresh: str,
    user: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "hunter2-and-more"
    url = with_login(fresh, user, secret)
    opened = client(url)
    with pytest.raises(AccessDenied) as caught:
        opened.swap("name", None, b"data")
    error = caught.value
    assert error.hint == "check the user and the password"
    assert error.engine == "rethinkdb"
    found = target(parse(url))
    seen = [
        *(f"{each} {each!r}" for each in (error, error.__cause__, found, found.login)),
        str(vars(error)),
        "".join(traceback.format_exception(error)),
        "".join(str(each.message) for each in opened.inner.diagnose(deadline=_soon())),
        caplog.text,
        *capfd.readouterr(),
    ]
    assert not [text for text in seen if secret in text]


def test_server_that_is_away_tells_no_secret(client: Callable[..., Client], name: str) -> None:
    opened = client("rethinkdb://ann:hunter2@127.0.0.1:1/db", timeout=2.0)
    with pytest.raises(StoreUnavailable) as caught:
        opened.read(name)
    assert "127.0.0.1:1" in caught.value.message
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


# --- rights ---


def test_reader_reads_and_makes_nothing(
    client: Callable[..., Client], admin: Admin, fresh: str, name: str
) -> None:
    reader = client(admin.user(fresh, read=True))
    assert reader.read(name) is None
    assert reader.sizes(name) == {}
    assert list(reader.names()) == []
    assert admin.run(admin.r.db(parse(fresh).path).table_list()) == []
    client(fresh).swap(name, None, b"data", {"blob": b"data"})
    assert reader.register(name).data == b"data"
    assert reader.get_blob(name, "blob") == b"data"
    with pytest.raises(AccessDenied) as caught:
        reader.swap(name, reader.register(name).token, b"new")
    assert "grant" in (caught.value.hint or "")
    assert reader.register(name).data == b"data"


def test_writer_that_may_not_see_the_settings_is_refused(
    client: Callable[..., Client], admin: Admin, fresh: str, name: str
) -> None:
    client(fresh).provision(name, {})
    with pytest.raises(AccessDenied, match="config"):
        client(admin.user(fresh, read=True, write=True)).swap(name, None, b"data")
    assert client(fresh).read(name) is None


def test_rights_on_the_two_tables_are_enough(
    client: Callable[..., Client], admin: Admin, fresh: str, name: str
) -> None:
    client(fresh).provision(name, {})
    url = admin.user(fresh)
    for table in ("discfg_registers", "discfg_blobs"):
        rights = {"read": True, "write": True, "config": True}
        admin.run(admin.table(fresh, table).grant(parse(url).user, rights))
    writer = client(url)
    token = writer.swap(name, None, b"data", {"blob": b"data"})
    writer.wait(name, None)
    writer.delete_blobs(name, ["blob"])
    assert writer.register(name).token == token
    findings = {each.check: each for each in writer.inner.diagnose(deadline=_soon())}
    assert findings["permissions"].status is FindingStatus.OK


def test_stranger_may_do_nothing(
    client: Callable[..., Client], admin: Admin, fresh: str, name: str
) -> None:
    client(fresh).swap(name, None, b"data")
    stranger = client(admin.user(fresh))
    with pytest.raises(AccessDenied):
        stranger.read(name)
    with pytest.raises(AccessDenied):
        stranger.swap(name, None, b"data")
    with pytest.raises(AccessDenied):
        stranger.wait(name, None)


def _soon() -> Deadline:
    return Deadline.after(20)
