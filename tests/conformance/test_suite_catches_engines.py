"""The engine suites fail on each engine that is broken, in the test that is about it.

Two runs of pytest, in processes of their own, make the tests named below on the engines named
below, and on a sound one; what they report is judged here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

import pytest

SUITES = Path(__file__).parent / "broken_engines.py"
ROOT = Path(__file__).parents[2]


class Case(NamedTuple):
    """An engine, a test that must fail on it (one case of it, where named), words of the failure."""

    broken: str
    test: str
    words: str = ""


COMMITS = [
    Case("CheckThenSwap", "test_counter[threads of two clients]"),
    Case("CheckThenSwap", "test_distinct_keys[threads of two clients]"),
    Case("ConflictSwallowed", "test_long_history"),
    Case("ConflictSwallowed", "test_repeated_after_other_commits"),
    Case("LostRaceTakenForDone", "test_long_history"),
    Case("ConflictLeaked", "test_long_history", "let a SwapConflict out"),
    Case("TokenOfALaterRead", "test_distinct_keys[threads of two clients]"),
    Case("OwnSuccessTakenForConflict", "test_commit_happens_once[repeated]"),
    Case("OwnSuccessTakenForConflict", "test_commit_happens_once[unanswered]"),
    Case("OwnCommitByCallersId", "test_one_commit_id_by_two_actors_at_once"),
    Case("AcknowledgedBeforeSwap", "test_failure_is_told_and_leaves_nothing[swap]"),
    Case("CommitInTwoSwaps", "test_commit_tells_each_key_once_and_sorted"),
    Case(
        "CommitInTwoSwaps",
        "test_every_reader_sees_whole_commits_and_never_goes_back[threads of two clients]",
    ),
    Case(
        "UnknownOutcomeDecidedByOneRead",
        "test_late_swap_does_not_land_once_it_was_denied",
        "and landed later",
    ),
    Case(
        "OutcomeWithoutSwap",
        "test_late_swap_does_not_land_once_it_was_denied",
        "and landed later",
    ),
    Case(
        "OutcomeUnknownWithoutId",
        "test_late_swap_does_not_land_once_it_was_denied",
        "nobody can ask",
    ),
    Case("DeadlineOverrun", "test_write_ends_by_its_deadline[lost]"),
    Case("CommitIdForgotten", "test_repeated_commit"),
    Case("CommitIdForgotten", "test_one_id_by_many_at_once[threads of two clients]"),
    Case("CommitIdReusedUnseen", "test_id_used_for_something_else", "DID NOT RAISE"),
    Case("ReusedIdAfterFork", "test_fork", "two processes made one commit id"),
    Case("ConditionJudgedOnCache", "test_stale_client_is_not_refused"),
    Case("BatchMatesChangeAnswered", "test_commit_that_failed_refuses_nobody", "want of room"),
    Case("PlanShownToReaders", "test_nobody_sees_a_commit_before_it_happened"),
    Case("ConditionIgnored", "test_condition_that_fails", "DID NOT RAISE"),
    Case("ConditionIgnored", "test_create_once[threads of two clients]"),
    Case("VersionNotCounted", "test_second_set"),
    Case("VersionNotCounted", "test_delete"),
    Case("DeletedVersionGoesOn", "test_created_anew_starts_at_version_1"),
    Case("EqualBytesNotCounted", "test_equal_bytes_count_a_version"),
    Case("RevisionGap", "test_first_set"),
    Case("TimeGoesBack", "test_time_never_goes_back"),
    Case("EmptyTransactionCommits", "test_without_effect_there_is_no_commit"),
    Case("PrevNodeFromCache", "test_prev_node_is_the_very_node"),
    Case("BlobLost", "test_value_of_any_size[1048577]", "missing"),
    Case("BlobErrorSwallowed", "test_failure_is_told_and_leaves_nothing[put_blob]"),
    Case("CollectorWithoutFence", "test_blob_of_a_writer_outlives_the_upkeep_of_others", "missing"),
    Case("GenerationIgnored", "test_blob_collected_under_its_writer_is_put_again", "missing"),
    Case("UnknownHeadFieldDropped", "test_unknown_fields_of_the_head_are_kept", "x_later"),
    Case(
        "NewerWriterOverruled",
        "test_config_of_a_newer_writer_is_left_untouched[set]",
        "DID NOT RAISE",
    ),
    Case("SettingsForgotten", "test_new_config_is_empty_at_revision_0"),
    Case("SchemaIgnored", "test_what_it_forbids_is_refused_whole", "DID NOT RAISE"),
    Case("SchemaJudgesTheBase", "test_what_it_forbids_is_refused_whole", "DID NOT RAISE"),
]

ANSWERS = [
    Case("PastIsPresent", "test_every_revision_is_as_it_was"),
    Case("PastOffByOne", "test_every_revision_is_as_it_was"),
    Case("TimeBeforeItself", "test_revision_of_a_time"),
    Case("WatchTellsTheLatestAlone", "test_watch_tells_what_is_there_and_what_comes"),
    Case("WatchTellsTwice", "test_watch_of_what_is_long_past"),
    Case("WatchNewestFirst", "test_watch_tells_what_is_there_and_what_comes"),
    Case(
        "WatchTellsKeysOfThePrefix", "test_watch_of_a_prefix_tells_whole_commits_and_how_far_it_is"
    ),
    Case("WatchWithoutBookmark", "test_watch_of_a_prefix_tells_whole_commits_and_how_far_it_is"),
    Case("WatchOfTheName", "test_watch_of_a_config_that_ends[replaced]"),
    Case("StaleRead", "test_other_client_sees_each_write_at_once"),
    Case("StaleRead", "test_other_client_sees_each_life_at_once"),
    Case("StalenessUnbounded", "test_staleness_is_bounded"),
    Case("LateReadReplacesNewerState", "test_late_answer_does_not_replace_a_newer_state"),
    Case(
        "CheckUnderWayJoined",
        "test_check_that_began_before_a_commit_does_not_serve_who_came_after",
    ),
    Case("ViewShowsLaterCommits", "test_view_is_immutable"),
    Case("ViewShowsLaterCommits", "test_view_listing_goes_on_after_a_commit"),
    Case("ListByString", "test_list_by_whole_segments"),
    Case("HistoryByString", "test_by_prefix"),
    Case("RemovalByString", "test_remove_prefix_by_whole_segments"),
    Case("KeysUnsorted", "test_order_is_by_code_point"),
    Case("LibraryErrorLeaked", "test_handle_is_pinned_by_what_it_first_sees", "let LookupError"),
    Case("LibraryErrorLeaked", "test_delete", "let LookupError"),
    Case("KeysFolded", "test_order_is_by_code_point"),
    Case("ChecksumIgnored", "test_damage_is_told[changed]"),
    Case("HistoryWithoutActor", "test_commit_tells_who_when_why_and_what"),
    Case("HistoryWithoutPrevNodes", "test_other_kinds_of_writes_are_in_it"),
    Case("PagesOverlap", "test_before"),
    Case("RecreatedMixesWithTheOld", "test_created_anew_begins_anew"),
    Case("UndeleteLosesHistory", "test_undelete_restores_everything"),
    Case("HandleFollowsNewIncarnation", "test_handle_of_a_replaced_config[set]", "DID NOT RAISE"),
    Case("HandleFollowsNewIncarnation", "test_handle_of_a_replaced_config[get]", "DID NOT RAISE"),
    Case("DeletedConfigListed", "test_names_are_sorted"),
    Case("CloseLeavesThread", "test_closed_engine_says_so[used]", "thread keeper"),
    Case("CloseLeavesFile", "test_closed_engine_says_so[used]", "broken_engine_answers.py"),
]

Report = dict[tuple[str, str], list[str]]


def all_tests(cases: list[Case]) -> list[str]:
    return sorted({case.test for case in cases})


def run(cases: list[Case], folder: Path) -> Report:
    """The failures of each test on each engine; an empty list where all of it passed."""
    wanted = dict.fromkeys([(case.broken, case.test) for case in cases])
    wanted |= dict.fromkeys([("Sound", test) for test in all_tests(cases)])
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(folder)]
    command += ["-p", "no:cacheprovider", "--junitxml", str(folder / "report.xml")]
    # To collect whole suites for each engine would take longer than to run what is wanted.
    functions = {case.test.partition("[")[0] for case in cases}
    command += ["-o", f"python_functions={' '.join(sorted(functions))}"]
    done = subprocess.run(
        [*command, *(f"{SUITES}::Test{broken}::{test}" for broken, test in wanted)],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(SUITES.parent), *sys.path])},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    found: Report = {}
    for case in ET.parse(folder / "report.xml").iter("testcase"):
        broken = case.attrib["classname"].rpartition(".Test")[2]
        name = case.attrib["name"]
        assert case.find("skipped") is None
        faults = [fault.text or "" for kind in ("failure", "error") for fault in case.iter(kind)]
        for test in {name, name.partition("[")[0]}:
            found.setdefault((broken, test), []).extend(faults)
    return found


@pytest.fixture(scope="class")
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    cases: list[Case] = request.cls.cases
    return run(cases, tmp_path_factory.mktemp("run"))


def assert_caught(report: Report, case: Case) -> None:
    failures = report[case.broken, case.test]
    assert failures, f"{case.test} passes on {case.broken}"
    assert any(case.words in text for text in failures), failures[0]


def name_of(value: object) -> str:
    return f"{value.broken}-{value.test}" if isinstance(value, Case) else str(value)


# The tests of a class share its run, and so one worker; the two classes run side by side.


@pytest.mark.xdist_group("suite_catches_broken_commits")
class TestCommits:
    cases = COMMITS

    @pytest.mark.parametrize("case", COMMITS, ids=name_of)
    def test_suite_catches(self, report: Report, case: Case) -> None:
        assert_caught(report, case)

    @pytest.mark.parametrize("test", all_tests(COMMITS))
    def test_suite_passes_what_is_sound(self, report: Report, test: str) -> None:
        assert report["Sound", test] == []


@pytest.mark.xdist_group("suite_catches_broken_answers")
class TestAnswers:
    cases = ANSWERS

    @pytest.mark.parametrize("case", ANSWERS, ids=name_of)
    def test_suite_catches(self, report: Report, case: Case) -> None:
        assert_caught(report, case)

    @pytest.mark.parametrize("test", all_tests(ANSWERS))
    def test_suite_passes_what_is_sound(self, report: Report, test: str) -> None:
        assert report["Sound", test] == []
