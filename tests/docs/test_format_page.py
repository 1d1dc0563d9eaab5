"""`docs/format.md` suffices to read a store: this reader knows its tables, and nothing of discfg.

A database is opened with `sqlite3`, decoded by a msgpack reader of this file, taken apart by the
tables of the page, and replayed by its rules. The result must be what the Python API says.
"""

from __future__ import annotations

import re
import sqlite3
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec
import pytest

import discfg_core as discfg

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "format.md"

_TABLE = re.compile(
    r"<!-- generated: (?P<name>\w+) -->\n(?P<rows>.*?)<!-- /generated -->", re.DOTALL
)
_ARRAY_ROW = re.compile(r"^\| (?P<place>\d+) \| `?(?P<name>\w*)`? \|", re.MULTILINE)
_MAP_ROW = re.compile(r"^\| `(?P<name>\w+)` \|", re.MULTILINE)
_TYPES = ["application/json", "text/plain", "application/octet-stream"]


def tables() -> dict[str, list[str]]:
    """The names of the elements of each array, and of the fields of the head, as on the page."""
    found = {}
    for part in _TABLE.finditer(PAGE.read_text(encoding="utf-8")):
        rows = _ARRAY_ROW.findall(part["rows"])
        assert [int(place) for place, _ in rows] == list(range(len(rows)))
        found[part["name"]] = [name for _, name in rows] or _MAP_ROW.findall(part["rows"])
    return found


NAMES = tables()


def unpack(data: bytes) -> Any:
    """What msgpack bytes hold; all of them."""
    value, end = _unpack(data, 0)
    assert end == len(data)
    return value


def _unpack(data: bytes, at: int) -> tuple[Any, int]:  # noqa: PLR0911 - one case a kind of byte
    lead, at = data[at], at + 1
    if lead <= 0x7F or lead >= 0xE0:
        return struct.unpack("b", bytes([lead]))[0], at
    if lead <= 0x8F:
        return _map(data, at, lead & 0x0F)
    if lead <= 0x9F:
        return _array(data, at, lead & 0x0F)
    if lead <= 0xBF:
        return data[at : at + (lead & 0x1F)].decode(), at + (lead & 0x1F)
    if lead in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[lead], at
    numbers = {0xCA: "f", 0xCB: "d", 0xCC: "B", 0xCD: "H", 0xCE: "I", 0xCF: "Q"}
    numbers |= {0xD0: "b", 0xD1: "h", 0xD2: "i", 0xD3: "q"}
    sizes = {0xC4: "B", 0xC5: "H", 0xC6: "I", 0xD9: "B", 0xDA: "H", 0xDB: "I"}
    sizes |= {0xDC: "H", 0xDD: "I", 0xDE: "H", 0xDF: "I"}
    (number,) = struct.unpack_from(">" + (numbers | sizes)[lead], data, at)
    at += struct.calcsize(">" + (numbers | sizes)[lead])
    if lead in numbers:
        return number, at
    if lead <= 0xC6:
        return data[at : at + number], at + number
    if lead <= 0xDB:
        return data[at : at + number].decode(), at + number
    return _array(data, at, number) if lead <= 0xDD else _map(data, at, number)


def _array(data: bytes, at: int, count: int) -> tuple[list[Any], int]:
    items = []
    for _ in range(count):
        item, at = _unpack(data, at)
        items.append(item)
    return items, at


def _map(data: bytes, at: int, count: int) -> tuple[dict[Any, Any], int]:
    flat, at = _array(data, at, 2 * count)
    return dict(zip(flat[::2], flat[1::2], strict=True)), at


def named(array: list[Any], name: str) -> dict[str, Any]:
    """An array by the names of its elements; what is left out is nil."""
    names = NAMES[name]
    return dict(zip(names, [*array, *[None] * (len(names) - len(array))], strict=False))


class Reader:
    """A config in a database file."""

    def __init__(self, path: Path, config: str) -> None:
        self._database = sqlite3.connect(path)
        self._config = config
        ((data,),) = self._database.execute("SELECT data FROM register WHERE name = ?", (config,))
        self.head: dict[str, Any] = unpack(data)
        assert self.head["min_reader"] <= 1
        self.blobs_read: set[str] = set()

    def close(self) -> None:
        self._database.close()

    def body(self, part: bytes | list[Any]) -> bytes:
        """Bytes that are in place, or in a blob."""
        if isinstance(part, bytes):
            return part
        ref = named(part, "BlobRef")
        name = f"{self.head['incarnation'].hex()}.{ref['generation']}.{ref['unique'].hex()}"
        ((data,),) = self._database.execute(
            "SELECT data FROM blob WHERE config = ? AND name = ?", (self._config, name)
        )
        assert (len(data), crc32(data)) == (ref["size"], ref["crc"])
        self.blobs_read.add(name)
        return bytes(data)

    def blobs(self) -> set[str]:
        rows = self._database.execute("SELECT name FROM blob WHERE config = ?", (self._config,))
        return {name for (name,) in rows}

    def segments(self) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """The records of the history with the nodes they replaced, oldest first."""
        for depth in range(len(self.head["history"]) - 1, -1, -1):
            for ref in self.head["history"][depth]:
                yield from self._below(ref, depth)

    def _below(self, raw: list[Any], depth: int) -> Iterator[Any]:
        ref = named(raw, "HistoryRef")
        inside = unpack(self.body(ref["blob"]))
        if depth > 0:
            for each in inside:
                yield from self._below(each, depth - 1)
            return
        assert len(inside) == ref["last"] - ref["first"] + 1
        for revision, raw_item in enumerate(inside, ref["first"]):
            item = named(raw_item, "SegmentItem")
            record = named(unpack(item["record"]), "Record")
            assert record["revision"] == revision
            yield record, [named(entry, "Entry") for entry in item["replaced"]]

    def tail(self) -> Iterator[dict[str, Any]]:
        for raw in self.head["tail"]:
            item = named(raw, "TailItem")
            records = [named(record, "Record") for record in unpack(self.body(item["body"]))]
            assert (records[0]["revision"], len(records)) == (item["first"], item["count"])
            yield from records

    def stored_state(self) -> tuple[int, dict[str, dict[str, Any]]]:
        ref = named(self.head["state"], "StateRef")
        entries = [named(entry, "Entry") for entry in unpack(self.body(ref["body"]))]
        keys = [entry["key"].encode() for entry in entries]
        assert keys == sorted(keys)
        return ref["revision"], {entry["key"]: entry for entry in entries}

    def replay(self, record: dict[str, Any], nodes: dict[str, dict[str, Any]]) -> None:
        """Carry out a record, by the rules of the page."""
        ops = unpack(record["ops"] if record["payload"] is None else self.body(record["payload"]))
        last: dict[str, dict[str, Any] | None] = {}
        for op in ops:
            if op[0] == 0:
                put = named(op, "PutOp")
                last[put["key"]] = put
            elif op[0] == 1:
                last[named(op, "RemoveOp")["key"]] = None
            else:
                prefix = named(op, "RemovePrefixOp")["prefix"]
                for key in [*nodes, *last]:
                    if prefix in ("/", key) or key.startswith(prefix + "/"):
                        last[key] = None
        for key, final in last.items():
            before = nodes.pop(key, None)
            if final is not None:
                nodes[key] = final | {
                    "version": 1 if before is None else before["version"] + 1,
                    "revision": record["revision"],
                    "created": record["time"] if before is None else before["created"],
                    "modified": record["time"],
                }

    def shown(self, nodes: dict[str, dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
        """Nodes in the form that `of_api` gives."""
        return {
            key: (
                node["version"],
                node["revision"],
                node["created"],
                node["modified"],
                _TYPES[node["content_type"]]
                if isinstance(node["content_type"], int)
                else node["content_type"],
                node["expires"],
                self.body(node["value"]),
            )
            for key, node in nodes.items()
        }


def of_api(node: discfg.Node) -> tuple[Any, ...]:
    return (
        node.version,
        node.revision,
        node.created_ns,
        node.modified_ns,
        node.content_type,
        node.expires_ns,
        node.value,
    )


LARGE = bytes(range(256)) * 300
NAME = "mycfg"


def write(path: Path, commits: int) -> discfg.Store:
    """A config with every kind of thing in it."""
    store = discfg.connect(f"sqlite:///{path}", actor="ann")
    cfg = store.create_config(NAME, {"setting": 1})
    cfg.set("text", "äöü", message="erste")
    cfg.set("Ünicode/\N{GRINNING FACE}", {"a": [1, None, True, 1.5]})
    cfg.set("bytes", b"\x00\xff", commit_id="my own id")
    cfg.set("image", b"GIF", content_type="image/gif")
    cfg.set("large", LARGE)
    cfg.update({f"many/{number:04}": number for number in range(500)})
    with cfg.transaction() as tx:
        tx.set("many/0001/below", "removed by the next")
        tx.delete_prefix("many/0001")
        tx.set("many/0001", "put again")
        tx.delete("many/0002")
        tx.set("many/00", "no segment of the others")
    cfg.delete("text")
    cfg.set("text", "anew")
    cfg.update_settings({"setting": 2})
    while cfg.info().revision < commits:
        cfg.set(f"counter/{cfg.info().revision % 7}", cfg.info().revision)
    return store


# A few commits are in the tail alone, 150 have segments, 800 an index above them.
@pytest.mark.parametrize(("commits", "levels"), [(10, 0), (150, 1), (800, 2)])
def test_a_reader_made_from_the_page_reads_a_store(
    tmp_path: Path, commits: int, levels: int
) -> None:
    path = tmp_path / "app.db"
    with write(path, commits) as store:
        cfg = store.config(NAME)
        expected = {node.key: of_api(node) for node in cfg.list()}
        history = list(cfg.history())[::-1]
        info = cfg.info()
    reader = Reader(path, NAME)
    try:
        head = reader.head
        assert set(NAMES["Head"]) == set(head)
        assert len(head["history"]) >= levels
        assert head["dropped"] is None
        assert (head["revision"], head["keys"]) == (info.revision, len(expected))
        assert (head["incarnation"].hex(), head["settings"]) == (info.incarnation, {"setting": 2})

        everything: dict[str, dict[str, Any]] = {}
        later = at, recent = reader.stored_state()
        records = []
        for record, replaced in reader.segments():
            assert reader.shown({node["key"]: node for node in replaced}) == {
                change.key: of_api(change.prev_node)
                for change in history[record["revision"] - 1].changes
                if change.prev_node is not None
            }
            records.append(record)
        records += reader.tail()
        for record in records:
            reader.replay(record, everything)
            if record["revision"] > at:
                reader.replay(record, later[1])
        assert reader.shown(everything) == reader.shown(recent) == expected
        told = [
            (
                r["revision"],
                r["own"] or r["id"].hex(),
                r["actor"],
                r["message"],
                r["time"],
                r["settings"],
            )
            for r in records
        ]
        assert told == [
            (
                commit.revision,
                commit.id,
                commit.actor,
                commit.message,
                commit.time_ns,
                None if commit.settings is None else [commit.prev_settings, commit.settings],
            )
            for commit in history
        ]
        # Nothing is stored that the page does not account for.
        assert reader.blobs() == reader.blobs_read
    finally:
        reader.close()


def test_a_tombstone_is_the_last_head_with_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with write(path, 10) as store:
        before = Reader(path, NAME)
        store.drop_config(NAME, message="no longer used")
    after = Reader(path, NAME)
    try:
        dropped = named(after.head["dropped"], "Dropped")
        assert (dropped["actor"], dropped["message"]) == ("ann", "no longer used")
        assert after.head["sequence"] == before.head["sequence"] + 1
        changed = {name for name in after.head if after.head[name] != before.head[name]}
        assert changed == {"dropped", "nonce", "sequence"}
    finally:
        before.close()
        after.close()


def test_the_marks_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    write(path, 10).close()
    database = sqlite3.connect(path)
    try:
        ((application,),) = database.execute("PRAGMA application_id")
        ((version,),) = database.execute("PRAGMA user_version")
    finally:
        database.close()
    assert f"`{application:#x}`" in PAGE.read_text(encoding="utf-8")
    assert version == 1


def edit_head(path: Path, **fields: Any) -> None:
    """Do to the head what a client of a later format might."""
    database = sqlite3.connect(path)
    with database:
        ((data,),) = database.execute("SELECT data FROM register")
        edited = msgspec.msgpack.encode(msgspec.msgpack.decode(data) | fields)
        database.execute("UPDATE register SET data = ?, token = ?", (edited, b"another"))
    database.close()


class TestWhatAClientDoesNotKnow:
    def test_a_field_of_the_head_is_carried_through(self, tmp_path: Path) -> None:
        path = tmp_path / "app.db"
        write(path, 10).close()
        later = {"retention": {"revisions": 10}, "pins": [1, [b"x", None]]}
        edit_head(path, **later)
        with discfg.connect(f"sqlite:///{path}") as store:
            for number in range(150):
                store.config(NAME).set("a", number)
            store.drop_config(NAME)
            store.undrop(NAME)
            store.config(NAME).set("a", "last")
        reader = Reader(path, NAME)
        reader.close()
        assert {name: reader.head[name] for name in later} == later

    def test_min_writer_forbids_to_swap_and_not_to_read(self, tmp_path: Path) -> None:
        path = tmp_path / "app.db"
        write(path, 10).close()
        edit_head(path, min_writer=2)
        untouched = path.read_bytes()
        with discfg.connect(f"sqlite:///{path}") as store:
            assert store.config(NAME)["text"] == "anew"
            with pytest.raises(discfg.NewerFormat):
                store.config(NAME).set("text", "no")
            with pytest.raises(discfg.NewerFormat):
                store.drop_config(NAME)
        assert path.read_bytes() == untouched

    def test_min_reader_forbids_to_read(self, tmp_path: Path) -> None:
        path = tmp_path / "app.db"
        write(path, 10).close()
        edit_head(path, min_reader=2, settings="something else in format 2")
        with (
            discfg.connect(f"sqlite:///{path}") as store,
            pytest.raises(discfg.NewerFormat),
        ):
            store.config(NAME).get("text")
