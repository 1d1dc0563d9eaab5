"""`discfg doctor` on every store: a sound one, and one that is down or hangs."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from discfg_core.cli.app import app
from tests.stores.places import DURABLE, SERVED, fresh

if TYPE_CHECKING:
    from tests.servers.plugin import Servers

_TIMED = ["connect", "cold get", "freshness check", "warm set"]


def doctor(url: str, *words: str, code: int) -> Any:
    told = CliRunner().invoke(app, ["doctor", url, "-f", "json", *words])
    assert (told.exit_code, told.stderr) == (code, ""), told.output
    return json.loads(told.stdout)


@pytest.mark.parametrize("store", SERVED)
def test_nothing_is_wrong_with_a_sound_store(servers: Servers, store: str) -> None:
    url = fresh(servers.url(store))
    report = doctor(url, "--timeout", "120", code=0)
    told = {check["check"]: check for check in report["checks"]}
    assert {"server", "create", "race", "fsck", "removal"} <= set(told)
    assert told["race"]["status"] == "ok", told["race"]
    assert all(check["hint"] for check in report["checks"] if check["status"] != "ok")
    assert [timing["what"] for timing in report["timings"]] == _TIMED
    assert report["left"] is None
    listed = CliRunner().invoke(app, ["configs", "--store", url, "-f", "json"])
    assert json.loads(listed.stdout)["configs"] == []


@pytest.mark.parametrize("store", SERVED)
def test_looking_only_is_enough_for_a_report(servers: Servers, store: str) -> None:
    url = fresh(servers.url(store))
    for words in (["create", "mycfg"], ["set", "mycfg", "k", "v"]):
        assert CliRunner().invoke(app, [*words, "--store", url]).exit_code == 0
    report = doctor(url, "--read-only", code=0)
    assert report["checks"][-1]["check"] == "reading"
    assert report["checks"][-1]["status"] == "ok"
    assert "create" not in {check["check"] for check in report["checks"]}
    assert [timing["what"] for timing in report["timings"]] == _TIMED[:3]


@pytest.mark.parametrize("store", DURABLE)
def test_a_store_that_is_down_is_one_failed_check_in_time(servers: Servers, store: str) -> None:
    with servers.own(store) as server:
        url = server.url
        server.kill()
        began = time.monotonic()
        report = doctor(url, "--timeout", "3", code=1)
        assert time.monotonic() - began < 20
    *before, last = report["checks"]
    assert {check["status"] for check in before} <= {"ok"}
    assert last["check"] in {"engine", "connection"}
    assert last["status"] == "failed"
    assert last["hint"]
    assert report["left"] is None


@pytest.mark.parametrize("store", DURABLE)
def test_a_store_that_hangs_is_one_failed_check_in_time(servers: Servers, store: str) -> None:
    with servers.own(store) as server:
        server.pause()
        began = time.monotonic()
        report = doctor(server.url, "--timeout", "3", code=1)
        assert time.monotonic() - began < 20
        server.resume()
    assert report["checks"][-1]["status"] == "failed"
    assert report["left"] is None
