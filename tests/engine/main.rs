//! The engine over the stores that one process may have, with a bank of a few lines behind the payments port: what is
//! performed, how often, what is left when a process stops in the middle, and what faults of bank, database and
//! neighbours come to.
//!
//! A case is a function over an empty store. After each, whatever it did, every history that it left is replayed and
//! has to tell the state that is stored.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case that meets the unexpected has failed"
)]

mod bank;
mod controls;
mod doors;
mod faults;
mod faulty;
mod payments;
#[path = "../support/postgres.rs"]
mod postgres;
mod quiet;
mod scans;
mod shared;
mod stops;
mod world;

/// Names a test after each case, within a module that is named after the store.
macro_rules! over {
    ($store:ident: $subject:expr => $($module:ident: { $($case:ident),+ $(,)? })+) => {
        mod $store {
            use crate::world::Subject;
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let subject = $subject;
                    crate::$module::$case(&subject.store).await;
                    crate::world::every_history_tells_its_state(&subject.store).await;
                }
            )+)+
        }
    };
}

macro_rules! over_both_stores {
    ($($cases:tt)+) => {
        over! { memory: Subject::memory() => $($cases)+ }
        over! { sqlite: Subject::sqlite().await => $($cases)+ }
    };
}

over_both_stores! {
    payments: {
        a_remittance_runs_end_to_end_and_its_history_is_intact,
        an_unknown_initiation_is_found_or_repeated_but_never_doubled,
        a_provider_that_is_away_parks_the_payment_and_its_return_releases_it,
        the_same_key_starts_once,
        a_wish_to_cancel_that_meets_the_initiation_is_kept,
    }
    stops: {
        a_panic_harms_nobody_else_and_its_task_comes_back,
        a_stopped_process_leaves_nothing_behind_that_another_does_not_take_up,
        a_start_that_commits_while_the_process_drains_leaves_no_claim_that_has_to_lapse,
        a_start_that_commits_after_the_process_has_drained_leaves_no_claim_that_has_to_lapse,
        a_payment_that_was_lost_five_times_is_not_sent_again_but_looked_for,
        a_caller_who_hangs_up_leaves_a_payment_that_is_performed,
    }
    controls: {
        failures_at_a_bank_stop_what_failed_there_and_nothing_else,
        one_probe_and_then_one_payment_lead_back_whatever_processes_there_are,
        a_provider_out_of_reach_stops_every_bank_until_it_is_reached,
        modes_and_holds_stop_money_and_nothing_else,
        a_held_payment_uses_up_nothing_of_what_its_queue_lets_through,
        a_payment_that_was_held_comes_before_those_that_were_accepted_after_it,
        a_kind_that_is_held_is_looked_at_once_and_keeps_nobody_waiting,
        a_probe_that_hangs_keeps_no_new_payment_waiting,
        reads_of_accounts_alone_lead_a_provider_back,
        a_provider_that_fails_at_several_banks_is_shut_for_all_and_one_bank_shuts_no_other,
        a_breaker_opened_by_hand_stops_new_payments_and_not_the_truth,
        a_change_reaches_other_processes_and_a_queue_is_let_out_oldest_first_by_its_stages,
    }
    faults: {
        what_a_repetition_is_refused_for_ends_no_payment,
        a_put_back_that_landed_without_an_answer_is_not_written_again,
        a_doubt_outlives_documents_that_only_a_newer_process_reads,
        absence_is_not_proven_while_an_attempt_may_still_arrive,
        an_answer_that_comes_after_its_claim_was_lost_is_heard,
        nothing_is_sent_again_after_the_provider_forgot_the_key,
        a_cancellation_that_nobody_confirms_is_asked_for_ever_more_seldom_and_an_operator_is_called,
        a_bank_that_wants_fewer_calls_and_no_wait_is_left_alone_for_a_while,
        a_payer_is_told_once_that_the_payment_waits_however_often_it_is_parked,
        a_lane_that_hangs_leaves_hands_for_the_others,
        a_payment_that_is_taken_back_while_it_waits_to_be_sent_again_is_not_sent,
    }
}
