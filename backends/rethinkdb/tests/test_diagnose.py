"""What `discfg doctor` is told of a RethinkDB."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from discfg_core.clock import Deadline
from discfg_core.engine import Finding, FindingStatus
from discfg_core.errors import Closed
from discfg_core.testing.substrate_client import Client
from discfg_core.urls import parse
from tests.servers.rethinkdb import Admin

Open = Callable[..., Client]


def told(client: Client) -> dict[str, Finding]:
    found = list(client.inner.diagnose(deadline=Deadline.after(20)))
    assert all(each.hint for each in found if each.status is not FindingStatus.OK)
    return {each.check: each for each in found}


def test_sound_store(client: Open, fresh: str, name: str) -> None:
    opened = client(fresh)
    opened.provision(name, {})
    found = told(opened)
    assert found["server"].status is FindingStatus.OK
    assert found["server"].message.startswith("RethinkDB 2.")
    assert found["permissions"].status is FindingStatus.OK
    assert found["durability"].status is FindingStatus.OK
    assert found["replicas"].status is FindingStatus.WARNING
    assert "one replica" in found["replicas"].message


def test_nothing_is_made_by_asking(client: Open, admin: Admin, fresh: str) -> None:
    found = told(client(fresh))
    assert found["tables"].status is FindingStatus.WARNING
    assert parse(fresh).path not in admin.run(admin.r.db_list())


@pytest.mark.parametrize("setting", [{"write_acks": "single"}, {"durability": "soft"}])
def test_dangerous_settings_fail(
    client: Open, admin: Admin, fresh: str, name: str, setting: dict[str, str]
) -> None:
    client(fresh).provision(name, {})
    admin.run(admin.table(fresh, "discfg_blobs").config().update(setting))
    found = told(client(fresh))["durability"]
    assert found.status is FindingStatus.FAILED
    assert "config().update" in found.hint


def test_rights_that_lack_are_named(client: Open, admin: Admin, fresh: str, name: str) -> None:
    client(fresh).provision(name, {})
    reader = told(client(admin.user(fresh, read=True)))
    assert reader["permissions"].status is FindingStatus.WARNING
    assert "write and config" in reader["permissions"].message
    assert "grant" in reader["permissions"].hint
    assert reader["durability"].status is FindingStatus.WARNING
    stranger = told(client(admin.user(fresh)))
    assert stranger["permissions"].status is FindingStatus.FAILED


def test_server_that_is_away_is_a_finding(client: Open) -> None:
    found = told(client("rethinkdb://127.0.0.1:1/db"))
    assert list(found) == ["server"]
    assert found["server"].status is FindingStatus.FAILED


def test_store_elsewhere_without_tls_and_password_is_warned_of(client: Open, fresh: str) -> None:
    # This machine by a name that is not one of loopback's, as far as a URL tells.
    found = told(client(fresh.replace("127.0.0.1", "0.0.0.0")))
    assert found["encryption"].status is FindingStatus.WARNING
    assert found["password"].status is FindingStatus.WARNING


def test_closed_store_tells_nothing(client: Open, fresh: str) -> None:
    opened = client(fresh)
    opened.close()
    with pytest.raises(Closed):
        list(opened.inner.diagnose(deadline=Deadline.after(5)))


def test_half_of_a_store_is_no_new_one(client: Open, admin: Admin, fresh: str, name: str) -> None:
    client(fresh).provision(name, {})
    admin.run(admin.r.db(parse(fresh).path).table_drop("discfg_blobs"))
    tables = told(client(fresh))["tables"]
    assert tables.status is FindingStatus.FAILED
    assert "discfg_blobs" in tables.message
