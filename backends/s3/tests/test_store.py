"""What is special to S3: conditional requests, blobs, the bucket and its settings."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from discfg_s3 import open_engine
from discfg_s3.substrate import S3Substrate
from msgspec.structs import replace

from discfg_core.clock import Deadline
from discfg_core.engine import ConfigHandle, FindingStatus
from discfg_core.errors import (
    AccessDenied,
    OutcomeUnknown,
    StoreUnavailable,
)
from discfg_core.substrate import UNCHANGED, BlobRange, Register, SwapConflict
from discfg_core.urls import StoreURL
from tests.servers.s3 import (
    BUCKET,
    READER_ACCESS_KEY,
    READER_SECRET_KEY,
    Answer,
    Change,
    Front,
    Request,
    Send,
    at,
    without,
)

Open = Callable[[StoreURL], S3Substrate]
Through = Callable[[Change], tuple[Front, StoreURL]]


def soon() -> Deadline:
    return Deadline.after(60)


def pass_on(request: Request, send: Send) -> Answer:
    return send(request)


# --- requests, counted ---


def test_a_freshness_check_is_one_conditional_read_without_a_body(
    through: Through, opened: Open
) -> None:
    answers: list[Answer] = []

    def note(request: Request, send: Send) -> Answer:
        answers.append(send(request))
        return answers[-1]

    front, url = through(note)
    client = opened(url)
    token = client.swap("name", None, b"data", deadline=soon())
    answers.clear()
    front.requests.clear()
    assert client.read("name", token, deadline=soon()) is UNCHANGED
    assert [(answer.status, answer.body) for answer in answers] == [(304, b"")]
    assert front.requests == {"GET": 1}


def test_a_connection_serves_one_request_after_the_other(through: Through, opened: Open) -> None:
    front, url = through(pass_on)
    client = opened(url)
    client.put_blob("name", "blob", b"data", deadline=soon())
    token = opened(at(url, endpoint_url=front.endpoint)).swap("name", None, b"", deadline=soon())
    front.connections = 0
    calls: list[Callable[[], object]] = [
        lambda: client.read("name", token, deadline=soon()),
        lambda: client.read("name", deadline=soon()),
        lambda: client.read("absent", deadline=soon()),
        lambda: client.get_blobs("name", [BlobRange("blob", 0, 0)], deadline=soon()),
        lambda: client.get_blobs("name", [BlobRange("blob", 9)], deadline=soon()),
        lambda: client.swap("name", b"0" * 32, b"", deadline=soon()),
        lambda: list(client.list_blobs("name", deadline=soon())),
        lambda: client.delete_blobs("name", ["blob"], deadline=soon()),
    ]
    for call in calls * 2:
        with suppress(SwapConflict):
            call()
    assert front.connections == 0


def test_requests_of_an_engine(through: Through) -> None:
    front, url = through(pass_on)
    first, second = open_engine(url), open_engine(url)
    try:
        first.create_config("name", {}, deadline=soon())
        handle = ConfigHandle("name")
        first.set(handle, "/key", b"1", "text/plain", deadline=soon())
        front.requests.clear()
        second.get(ConfigHandle("name"), "/key", deadline=soon())
        assert front.requests == {"GET": 1}, "a cold get"
        second.get(ConfigHandle("name"), "/key", deadline=soon())
        assert front.requests == {"GET": 2}, "a freshness check"
        front.requests.clear()
        second.set(ConfigHandle("name"), "/key", b"2", "text/plain", deadline=soon())
        assert front.requests == {"PUT": 1}, "a warm set"
    finally:
        first.close()
        second.close()


def test_tokens_of_equal_data_differ_and_come_from_the_write(
    fresh: StoreURL, opened: Open, admin: Any
) -> None:
    client = opened(fresh)
    tokens = [client.swap(name, None, b"same", deadline=soon()) for name in ("a", "b")]
    assert tokens[0] != tokens[1]
    listed = admin.list_objects_v2(Bucket=BUCKET, Prefix=f"{fresh.path}/_heads/")["Contents"]
    assert [item["ETag"].strip('"').encode() for item in listed] == tokens


def test_a_swap_is_sent_once_although_the_server_fails(through: Through, opened: Open) -> None:
    failing = threading.Event()

    def fail(request: Request, send: Send) -> Answer:
        return Answer(500, {}, b"") if failing.is_set() else send(request)

    front, url = through(fail)
    client = opened(url)
    token = client.swap("name", None, b"data", deadline=soon())
    failing.set()
    front.requests.clear()
    with pytest.raises(OutcomeUnknown):
        client.swap("name", token, b"more", deadline=soon())
    assert front.requests == {"PUT": 1}


# --- what other stores do differently, and is fine ---


def test_a_store_without_conditional_reads_is_read_whole(through: Through, opened: Open) -> None:
    _, url = through(without("if-none-match", of="GET"))
    client = opened(url)
    token = client.swap("name", None, b"data", deadline=soon())
    assert client.read("name", token, deadline=soon()) is UNCHANGED
    assert client.read("name", deadline=soon()) == Register(b"data", token)
    found = {each.check: each for each in client.diagnose(deadline=soon())}
    assert found["conditional reads"].status is FindingStatus.WARNING


def test_a_store_without_ranges_is_read_whole(through: Through, opened: Open) -> None:
    _, url = through(without("range", of="GET"))
    client = opened(url)
    client.put_blob("name", "blob", b"0123456789", deadline=soon())
    wanted = [BlobRange("blob", 2, 3), BlobRange("blob", 8), BlobRange("blob", 20, 1)]
    assert client.get_blobs("name", wanted, deadline=soon()) == [b"234", b"89", b""]


def test_404_for_an_expected_object_is_a_conflict_that_tells(
    through: Through, opened: Open
) -> None:
    def as_aws(request: Request, send: Send) -> Answer:
        answer = send(request)
        refused = "if-match" in request.headers and answer.status == 412
        if refused and send(Request("HEAD", request.path, {}, b"")).status == 404:
            body = b"<Error><Code>NoSuchKey</Code><Message>No such key</Message></Error>"
            return Answer(404, {"content-type": "application/xml"}, body)
        return answer

    _, url = through(as_aws)
    client = opened(url)
    token = client.swap("one", None, b"data", deadline=soon())
    with pytest.raises(SwapConflict) as caught:
        client.swap("two", token, b"data", deadline=soon())
    assert caught.value.current is None


# --- blobs ---


def test_more_blobs_than_a_page_are_listed_and_deleted(fresh: StoreURL, opened: Open) -> None:
    client = opened(fresh)
    blobs = [f"b{number:04}" for number in range(1003)]
    client.swap("name", None, b"", dict.fromkeys(blobs, b"x"), deadline=Deadline.after(120))
    assert [info.blob for info in client.list_blobs("name", deadline=soon())] == blobs
    client.delete_blobs("name", blobs[1:], deadline=soon())
    assert [info.blob for info in client.list_blobs("name", deadline=soon())] == blobs[:1]


@pytest.mark.parametrize("blob", [".", ".."])
def test_blobs_named_like_directories_are_blobs(fresh: StoreURL, opened: Open, blob: str) -> None:
    client = opened(fresh)
    client.put_blob("name", blob, b"data", deadline=soon())
    assert client.get_blobs("name", [BlobRange(blob)], deadline=soon()) == [b"data"]
    assert [info.blob for info in client.list_blobs("name", deadline=soon())] == [blob]


@pytest.mark.parametrize(
    ("code", "error"), [("AccessDenied", AccessDenied), ("InternalError", OutcomeUnknown)]
)
def test_a_deletion_that_fails_for_one_blob_is_an_error(
    through: Through, opened: Open, code: str, error: type[Exception]
) -> None:
    def refuse_one(request: Request, send: Send) -> Answer:
        if request.method != "POST":
            return send(request)
        body = (
            f"<DeleteResult><Error><Key>k</Key><Code>{code}</Code><Message>No.</Message></Error>"
            "<Error><Key>l</Key><Code>NoSuchKey</Code></Error></DeleteResult>"
        )
        return Answer(200, {"Content-Type": "application/xml"}, body.encode())

    _, url = through(refuse_one)
    with pytest.raises(error, match="1 objects were not deleted"):
        opened(url).delete_blobs("name", ["a", "b"], deadline=soon())


def test_stores_within_one_another_see_nothing_of_each_other(fresh: StoreURL, opened: Open) -> None:
    inner = ["", "/name", "/_heads", "/_blobs", "/_blobs/name", "2", "/_discfg"]
    clients = {path: opened(at(fresh, path=fresh.path + path)) for path in inner}
    for path, client in clients.items():
        client.swap("name", None, path.encode(), {"blob": path.encode()}, deadline=soon())
    for path, client in clients.items():
        found = client.read("name", deadline=soon())
        assert isinstance(found, Register)
        assert found.data == path.encode()
        assert client.get_blobs("name", [BlobRange("blob")], deadline=soon()) == [path.encode()]
        assert list(client.names(deadline=soon())) == ["name"]
        assert len(list(client.list_blobs("name", deadline=soon()))) == 1


# --- who may not write, and where there is no bucket ---


@pytest.fixture
def as_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", READER_ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", READER_SECRET_KEY)


def test_a_reader_reads_and_is_refused_to_write(
    fresh: StoreURL, opened: Open, as_reader: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = opened(fresh)
    # Where nobody ever wrote there is nothing to read, and no need to try the store.
    assert reader.read("name", deadline=soon()) is None
    assert list(reader.names(deadline=soon())) == []
    with pytest.raises(AccessDenied, match="s3:PutObject"):
        reader.swap("name", None, b"data", deadline=soon())
    monkeypatch.undo()
    writer = opened(fresh)
    token = writer.swap("name", None, b"data", {"blob": b"x"}, deadline=soon())
    assert reader.read("name", deadline=soon()) == Register(b"data", token)
    assert reader.get_blobs("name", [BlobRange("blob")], deadline=soon()) == [b"x"]
    with pytest.raises(AccessDenied):
        reader.swap("name", token, b"more", deadline=soon())
    found = {each.check: each for each in reader.diagnose(deadline=soon())}
    assert found["server"].status is FindingStatus.OK
    assert found["s3:PutObject"].status is FindingStatus.FAILED
    assert found["s3:GetObject"].status is FindingStatus.OK


def assert_no_bucket(client: S3Substrate) -> None:
    deadline = soon()
    calls: list[Callable[[], object]] = [
        lambda: client.read("name", deadline=deadline),
        lambda: client.read("name", b"0" * 32, deadline=deadline),
        lambda: client.swap("name", None, b"data", deadline=deadline),
        lambda: client.put_blob("name", "blob", b"data", deadline=deadline),
        lambda: client.get_blobs("name", [BlobRange("blob")], deadline=deadline),
        lambda: client.delete_blobs("name", ["blob"], deadline=deadline),
        lambda: list(client.list_blobs("name", deadline=deadline)),
        lambda: list(client.names(deadline=deadline)),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable, match="NoSuchBucket") as caught:
            call()
        assert not caught.value.retryable
        assert "create the bucket" in str(caught.value)
    found = list(client.diagnose(deadline=deadline))
    assert [(each.check, each.status) for each in found] == [("server", FindingStatus.FAILED)]


def test_a_bucket_that_does_not_exist_is_named_with_a_remedy(place: StoreURL, opened: Open) -> None:
    host = place.hosts[0]._replace(host=f"absent-{secrets.token_hex(8)}")
    assert_no_bucket(opened(replace(place, hosts=(host,))))


def test_a_bucket_deleted_underneath_is_named_with_a_remedy(
    in_bucket: StoreURL, bucket: str, opened: Open, admin: Any
) -> None:
    client = opened(in_bucket)
    token = client.swap("name", None, b"data", {"blob": b"x"}, deadline=soon())
    for item in admin.list_objects_v2(Bucket=bucket)["Contents"]:
        admin.delete_object(Bucket=bucket, Key=item["Key"])
    admin.delete_bucket(Bucket=bucket)
    # SeaweedFS says 412 to a swap, AWS 404; reading then tells what it is.
    with pytest.raises((SwapConflict, StoreUnavailable)):
        client.swap("name", token, b"more", deadline=soon())
    client = opened(in_bucket)
    assert_no_bucket(client)
    admin.create_bucket(Bucket=bucket)
    client.swap("name", None, b"again", deadline=soon())


# --- diagnosis ---


def test_diagnosis_of_a_sound_bucket_has_no_warning(fresh: StoreURL, opened: Open) -> None:
    found = list(opened(fresh).diagnose(deadline=soon()))
    assert {each.status for each in found} == {FindingStatus.OK}, found
    assert "SeaweedFS" in found[0].message
    assert {each.check for each in found} >= {
        "server",
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:ListBucket",
        "conditional writes",
        "conditional reads",
        "lifecycle",
        "versioning",
        "object lock",
    }


def test_diagnosis_warns_of_versioning(
    in_bucket: StoreURL, bucket: str, opened: Open, admin: Any
) -> None:
    admin.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    client = opened(in_bucket)
    token = client.swap("name", None, b"one", deadline=soon())
    client.swap("name", token, b"two", deadline=soon())
    found = {each.check: each for each in client.diagnose(deadline=soon())}
    assert found["versioning"].status is FindingStatus.WARNING
    assert "NoncurrentVersionExpiration" in found["versioning"].hint
    assert found["conditional writes"].status is FindingStatus.OK


@pytest.mark.parametrize(
    ("prefix", "status", "warned"),
    [
        ("", "Enabled", True),
        ("app/", "Enabled", True),
        ("app/_heads/", "Enabled", True),
        ("logs/", "Enabled", False),
        ("app/", "Disabled", False),
    ],
)
def test_diagnosis_warns_of_rules_that_delete(  # noqa: PLR0917 - fixtures, and three figures
    in_bucket: StoreURL, opened: Open, admin: Any, prefix: str, status: str, warned: bool
) -> None:
    rule = {"ID": "tidy", "Status": status, "Filter": {"Prefix": prefix}, "Expiration": {"Days": 9}}
    admin.put_bucket_lifecycle_configuration(
        Bucket=in_bucket.hosts[0].host, LifecycleConfiguration={"Rules": [rule]}
    )
    found = {each.check: each for each in opened(in_bucket).diagnose(deadline=soon())}
    assert (found["lifecycle"].status is FindingStatus.WARNING) is warned
    assert ("'tidy'" in found["lifecycle"].message) is warned


# --- the way there ---


def test_a_bucket_in_another_region_is_written_there(through: Through, opened: Open) -> None:
    signed_for: list[str] = []

    def elsewhere(request: Request, send: Send) -> Answer:
        # "Credential=KEY/DATE/REGION/s3/aws4_request".
        region = request.authorization.split("/")[2]
        signed_for.append(region)
        if region != "eu-west-3":
            body = b"<Error><Code>PermanentRedirect</Code><Message>Elsewhere.</Message></Error>"
            return Answer(301, {"x-amz-bucket-region": "eu-west-3"}, body)
        return send(request)

    _, url = through(elsewhere)
    client = opened(at(url, region="eu-central-1"))
    client.put_blob("name", "blob", b"data", deadline=soon())
    assert client.get_blobs("name", [BlobRange("blob")], deadline=soon()) == [b"data"]
    assert signed_for == ["eu-central-1", "eu-west-3", "eu-west-3"]


def test_requests_go_through_the_proxy_of_the_environment(
    fresh: StoreURL, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def change(request: Request, send: Send) -> Answer:
        asked.append(request.path)
        prefix = "http://s3.test"
        assert request.path.startswith(prefix)
        return send(request._replace(path=request.path.removeprefix(prefix)))

    with Front(fresh.options["endpoint_url"], change) as front:
        monkeypatch.setenv("http_proxy", front.endpoint.replace("://", "://user:hidden@"))
        client = opened(at(fresh, endpoint_url="http://s3.test"))
        assert client.read("name", deadline=soon()) is None
        client.put_blob("name", "blob", b"data", deadline=soon())
    assert len(asked) == 2
    client = opened(at(fresh, endpoint_url="http://s3.test"))
    with pytest.raises(StoreUnavailable, match="proxy") as caught:
        client.read("name", deadline=soon())
    assert "hidden" not in repr(caught.value) + str(caught.value.__cause__)
