"""The URL, its options, and what is said of the engine before a server is asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from discfg_rethinkdb import open_engine, target
from discfg_rethinkdb.profile import GUARANTEES, LIMITS, PROFILE, Options

from discfg_core.engine import Guarantee
from discfg_core.errors import DiscfgError, InvalidOption, InvalidURL
from discfg_core.registry import profile
from discfg_core.substrate import Limits
from discfg_core.urls import Host, parse


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ("h", (Host("h", 28015),)),
        ("h:1", (Host("h", 1),)),
        ("h1:1,h2", (Host("h1", 1), Host("h2", 28015))),
        ("[::1]:2", (Host("::1", 2),)),
    ],
)
def test_hosts_have_the_drivers_port(hosts: str, expected: tuple[Host, ...]) -> None:
    assert target(parse(f"rethinkdb://{hosts}/db")).hosts == expected


def test_without_a_user_it_is_admin_without_a_password() -> None:
    login = target(parse("rethinkdb://h/db")).login
    assert (login.user, login.password) == ("admin", "")


def test_options_have_defaults() -> None:
    found = target(parse("rethinkdb://h/db"))
    assert (found.database, found.replicas, found.connections, found.tls) == ("db", 1, 16, None)


def test_options_are_taken() -> None:
    found = target(parse("rethinkdb://h/my-db_1?replicas=3&connections=64&tls=true"))
    assert (found.database, found.replicas, found.connections) == ("my-db_1", 3, 64)
    assert found.tls is not None
    assert found.tls.check_hostname


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("rethinkdb:///db", InvalidURL),
        ("rethinkdb://h", InvalidURL),
        ("rethinkdb://h/", InvalidURL),
        ("rethinkdb://h/a/b", InvalidURL),
        ("rethinkdb://h/a.b", InvalidURL),
        ("rethinkdb://h/caf%C3%A9", InvalidURL),
        ("rethinkdb://h/rethinkdb", InvalidURL),
        ("rethinkdb://h/" + "x" * 128, InvalidURL),
        ("rethinkdb://%C3%BCser@h/db", InvalidURL),
        ("rethinkdb://h/db?replicas=0", InvalidOption),
        ("rethinkdb://h/db?replicas=many", InvalidOption),
        ("rethinkdb://h/db?connections=0", InvalidOption),
        ("rethinkdb://h/db?tls=perhaps", InvalidOption),
        ("rethinkdb://h/db?unknown=1", InvalidOption),
        ("rethinkdb://h/db?ca=/nowhere/ca.pem", InvalidOption),
        ("rethinkdb://h/db?cert=/nowhere/cert.pem", InvalidOption),
        ("rethinkdb://h/db?key=/nowhere/key.pem", InvalidOption),
    ],
)
def test_what_cannot_be_a_store_is_refused(url: str, error: type[DiscfgError]) -> None:
    with pytest.raises(error) as caught:
        open_engine(parse(url))
    assert caught.value.engine == "rethinkdb"
    assert caught.value.hint


def test_database_may_be_named_like_part_of_rethinkdbs_own() -> None:
    assert target(parse("rethinkdb://h/rethinkdb2")).database == "rethinkdb2"


def test_file_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    with pytest.raises(InvalidOption, match="'ca'"):
        open_engine(parse(f"rethinkdb://h/db?ca={path}"))


def test_profile_is_that_of_the_entry_point() -> None:
    assert profile("rethinkdb") is PROFILE
    assert PROFILE.options is Options
    assert Guarantee.PUSH_WATCH in GUARANTEES


def test_every_limit_has_its_reason() -> None:
    default = Limits()
    figures = [field for field in LIMITS.__struct_fields__ if field != "why"]
    changed = {each for each in figures if getattr(LIMITS, each) != getattr(default, each)}
    assert set(LIMITS.why) == changed


def test_import_is_cheap() -> None:
    program = "import sys, discfg_rethinkdb; assert 'rethinkdb' not in sys.modules; assert 'ssl' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
