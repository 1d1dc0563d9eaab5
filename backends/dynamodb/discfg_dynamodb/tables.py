"""The tables: how they come to be, change and go.

The one fence between those who create and those who drop is the register item. A table that is
to go is *condemned* first: its register, iff it is still what the dropper saw, is replaced by an
item that no swap matches and every reader takes for absence. From then on the table only goes.
Whoever drops, or creates and finds it condemned, lifts the protection and deletes it. DynamoDB
deletes a table by its name, though, whatever has become of that meanwhile. So

* each look at the mark comes after the look at the protection, and before the deletion;
* a table is created with the protection, so that a deletion that comes late is refused;
* who lifted the protection of a table that turns out not to be condemned puts it back.

See ``docs/decisions/0012-dynamodb-tables.md``.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final

import msgspec

from discfg_core.backoff import jitter, sleep
from discfg_core.clock import Deadline
from discfg_core.errors import (
    DiscfgError,
    OutcomeUnknown,
    StoreBusy,
    StoreUnavailable,
    Timeout,
    UnsupportedStore,
)
from discfg_core.model import ConfigState
from discfg_core.substrate import Token
from discfg_dynamodb.capacity import READ, WRITE, Capacity
from discfg_dynamodb.client import Client
from discfg_dynamodb.errors import ConditionFailed, TableInUse, TableMissing, certain
from discfg_dynamodb.items import CONDEMNED, HEAD, KEY, condemned, expecting
from discfg_dynamodb.names import table_of

_KEY_SCHEMA: Final = [{"AttributeName": KEY, "KeyType": "HASH"}]
_ATTRIBUTES: Final = [{"AttributeName": KEY, "AttributeType": "S"}]

# Between two looks at a table that changes, in seconds. AWS takes about 5 s to create one; an
# emulator does it at once.
_POLL_FIRST: Final = 0.02
_POLL_LAST: Final = 1.0
_POLL_GROWTH: Final = 1.6

# How long it is believed that a table is no global one, in seconds.
_BELIEVED: Final = 600.0


class Table(msgspec.Struct, frozen=True):
    """A table, as DynamoDB describes it.

    Attributes:
        name: Its name.
        status: ``ACTIVE``, ``CREATING``, ``UPDATING``, ``DELETING``, or one it cannot be used in.
        protected: Whether it cannot be deleted.
        capacity: ``None`` for capacity on demand.
        ours: Whether it has the key that discfg gives its tables.
        replicas: The other regions it is in, where the last writer of these wins.
    """

    name: str
    status: str
    protected: bool
    capacity: Capacity | None
    ours: bool
    replicas: tuple[str, ...]

    @property
    def going(self) -> bool:
        """Whether it is being deleted."""
        return self.status == "DELETING"

    @property
    def usable(self) -> bool:
        """Whether it can be read and written."""
        return self.status in ("ACTIVE", "UPDATING")

    def check(self) -> None:
        """Raises `UnsupportedStore` for a table that discfg may not write to."""
        if not self.ours:
            raise UnsupportedStore(
                f"table {self.name} was not made by discfg", hint="give another ?prefix="
            )
        if self.replicas:
            raise UnsupportedStore(
                f"table {self.name} is a global table in {', '.join(self.replicas)}, where the "
                "last writer wins, so that acknowledged commits would be lost",
                hint="remove its replicas, or make it anew with MultiRegionConsistency STRONG",
            )
        if self.status in ("ARCHIVED", "ARCHIVING", "INACCESSIBLE_ENCRYPTION_CREDENTIALS"):
            raise StoreUnavailable(
                f"table {self.name} is {self.status}",
                retryable=False,
                hint="restore the key it is encrypted with in AWS KMS, or the table from a backup",
            )


class Tables:
    """The tables of one store, by their configs."""

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        # When a config's table was last seen to be one to write to.
        self._admitted: dict[str, float] = {}
        # What capacity was last wanted for a config's table.
        self._wanted: dict[str, Capacity | None] = {}

    def name_of(self, config: str) -> str:
        """The name of a config's table."""
        return table_of(self._prefix, config)

    # --- looking ---

    def describe(self, config: str, deadline: Deadline) -> Table | None:
        """A config's table; ``None`` where there is none."""
        request = {"TableName": self.name_of(config)}
        try:
            answer = self._client.ask("describe_table", request, deadline=deadline)
        except TableMissing:
            return None
        return _table(answer["Table"])

    def admit(self, config: str, deadline: Deadline) -> None:
        """Before a write: that its table is one to write to, looked at every ten minutes.

        Raises:
            UnsupportedStore: It is another program's, or a global table that loses writes.
        """
        seen = self._admitted.get(config)
        if seen is not None and time.monotonic() - seen < _BELIEVED:
            return
        table = self.describe(config, deadline)
        if table is not None:
            table.check()
            self._admitted[config] = time.monotonic()

    def is_absent(self, config: str, deadline: Deadline) -> bool:
        """After DynamoDB said that there is no such table, which it says of one in any state that
        it does not serve: whether there is none, or none yet, or no longer.

        Raises:
            StoreUnavailable: It is there, and in a state that only its owner can end.
        """
        self._admitted.pop(config, None)
        table = self.describe(config, deadline)
        if table is None or table.going or table.status == "CREATING":
            return True
        table.check()
        return False

    # --- creating and changing ---

    def provision(self, config: str, wanted: Capacity | None, deadline: Deadline) -> None:
        """The config's table can be used, and has, or is about to get, the capacity wanted.

        One that is being deleted, or condemned, is not used: this waits until it is gone.

        Raises:
            UnsupportedStore: It is another program's, or a global table that loses writes.
            StoreBusy: It did not get ready in time.
            StoreError: Another reason.
        """
        self._wanted[config] = wanted
        polls = _Polls(self.name_of(config), deadline)
        while True:
            try:
                state = self._once(config, wanted, deadline)
            except _LOOK_AGAIN as error:
                polls.pause("changing", error)
                continue
            except (StoreUnavailable, Timeout) as error:
                raise polls.in_the_end(error) from error.__cause__
            if state is None:
                self._admitted[config] = time.monotonic()
                return
            polls.pause(state)

    def again(self, config: str, deadline: Deadline) -> bool:
        """`provision` once more, with the capacity it was last called for; whether it ever was."""
        if config not in self._wanted or deadline.passed():
            return False
        self.provision(config, self._wanted[config], deadline)
        return True

    def _once(self, config: str, wanted: Capacity | None, deadline: Deadline) -> str | None:
        """One step towards the table; what it is now, ``None`` if that will do."""
        table = self.describe(config, deadline)
        if table is None:
            table = self._create(config, wanted, deadline)
            return None if table.status == "ACTIVE" else table.status
        if not table.going:
            table.check()
        if not table.usable:
            return table.status
        if self._is_condemned(config, deadline):
            self._remove_once(config, table, deadline)
            return "DELETING"
        if table.capacity != wanted or not table.protected:
            if table.status == "UPDATING":
                return table.status
            self._update(table, wanted, deadline)
        return None

    def _create(self, config: str, wanted: Capacity | None, deadline: Deadline) -> Table:
        answer = self._client.call(
            "create_table",
            {
                "TableName": self.name_of(config),
                "KeySchema": _KEY_SCHEMA,
                "AttributeDefinitions": _ATTRIBUTES,
                "DeletionProtectionEnabled": True,
                **_billing(wanted),
            },
            deadline=deadline,
            writes=True,
        )
        return _table(answer["TableDescription"])

    def _update(self, table: Table, wanted: Capacity | None, deadline: Deadline) -> None:
        change = {} if table.capacity == wanted else _billing(wanted)
        self._protect(table.name, deadline, protected=True, **change)

    def _protect(self, table: str, deadline: Deadline, *, protected: bool, **change: Any) -> None:
        # Said with every change: DynamoDB Local takes silence for "no".
        self._client.call(
            "update_table",
            {"TableName": table, "DeletionProtectionEnabled": protected, **change},
            deadline=deadline,
            writes=True,
        )

    # --- dropping ---

    def drop(self, config: str, expected: Token | None, deadline: Deadline) -> None:
        """Delete the config's table iff its register has this token; ``None``: iff it has none.

        It returns when DynamoDB has begun to; nobody takes the table for a config by then.

        Raises:
            StoreBusy: Other changes of the table went on until the deadline.
            StoreError: Another reason; the table may be condemned, and then goes by the next
                `drop` or `provision`.
        """
        if self._condemn(config, expected, deadline):
            self._remove(config, deadline)

    def _condemn(self, config: str, expected: Token | None, deadline: Deadline) -> bool:
        """Whether the table is condemned, by this call or before."""
        mark = {**HEAD, CONDEMNED: {"BOOL": True}, "token": {"B": os.urandom(16)}}
        polls = _Polls(self.name_of(config), deadline)
        while True:
            try:
                self._client.call(
                    "put_item",
                    {"TableName": self.name_of(config), "Item": mark, **expecting(expected)},
                    deadline=deadline,
                    writes=True,
                )
            except ConditionFailed as conflict:
                return condemned(conflict.item)
            except TableMissing as error:
                if self.is_absent(config, deadline):
                    return False
                polls.pause("not ready", error)
            except OutcomeUnknown as error:
                polls.pause("changing", error)
            else:
                return True

    def _remove(self, config: str, deadline: Deadline) -> None:
        polls = _Polls(self.name_of(config), deadline)
        lifted = False
        while True:
            table = self.describe(config, deadline)
            if table is None or not table.usable:
                # Gone, going, or being made anew.
                return
            try:
                if not self._is_condemned(config, deadline):
                    if lifted and not table.protected:
                        self._protect(table.name, deadline, protected=True)
                    return
                lifted = lifted or table.protected
                if self._remove_once(config, table, deadline):
                    return
            except _LOOK_AGAIN as error:
                polls.pause("changing", error)
            else:
                polls.pause(table.status)

    def _remove_once(self, config: str, table: Table, deadline: Deadline) -> bool:
        """One step towards the end of a condemned table; whether it was the last."""
        self._admitted.pop(config, None)
        if table.protected:
            self._protect(table.name, deadline, protected=False)
            return False
        self._client.call("delete_table", {"TableName": table.name}, deadline=deadline, writes=True)
        return True

    def _is_condemned(self, config: str, deadline: Deadline) -> bool:
        answer = self._client.ask(
            "get_item",
            {"TableName": self.name_of(config), "Key": HEAD, "ConsistentRead": True},
            deadline=deadline,
        )
        return condemned(answer.get("Item"))


# Somebody else was quicker, or what is described is not yet what is, or nobody knows. Each step
# may be taken again.
_LOOK_AGAIN: Final = (TableInUse, TableMissing, OutcomeUnknown)


class _Polls:
    """Pauses between looks at a table, until the deadline."""

    def __init__(self, table: str, deadline: Deadline) -> None:
        self._table = table
        self._deadline = deadline
        self._pause = _POLL_FIRST
        self._state: str | None = None

    def pause(self, state: str, error: DiscfgError | None = None) -> None:
        """Wait before the next look.

        Raises:
            StoreError: There is no time for one; `error`, or that it is still in that state.
        """
        self._state = state
        sleep(self._pause / 2 + jitter(self._pause), self._deadline)
        self._pause = min(self._pause * _POLL_GROWTH, _POLL_LAST)
        if not self._deadline.passed():
            return
        if isinstance(error, OutcomeUnknown):
            raise certain(error) from error.__cause__
        raise self._busy(state) from error

    def in_the_end(self, error: DiscfgError) -> DiscfgError:
        """What to raise for an error: at the deadline, what was seen before it tells more."""
        if self._state is None or not self._deadline.passed():
            return error
        return self._busy(self._state)

    def _busy(self, state: str) -> StoreBusy:
        return StoreBusy(
            f"table {self._table} is still {state}",
            hint="try again: AWS may take minutes to change a table",
        )


def state_of(table: Table) -> ConfigState:
    """A table's state as a config has it; what only its owner can end is `UPDATING`."""
    try:
        return ConfigState(table.status)
    except ValueError:
        return ConfigState.UPDATING


def _billing(wanted: Capacity | None) -> dict[str, Any]:
    if wanted is None:
        return {"BillingMode": "PAY_PER_REQUEST"}
    return {"BillingMode": "PROVISIONED", "ProvisionedThroughput": wanted.as_settings()}


def _table(told: dict[str, Any]) -> Table:
    # Without a summary the table never was on demand.
    on_demand = told.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
    throughput = told.get("ProvisionedThroughput", {})
    strong = told.get("MultiRegionConsistency") == "STRONG"
    replicas = tuple(each.get("RegionName", "?") for each in told.get("Replicas") or ())
    if told.get("GlobalTableVersion") == "2017.11.29" and not replicas:
        # Of this version a table does not tell the regions.
        replicas = ("other regions",)
    return Table(
        name=told["TableName"],
        status=told["TableStatus"],
        protected=bool(told.get("DeletionProtectionEnabled")),
        capacity=None if on_demand else Capacity(throughput.get(READ, 0), throughput.get(WRITE, 0)),
        ours=told.get("KeySchema") == _KEY_SCHEMA
        and _ATTRIBUTES[0] in told.get("AttributeDefinitions", ()),
        replicas=() if strong else replicas,
    )
