"""The conformance suite for a `StorageEngine`, whole; see `discfg_core.testing` for its use."""

from __future__ import annotations

from discfg_core.testing.engine_conditions import ConditionTests
from discfg_core.testing.engine_configs import ConfigTests
from discfg_core.testing.engine_history import HistoryTests
from discfg_core.testing.engine_keys import KeyTests
from discfg_core.testing.engine_limits import LimitTests
from discfg_core.testing.engine_lives import LifeTests
from discfg_core.testing.engine_machine import MachineTests
from discfg_core.testing.engine_past import PastTests
from discfg_core.testing.engine_races import RaceTests
from discfg_core.testing.engine_reads import ReadTests
from discfg_core.testing.engine_retries import RetryTests
from discfg_core.testing.engine_schema import SchemaTests
from discfg_core.testing.engine_watch import WatchTests
from discfg_core.testing.guard import Guarded, sealed


@sealed("open_client", "place", "url")
class EngineSuite(
    ConfigTests,
    KeyTests,
    LimitTests,
    ConditionTests,
    HistoryTests,
    PastTests,
    WatchTests,
    RetryTests,
    ReadTests,
    RaceTests,
    LifeTests,
    SchemaTests,
    MachineTests,
    Guarded,
):
    """Every test of an engine; derive a class of your own from it, in a file of your own.

    Define `open_client`, a static method that opens a new client of the store at a place, and
    a fixture `place`: anything that can be pickled, for processes are started that open
    clients of the same place. Give `url` as well where the store has one. No two tests depend
    on each other.
    """
