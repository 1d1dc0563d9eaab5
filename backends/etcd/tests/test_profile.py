"""The URL, its options, and what is said of the engine before a server is asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from discfg_etcd import open_engine
from discfg_etcd.access import access_of
from discfg_etcd.layout import Layout, below, prefix_of
from discfg_etcd.profile import GUARANTEES, LIMITS, PROFILE, Options

from discfg_core.errors import DiscfgError, FileUnreadable, InvalidOption, InvalidURL
from discfg_core.registry import profile
from discfg_core.urls import parse

if TYPE_CHECKING:
    from tests.servers.certificates import Authority


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "PASSWORD", "CACERT", "CERT", "KEY"):
        monkeypatch.delenv(f"ETCDCTL_{name}", raising=False)


@pytest.mark.parametrize(
    ("hosts", "addresses"),
    [
        ("h", ("h:2379",)),
        ("h:1", ("h:1",)),
        ("h1:1,h2,h3:3", ("h1:1", "h2:2379", "h3:3")),
        ("h,h:2379,h", ("h:2379",)),
        ("[::1]:2379,10.0.0.1", ("[::1]:2379", "10.0.0.1:2379")),
    ],
)
def test_hosts_are_endpoints(hosts: str, addresses: tuple[str, ...]) -> None:
    assert access_of(parse(f"etcd://{hosts}/p")).addresses == addresses


@pytest.mark.parametrize("path", ["p", "a/b", "a.b", "café", "a b"])
def test_path_is_the_prefix(path: str) -> None:
    url = msgspec.structs.replace(parse("etcd://h/x"), path=path)
    prefix = prefix_of(url)
    assert prefix == path
    assert Layout(prefix).register("c") == f"/{path}/~r/c".encode()


@pytest.mark.parametrize("path", ["", "/", "/a/", "//a", "/a//b", "/~a", "/a/~r/b"])
def test_prefix_that_cannot_be_one_is_refused(path: str) -> None:
    with pytest.raises(InvalidURL):
        open_engine(parse(f"etcd://h{path}"))


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("etcd:///p", InvalidURL),
        ("etcd://user@h/p", InvalidURL),
        ("etcd://h/p?nonsense=1", InvalidOption),
        ("etcd://h/p?tls=perhaps", InvalidOption),
        ("etcd://h/p?cert=/a.pem", InvalidOption),
        ("etcd://h/p?key=/a.pem", InvalidOption),
        ("etcd://h/p?tls=false&ca=/a.pem", InvalidOption),
        ("etcd://h/p?ca=/nowhere/a.pem", FileUnreadable),
    ],
)
def test_url_that_makes_no_sense_is_refused(url: str, error: type[DiscfgError]) -> None:
    with pytest.raises(error) as caught:
        open_engine(parse(url))
    assert caught.value.hint


def test_files_that_are_not_certificates_are_refused(tmp_path: Path, authority: Authority) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    one, other = authority.issue("one"), authority.issue("other")
    for query in (
        f"ca={nonsense}",
        f"cert={nonsense}&key={one.key}",
        f"cert={one.cert}&key={nonsense}",
        f"cert={one.cert}&key={other.key}",
    ):
        with pytest.raises(InvalidOption, match="PEM"):
            open_engine(parse(f"etcd://h/p?{query}"))


def test_tls_is_on_when_anything_of_it_is_given(authority: Authority) -> None:
    pair = authority.issue("client")
    assert access_of(parse("etcd://h/p")).tls is None
    assert access_of(parse("etcd://h/p?tls=false")).tls is None
    for query in ("tls=true", f"ca={authority.path}", f"cert={pair.cert}&key={pair.key}"):
        assert access_of(parse(f"etcd://h/p?{query}")).tls is not None


def test_tls_files_may_come_from_the_variables_of_etcdctl(
    monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    pair = authority.issue("client")
    monkeypatch.setenv("ETCDCTL_CACERT", str(authority.path))
    monkeypatch.setenv("ETCDCTL_CERT", str(pair.cert))
    monkeypatch.setenv("ETCDCTL_KEY", str(pair.key))
    tls = access_of(parse("etcd://h/p")).tls
    assert tls is not None
    assert (tls.ca, tls.cert, tls.key) == (str(authority.path), str(pair.cert), str(pair.key))
    assert access_of(parse("etcd://h/p?tls=false")).tls is None


def test_expiry_of_a_certificate_is_read(authority: Authority) -> None:
    import datetime as dt

    for days in (-1, 1, 10_000):
        pair = authority.issue(f"days{days}", days=days)
        tls = access_of(parse(f"etcd://h/p?cert={pair.cert}&key={pair.key}")).tls
        assert tls is not None
        expiry = tls.expiry()
        assert expiry is not None
        expected = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        assert abs(expiry - expected) < dt.timedelta(minutes=5)


def test_engine_is_found_by_its_scheme_and_says_what_it_is() -> None:
    assert profile("etcd") is PROFILE
    assert PROFILE.guarantees == GUARANTEES
    assert all(LIMITS.why.values())


def test_every_option_is_described() -> None:
    info = msgspec.inspect.type_info(Options)
    assert isinstance(info, msgspec.inspect.StructType)
    for field in info.fields:
        assert isinstance(field.type, msgspec.inspect.Metadata), field.name


def test_package_is_imported_without_its_client_library() -> None:
    code = "import discfg_etcd, sys; print([m for m in ('grpc', 'pyetcd', 'google.protobuf') if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize(("one", "other"), [("a", "ab"), ("a", "a/b"), ("a", "a/r"), ("x/a", "a")])
def test_prefixes_share_no_key(one: str, other: str) -> None:
    first, second = Layout(one), Layout(other)
    for mine, theirs in ((first, second), (second, first)):
        keys = [theirs.register("c"), theirs.nonce("c"), theirs.part("c", "b", 1, 0)]
        for span in (mine.everything, mine.registers, mine.blobs("c"), below(mine.root + b"~t/")):
            assert not any(span.start <= key < span.end for key in keys)
