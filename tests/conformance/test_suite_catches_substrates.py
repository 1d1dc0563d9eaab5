"""The substrate suite fails on each substrate that is broken, in the test that is about it.

One pytest runs, in a process of its own, the tests named below on the substrates named below,
and on a sound one; what it reports is judged here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

# Together in one worker: the run is shared.
pytestmark = pytest.mark.xdist_group("suite_catches_substrates")

SUITES = Path(__file__).parent / "broken_substrates.py"

# A substrate, a test that must fail on it, and words of the failure.
CAUGHT = [
    ("CheckThenSwap", "test_race_of_two_clients_counts_exactly", ""),
    ("CheckThenSwap", "test_race_of_many_clients_counts_exactly", ""),
    ("CheckThenSwap", "test_race_of_sixteen_on_one_token_has_one_winner", ""),
    ("CheckThenSwap", "test_race_to_create_has_one_winner", ""),
    ("ConflictSwallowed", "test_swap_expecting_an_old_token_is_a_conflict", "stood for other data"),
    ("ConflictSwallowed", "test_race_of_two_clients_counts_exactly", ""),
    ("TokenOfALaterRead", "test_race_of_two_clients_counts_exactly", ""),
    ("ConflictTellsOldRegister", "test_swap_conflict_tells_the_register_or_that_it_does_not", ""),
    (
        "AbsentTakesAnyToken",
        "test_swap_expecting_a_token_of_an_absent_register_is_a_conflict",
        "DID NOT RAISE",
    ),
    ("BlobsAfterRegister", "test_race_of_a_reader_finds_every_blob", "does not exist"),
    ("DeadlineIgnored", "test_deadline_that_has_passed_prevents_a_write", "DID NOT RAISE"),
    ("TokenFromContent", "test_token_is_new_when_old_data_comes_back", "two swaps"),
    ("TokenFromContent", "test_token_is_new_for_equal_data", "two swaps"),
    ("TokenCountedByClient", "test_token_is_new_whichever_client_swaps", "two swaps"),
    ("TokenCountedByClient", "test_token_is_new_for_each_client_ever_opened", "two swaps"),
    ("TokenCountedByRegister", "test_token_of_another_register_is_a_conflict", "DID NOT RAISE"),
    ("UnchangedFromCache", "test_read_looks_before_it_says_unchanged", "Unchanged object"),
    ("LaggingReplica", "test_read_sees_each_swap_of_another_client", ""),
    ("EmptyIsAbsent", "test_read_returns_any_bytes_as_they_were", "assert None == Register"),
    ("LineEndsTranslated", "test_read_returns_any_bytes_as_they_were", "stood for other data"),
    ("LibraryErrorLeaked", "test_read_of_an_absent_register_is_none", "let KeyError out"),
    ("ReadOfUnknownOutcome", "test_read_of_an_absent_register_is_none", "may not raise Outcome"),
    ("NamesFolded", "test_names_of_every_form_are_registers_of_their_own", "SwapConflict"),
    ("ListByStringPrefix", "test_list_stays_with_its_config", "blobs of"),
    ("ListCutShort", "test_many_blobs_are_all_there", ""),
    ("RangesIgnored", "test_blob_range_is_exactly_what_was_wanted", "not the"),
    ("EachBlobOnce", "test_blobs_wanted_twice_are_answered_twice", "6 blobs wanted, 3 answered"),
    ("AbsentBlobLeftOut", "test_blob_that_is_missing_is_none", "1 blobs wanted, 0 answered"),
    ("DeleteForgotten", "test_deleted_blobs_are_gone", ""),
    ("PartsListed", "test_large_blob_is_one_blob", ""),
    ("WaitNeverWakes", "test_wait_returns_after_a_swap_by_another_client", "woken"),
    ("WaitDeafToCancel", "test_wait_returns_when_cancelled", "woken"),
    ("WaitSpins", "test_wait_does_not_spin", "times in half a second"),
    ("CloseLeavesThread", "test_close_is_idempotent", "thread poller"),
    ("CloseLeavesFile", "test_close_is_idempotent", "broken_substrates.py"),
    ("CloseTwiceFails", "test_close_is_idempotent", "close may not raise Closed"),
    ("UsableAfterClose", "test_closed_client_raises_closed", "DID NOT RAISE"),
    ("UselessAfterFork", "test_fork_leaves_both_a_working_client", "broken pipe"),
    ("SharedInNameOnly", "test_other_processes_see_what_is_promised", "assert None == b'data'"),
    ("FigureWithoutReason", "test_limits_say_why", "register_budget has no reason"),
]


TESTS = sorted({test for _, test, _ in CAUGHT})

Report = dict[tuple[str, str], list[str]]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The failures of each test on each substrate; an empty list where all of it passed."""
    folder = tmp_path_factory.mktemp("run")
    wanted = dict.fromkeys([(broken, test) for broken, test, _ in CAUGHT])
    wanted |= dict.fromkeys([("Sound", test) for test in TESTS])
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(folder)]
    command += ["-p", "no:cacheprovider", "--junitxml", str(folder / "report.xml")]
    run = subprocess.run(
        [*command, *(f"{SUITES}::Test{broken}::{test}" for broken, test in wanted)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(SUITES.parent), *sys.path])},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    found: Report = {}
    for case in ET.parse(folder / "report.xml").iter("testcase"):
        broken = case.attrib["classname"].rpartition(".Test")[2]
        test = case.attrib["name"].partition("[")[0]
        assert case.find("skipped") is None
        faults = [fault.text or "" for kind in ("failure", "error") for fault in case.iter(kind)]
        found.setdefault((broken, test), []).extend(faults)
    return found


@pytest.mark.parametrize(
    ("broken", "test", "words"), CAUGHT, ids=[f"{broken}-{test}" for broken, test, _ in CAUGHT]
)
def test_suite_catches(report: Report, broken: str, test: str, words: str) -> None:
    failures = report[broken, test]
    assert failures, f"{test} passes on {broken}"
    assert any(words in text for text in failures), failures[0]


@pytest.mark.parametrize("test", TESTS)
def test_suite_passes_what_is_sound(report: Report, test: str) -> None:
    assert report["Sound", test] == []
