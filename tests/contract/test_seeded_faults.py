"""Each suite of this folder is red where an implementation has a fault of the kind that it looks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rig import seeded
from rig.faults import ledger, postgres, steps, store

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent

SEEDS = [
    (ledger.records_again, "test_ledger.py::test_a_known_arrival_changes_nothing"),
    (ledger.knows_nothing, "test_ledger.py::test_the_ledger_knows_what_has_arrived_and_nothing_else"),
    (ledger.gives_the_same_token_again, "test_ledger.py::test_each_claim_adds_one_to_the_token"),
    (ledger.settles_for_anybody, "test_ledger.py::test_a_stale_token_cannot_settle_and_leaves_an_event"),
    (ledger.extends_for_anybody, "test_ledger.py::test_a_stale_lease_cannot_be_extended"),
    (ledger.counts_crashes_in_company, "test_ledger.py::test_innocents_around_a_poison_file_are_never_dead"),
    (ledger.sweeps_too_early, "test_ledger_clock.py"),
    (ledger.counts_every_retry, "test_ledger_model.py::test_a_ledger_does_what_its_model_does[sqlite-15]"),
    (ledger.claims_what_is_held, "test_ledger_together.py::test_six_threads_never_hold_the_same_run"),
    (
        ledger.counts_afterwards,
        "test_ledger_together.py::test_a_process_that_is_killed_leaves_all_of_an_element_or_nothing",
    ),
    (
        ledger.commits_each_statement,
        "test_ledger_together.py::test_a_process_that_is_killed_at_any_instant_leaves_nothing_half",
    ),
    (ledger.forgets_who_waits, "test_ledger_children.py::test_a_parent_waits_for_the_last_of_its_children"),
    (
        ledger.counts_one_child_for_all,
        "test_ledger_children_model.py::test_a_ledger_does_with_families_what_its_model_does[sqlite-100]",
    ),
    (
        ledger.takes_one_name_for_another,
        "test_ledger_children.py::test_a_family_tells_which_of_its_children_delivered_other_bytes_under_one_name[sqlite]",
    ),
    (
        ledger.never_counts_down,
        "test_ledger_children.py::test_files_that_went_on_without_children_are_counted_until_they_run_again[sqlite]",
    ),
    (
        ledger.forgets_whose_turn_it_is,
        "test_groups.py::test_a_group_that_was_held_goes_on_when_the_file_is_cancelled[sqlite-failed]",
    ),
    (ledger.lets_the_youngest_go_first, "test_groups.py::test_workers_at_random_keep_every_group_in_order[sqlite-0]"),
    (ledger.lets_the_youngest_go_first, "test_ledger_model.py::test_a_ledger_does_what_its_model_does[sqlite-15]"),
    (
        ledger.forgets_ghosts,
        "test_groups.py::test_nobody_begins_while_a_worker_may_be_at_a_cancelled_file[sqlite]",
    ),
    (
        postgres.lets_everybody_into_a_group,
        "test_groups.py::test_who_arrives_while_the_last_one_ends_is_not_left_behind[postgres]",
    ),
    (
        ledger.forgets_to_look_at_the_gate,
        "test_gates.py::test_what_is_put_aside_after_the_pipeline_was_resumed_is_in_line_again",
    ),
    (ledger.purges_what_is_in_work, "test_purges.py::test_a_file_that_has_not_ended_keeps_its_bytes[sqlite]"),
    (ledger.replays_without_bytes, "test_purges.py::test_a_file_without_bytes_cannot_be_replayed[sqlite]"),
    (ledger.hides_a_file, "test_catalog.py::test_pages_are_newest_first_and_have_each_file_once"),
    (ledger.shows_what_came_last, "test_namespace.py::test_an_older_version_that_comes_late_does_not"),
    (ledger.adds_over_another, "test_accounts.py::test_an_added_user_never_replaces_another"),
    (postgres.claims_what_is_held, "test_ledger.py::test_a_claimed_run_is_not_claimed_again[postgres]"),
    (
        postgres.counts_afterwards,
        "test_ledger_together.py::test_a_process_that_is_killed_leaves_all_of_an_element_or_nothing[postgres-ledger.arriving]",
    ),
    (postgres.sorts_by_language, "test_namespace.py::test_children_are_in_the_order_of_code_points[postgres]"),
    (ledger.tells_nobody, "test_hint.py::test_a_hint_wakes_everyone[sqlite]"),
    (ledger.takes_leases_away, "test_upgrade.py::test_leases_outlive_an_upgrade[sqlite-1]"),
    (ledger.covers_half, "test_audit.py::test_a_checkpoint_covers_the_heads_in_the_order_of_their_files"),
    (store.takes_any_bytes, "test_store.py::test_other_bytes_under_a_name_that_is_taken_are_refused_alone"),
    (store.takes_any_bytes_in_a_bucket, "test_store.py::test_other_bytes_under_a_name_that_is_taken_are_refused_alone"),
    (postgres.copies_at_no_one_instant, "test_copies.py::test_a_copy_is_of_one_instant[postgres]"),
    (store.delivers_the_same_again, "test_target.py::test_delivering_again_changes_nothing"),
    (steps.turns_inputs_round, "test_step.py::test_several_inputs_are_taken_in_their_order"),
]
"""A fault, and the test that must object to it."""


@pytest.mark.parametrize(
    ("fault", "test"), SEEDS, ids=[f"{fault.__module__.rpartition('.')[2]}.{fault.__name__}" for fault, _ in SEEDS]
)
def test_a_suite_objects_to_an_implementation_that(
    fault: Callable[[], None], test: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    said = seeded.objections(fault, f"contract/{test}", tmp_path_factory.mktemp("s"))
    assert any("assert" in line for line in said), said


def test_every_suite_has_a_seeded_fault() -> None:
    shown = {test.partition("::")[0] for _, test in SEEDS}
    assert shown == {path.name for path in HERE.glob("test_*.py")} - {Path(__file__).name}
