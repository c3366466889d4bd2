//! A bank as the laws see it: every way it may answer, lie low, be late or change its mind within its contract.

use super::{By, Event, Instruction, Progress, Step, Timer, Truth, resolvable};
use crate::engine::laws::Brought;
use crate::engine::{Cause, Class, Finding, Refusal, Status};
use crate::money::{Currency, Money, Rate};
use crate::ports::consents::{ConsentStanding, ProviderConsentId};
use crate::ports::payments::{FoundPayment, ProviderPaymentId, TransactionStatus};
use crate::ports::prices::Price;
use crate::ports::{ConsentsReply, PaymentsReply, PricesReply, Reply};
use crate::time::At;

/// The truth at the bank.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// What became of the first payment that was created, if any was.
    pub payment: Bank,
    /// A second payment was created under another key: money may move twice.
    pub second: bool,
    /// Something left us at least once.
    pub sent: bool,
}

/// What a bank knows of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bank {
    Nothing,
    /// The request is still on the wire or in the bank's queue and will be carried out.
    OnTheWire,
    Pending,
    Authorised,
    Executed,
    Rejected,
    Cancelled,
}

pub fn beginning() -> World {
    World { payment: Bank::Nothing, second: false, sent: false }
}

pub fn drift(world: &World) -> Vec<World> {
    let to = |payment| World { payment, ..world.clone() };
    match world.payment {
        Bank::OnTheWire => vec![to(Bank::Pending)],
        // The payer approves or denies, or the bank lets it lapse.
        Bank::Pending => vec![to(Bank::Authorised), to(Bank::Rejected), to(Bank::Cancelled)],
        Bank::Authorised => vec![to(Bank::Executed), to(Bank::Rejected)],
        Bank::Nothing | Bank::Executed | Bank::Rejected | Bank::Cancelled => vec![],
    }
}

pub fn bring(order: &Instruction, world: &World, step: Step) -> Vec<(Brought, World)> {
    let same = world.clone();
    let mut may = answers(order, world, step);
    // A bank may want its connection renewed before it says anything at all.
    if matches!(step, Step::Initiate | Step::Status | Step::Locate | Step::Cancel) {
        may.push((refusal("CONSENT_EXPIRED", Class::Consent), same));
    }
    may
}

fn answers(order: &Instruction, world: &World, step: Step) -> Vec<(Brought, World)> {
    let same = world.clone();
    match step {
        Step::Initiate => initiate(order, world),
        Step::Status => vec![
            (done(PaymentsReply::Standing { status: status(world.payment), reason: None }), same.clone()),
            (
                done(PaymentsReply::Standing {
                    status: status(world.payment),
                    reason: (world.payment == Bank::Rejected).then(|| "AM04".to_owned()),
                }),
                same,
            ),
        ],
        Step::Locate => {
            let found = match world.payment {
                Bank::Nothing | Bank::OnTheWire => vec![],
                known @ (Bank::Pending
                | Bank::Authorised
                | Bank::Executed
                | Bank::Rejected
                | Bank::Cancelled) => vec![FoundPayment { payment: id(), status: status(known) }],
            };
            vec![(done(PaymentsReply::Found(found)), same)]
        }
        Step::Cancel => cancel(world),
        Step::Price => vec![
            (found(Reply::Prices(PricesReply::Kept)), same.clone()),
            (found(Reply::Prices(PricesReply::Quoted(todays()))), same.clone()),
            (found(Reply::Prices(PricesReply::None)), same.clone()),
            (Brought::GaveUp(Cause::NotSent), same),
        ],
        Step::FindConsent => {
            let known = |consent| found(Reply::Consents(ConsentsReply::Known { consent }));
            let of = |id: &str| Some(ProviderConsentId(id.to_owned()));
            vec![
                (known(None), same.clone()),
                (known(of("consent-1")), same.clone()),
                (known(of("cns-3")), same.clone()),
                (refusal("ACCOUNT_NOT_FOUND", Class::Final), same.clone()),
                (Brought::GaveUp(Cause::NotSent), same),
            ]
        }
        Step::AskConsent => {
            let asked = ConsentsReply::Asked { consent: ProviderConsentId("cns-2".to_owned()), sca: None };
            vec![
                (found(Reply::Consents(asked)), same.clone()),
                (refusal("SERVICE_BLOCKED", Class::Final), same.clone()),
                (Brought::GaveUp(Cause::Unknown), same),
            ]
        }
        Step::ReadConsent => [ConsentStanding::Waiting, ConsentStanding::Valid, ConsentStanding::Dead]
            .into_iter()
            .map(|standing| ConsentsReply::Standing { standing, valid_until: None })
            .map(|reply| (found(Reply::Consents(reply)), same.clone()))
            .chain([(refusal("CONSENT_UNKNOWN", Class::Consent), same.clone())])
            .collect(),
        Step::AdoptConsent => vec![
            (found(Reply::Consents(ConsentsReply::Adopted)), same.clone()),
            (refusal("ACCOUNT_NOT_FOUND", Class::Final), same.clone()),
            (Brought::GaveUp(Cause::NotSent), same),
        ],
    }
}

/// The bank's visibility lag is over: nothing can still be on its way.
pub fn may_fire(world: &World, timer: Timer) -> bool {
    timer != Timer::Ripe || world.payment != Bank::OnTheWire
}

pub fn outside(progress: &Progress) -> Vec<Event> {
    let mut said = vec![
        Event::CancelAsked { by: By::User },
        Event::CancelAsked { by: By::Compensation },
        Event::Continued,
        Event::Returned { payment: None },
        Event::Hinted,
    ];
    // An operator resolves with proof, so what is said is what is true.
    if resolvable(progress) {
        said.push(Event::Resolved { outcome: Truth::NotExecuted, reference: "letter".to_owned() });
    }
    said
}

pub fn judge(view: Status, evidence: bool, proven_by_hand: bool, world: &World) -> Result<(), String> {
    if world.second {
        return Err("a second payment was created while the first may live".to_owned());
    }
    let dead = matches!(world.payment, Bank::Nothing | Bank::Rejected | Bank::Cancelled);
    match view {
        _ if view.is_final() && !evidence => Err(format!("{view} without evidence")),
        Status::Completed if world.payment != Bank::Executed && !proven_by_hand => {
            Err(format!("completed while the bank has {:?}", world.payment))
        }
        Status::Failed | Status::Cancelled if !dead && !proven_by_hand => {
            Err(format!("{view} while the bank has {:?}", world.payment))
        }
        Status::Queued if !dead => Err(format!("queued while the bank has {:?}", world.payment)),
        Status::Processing | Status::Queued | Status::Completed | Status::Failed | Status::Cancelled => {
            Ok(())
        }
    }
}

fn initiate(order: &Instruction, world: &World) -> Vec<(Brought, World)> {
    let sent = World { sent: true, ..world.clone() };
    let to = |payment| World { payment, ..sent.clone() };
    let created = |payment| {
        done(PaymentsReply::Created {
            payment: id(),
            status: status(payment),
            sca: Some("https://bank".to_owned()),
        })
    };
    let refused = Finding::Refused(Refusal { code: "INVALID_IBAN".to_owned(), class: Class::Final });
    let replayed = order.terms.replay.is_some();
    let mut may = match world.payment {
        Bank::Nothing => vec![
            (Brought::Found(refused), sent.clone()),
            (created(Bank::Pending), to(Bank::Pending)),
            (created(Bank::Authorised), to(Bank::Authorised)),
            (created(Bank::Executed), to(Bank::Executed)),
            (created(Bank::Rejected), to(Bank::Rejected)),
            (Brought::GaveUp(Cause::Unknown), sent.clone()),
            (Brought::GaveUp(Cause::Unknown), to(Bank::Pending)),
            (Brought::GaveUp(Cause::Unknown), to(Bank::OnTheWire)),
            (Brought::GaveUp(Cause::Unknown), to(Bank::Executed)),
        ],
        // The same key gives the same payment.
        known if replayed => {
            let known = if known == Bank::OnTheWire { Bank::Pending } else { known };
            // A gateway may refuse before anybody looks at the key.
            vec![
                (created(known), to(known)),
                (Brought::GaveUp(Cause::Unknown), to(known)),
                (Brought::Found(refused), to(known)),
                (Brought::GaveUp(Cause::NotSent), to(known)),
            ]
        }
        Bank::Rejected | Bank::Cancelled => vec![(created(Bank::Pending), to(Bank::Pending))],
        Bank::OnTheWire | Bank::Pending | Bank::Authorised | Bank::Executed => {
            vec![(created(Bank::Pending), World { second: true, ..sent.clone() })]
        }
    };
    if world.payment == Bank::Nothing {
        may.push((Brought::GaveUp(Cause::NotSent), world.clone()));
    }
    may
}

fn cancel(world: &World) -> Vec<(Brought, World)> {
    let gone = World { payment: Bank::Cancelled, ..world.clone() };
    let same = world.clone();
    let refused =
        Brought::Found(Finding::Refused(Refusal { code: "STATUS_INVALID".to_owned(), class: Class::Final }));
    match world.payment {
        Bank::Pending => vec![
            (done(PaymentsReply::Cancelled), gone.clone()),
            // It takes none back, or not yet.
            (refused, same.clone()),
            (Brought::GaveUp(Cause::Unknown), gone),
            (Brought::GaveUp(Cause::Unknown), same.clone()),
            (Brought::GaveUp(Cause::NotSent), same),
        ],
        // Perhaps by an attempt of ours whose answer was lost.
        Bank::Cancelled => vec![(done(PaymentsReply::Cancelled), same.clone()), (refused, same)],
        Bank::Nothing | Bank::OnTheWire | Bank::Authorised | Bank::Executed | Bank::Rejected => {
            vec![(refused, same.clone()), (Brought::GaveUp(Cause::Unknown), same)]
        }
    }
}

fn status(bank: Bank) -> TransactionStatus {
    match bank {
        Bank::Nothing | Bank::OnTheWire | Bank::Pending => TransactionStatus::Rcvd,
        Bank::Authorised => TransactionStatus::Acsp,
        Bank::Executed => TransactionStatus::Acsc,
        Bank::Rejected => TransactionStatus::Rjct,
        Bank::Cancelled => TransactionStatus::Canc,
    }
}

fn done(reply: PaymentsReply) -> Brought {
    found(Reply::Payments(reply))
}

fn found(reply: Reply) -> Brought {
    Brought::Found(Finding::Done(reply))
}

fn refusal(code: &str, class: Class) -> Brought {
    Brought::Found(Finding::Refused(Refusal { code: code.to_owned(), class }))
}

/// A price that is not the one of the order.
fn todays() -> Price {
    let rate = Rate::parse("0.0860").expect("a rate");
    Price { rate, receive: Money::new(17_200, Currency::EUR), until: Some(At::EPOCH) }
}

fn id() -> ProviderPaymentId {
    ProviderPaymentId("pay_1".to_owned())
}
