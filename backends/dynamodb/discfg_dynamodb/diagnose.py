"""What `discfg doctor` asks of DynamoDB: who answers, what these credentials may do, and how the
tables are. Nothing is changed: what would write is asked of a table that does not exist, which
DynamoDB says only to those who may.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any, Final

from discfg_core.clock import Deadline
from discfg_core.engine import Finding, FindingStatus
from discfg_core.errors import AccessDenied, DiscfgError, UnsupportedStore
from discfg_dynamodb.client import Client
from discfg_dynamodb.errors import TableMissing
from discfg_dynamodb.items import HEAD
from discfg_dynamodb.tables import Table, Tables

# More tables than these are not looked at one by one.
_TABLES_LOOKED_AT: Final = 50
_QUOTA: Final = 2500

Names = Callable[..., Iterator[str]]


def diagnose(
    client: Client, tables: Tables, prefix: str, names: Names, deadline: Deadline
) -> Iterator[Finding]:
    """What `Substrate.diagnose` says."""
    try:
        answer = client.call("list_tables", {"Limit": 1}, deadline=deadline)
    except DiscfgError as error:
        yield _failed("server", error)
        return
    yield _server(client, answer)
    yield from _permissions(client, prefix, deadline)
    configs = list(names(deadline=deadline))
    looked_at = [tables.describe(name, deadline) for name in sorted(configs)[:_TABLES_LOOKED_AT]]
    found = [table for table in looked_at if table is not None]
    yield _count(len(configs), prefix)
    yield from _states(found)
    yield _protection(found)
    yield _backups(client, found, deadline)


def _server(client: Client, answer: dict[str, Any]) -> Finding:
    told = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("server", "")
    name = "DynamoDB"
    if "Jetty" in told:
        name = "DynamoDB Local"
    elif "Werkzeug" in told:
        name = "moto"
    if name == "DynamoDB":
        return Finding("server", FindingStatus.OK, f"DynamoDB at {client.endpoint}")
    return Finding(
        "server",
        FindingStatus.WARNING,
        f"{name}, an emulator ({told}), at {client.endpoint}",
        "fit for tests: it neither throttles nor replicates, nor checks permissions",
    )


def _permissions(client: Client, prefix: str, deadline: Deadline) -> Iterator[Finding]:
    table = f"{prefix}-doctor-{secrets.token_hex(4)}"
    keys = {"Keys": [HEAD]}
    probes: dict[str, tuple[str, dict[str, Any]]] = {
        "DescribeTable": ("describe_table", {}),
        "GetItem": ("get_item", {"Key": HEAD}),
        "BatchGetItem": ("batch_get_item", {"RequestItems": {table: keys}}),
        "Scan": ("scan", {}),
        "PutItem": ("put_item", {"Item": HEAD}),
        "BatchWriteItem": (
            "batch_write_item",
            {"RequestItems": {table: [{"DeleteRequest": {"Key": HEAD}}]}},
        ),
        "UpdateTable": ("update_table", {"DeletionProtectionEnabled": True}),
        "DeleteTable": ("delete_table", {}),
    }
    denied = []
    for action, (operation, parameters) in probes.items():
        if "RequestItems" not in parameters:
            parameters["TableName"] = table
        try:
            client.call(operation, parameters, deadline=deadline)
        except TableMissing:
            continue
        except AccessDenied:
            denied.append(f"dynamodb:{action}")
        except DiscfgError as error:
            yield _failed("permissions", error)
            return
    if denied:
        yield Finding(
            "permissions",
            FindingStatus.FAILED,
            f"on tables {prefix}* these credentials lack {', '.join(denied)}",
            "the IAM policy that discfg needs is in the README of discfg-dynamodb",
        )
        return
    yield Finding(
        "permissions",
        FindingStatus.OK,
        f"all but dynamodb:CreateTable, which only creating a table shows, on tables {prefix}*",
    )


def _count(configs: int, prefix: str) -> Finding:
    many = configs > _QUOTA * 9 // 10
    return Finding(
        "tables",
        FindingStatus.WARNING if many else FindingStatus.OK,
        f"{configs} tables {prefix}*; a region takes {_QUOTA} of an account, unless raised",
        "ask AWS for a higher quota of tables" if many else "",
    )


def _states(found: list[Table]) -> Iterator[Finding]:
    for table in found:
        try:
            table.check()
        except UnsupportedStore as error:
            yield _failed("global" if table.replicas else "tables", error)
        except DiscfgError as error:
            yield _failed("state", error)


def _protection(found: list[Table]) -> Finding:
    bare = [table.name for table in found if table.usable and not table.protected]
    if not bare:
        return Finding("protection", FindingStatus.OK, "no table can be deleted by mistake")
    return Finding(
        "protection",
        FindingStatus.WARNING,
        f"without deletion protection: {', '.join(bare)}",
        "give the config's settings once more, which turns it on",
    )


def _backups(client: Client, found: list[Table], deadline: Deadline) -> Finding:
    without = 0
    for table in found:
        try:
            answer = client.call(
                "describe_continuous_backups", {"TableName": table.name}, deadline=deadline
            )
        except TableMissing:
            continue
        except DiscfgError as error:
            return Finding("backups", FindingStatus.OK, f"not told: {error.message}")
        told = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
        without += told.get("PointInTimeRecoveryStatus") != "ENABLED"
    return Finding(
        "backups",
        FindingStatus.OK,
        f"point-in-time recovery is off for {without} of {len(found)} tables looked at",
        "turn it on to survive mistakes older than a config's own history" if without else "",
    )


def _failed(check: str, error: DiscfgError) -> Finding:
    return Finding(check, FindingStatus.FAILED, error.message, error.hint or "")
