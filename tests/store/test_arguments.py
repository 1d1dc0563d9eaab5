"""Each bad argument is refused by name, with a hint, before anything is sent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

import discfg_core as discfg

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.store.conftest import Spied

NO_TIMEOUT = [0, -1, 0.0, math.nan, math.inf, 86_401, True, "5"]
NO_STALENESS = [-1, -0.001, math.nan, True, "5"]
NO_VERSION = [0, -1, True, 1.0, "1"]

LONG_TEXT = "é" * 2049


@pytest.mark.parametrize(
    "call",
    [
        lambda c, **o: c.get("a", **o),
        lambda c, **o: c.get("a", None, **o),
        lambda c, **o: c.list(**o),
        lambda c, **o: c.history(**o),
        lambda c, **o: c.values(**o),
        lambda c, **o: c.info(**o),
        lambda c, **o: c.new_commit_id(**o),
        lambda c, **o: c.outcome("id", **o),
        lambda c, **o: c.set("a", 1, **o),
        lambda c, **o: c.delete("a", **o),
        lambda c, **o: c.delete_prefix("a", **o),
        lambda c, **o: c.update({"a": 1}, **o),
        lambda c, **o: c.update("a", lambda n: n, **o),
        lambda c, **o: c.update_settings({}, **o),
        lambda c, **o: c.transaction(**o),
    ],
    ids=lambda each: None,
)
@pytest.mark.parametrize("timeout", NO_TIMEOUT)
def test_no_timeout_of_a_call(spied: Spied, call: Callable[..., object], timeout: Any) -> None:
    refused(spied, discfg.InvalidOption, lambda: call(spied.config, timeout=timeout))


@pytest.mark.parametrize(
    "call",
    [
        lambda s, **o: s.configs(**o),
        lambda s, **o: s.check("a", **o),
        lambda s, **o: s.create_config("a", **o),
        lambda s, **o: s.drop_config("a", **o),
        lambda s, **o: s.undrop("a", **o),
    ],
    ids=lambda each: None,
)
def test_no_timeout_of_a_call_of_the_store(spied: Spied, call: Callable[..., object]) -> None:
    for timeout in NO_TIMEOUT:
        refused(spied, discfg.InvalidOption, lambda: call(spied.store, timeout=timeout))  # noqa: B023 - called at once


@pytest.mark.parametrize("staleness", NO_STALENESS)
def test_no_staleness(spied: Spied, staleness: Any) -> None:
    cfg = spied.config
    for call in (
        lambda: cfg.get("a", max_staleness=staleness),
        lambda: cfg.list(max_staleness=staleness),
        lambda: cfg.values(max_staleness=staleness),
        lambda: discfg.connect("memory://", max_staleness=staleness),
    ):
        refused(spied, discfg.InvalidOption, call)


@pytest.mark.parametrize("number", NO_VERSION)
def test_no_version_or_revision(spied: Spied, number: Any) -> None:
    cfg = spied.config
    for call in (
        lambda: cfg.set("a", 1, if_version=number),
        lambda: cfg.set("a", 1, if_revision=number),
        lambda: cfg.delete("a", if_version=number),
        lambda: cfg.delete("a", if_revision=number),
        lambda: cfg.history(before=number),
    ):
        refused(spied, discfg.InvalidOption, call)


@pytest.mark.parametrize("number", [-1, True, 1.0, "1"])
def test_no_revision_of_a_config_and_no_limit(spied: Spied, number: Any) -> None:
    cfg = spied.config
    for call in (
        lambda: cfg.set("a", 1, if_config_revision=number),
        lambda: cfg.delete("a", if_config_revision=number),
        lambda: cfg.delete_prefix("a", if_config_revision=number),
        lambda: cfg.update({"a": 1}, if_config_revision=number),
        lambda: cfg.update_settings({}, if_config_revision=number),
        lambda: cfg.transaction(if_config_revision=number),
        lambda: cfg.history(limit=number),
    ):
        refused(spied, discfg.InvalidOption, call)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"message": LONG_TEXT}, discfg.TextTooLong),
        ({"message": 5}, discfg.InvalidOption),
        ({"message": None}, discfg.InvalidOption),
        ({"message": "\ud800"}, discfg.InvalidOption),
        ({"actor": "x" * 257}, discfg.TextTooLong),
        ({"actor": b"ann"}, discfg.InvalidOption),
        ({"commit_id": "x" * 257}, discfg.TextTooLong),
        ({"commit_id": ""}, discfg.InvalidOption),
        ({"commit_id": 7}, discfg.InvalidOption),
        ({"mesage": "why"}, discfg.InvalidOption),
    ],
    ids=lambda each: None,
)
def test_no_option_of_a_write(spied: Spied, options: dict[str, Any], error: Any) -> None:
    cfg = spied.config
    for call in (
        lambda: cfg.set("a", 1, **options),
        lambda: cfg.delete("a", **options),
        lambda: cfg.delete_prefix("a", **options),
        lambda: cfg.update_settings({}, **options),
        lambda: cfg.transaction(**options),
    ):
        refused(spied, error, call)


def test_an_unknown_argument_is_named(cfg: discfg.Config) -> None:
    with pytest.raises(discfg.InvalidOption, match=r"'mesage'.* message"):
        cfg.set("a", 1, mesage="why")  # type: ignore[call-arg]  # bad input, on purpose


def test_absence_excludes_all_else(spied: Spied) -> None:
    cfg = spied.config
    for call in (
        lambda: cfg.set("a", 1, if_absent=True, if_version=1),
        lambda: cfg.set("a", 1, if_absent=True, if_revision=1),
        lambda: cfg.set("a", 1, if_absent=True, if_value=1),
        lambda: cfg.set("a", 1, if_absent=1),  # type: ignore[arg-type]  # bad input, on purpose
        lambda: cfg.set("a", 1, if_absent=None),  # type: ignore[arg-type]  # bad input, on purpose
    ):
        refused(spied, discfg.InvalidOption, call)


def test_bad_values(spied: Spied) -> None:
    cfg = spied.config
    for call in (
        lambda: cfg.set("a", {1, 2}),
        lambda: cfg.set("a", math.nan),
        lambda: cfg.set("a", {1: 2}),
        lambda: cfg.set("a", "\ud800"),
        lambda: cfg.set("a", 5, content_type="text/plain"),
        lambda: cfg.set("a", "x", content_type="text"),
        lambda: cfg.set("a", "x", content_type=5),  # type: ignore[arg-type]  # bad input, on purpose
        lambda: cfg.set("a", "x", if_value={1}),
        lambda: cfg.delete("a", if_value={1}),
    ):
        refused(spied, discfg.InvalidValue, call)
    refused(spied, discfg.ValueTooLarge, lambda: cfg.set("a", bytes(16 * 1024 * 1024 + 1)))


def test_bad_keys_and_prefixes(spied: Spied) -> None:
    cfg = spied.config
    for call in (
        lambda: cfg.list("a//b"),
        lambda: cfg.list(after=""),
        lambda: cfg.list(5),  # type: ignore[arg-type]  # bad input, on purpose
        lambda: cfg.history("a//b"),
        lambda: cfg.delete_prefix("a//b"),
        lambda: cfg.set("a//b", 1, if_version=1),
        lambda: cfg.update({"a//b": 1}),
    ):
        refused(spied, discfg.InvalidKey, call)


@pytest.mark.parametrize("name", ["", "-x", "a/b", "x" * 129, "ä", None, 5])
def test_bad_names(spied: Spied, name: Any) -> None:
    store = spied.store
    for call in (
        lambda: store.config(name),
        lambda: store.create_config(name),
        lambda: store.drop_config(name),
        lambda: store.undrop(name),
        lambda: store.check(name),
    ):
        refused(spied, discfg.InvalidName, call)


@pytest.mark.parametrize("settings", ["[1]", "{", b"\xff", 5, [1], {1: 2}, {"a": {1}}])
def test_bad_settings(spied: Spied, settings: Any) -> None:
    refused(spied, discfg.InvalidSettings, lambda: spied.store.create_config("a", settings))
    refused(spied, discfg.InvalidSettings, lambda: spied.config.update_settings(settings))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        *(({"timeout": each}, discfg.InvalidOption) for each in [*NO_TIMEOUT, None]),
        *(
            ({"max_clock_skew": each}, discfg.InvalidOption)
            for each in [-1, math.nan, math.inf, True]
        ),
        ({"actor": "x" * 257}, discfg.TextTooLong),
        ({"actor": None}, discfg.InvalidOption),
        ({"actor": "\ud800"}, discfg.InvalidOption),
        ({"require": {"fast"}}, discfg.InvalidOption),
        ({"require": "fast"}, discfg.InvalidOption),
        ({"require": 5}, discfg.InvalidOption),
        ({"require": [[]]}, discfg.InvalidOption),
    ],
    ids=lambda each: None,
)
def test_connect_refuses_before_it_opens(options: dict[str, Any], error: Any) -> None:
    # No engine has this scheme: whoever opened it would say so.
    with pytest.raises(error) as caught:
        discfg.connect("nosuch://store", **options)
    assert caught.value.hint
    with pytest.raises(discfg.UnknownEngine):
        discfg.connect("nosuch://store")


def refused(spied: Spied, error: type[discfg.DiscfgError], call: Callable[[], object]) -> None:
    with pytest.raises(error) as caught:
        call()
    assert isinstance(caught.value, discfg.InvalidInput)
    assert caught.value.hint or isinstance(caught.value, discfg.InvalidValue)
    assert spied.take() == []
