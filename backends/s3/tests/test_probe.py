"""The race before the first write: it is run once a prefix, and stores that fail it are refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from discfg_s3.substrate import S3Substrate

from discfg_core.clock import Deadline
from discfg_core.errors import (
    StoreUnavailable,
    UnsupportedStore,
)
from discfg_core.urls import StoreURL
from tests.servers.s3 import (
    BUCKET,
    Answer,
    Change,
    Front,
    Request,
    Send,
    without,
)

Open = Callable[[StoreURL], S3Substrate]
Through = Callable[[Change], tuple[Front, StoreURL]]


def soon() -> Deadline:
    return Deadline.after(60)


def pass_on(request: Request, send: Send) -> Answer:
    conditions = [request.headers.get("if-match"), request.headers.get("if-none-match")]
    for condition in conditions:
        assert condition in (None, "*") or condition.startswith('"'), "an ETag has its quotes"
    return send(request)


def test_the_store_is_tried_once_a_prefix(through: Through, opened: Open, admin: Any) -> None:
    front, url = through(pass_on)
    token = opened(url).swap("one", None, b"", deadline=soon())
    tried = front.requests["PUT"]
    assert tried > 2 * 16
    record = admin.get_object(Bucket=BUCKET, Key=f"{url.path}/_discfg/probe.json")
    assert json.loads(record["Body"].read())["format"] == 1
    left = admin.list_objects_v2(Bucket=BUCKET, Prefix=f"{url.path}/_discfg/")["Contents"]
    assert len(left) == 1, "nothing but the record is left"

    front.requests.clear()
    other = opened(url)
    other.swap("two", None, b"", deadline=soon())
    assert front.requests == {"GET": 1, "PUT": 1}
    other.swap("three", None, b"", deadline=soon())
    assert front.requests == {"GET": 1, "PUT": 2}
    opened(url).swap("one", token, b"more", deadline=soon())
    assert front.requests == {"GET": 1, "PUT": 3}, "who knows a token need not ask"


def test_clients_that_are_first_at_the_same_time_all_get_on(fresh: StoreURL, opened: Open) -> None:
    clients = [opened(fresh) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        done = [
            pool.submit(client.swap, f"name{number}{i}", None, b"", deadline=Deadline.after(120))
            for number, client in enumerate(clients)
            for i in range(2)
        ]
        assert len({each.result() for each in done}) == 8
    assert len(list(clients[0].names(deadline=soon()))) == 8


def check_then_act(request: Request, send: Send) -> Answer:
    """A store that looks first and writes then: two may find the same."""
    condition = request.headers.pop("if-match", None), request.headers.pop("if-none-match", None)
    if request.method == "PUT" and any(condition):
        there = send(Request("HEAD", request.path, {}, b""))
        etag = there.headers.get("etag") if there.status == 200 else None
        if etag != condition[0]:
            return Answer(412, {}, b"")
    return send(request)


def creates_by_if_match(request: Request, send: Send) -> Answer:
    """As MinIO did: If-Match counts only where there is an object."""
    conditional = request.method == "PUT" and "if-match" in request.headers
    if conditional and send(Request("HEAD", request.path, {}, b"")).status == 404:
        del request.headers["if-match"]
    return send(request)


def one_etag(request: Request, send: Send) -> Answer:
    """A store whose ETag says nothing of the content."""
    answer = send(request)
    if request.method == "PUT" and answer.status == 200:
        return answer._replace(headers={**answer.headers, "etag": '"1"'})
    return answer


@pytest.mark.parametrize(
    ("change", "gap"),
    [
        (without("if-match", "if-none-match"), "If-None-Match: * forbids"),
        (without("if-none-match"), "If-None-Match: * forbids"),
        (without("if-match"), "racing writes with If-Match win"),
        (check_then_act, "racing writes with If-"),
        (creates_by_if_match, "creates an object although If-Match"),
        (one_etag, "racing|same ETag"),
    ],
)
def test_a_store_that_breaks_its_promises_is_refused(
    through: Through, opened: Open, admin: Any, change: Change, gap: str
) -> None:
    _, url = through(change)
    for _ in range(2):
        with pytest.raises(UnsupportedStore, match=gap.replace("*", r"\*")) as caught:
            opened(url).swap("name", None, b"data", deadline=soon())
        assert caught.value.hint
        assert "SeaweedFS" in caught.value.hint
    left = admin.list_objects_v2(Bucket=BUCKET, Prefix=url.path).get("Contents", [])
    assert left == [], "it is left as it was, without a record"


def test_a_store_that_was_mended_is_taken(through: Through, opened: Open) -> None:
    broken = threading.Event()
    broken.set()
    strip = without("if-match")

    def change(request: Request, send: Send) -> Answer:
        return strip(request, send) if broken.is_set() else send(request)

    _, url = through(change)
    client = opened(url)
    with pytest.raises(UnsupportedStore):
        client.swap("name", None, b"data", deadline=soon())
    broken.clear()
    client.swap("name", None, b"data", deadline=soon())


def test_a_store_that_fails_in_the_race_is_only_unavailable(through: Through, opened: Open) -> None:
    def fail(request: Request, send: Send) -> Answer:
        return Answer(500, {}, b"") if request.method == "PUT" else send(request)

    _, url = through(fail)
    with pytest.raises(StoreUnavailable, match="tried"):
        opened(url).swap("name", None, b"data", deadline=soon())
