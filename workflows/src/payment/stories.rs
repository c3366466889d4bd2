//! Payments told as stories: what happens, and where each thing leads.

use std::time::Duration;

use super::tests::{instruction, terms};
use super::*;
use crate::engine::{Answer, Audience, Class, Finding, Refusal, Status};
use crate::money::{Currency, Money, Rate};
use crate::ports::consents::{ConsentStanding, ProviderConsentId};
use crate::ports::payments::ProviderPaymentId;
use crate::ports::prices::Price;
use crate::ports::{Call, PaymentsCall};

type Happening = On<Event, Step, Timer>;

/// One payment on its way.
struct Story {
    order: Instruction,
    progress: Progress,
    effects: Effects,
}

impl Story {
    fn begins(order: Instruction) -> Self {
        let (progress, effects) = start(&order);
        Story { order, progress, effects }
    }

    /// Something happens that leads on, to this phase.
    fn goes(&mut self, happening: Happening, phase: &str) -> &mut Self {
        let what = format!("{happening:?}");
        let Next::Go { state, effects } = on(&self.order, &self.progress, happening, At::EPOCH) else {
            panic!("{what} does not lead on");
        };
        (self.progress, self.effects) = (state, effects);
        assert_eq!(view(&self.progress).phase, phase, "{what}");
        self
    }

    /// Something happens that changes nothing.
    fn ignores(&mut self, happening: Happening) -> &mut Self {
        let what = format!("{happening:?}");
        let next = on(&self.order, &self.progress, happening, At::EPOCH);
        assert!(matches!(next, Next::Ignore), "{what} led to {next:?}");
        self
    }

    fn told(&self) -> Vec<(Audience, &str)> {
        let mut told = vec![];
        for effect in &self.effects {
            if let Effect::Tell(message) = effect {
                told.push((message.to, &*message.about));
            }
        }
        told
    }

    fn asks(&self, step: Step) -> bool {
        self.effects
            .iter()
            .any(|effect| matches!(effect, Effect::Run(one) | Effect::RunIn(one, _) if *one == step))
    }
}

fn order(auto_start: bool) -> Instruction {
    instruction(terms(Some(Duration::from_hours(24)), true, auto_start))
}

fn priced(auto_start: bool) -> Instruction {
    Instruction { price: Some(price("0.0870", 17_400)), ..order(auto_start) }
}

fn price(rate: &str, receive: i64) -> Price {
    let rate = Rate::parse(rate).expect("a rate");
    Price { rate, receive: Money::new(receive, Currency::EUR), until: Some(At::EPOCH) }
}

fn created() -> Happening {
    let payment = ProviderPaymentId("pay_1".to_owned());
    On::Said(Event::Created {
        payment,
        status: TransactionStatus::Rcvd,
        sca: Some("https://bank/1".to_owned()),
    })
}

fn seen(status: TransactionStatus) -> Happening {
    On::Said(Event::StatusSeen { status, reason: None })
}

fn found(status: TransactionStatus) -> Happening {
    On::Said(Event::Found { payment: ProviderPaymentId("pay_1".to_owned()), status })
}

fn resolved(outcome: Truth) -> Happening {
    On::Said(Event::Resolved { outcome, reference: "apr_1".to_owned() })
}

fn known(consent: Option<&str>) -> Happening {
    On::Said(Event::ConsentKnown { consent: consent.map(|id| ProviderConsentId(id.to_owned())) })
}

const NOT_SENT: Happening = On::GaveUp(Step::Initiate, Cause::NotSent);

#[test]
fn a_parked_payment_waits_in_the_queue_in_the_order_of_acceptance_and_its_payer_is_told_once() {
    let mut story = Story::begins(order(true));
    story.goes(NOT_SENT, "parked");
    assert!(story.effects.contains(&Effect::Queue(Timer::Released, story.order.accepted_at)));
    assert_eq!(story.told(), [(Audience::Owner, "payment.queued")]);
    story.goes(On::Fired(Timer::Released), "initiating").goes(NOT_SENT, "parked");
    assert!(story.told().is_empty());
    let queued = |effect: &Effect<Step, Timer>| matches!(effect, Effect::Queue(..));
    assert!(!story.effects.iter().any(queued), "one that came back waits before it queues again");
    story.goes(On::Fired(Timer::Requeue), "parked");
    assert!(story.effects.iter().any(queued));
    assert!(story.progress.amended.queued);
}

#[test]
fn a_promise_that_is_about_to_break_is_told_to_operators_and_a_broken_one_to_the_payer() {
    let mut story = Story::begins(order(false));
    story.goes(NOT_SENT, "parked");
    assert_eq!(facts(&story.progress).message, Some("Betaling satt i kø. Vil bli behandlet innen 2 timer."));
    let warned_at = story.order.accepted_at.plus(Duration::from_mins(90));
    assert!(story.effects.contains(&Effect::ArmAt(Timer::SlaWarning, warned_at)));
    story.goes(On::Fired(Timer::SlaWarning), "parked");
    assert_eq!(story.told(), [(Audience::Operator, "payment.sla_warning")]);
    story.goes(On::Fired(Timer::SlaBreach), "parked");
    assert!(story.told().contains(&(Audience::Owner, "payment.delayed")));
    let message = facts(&story.progress).message.expect("a text");
    assert!(message.contains("lengre tid") && message.contains("avbryte"), "{message}");
    assert!(view(&story.progress).attention.is_some());
    story.goes(On::Said(Event::CancelAsked { by: By::User }), "cancelled");
}

#[test]
fn a_second_stay_in_the_queue_begins_no_promise_anew() {
    let mut story = Story::begins(order(true));
    story.goes(NOT_SENT, "parked").goes(On::Fired(Timer::SlaWarning), "parked");
    story.goes(On::Fired(Timer::Released), "initiating").goes(NOT_SENT, "parked");
    let armed = |story: &Story, timer| {
        story.effects.iter().any(|effect| matches!(effect, Effect::ArmAt(armed, _) if *armed == timer))
    };
    assert!(!armed(&story, Timer::SlaWarning), "operators are warned once");
    let broken_at = story.order.accepted_at.plus(Duration::from_hours(2));
    assert!(story.effects.contains(&Effect::ArmAt(Timer::SlaBreach, broken_at)));
    story.goes(On::Fired(Timer::SlaBreach), "parked");
    story.goes(On::Fired(Timer::Requeue), "parked").goes(On::Fired(Timer::Released), "initiating");
    story.goes(NOT_SENT, "parked");
    assert!(!armed(&story, Timer::SlaBreach), "and the payer is told once");
    assert!(armed(&story, Timer::Expiry));
    assert!(
        facts(&story.progress).message.is_some_and(|text| text.contains("lengre tid")),
        "which still holds"
    );
}

#[test]
fn a_refused_cancellation_does_not_forget_why_it_was_asked_for() {
    let refused = || On::Said(Event::CancellationRefused { code: "STATUS_INVALID".to_owned() });
    // The first attempt cancelled it and its answer was lost; the second is told that there is nothing to cancel.
    let mut story = Story::begins(order(false));
    story.goes(created(), "awaiting_sca").goes(On::Fired(Timer::ScaDeadline), "cancelling");
    story.goes(seen(TransactionStatus::Rcvd), "cancelling").goes(refused(), "cancelling");
    assert!(story.asks(Step::Status));
    story.goes(seen(TransactionStatus::Canc), "sca_timeout");
    assert_eq!(facts(&story.progress).error_code, Some("SCA_TIMEOUT"));

    let compensated = On::Said(Event::CancelAsked { by: By::Compensation });
    let mut story = Story::begins(order(false));
    story.goes(created(), "awaiting_sca").goes(compensated, "cancelling");
    story.goes(seen(TransactionStatus::Rcvd), "cancelling").goes(refused(), "cancelling");
    story.goes(seen(TransactionStatus::Canc), "compensated");

    // It is being executed: followed to its end.
    let mut story = Story::begins(order(false));
    story.goes(created(), "awaiting_sca").goes(On::Fired(Timer::ScaDeadline), "cancelling");
    story.goes(seen(TransactionStatus::Rcvd), "cancelling").goes(refused(), "cancelling");
    story.goes(seen(TransactionStatus::Acsp), "confirming").goes(seen(TransactionStatus::Acsc), "settled");
}

#[test]
fn a_bank_that_cancels_nothing_is_asked_less_and_less_often_and_at_last_a_person_decides() {
    let mut story = Story::begins(order(false));
    story.goes(created(), "awaiting_sca").goes(On::Fired(Timer::ScaDeadline), "cancelling");
    story.ignores(resolved(Truth::NotExecuted));
    let mut waits = vec![];
    for _ in 0..4 {
        story.goes(seen(TransactionStatus::Rcvd), "cancelling");
        for effect in &story.effects {
            if let Effect::RunIn(Step::Cancel, wait) = effect {
                waits.push(wait.as_secs());
            }
        }
        story.goes(On::Said(Event::CancellationRefused { code: "NO".to_owned() }), "cancelling");
    }
    assert_eq!(waits, [1, 2, 4], "after the first, which is asked at once");
    assert!(is_cancellation_refused(&story.progress.state));
    story.goes(On::Fired(Timer::Overdue), "cancelling");
    assert!(view(&story.progress).attention.is_some() && resolvable(&story.progress));
    story.goes(resolved(Truth::NotExecuted), "refused");
    assert_eq!(facts(&story.progress).error_code, Some("TIMEOUT"));
    assert!(matches!(story.progress.state.evidence(), Some(Evidence::Operator { .. })));
}

#[test]
fn settlement_that_a_bank_never_reports_is_proven_by_a_statement() {
    let mut story = Story::begins(order(false));
    story.goes(created(), "awaiting_sca").goes(seen(TransactionStatus::Acsp), "confirming");
    story.ignores(resolved(Truth::Executed)).goes(On::Fired(Timer::Overdue), "confirming");
    story.goes(resolved(Truth::Executed), "settled");
}

#[test]
fn a_hint_about_a_payment_that_the_bank_has_forgotten_is_let_go() {
    let mut story = Story::begins(order(false));
    story.goes(created(), "awaiting_sca").goes(seen(TransactionStatus::Acsc), "settled");
    story.goes(On::Said(Event::Hinted), "settled");
    let unknown = Finding::Refused(Refusal { code: "RESOURCE_UNKNOWN".to_owned(), class: Class::Final });
    for _ in 0..5 {
        assert!(story.asks(Step::Status));
        let Answer::Event(event) = hear(&story.progress, Step::Status, &unknown) else {
            panic!("it is news after the end");
        };
        story.goes(On::Said(event), "settled");
    }
    assert!(story.effects.is_empty() && story.progress.amended.late.is_none());
    story.goes(On::Said(Event::Hinted), "settled");
}

#[test]
fn a_payment_that_nobody_wants_any_more_is_not_sent() {
    let mut story = Story::begins(order(true));
    story.goes(NOT_SENT, "parked").goes(On::Fired(Timer::Expiry), "refused");
    assert_eq!(story.progress.state.evidence(), Some(&Evidence::NeverSent));
    assert_eq!(facts(&story.progress).error_code, Some("TIMEOUT"));
}

#[test]
fn a_price_that_ran_out_in_the_queue_is_quoted_again_and_shown_before_the_payer_goes_on() {
    let mut story = Story::begins(priced(false));
    story.goes(NOT_SENT, "parked").goes(On::Fired(Timer::Released), "parked");
    assert!(story.asks(Step::Price));
    let today = price("0.0860", 17_200);
    story.goes(On::Said(Event::Priced { price: Some(today.clone()) }), "awaiting_user");
    assert_eq!(facts(&story.progress).price, Some(today));
    story.goes(On::Said(Event::Continued), "awaiting_user");
    assert!(story.asks(Step::Price) && !view(&story.progress).milestone);
    let newer = price("0.0850", 17_000);
    story.goes(On::Said(Event::Priced { price: Some(newer.clone()) }), "awaiting_user");
    assert!(!story.asks(Step::Initiate), "the payer sees the new price first");
    story.goes(On::Said(Event::Continued), "awaiting_user");
    story.goes(On::Said(Event::Priced { price: None }), "initiating");
    assert_eq!(facts(&story.progress).price, Some(newer));
}

#[test]
fn a_new_consent_leads_back_to_the_same_payment_under_the_new_consent() {
    let mut story = Story::begins(order(false));
    let needed = || On::Said(Event::ConsentNeeded { code: "CONSENT_EXPIRED".to_owned() });
    story.goes(needed(), "awaiting_consent");
    assert!(!view(&story.progress).milestone, "the link is not there yet");
    assert!(story.asks(Step::FindConsent));
    story.goes(known(Some("consent-1")), "awaiting_consent");
    assert!(story.asks(Step::AskConsent), "the account has no other than the refused one");
    let consent = ProviderConsentId("cns-2".to_owned());
    let link = Some("https://bank/consent/2".to_owned());
    story.goes(On::Said(Event::ConsentAsked { consent, sca: link.clone() }), "awaiting_consent");
    assert_eq!(facts(&story.progress).sca_redirect, link);
    assert_eq!(story.told(), [(Audience::Owner, "consent.needed")]);
    story.goes(On::Said(Event::Returned { payment: None }), "awaiting_consent");
    assert!(story.asks(Step::ReadConsent));
    let valid = Event::ConsentSeen { standing: ConsentStanding::Valid, valid_until: None };
    story.goes(On::Said(valid), "awaiting_consent");
    assert!(story.asks(Step::AdoptConsent));
    story.goes(On::Said(Event::ConsentAdopted), "initiating");
    let Some(Call::Payments(PaymentsCall::Initiate(initiation))) =
        call(&story.order, &story.progress, Step::Initiate)
    else {
        panic!("it is sent");
    };
    assert_eq!(initiation.consent.as_deref(), Some("cns-2"));
    assert_eq!(initiation.end_to_end, story.order.initiation.end_to_end);
    story.goes(needed(), "refused");
    assert_eq!(facts(&story.progress).error_code, Some("CONSENT_EXPIRED"), "it is asked for once");
}

#[test]
fn a_consent_that_was_renewed_meanwhile_is_used_before_the_customer_is_asked_for_another() {
    let mut story = Story::begins(order(false));
    let needed = || On::Said(Event::ConsentNeeded { code: "CONSENT_EXPIRED".to_owned() });
    story.goes(needed(), "awaiting_consent").goes(known(Some("cns-9")), "initiating");
    let Some(Call::Payments(PaymentsCall::Initiate(initiation))) =
        call(&story.order, &story.progress, Step::Initiate)
    else {
        panic!("it is sent");
    };
    assert_eq!(initiation.consent.as_deref(), Some("cns-9"));
    // The bank does not take that one either: now the customer is asked.
    story.goes(needed(), "awaiting_consent").goes(known(Some("cns-9")), "awaiting_consent");
    assert!(story.asks(Step::AskConsent));
}

#[test]
fn a_price_that_ran_out_while_a_consent_was_renewed_is_quoted_again() {
    let adopted = |auto_start| {
        let mut story = Story::begins(priced(auto_start));
        let code = "CONSENT_EXPIRED".to_owned();
        story.goes(On::Said(Event::ConsentNeeded { code }), "awaiting_consent");
        story.goes(known(None), "awaiting_consent");
        let consent = ProviderConsentId("cns-2".to_owned());
        story.goes(On::Said(Event::ConsentAsked { consent, sca: None }), "awaiting_consent");
        let valid = Event::ConsentSeen { standing: ConsentStanding::Valid, valid_until: None };
        story.goes(On::Said(valid), "awaiting_consent");
        story.goes(On::Said(Event::ConsentAdopted), "awaiting_consent");
        assert!(story.asks(Step::Price));
        story
    };
    adopted(false).goes(On::Said(Event::Priced { price: None }), "initiating");
    let today = || price("0.0860", 17_200);
    adopted(true).goes(On::Said(Event::Priced { price: Some(today()) }), "initiating");
    let mut story = adopted(false);
    story.goes(On::Said(Event::Priced { price: Some(today()) }), "awaiting_user");
    assert_eq!(facts(&story.progress).price, Some(today()), "the payer sees it before anything is sent");
}

#[test]
fn a_bank_that_wants_its_connection_renewed_before_it_answers_moves_no_payment() {
    let mut story = Story::begins(order(false));
    story.goes(created(), "awaiting_sca").goes(On::Said(Event::Disconnected), "awaiting_sca");
    assert_eq!(story.told(), [(Audience::Owner, "consent.expired")]);
    assert!(story.asks(Step::Status));
    story.goes(On::Said(Event::Disconnected), "awaiting_sca");
    assert!(story.told().is_empty(), "it is told once");
    story.goes(seen(TransactionStatus::Acsc), "settled");
}

#[test]
fn a_bank_that_says_otherwise_after_the_end_opens_a_conflict_and_changes_nothing() {
    let mut story = Story::begins(order(false));
    story.goes(created(), "awaiting_sca").goes(seen(TransactionStatus::Rjct), "refused");
    story.ignores(resolved(Truth::Executed));
    story.goes(On::Said(Event::Hinted), "refused");
    assert!(story.asks(Step::Status));
    story.goes(seen(TransactionStatus::Rjct), "refused");
    assert!(view(&story.progress).attention.is_none(), "the bank agrees");
    story.goes(On::Said(Event::Hinted), "refused").goes(seen(TransactionStatus::Acsc), "refused");
    assert_eq!(view(&story.progress).status, Status::Failed, "what was reported stands");
    assert!(view(&story.progress).attention.is_some() && resolvable(&story.progress));
    assert_eq!(story.told(), [(Audience::Operator, "payment.conflict")]);
    story.goes(resolved(Truth::Executed), "settled");
    assert!(matches!(story.progress.state.evidence(), Some(Evidence::Operator { .. })));
    assert_eq!(story.told(), [(Audience::Owner, "payment.corrected_to_completed")]);
}

#[test]
fn a_hint_after_the_end_is_followed_until_the_bank_has_had_time_to_show_the_payment() {
    let mut story = Story::begins(order(false));
    story.goes(On::GaveUp(Step::Initiate, Cause::Unknown), "in_doubt");
    story.goes(resolved(Truth::NotExecuted), "refused");
    story.goes(On::Said(Event::Hinted), "refused");
    for _ in 0..3 {
        assert!(story.asks(Step::Locate));
        story.goes(On::Said(Event::Absent), "refused");
    }
    story.goes(found(TransactionStatus::Acsc), "refused");
    assert!(view(&story.progress).attention.is_some(), "the conflict is seen although it was shown late");

    story.goes(resolved(Truth::NotExecuted), "refused").goes(On::Said(Event::Hinted), "refused");
    for _ in 0..5 {
        story.goes(On::Said(Event::Absent), "refused");
    }
    assert!(view(&story.progress).attention.is_none(), "a bank that keeps knowing of none is believed");
}

#[test]
fn a_conflict_whose_proof_agrees_with_what_was_reported_is_closed() {
    let mut story = Story::begins(order(false));
    story.goes(created(), "awaiting_sca").goes(seen(TransactionStatus::Acsc), "settled");
    story.goes(On::Said(Event::Hinted), "settled").goes(seen(TransactionStatus::Rjct), "settled");
    story.goes(resolved(Truth::Executed), "settled");
    assert!(view(&story.progress).attention.is_none() && story.told().is_empty());
}

#[test]
fn documents_of_version_1_are_read_and_go_on() {
    let stored: serde_json::Value = serde_json::from_str(include_str!("fixtures/v1.json")).expect("JSON");
    for (phase, state) in stored["states"].as_object().expect("states") {
        let (order, state) = upcast(1, stored["order"]["payment"].clone(), state.clone()).expect("is known");
        let order: Instruction = serde_json::from_value(order).expect("an instruction");
        let progress: Progress = serde_json::from_value(state).expect("a progress");
        assert_eq!(view(&progress).phase, phase);
        let lifelines = lifelines(&order, &progress);
        assert!(!lifelines.is_empty(), "{phase} leads on");
    }
    assert!(upcast(3, stored["order"].clone(), stored["order"].clone()).is_none());
}
