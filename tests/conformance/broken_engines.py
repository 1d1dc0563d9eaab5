"""Engines that are broken on purpose, each in one way that real ones have been.

`test_suite_catches_engines` runs the suites on them; pytest does not collect this file.
"""

from __future__ import annotations

import uuid

import pytest

from discfg_core.testing import EngineSuite, SubstrateEngineSuite
from discfg_core.testing.engine_client import Client
from discfg_core.testing.invariants import Leaks
from tests.conformance import (
    broken_engine_answers,
    broken_engine_commits,
    broken_engine_contents,
    broken_engine_times,
)
from tests.conformance.broken_engine_parts import Sound


@pytest.fixture
def place() -> str:
    return uuid.uuid4().hex


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    # The suites allow for a slow store. This one is in memory, and what is broken may wait for
    # what never comes.
    monkeypatch.setattr(Client.__init__, "__defaults__", (20.0,))
    monkeypatch.setattr(Leaks.assert_none, "__defaults__", (2.5,))


def _made_in(module: object) -> dict[str, type[Sound]]:
    return {
        name: made
        for name, made in vars(module).items()
        if isinstance(made, type) and issubclass(made, Sound) and not name.startswith("_")
    }


_ENGINES = (
    _made_in(broken_engine_commits)
    | _made_in(broken_engine_contents)
    | _made_in(broken_engine_answers)
    | _made_in(broken_engine_times)
)

for _name, _broken in _ENGINES.items():
    # At the top level, where processes that the suites start find it.
    globals()[f"Test{_name}"] = type(
        f"Test{_name}",
        (SubstrateEngineSuite, EngineSuite),
        {
            "open_substrate": staticmethod(_broken.below),
            "open_engine": staticmethod(_broken),
            "__module__": __name__,
        },
    )
