"""Each suite of this folder is red where the product has a fault of the kind that it looks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rig import seeded
from rig.faults import engine, ingest, ledger, postgres, store

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent

SEEDS = [
    (
        ledger.acknowledges_too_early,
        "test_every_hop.py::test_kill_at[sqlite-intake.arrived]",
        "was acknowledged, and is not there",
    ),
    (
        store.delivers_the_same_again,
        "test_every_hop.py::test_kill_at[sqlite-target.renamed]",
        "each name became visible once",
    ),
    (
        ledger.settles_for_anybody,
        "test_stopped.py::test_a_settle_that_comes_too_late_leaves_the_run_to_its_successor[sqlite]",
        "assert 'transferred' == 'stale'",
    ),
    (
        engine.goes_on_without_its_lease,
        "test_engine.py::test_a_worker_that_was_stopped_past_its_lease_changes_nothing[sqlite]",
        "'stale'",
    ),
    (
        ledger.counts_crashes_in_company,
        "test_poison.py::test_a_step_that_kills_its_process_kills_no_other_file[sqlite]",
        "'quarantined'",
    ),
    (
        ledger.wakes_afterwards,
        "test_children.py::test_a_worker_killed_anywhere_leaves_nobody_waiting_and_repeats_nothing[sqlite-ledger.waking]",
        "every file has ended",
    ),
    (
        ledger.advances_afterwards,
        "test_groups.py::test_a_worker_killed_anywhere_lets_nobody_pass_and_leaves_nobody_behind[sqlite-ledger.advancing:2]",
        "every file has ended",
    ),
    (ingest.gives_new_ids, "test_rebuild.py::test_a_deleted_ledger_is_rebuilt_from_the_store[sqlite]", "file_id"),
    (
        store.passes_over_a_failed_sync,
        "test_disk.py::test_a_sync_that_fails_once_costs_a_repeat_and_nothing_else[sqlite-/staging/-client]",
        "assert False",
    ),
    (
        ingest.passes_over_a_full_disk,
        "test_disk.py::test_an_upload_that_does_not_fit_is_refused_with_a_sentence[sqlite]",
        "the server has no room",
    ),
    (store.forgets_pages, "test_nodes.py::test_nodes_share_the_work", "each delivery is in the bucket once"),
    (store.forgets_pages, "test_s3.py::test_kill_at[intake.stored]", "each delivery is in the bucket once"),
    (
        ingest.takes_every_use_of_a_url_for_a_new_file,
        "test_http.py::test_kill_at[sqlite-intake.arrived]",
        "assert '201' == '200'",
    ),
    (
        ingest.removes_by_name_alone,
        "test_sources.py::test_a_file_that_is_overwritten_meanwhile_is_taken_as_well[sqlite-continued-source.landed]",
        "still not: both are taken",
    ),
    (
        postgres.takes_a_lost_answer_for_a_no,
        "test_postgres.py::test_a_commit_whose_question_or_answer_is_lost_is_done_once[settle-answer]",
        "assert [False] == [True]",
    ),
    (
        postgres.counts_before_it_ranks,
        "test_postgres.py::test_whoever_enters_the_queue_and_whoever_counts_never_lock_each_other_out",
        "deadlock detected",
    ),
    (
        postgres.waits_for_what_others_hold,
        "test_postgres.py::test_an_idle_transaction_holds_up_its_own_rows_alone",
        "Busy",
    ),
    (
        postgres.denies_what_is_being_recorded,
        "test_postgres.py::test_whether_a_file_is_known_is_answered_when_it_is_decided",
        "still not: it waits",
    ),
    (
        postgres.does_not_wait_for_a_dead_owner,
        "test_postgres.py::test_what_a_dead_owner_was_about_to_claim_is_taken_back",
        "still not: it waits",
    ),
    (
        store.forgets_new_names,
        "test_opening.py::test_what_the_first_start_makes_outlives_a_power_loss",
        "ledger.db",
    ),
    (
        engine.leaves_the_rest_asleep,
        "test_gates.py::test_whoever_resumes_is_killed_halfway_and_the_workers_see_to_the_rest[sqlite]",
        "still not: all are transferred",
    ),
    (
        engine.leaves_leases_to_supervisors,
        "test_worker_node.py::test_a_killed_worker_of_another_node_delivers_each_upload_once[worker.claimed]",
        "still not: something came of every file",
    ),
    (
        engine.leaves_families_to_whoever_cancelled,
        "test_cancel.py::test_whoever_cancels_is_killed_and_the_workers_see_to_the_family[sqlite-cancel.begun]",
        "still not: the family is cancelled",
    ),
    (
        engine.removes_without_a_note,
        "test_purge.py::test_whoever_purges_is_killed_and_the_next_purge_does_the_rest[sqlite-purge.deleted]",
        "assert {'stays",
    ),
    (
        engine.takes_an_order_for_its_deed,
        "test_purge.py::test_whoever_purges_is_killed_and_the_next_purge_does_the_rest[sqlite-purge.ordered]",
        "assert 0 ==",
    ),
    (
        store.copies_without_a_look,
        "test_backup.py::test_an_object_that_has_rotted_is_not_taken_for_a_good_one[sqlite]",
        "assert 0 != 0",
    ),
    (
        ingest.backs_up_no_keys,
        "test_backup.py::test_keys_and_users_come_back_and_only_their_owner_may_read_them[sqlite]",
        "ssh_host_ed25519_key",
    ),
]
"""A fault, the test that must object to it, and a word of the objection."""

HAVE_THEIR_OWN = {"test_store.py", "test_points.py"}


@pytest.mark.parametrize(("fault", "test", "word"), SEEDS, ids=[fault.__name__ for fault, _, _ in SEEDS])
def test_a_suite_objects_to_a_product_that(
    fault: Callable[[], None], test: str, word: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    said = seeded.objections(fault, f"crash/{test}", tmp_path_factory.mktemp("s"))
    assert word in "\n".join(said)


def test_every_suite_has_a_seeded_fault() -> None:
    shown = {test.partition("::")[0] for _, test, _ in SEEDS}
    assert shown | HAVE_THEIR_OWN == {path.name for path in HERE.glob("test_*.py")} - {Path(__file__).name}
