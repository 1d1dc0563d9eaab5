"""What a store keeps its configs in is deleted underneath: table, bucket, database, keys."""

from __future__ import annotations

import secrets
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from discfg_core.errors import NotFound, StoreError
from discfg_core.urls import parse
from tests.servers.etcd import Raw
from tests.servers.rethinkdb import Admin
from tests.stores.places import SERVED, fresh, open_client
from tests.stores.trial import BACK_WITHIN, NAME, Trial

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.plugin import Servers


@pytest.mark.parametrize("store", SERVED)
def test_deleted_underneath(servers: Servers, store: str) -> None:
    url = fresh(servers.url(store))
    if store == "s3":
        # The shared bucket is everybody's.
        url = url.replace("://discfg", f"://discfg-{secrets.token_hex(6)}")
        _make_bucket(url)
    trial = Trial(url, url)
    with closing(trial.client), closing(trial.witness):
        assert trial.write() is None
        _DELETE[store](url)
        # Nothing of it is answered from memory, nothing acknowledged on ground that is gone.
        for call in _calls(trial):
            error = trial.fails(call)
            assert isinstance(error, NotFound | StoreError), repr(error)
        if store == "s3":
            _make_bucket(url)
        # RethinkDB's asks to connect anew, before it makes its tables a second time.
        with closing(open_client(url, BACK_WITHIN)) as anew:
            anew.create(NAME)
            assert anew.config(NAME).set("k", b"anew").revision == 1
        # Whoever was connected all the time works again, too.
        config = trial.client.config(NAME)
        assert config.set("k", b"again").revision == 2
        assert trial.witness.config(NAME).values() == {"/k": b"again"}


def _calls(trial: Trial) -> list[Callable[[], Any]]:
    config = trial.config
    return [
        lambda: config.get("warm"),
        lambda: config.set("k", b"v"),
        config.view,
        config.history,
        config.info,
    ]


def _client(service: str, url: str) -> Any:
    from botocore.session import Session

    options = parse(url).options
    return Session().create_client(
        service, endpoint_url=options["endpoint_url"], region_name="us-east-1"
    )


def _make_bucket(url: str) -> None:
    """Make it, and wait until it takes objects: SeaweedFS still clears away one of that name."""
    s3, bucket = _client("s3", url), parse(url).hosts[0].host
    s3.create_bucket(Bucket=bucket)
    end = time.monotonic() + 60
    while not _takes_objects(s3, bucket):
        assert time.monotonic() < end, "the bucket takes no objects"
        time.sleep(0.2)


def _takes_objects(s3: Any, bucket: str) -> bool:
    try:
        for number in range(20):
            s3.put_object(Bucket=bucket, Key=f"ready/{number}", Body=b"")
    except ClientError:
        return False
    return True


def _delete_bucket(url: str) -> None:
    s3, bucket = _client("s3", url), parse(url).hosts[0].host
    for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
        s3.delete_object(Bucket=bucket, Key=entry["Key"])
    s3.delete_bucket(Bucket=bucket)


def _delete_table(url: str) -> None:
    dynamodb, prefix = _client("dynamodb", url), parse(url).options["prefix"]
    for table in dynamodb.list_tables()["TableNames"]:
        if table.startswith(prefix):
            dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
            dynamodb.delete_table(TableName=table)


def _delete_keys(url: str) -> None:
    store = parse(url)
    raw = Raw(str(store.hosts[0]))
    prefix = f"/{store.path}/".encode()
    raw.kv.DeleteRange(
        raw.rpc.DeleteRangeRequest(key=prefix, range_end=prefix[:-1] + bytes([prefix[-1] + 1]))
    )
    raw.close()


def _drop_database(url: str) -> None:
    admin = Admin(url)
    admin.drop(parse(url).path)
    admin.close()


_DELETE: dict[str, Callable[[str], None]] = {
    "etcd": _delete_keys,
    "s3": _delete_bucket,
    "dynamodb": _delete_table,
    "moto": _delete_table,
    "rethinkdb": _drop_database,
}
