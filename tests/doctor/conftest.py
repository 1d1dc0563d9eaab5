"""The place that a test of the doctor examines."""

from __future__ import annotations

import pytest

from tests.doctor.places import Place


@pytest.fixture
def place() -> Place:
    """A store in memory that nobody else uses."""
    return Place()
