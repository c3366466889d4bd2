//! The suite that every store passes: memory, which defines what is meant, SQLite and PostgreSQL.
//!
//! A case is a function over a [`subject::Subject`]; the tables at the end run each over each store.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case that meets the unexpected has failed"
)]

mod balances;
mod claims;
mod controls;
mod databases;
mod desk;
mod life;
mod lists;
mod made;
mod moves;
mod neighbours;
mod registry;
mod starts;
mod subject;
#[path = "../support/mod.rs"]
mod support;

/// Names a test after each case, within a module that is named after the store.
macro_rules! over {
    ($store:ident: $subject:expr => $($module:ident: { $($case:ident),+ $(,)? })+) => {
        mod $store {
            use crate::subject::Subject;
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::$module::$case(&$subject).await;
                }
            )+)+
        }
    };
}

macro_rules! over_every_store {
    ($($cases:tt)+) => {
        over! { memory: Subject::memory() => $($cases)+ }
        over! { sqlite: Subject::sqlite().await => $($cases)+ }
        over! { postgresql: Subject::postgres().await => $($cases)+ }
    };
}

macro_rules! over_every_database {
    ($($cases:tt)+) => {
        over! { sqlite_alone: Subject::sqlite().await => $($cases)+ }
        over! { postgresql_alone: Subject::postgres().await => $($cases)+ }
    };
}

over_every_store! {
    starts: {
        a_start_writes_everything_it_says,
        a_key_starts_once_across_batches_and_within_one,
        a_key_starts_once_among_concurrent_callers,
        a_task_can_be_born_claimed,
    }
    claims: {
        a_task_is_claimed_once_for_each_lease,
        a_claim_takes_the_earliest_of_its_lane_up_to_the_room,
        concurrent_claimers_never_share_a_task,
        a_renewed_claim_keeps_and_a_lost_one_is_not_renewed,
        a_released_claim_was_no_attempt,
        a_redirected_claim_waits_in_another_lane_and_was_no_attempt,
        a_put_back_keeps_attempts_and_doubt,
        claims_of_dead_nodes_can_be_taken_over,
        lanes_tell_the_earliest_task_of_each,
    }
    moves: {
        what_follows_takes_the_place_of_what_was_consumed,
        a_move_writes_everything_it_says,
        a_stale_revision_cannot_write,
        a_lost_lease_cannot_write,
        an_event_is_heard_once,
        arming_anew_makes_another_task,
        the_last_of_two_tasks_with_one_name_counts,
        named_tasks_are_taken_back_and_all_at_the_end,
        a_batch_isolates_its_stale_members,
        one_batch_concerns_an_instance_once,
        concurrent_moves_of_one_revision_are_one,
        history_is_a_whole_chain,
    }
    balances: {
        the_newest_balance_is_kept_for_its_account,
        one_reads_an_account_at_a_time_and_a_silent_one_loses_the_right,
        four_of_concurrent_reads_without_the_customer_are_granted_a_day,
        a_read_that_never_left_is_not_counted,
        a_limit_keeps_out_whom_it_concerns_until_it_ends,
        a_limit_on_everybody_outlives_a_longer_one_on_those_without_the_customer,
    }
    controls: {
        a_control_is_written_over_the_version_it_was_decided_on,
        a_control_that_went_and_came_again_is_another_one,
        of_concurrent_changes_of_one_version_one_is_written,
        the_revision_is_told_with_the_lanes,
    }
    neighbours: {
        shares_of_one_provider_never_add_up_to_more_than_its_limit,
        a_share_that_is_given_up_is_free_but_for_its_last_second,
        providers_and_their_budgets_are_apart,
        repetitions_are_counted_over_all_nodes,
        a_node_that_leaves_leaves_its_claims_and_places,
        many_nodes_at_once_get_no_more_than_there_is,
    }
    desk: {
        a_request_is_filed_on_the_revision_that_was_seen_and_one_at_a_time,
        a_decision_is_made_once_by_another_person_on_the_revision_that_was_checked,
        of_many_who_decide_at_once_one_does,
        an_approval_is_owed_until_its_result_is_recorded,
        an_action_is_kept_with_its_reason,
        a_notice_is_kept_once_and_handled_once,
        an_event_that_was_heard_is_found,
    }
    lists: {
        a_list_filters_and_pages_newest_first,
        what_is_parked_is_counted_by_queue,
    }
}

over_every_database! {
    life: {
        a_random_life_equals_the_model,
    }
    databases: {
        a_batch_costs_the_same_round_trips_whatever_its_size,
        an_instance_that_cannot_be_read_harms_no_other,
        history_refuses_update_and_delete,
        a_row_that_was_edited_or_removed_all_the_same_is_found,
        missing_migrations_are_applied_or_refused,
        a_payment_that_was_queued_is_a_pending_one_to_its_end,
        time_passes_on_the_clock_of_the_store,
    }
    registry: {
        a_consent_is_adopted_once_and_kept_when_it_ends,
        a_bank_account_keeps_its_balance_until_it_is_another,
        users_and_merchants_are_stored_and_replaced,
        one_bank_account_of_a_user_is_primary,
        recipients_are_paged_by_id_and_kept_apart_by_owner,
        rates_are_replaced_by_pair,
        an_api_key_is_found_by_its_hash_and_revoked_once,
    }
}
