//! Banks behind the payments port: a small one that keeps its books, and scripted ones that keep the times at which
//! they were asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;
use workers::ports::{AnchoredClock, Clock};
use workers::providers::{Context, Provider};
use workflows::engine::{Class, Finding, Refusal};
use workflows::ports::payments::{FoundPayment, ProviderPaymentId, TransactionStatus};
use workflows::ports::{Call, PaymentsCall, PaymentsReply, Reply};
use workflows::time::At;

use crate::world::SOON;

/// How the small bank treats initiations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Creates them and says so.
    Kind,
    /// Creates the first of each and says nothing.
    Mute,
    /// Is not there.
    Away,
    /// The first attempt makes whoever performs it stop in its tracks.
    Panics,
}

/// A bank that remembers what it created.
pub struct Bank {
    manner: Mutex<Manner>,
    initiations: AtomicUsize,
    payments: Mutex<HashMap<String, TransactionStatus>>,
}

impl Bank {
    pub fn new(manner: Manner) -> Arc<Self> {
        Arc::new(Bank {
            manner: Mutex::new(manner),
            initiations: AtomicUsize::new(0),
            payments: Mutex::default(),
        })
    }

    /// Changes its manner; answers the one before.
    pub fn becomes(&self, manner: Manner) -> Manner {
        std::mem::replace(&mut *self.manner.lock().unwrap(), manner)
    }

    pub fn everybody_approves(&self) {
        for status in self.payments.lock().unwrap().values_mut() {
            *status = TransactionStatus::Acsc;
        }
    }

    /// How many payments it created.
    pub fn created(&self) -> usize {
        self.payments.lock().unwrap().len()
    }

    /// How often it was asked to create one.
    pub fn initiations(&self) -> usize {
        self.initiations.load(Ordering::SeqCst)
    }

    pub fn every_payment_is(&self, status: &TransactionStatus) -> bool {
        self.payments.lock().unwrap().values().all(|one| one == status)
    }

    fn manner(&self) -> Manner {
        *self.manner.lock().unwrap()
    }

    fn initiate(&self, id: String) -> Finding {
        self.initiations.fetch_add(1, Ordering::SeqCst);
        let mut payments = self.payments.lock().unwrap();
        match self.manner() {
            Manner::Away => return Finding::NotSent("nobody is there"),
            Manner::Mute if !payments.contains_key(&id) => {
                payments.insert(id, TransactionStatus::Rcvd);
                return Finding::Unknown("no answer");
            }
            Manner::Kind | Manner::Mute | Manner::Panics => {}
        }
        let status = payments.entry(id.clone()).or_insert(TransactionStatus::Rcvd).clone();
        let sca = Some("https://bank.example/sca".to_owned());
        says(PaymentsReply::Created { payment: ProviderPaymentId(id), status, sca })
    }
}

#[async_trait]
impl Provider for Bank {
    async fn perform(&self, call: &Call, _: &Context) -> Finding {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let Call::Payments(call) = call else { panic!("not about a payment: {call:?}") };
        match call {
            PaymentsCall::Initiate(initiation) => {
                let goes_off =
                    self.manner() == Manner::Panics && self.becomes(Manner::Kind) == Manner::Panics;
                assert!(!goes_off, "planted");
                self.initiate(initiation.end_to_end.as_str().to_owned())
            }
            PaymentsCall::Status { payment, .. } => match self.payments.lock().unwrap().get(&payment.0) {
                Some(status) => stands(status.clone()),
                None => refuses("STATUS_INVALID"),
            },
            PaymentsCall::Locate { end_to_end, .. } => {
                let payments = self.payments.lock().unwrap();
                let found = payments.get_key_value(end_to_end.as_str());
                let found = found.map(|(id, status)| FoundPayment {
                    payment: ProviderPaymentId(id.clone()),
                    status: status.clone(),
                });
                says(PaymentsReply::Found(found.into_iter().collect()))
            }
            PaymentsCall::Cancel { payment, .. } => match self.payments.lock().unwrap().get_mut(&payment.0) {
                Some(status) if *status == TransactionStatus::Rcvd => {
                    *status = TransactionStatus::Canc;
                    says(PaymentsReply::Cancelled)
                }
                Some(_) | None => refuses("STATUS_INVALID"),
            },
            PaymentsCall::Probe { .. } => match self.manner() {
                Manner::Away => Finding::NotSent("nobody is there"),
                Manner::Kind | Manner::Mute | Manner::Panics => says(PaymentsReply::Ready),
            },
        }
    }
}

/// What a bank can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Initiate,
    Status,
    Locate,
    Cancel,
    Probe,
}

impl Question {
    fn of(call: &PaymentsCall) -> Self {
        match call {
            PaymentsCall::Initiate(_) => Question::Initiate,
            PaymentsCall::Status { .. } => Question::Status,
            PaymentsCall::Locate { .. } => Question::Locate,
            PaymentsCall::Cancel { .. } => Question::Cancel,
            PaymentsCall::Probe { .. } => Question::Probe,
        }
    }
}

/// What a script answers to a call, the how manieth of its question, counted from 1.
type Script = dyn Fn(&PaymentsCall, usize) -> BoxFuture<'static, Finding> + Send + Sync;

/// A bank that answers by a script and keeps the time of each question.
pub struct Scripted {
    script: Box<Script>,
    clock: AnchoredClock,
    asked: watch::Sender<Vec<(Question, At)>>,
}

impl Scripted {
    /// A bank that answers at once.
    pub fn new(answer: impl Fn(&PaymentsCall, usize) -> Finding + Send + Sync + 'static) -> Arc<Self> {
        Scripted::slow(move |call, nth| std::future::ready(answer(call, nth)).boxed())
    }

    /// A bank that answers when its script does.
    pub fn slow(
        script: impl Fn(&PaymentsCall, usize) -> BoxFuture<'static, Finding> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let asked = watch::Sender::default();
        Arc::new(Scripted { script: Box::new(script), clock: AnchoredClock::wall(), asked })
    }

    /// When it was asked this so far.
    pub fn times(&self, question: Question) -> Vec<At> {
        times_of(&self.asked.borrow(), question)
    }

    /// How often it was asked this so far.
    pub fn count(&self, question: Question) -> usize {
        self.times(question).len()
    }

    /// Waits until it was asked this so many times.
    pub async fn is_asked(&self, question: Question, times: usize) {
        let mut asked = self.asked.subscribe();
        let enough = asked.wait_for(|asked| times_of(asked, question).len() >= times);
        tokio::time::timeout(SOON, enough)
            .await
            .unwrap_or_else(|_| panic!("{question:?} was not asked {times} times"))
            .expect("this bank stays");
    }
}

#[async_trait]
impl Provider for Scripted {
    async fn perform(&self, call: &Call, _: &Context) -> Finding {
        let Call::Payments(call) = call else { panic!("not about a payment: {call:?}") };
        let (question, now) = (Question::of(call), self.clock.now());
        let mut nth = 0;
        self.asked.send_modify(|asked| {
            asked.push((question, now));
            nth = times_of(asked, question).len();
        });
        (self.script)(call, nth).await
    }
}

/// The bank says so.
pub fn says(reply: PaymentsReply) -> Finding {
    Finding::Done(Reply::Payments(reply))
}

/// The bank has made a payment of this id, and the payer has yet to approve it.
pub fn creates(id: &str) -> Finding {
    let payment = ProviderPaymentId(id.to_owned());
    says(PaymentsReply::Created { payment, status: TransactionStatus::Rcvd, sca: None })
}

/// The payment stands there.
pub fn stands(status: TransactionStatus) -> Finding {
    says(PaymentsReply::Standing { status, reason: None })
}

/// The bank knows this payment under the order's id.
pub fn finds(id: &str, status: TransactionStatus) -> Finding {
    says(PaymentsReply::Found(vec![FoundPayment { payment: ProviderPaymentId(id.to_owned()), status }]))
}

/// The bank knows of no such payment.
pub fn finds_none() -> Finding {
    says(PaymentsReply::Found(vec![]))
}

/// The bank says no, for good.
pub fn refuses(code: &str) -> Finding {
    Finding::Refused(Refusal { code: code.to_owned(), class: Class::Final })
}

/// The bank wants fewer calls, and names a wait.
pub fn wants_fewer_calls(retry_after: Duration) -> Finding {
    let class = Class::RateLimited { retry_after: Some(retry_after) };
    Finding::Refused(Refusal { code: "RATE_LIMIT_EXCEEDED".to_owned(), class })
}

fn times_of(asked: &[(Question, At)], question: Question) -> Vec<At> {
    asked.iter().filter(|(one, _)| *one == question).map(|(_, at)| *at).collect()
}
