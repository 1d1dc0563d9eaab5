from __future__ import annotations

import pytest

from discfg_core import commit_ids
from discfg_core.engine import MAX_COMMIT_ID_BYTES

INCARNATION = "0123456789abcdef" * 2
RANDOM = "f" * 32


@pytest.mark.parametrize("revision", [0, 1, 10, 2**62])
def test_an_id_tells_where_it_was_made(revision: int) -> None:
    made = commit_ids.make(INCARNATION, revision)
    assert commit_ids.parse(made) == (INCARNATION, revision)
    assert len(made.encode()) <= MAX_COMMIT_ID_BYTES


def test_no_two_ids_are_the_same() -> None:
    assert len({commit_ids.make(INCARNATION, 7) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "deploy-42",
        RANDOM,
        f"dc1.{INCARNATION}.7.{RANDOM}\n",
        f"dc1.{INCARNATION}.7.{RANDOM}0",
        f"dc1.{INCARNATION}.07.{RANDOM}",
        f"dc1.{INCARNATION}.-7.{RANDOM}",
        f"dc1.{INCARNATION}.\u0667.{RANDOM}",
        f"dc1.{INCARNATION}.{10**19}.{RANDOM}",
        f"dc1.{INCARNATION.upper()}.7.{RANDOM}",
        f"dc2.{INCARNATION}.7.{RANDOM}",
        f"dc1.{INCARNATION}..{RANDOM}",
    ],
)
def test_an_id_of_the_callers_own_design_has_no_place(text: str) -> None:
    assert commit_ids.parse(text) is None
