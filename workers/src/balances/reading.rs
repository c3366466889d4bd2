//! Asking the bank: the right to, the attempts, and what is kept of the answer.

use std::time::Duration;

use tracing::{error, info, warn};
use uuid::Uuid;
use workflows::engine::{Class, Lane, Refusal};
use workflows::money::{Currency, Money};
use workflows::time::At;

use super::admission::{Entrance, Verdict};
use super::ladder::{FRESH_WHILE_LIMITED, Missed};
use super::store::{Attendance, Begun, End, Entry, Holding, Limit, Limited, Read, ReadId};
use super::{Cause, Parts, Presence, TURN, lease};
use crate::limits::Pass;
use crate::providers::open_banking::Balance;
use crate::providers::{Context, Outcome, Setback, is_own_fault, is_the_providers};
use crate::store::Trouble;

/// Repetitions of a read for a customer who waits (profile: after 1, 2 and 4 s).
const REPETITIONS: u32 = 3;
/// How long a bank that wants fewer calls is left alone when it does not say how long and nothing can be shown meanwhile.
const PAUSE_WITHOUT_EARLIER: Duration = Duration::from_mins(1);
/// How often is looked whether another process has read the account.
const LOOK: Duration = Duration::from_millis(100);
/// The bank's word for a day's reads without the customer that are used up (Berlin Group; AI-20).
const ACCESS_EXCEEDED: &str = "ACCESS_EXCEEDED";

/// The bank, and everything around asking it.
pub struct Reading(pub Parts);

/// What a read is for.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Whether the customer is there.
    pub presence: Presence,
    /// A balance of this time or later needs no read.
    pub fresh_from: At,
    /// Whether an earlier balance can be shown when this read brings none.
    pub has_earlier: bool,
    /// What caused it.
    pub cause: Cause,
}

/// What a read brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landed {
    /// The bank told the balance.
    Live(Entry),
    /// Another process has just read it.
    Fresh(Entry),
    /// No balance.
    Missed(Missed),
    /// The bank wants the customer's consent renewed first.
    ConsentExpired,
}

/// What follows an attempt.
enum Next {
    /// The end, with what is stored of it.
    End(End, Landed),
    /// Another attempt after this pause, or this end.
    Again(Duration, Missed),
}

impl Reading {
    /// The provider's name in lanes.
    pub fn provider(&self) -> &str {
        self.0.bank.provider()
    }

    /// Reads a balance, unless somebody else does so first.
    pub async fn read(&self, of: &Holding, lane: &Lane, errand: &Errand) -> Landed {
        match self.attempts(of, lane, errand).await {
            Ok(landed) => landed,
            Err(trouble) => {
                error!(error = %trouble, cause = %trouble.source, "a balance could not be read");
                Landed::Missed(Missed::Unusable)
            }
        }
    }

    async fn attempts(&self, of: &Holding, lane: &Lane, errand: &Errand) -> Result<Landed, Trouble> {
        let presence = errand.presence;
        let id = ReadId(self.0.ids.random());
        let mut repetitions = 0;
        loop {
            if let Some(landed) = self.begin(of, id, errand).await? {
                return Ok(landed);
            }
            let Some(pass) = self.0.limits.pass_aside(self.provider(), TURN).await else {
                return self.unsent(of, id, Missed::Limited).await;
            };
            // A shut lane cuts the repetitions short.
            let leave = match self.0.admission.enter(lane).await {
                Entrance::Open(leave) => leave,
                Entrance::Down => return self.unsent(of, id, Missed::Down).await,
                Entrance::Resting => return self.unsent(of, id, Missed::Limited).await,
            };
            let asked_at = self.0.clock.now();
            let outcome = self.ask(of, errand, pass).await;
            match self.verdict(&outcome, errand, repetitions) {
                Some(verdict) => leave.brought(verdict).await,
                None => leave.unused().await,
            }
            told(of, self.provider(), &outcome);
            let (end, landed) = match self.judge(of, errand, outcome, asked_at, repetitions) {
                Next::Again(pause, _) if repetitions < REPETITIONS && is_there(presence) => {
                    repetitions += 1;
                    tokio::time::sleep(pause).await;
                    continue;
                }
                Next::Again(_, missed) => (End::Nothing, Landed::Missed(missed)),
                Next::End(end, landed) => (end, landed),
            };
            if landed == Landed::ConsentExpired {
                self.0.registry.expire_consent(&of.bank, &of.consent.0, self.0.clock.now()).await?;
            }
            self.0.store.end_read(of, id, end).await?;
            return Ok(landed);
        }
    }

    /// Waits for the right to one call; `None` when it is there, else why it is not needed or cannot be had.
    async fn begin(&self, of: &Holding, id: ReadId, errand: &Errand) -> Result<Option<Landed>, Trouble> {
        loop {
            let now = self.0.clock.now();
            let lease_until = lease(&self.0.patience, now);
            let attendance = errand.presence.attendance();
            let read = Read { id, attendance, fresh_from: errand.fresh_from, lease_until };
            let instead = match self.0.store.begin_read(of, &read, now).await? {
                Begun::Granted => return Ok(None),
                Begun::Fresh(entry) => Landed::Fresh(entry),
                Begun::Limited(_) => Landed::Missed(Missed::Limited),
                Begun::Spent(_) => Landed::Missed(Missed::Spent),
                Begun::Underway(_) => {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
            };
            return Ok(Some(instead));
        }
    }

    /// The end of a read that was granted and not made.
    async fn unsent(&self, of: &Holding, id: ReadId, missed: Missed) -> Result<Landed, Trouble> {
        self.0.store.end_read(of, id, End::Unsent).await?;
        Ok(Landed::Missed(missed))
    }

    async fn ask(&self, of: &Holding, errand: &Errand, pass: Pass) -> Outcome<Vec<Balance>> {
        let cause = &errand.cause;
        let ip = match errand.presence {
            Presence::Customer(ip) => Some(ip),
            Presence::Nobody => None,
        };
        let context = Context {
            pass,
            request_id: Uuid::from_u128(self.0.ids.random()),
            timeout: self.0.patience.attempt,
            traceparent: cause.traceparent.clone(),
            caused_by: cause.request.clone(),
        };
        self.0.bank.balances(&of.account, &of.consent, ip, &context).await
    }

    /// What an answer means. A read without the customer is never repeated: each attempt is one of the four of the day,
    /// and a bank that has just failed would use them all up.
    fn judge(
        &self,
        of: &Holding,
        errand: &Errand,
        outcome: Outcome<Vec<Balance>>,
        asked_at: At,
        repetitions: u32,
    ) -> Next {
        let attended = is_there(errand.presence);
        let step = self.step(repetitions);
        match outcome {
            Ok(balances) => match presented(&balances, of.currency) {
                Some(amount) => {
                    let entry = Entry { amount, synced_at: asked_at };
                    Next::End(End::Told(entry), Landed::Live(entry))
                }
                None => Next::End(End::Nothing, Landed::Missed(Missed::Unusable)),
            },
            Err(Setback::Refused(Refusal { class: Class::Consent, .. })) => {
                Next::End(End::Nothing, Landed::ConsentExpired)
            }
            Err(Setback::Refused(Refusal { class: Class::RateLimited { retry_after }, code })) => {
                let retry_after = wish(retry_after);
                if code != ACCESS_EXCEEDED && self.comes_again(errand, retry_after, repetitions) {
                    return Next::Again(retry_after.unwrap_or(step), Missed::Limited);
                }
                let pause = if errand.has_earlier || code == ACCESS_EXCEEDED {
                    retry_after.unwrap_or_default().max(FRESH_WHILE_LIMITED)
                } else {
                    retry_after.unwrap_or(PAUSE_WITHOUT_EARLIER)
                };
                let day_is_spent = code == ACCESS_EXCEEDED && !attended;
                let whom = if day_is_spent { Limited::Unattended } else { Limited::Everybody };
                let limit = Limit { until: self.0.clock.now().plus(pause), whom };
                Next::End(End::Limited(limit), Landed::Missed(Missed::Limited))
            }
            Err(Setback::Refused(Refusal { class: Class::Credential | Class::Final, .. })) => {
                Next::End(End::Nothing, Landed::Missed(Missed::Unusable))
            }
            Err(Setback::NotSent(_)) if !attended => Next::End(End::Unsent, Landed::Missed(Missed::Down)),
            Err(Setback::NotSent(_) | Setback::Unknown(_)) => Next::Again(self.spread(step), Missed::Down),
        }
    }

    /// What an outcome says about the bank; nothing when it was our own doing that nothing left.
    fn verdict<T>(&self, outcome: &Outcome<T>, errand: &Errand, repetitions: u32) -> Option<Verdict> {
        Some(match outcome {
            Ok(_) => Verdict::Answered,
            // The day's reads of one account are no matter of the bank's other customers.
            Err(Setback::Refused(refusal)) if refusal.code == ACCESS_EXCEEDED => Verdict::Answered,
            Err(Setback::Refused(refusal)) => match refusal.class {
                Class::RateLimited { retry_after } => {
                    let retry_after = wish(retry_after);
                    // The repetition that follows is not to find the lane at rest.
                    let own = if self.comes_again(errand, retry_after, repetitions) {
                        self.step(repetitions)
                    } else {
                        PAUSE_WITHOUT_EARLIER
                    };
                    Verdict::Limited { rests: retry_after.unwrap_or(own) }
                }
                Class::Final | Class::Consent | Class::Credential => Verdict::Answered,
            },
            Err(Setback::Unknown(why)) if is_the_providers(why) => Verdict::ProviderFailed,
            Err(Setback::Unknown(_)) => Verdict::Failed,
            Err(Setback::NotSent(why)) if is_own_fault(why) => return None,
            Err(Setback::NotSent(_)) => Verdict::Unreached,
        })
    }

    /// Whether a read is repeated that the bank had too many calls for: for a customer who has nothing else to be shown,
    /// and soon.
    fn comes_again(&self, errand: &Errand, wish: Option<Duration>, repetitions: u32) -> bool {
        let brief = wish.is_none_or(|wish| wish <= self.0.patience.retry_base.saturating_mul(4));
        brief && !errand.has_earlier && is_there(errand.presence) && repetitions < REPETITIONS
    }

    /// The pause before the next repetition.
    fn step(&self, repetitions: u32) -> Duration {
        self.0.patience.retry_base.saturating_mul(1 << repetitions)
    }

    /// A pause between half of a step and all of it, so that those who failed together do not come back together.
    fn spread(&self, step: Duration) -> Duration {
        let part = u32::try_from(self.0.ids.random() % 512).unwrap_or_default();
        (step / 2).saturating_add(step.saturating_mul(part) / 1024)
    }
}

/// The one of several balances that is shown: in the account's own currency, what can be spent before what is booked.
/// Balances of another day, and those that are none of the account holder's money, are not shown.
fn presented(balances: &[Balance], currency: Currency) -> Option<Money> {
    const KINDS: [&str; 4] = ["expected", "interimAvailable", "interimBooked", "closingBooked"];
    let mine = || balances.iter().filter(|balance| balance.amount.currency == currency);
    KINDS.iter().find_map(|kind| mine().find(|balance| balance.kind == *kind)).map(|balance| balance.amount)
}

fn is_there(presence: Presence) -> bool {
    presence.attendance() == Attendance::Attended
}

/// A bank's wish for a wait, unless it is for none at all.
fn wish(retry_after: Option<Duration>) -> Option<Duration> {
    retry_after.filter(|wish| !wish.is_zero())
}

/// The lines that the runbooks look for (AI-46, AI-47).
fn told(of: &Holding, provider: &str, outcome: &Outcome<Vec<Balance>>) {
    let bank = of.bank.0.as_str();
    match outcome {
        Ok(_) => {}
        Err(Setback::Refused(Refusal { class: Class::Consent, code })) => {
            info!(service = "aisp", provider, bank, code, "AISP consent expired");
        }
        Err(Setback::Refused(Refusal { class: Class::Credential, code })) => {
            error!(service = "aisp", provider, bank, code, "AISP 401 Unauthorized");
        }
        Err(Setback::Refused(Refusal { class: Class::RateLimited { .. }, code })) => {
            warn!(service = "aisp", provider, bank, code, event = "rate_limit", "AISP rate_limit");
        }
        Err(Setback::Refused(Refusal { class: Class::Final, code })) => {
            warn!(service = "aisp", provider, bank, code, "AISP read refused");
        }
        Err(Setback::Unknown(why)) => {
            warn!(
                service = "aisp",
                provider,
                bank,
                why,
                event = "AISP API timeout",
                "Bank API unavailable: {bank}"
            );
        }
        Err(Setback::NotSent(why)) if is_own_fault(why) => {
            warn!(service = "aisp", provider, bank, why, "a balance was not asked for");
        }
        Err(Setback::NotSent(why)) => {
            warn!(service = "aisp", provider, bank, why, event = "ECONNREFUSED", "Neonomics API unreachable");
        }
    }
}
