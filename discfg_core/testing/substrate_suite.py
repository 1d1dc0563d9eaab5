"""The conformance suite for a `Substrate`, whole; see `discfg_core.testing` for its use."""

from __future__ import annotations

from discfg_core.testing.guard import Guarded, sealed
from discfg_core.testing.substrate_blobs import (
    BlobListTests,
    BlobReadTests,
    BlobSizeTests,
    BlobSwapTests,
)
from discfg_core.testing.substrate_life import (
    CloseTests,
    DeadlineTests,
    DescriptionTests,
    WaitTests,
)
from discfg_core.testing.substrate_machine import HistoryTests
from discfg_core.testing.substrate_races import ForkTests, RaceTests
from discfg_core.testing.substrate_registers import NameTests, ReadTests, SwapTests, TokenTests
from discfg_core.testing.substrate_resources import DiagnosisTests, ResourceTests


@sealed("open_client", "place", "wake_within")
class SubstrateSuite(
    ReadTests,
    SwapTests,
    TokenTests,
    NameTests,
    BlobReadTests,
    BlobSwapTests,
    BlobListTests,
    BlobSizeTests,
    DescriptionTests,
    ResourceTests,
    DiagnosisTests,
    WaitTests,
    DeadlineTests,
    CloseTests,
    RaceTests,
    ForkTests,
    HistoryTests,
    Guarded,
):
    """Every test of a substrate; derive a class of your own from it, in a file of your own.

    Define `open_client`, a static method that opens a new client of the store at a place, and
    a fixture `place`: anything that can be pickled, for processes are started that open
    clients of the same place. No two tests depend on each other.
    """
