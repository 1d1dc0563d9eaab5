"""How long and from which seed the suites' random tests run.

`DISCFG_HYPOTHESIS_PROFILE` is ``ci`` (the default) or ``nightly``; `DISCFG_SEED` a number that
repeats an earlier run. The settings are handed to each random test: Hypothesis's own default
profile stays whatever the plugin's project made it.
"""

from __future__ import annotations

import os
import secrets
from typing import Final

import hypothesis
from hypothesis import HealthCheck

_ALWAYS = hypothesis.settings(
    deadline=None,
    print_blob=True,
    derandomize=False,
    # A store at the other end of a network is slow, and that is no fault of the test.
    suppress_health_check=[HealthCheck.too_slow],
)

PROFILES: Final = {
    "ci": hypothesis.settings(_ALWAYS, max_examples=25, stateful_step_count=30),
    "nightly": hypothesis.settings(_ALWAYS, max_examples=500, stateful_step_count=100),
}


def profile() -> hypothesis.settings:
    """The settings the environment chooses.

    Raises:
        ValueError: It names a profile that does not exist.
    """
    name = os.environ.get("DISCFG_HYPOTHESIS_PROFILE", "ci")
    if name not in PROFILES:
        raise ValueError(f"DISCFG_HYPOTHESIS_PROFILE is {name!r}, not one of {list(PROFILES)}")
    return PROFILES[name]


def _seed() -> int:
    given = os.environ.get("DISCFG_SEED")
    return int(given) if given is not None else secrets.randbits(32)


# Read once, at import: a test run may clean its environment later.
SEED: Final = _seed()


def say_seed() -> int:
    """The seed of this run, printed, so that the output of a failed test has it."""
    print(f"to repeat this run: DISCFG_SEED={SEED}")  # noqa: T201 - pytest keeps it for a failure
    return SEED
