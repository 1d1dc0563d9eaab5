"""The conformance suites: what the author of a store's plugin tests it with.

Install the extra ``discfg[testing]``. A whole test file for a store is::

    import pytest
    from discfg_core.testing import SubstrateSuite

    from my_plugin import MySubstrate


    class TestMySubstrate(SubstrateSuite):
        @staticmethod
        def open_client(place):  # a new client; also called in other processes
            return MySubstrate(place)

        @pytest.fixture
        def place(self, tmp_path):  # where; anything that can be pickled
            return str(tmp_path / "store")

`EngineSuite` is its twin for a `StorageEngine`, and `SubstrateEngineSuite` a third, for an engine
over a substrate: it has the substrate fail on purpose, lays a hand on the stored bytes, and asks
for the same guarantees. None of them skips: what a store does not promise is tested for its
absence. `FaultySubstrate` and `LateSubstrate` wrap any substrate and fail on purpose;
`FaultProxy` does so between a client and a real server.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from discfg_core.testing.engine_faults import SubstrateEngineSuite
    from discfg_core.testing.engine_suite import EngineSuite
    from discfg_core.testing.faults import FaultPlan, FaultySubstrate, LateSubstrate
    from discfg_core.testing.proxy import FaultProxy
    from discfg_core.testing.substrate_suite import SubstrateSuite

__all__ = [
    "EngineSuite",
    "FaultPlan",
    "FaultProxy",
    "FaultySubstrate",
    "LateSubstrate",
    "SubstrateEngineSuite",
    "SubstrateSuite",
]

_HOMES = {
    "EngineSuite": "discfg_core.testing.engine_suite",
    "FaultPlan": "discfg_core.testing.faults",
    "FaultProxy": "discfg_core.testing.proxy",
    "FaultySubstrate": "discfg_core.testing.faults",
    "LateSubstrate": "discfg_core.testing.faults",
    "SubstrateEngineSuite": "discfg_core.testing.engine_faults",
    "SubstrateSuite": "discfg_core.testing.substrate_suite",
}


def __getattr__(name: str) -> object:
    # Lazy: whoever tests a substrate needs no engine suite, and a spawned process that
    # only wants `processes` does not wait for pytest and Hypothesis.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _explain_assertions()
    return getattr(importlib.import_module(home), name)


def _explain_assertions() -> None:
    """Have pytest show the values in a failed assertion of the suites, as in a test file."""
    import pytest  # noqa: PLC0415 - see above

    ours = [f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)]
    pytest.register_assert_rewrite(*(name for name in ours if name not in sys.modules))
