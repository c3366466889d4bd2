//! The world of the outage: two processes over one SQLite file, customers who come one after the other, and those who are
//! asked to come back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::sleep;
use workers::controls::ramp::Stages;
use workers::controls::{self, Controls};
use workers::engine::{Engine, Started};
use workers::limits::{Limit, Terms};
use workers::ports::{Clock, Ids};
use workers::process::{Neighbourhood, Options, assemble_among};
use workers::providers::http::HttpPort;
use workers::providers::open_banking::OpenBanking;
use workers::providers::{Context, Provider, TokenSource};
use workers::store::{Store, Trouble};
use workflows::engine::{Book, Finding};
use workflows::ids::WorkflowId;
use workflows::payment::Event;
use workflows::ports::{Call, PricesCall};
use workflows::qr_payment::QrPayment;
use workflows::remittance::Remittance;
use workflows::time::At;

use super::bank::{Bank, Door, Nowhere};
use super::customers::{Customers, id_of, number_of};
use super::days::Days;
use super::latency::Latencies;
use super::witness::Witness;
use crate::breach::{Breaches, Rule};
use crate::chance::Chance;
use crate::files::Kept;
use crate::house;
use crate::orders;
use crate::ports::{Seeded, Virtual};

/// What the provider takes from all processes together, as delivered.
pub const LIMIT: Limit = Limit { per_second: 50, in_flight: 10 };
/// Processes over the one store.
const PROCESSES: u64 = 2;
/// Steps in flight of each, as delivered.
const HANDS: usize = 256;
/// How long claims last.
const LEASE: Duration = Duration::from_secs(10);
/// How often a process that has nothing to do looks for the work of others.
const QUIET: Duration = Duration::from_secs(5);
/// A customer who sees another price than was promised comes again after so long,
const THINKS: Duration = Duration::from_secs(20);
/// so often at most.
const MOST_RETURNS: usize = 5;
/// How often it is looked whether everything has ended.
const LOOK: Duration = Duration::from_mins(10);
/// By then everything has ended, or never will.
const PATIENCE: Duration = Duration::from_hours(80);

/// Everything in it.
pub struct Scene {
    /// When what happens.
    pub days: Days,
    /// The beginning.
    pub epoch: At,
    /// Its time.
    pub clock: Arc<Virtual>,
    /// Who pays.
    pub customers: Customers,
    /// The provider.
    pub bank: Arc<Bank>,
    /// What commits show.
    pub witness: Arc<Witness>,
    /// What must not happen and did.
    pub breaches: Arc<Breaches>,
    /// How queues are let through.
    pub ramp: Stages,
    /// Everything else that is drawn.
    pub chance: Chance,
}

impl Scene {
    /// Lives through it; answers how long starts took, here and in an empty database.
    ///
    /// # Errors
    /// When a database does not answer the first question.
    pub async fn play(
        self: &Arc<Self>,
        parked: &Kept,
        empty: &Kept,
        asked_back: mpsc::UnboundedReceiver<WorkflowId>,
    ) -> Result<Latencies, Trouble> {
        let mut engines = Vec::new();
        for which in 0..PROCESSES {
            let line = Arc::new(Door(Arc::clone(&self.bank)));
            engines.push(self.process(parked, line, which).await?.0);
        }
        let aside = self.process(empty, Arc::new(Nowhere), PROCESSES).await?;
        tokio::spawn(returns(Arc::clone(self), engines.clone(), asked_back));
        let latencies = self.arrivals(&engines, aside).await;
        while self.witness.seen().live > 0 && self.since_the_beginning() < PATIENCE {
            sleep(LOOK).await;
        }
        Ok(latencies)
    }

    /// How long it has lasted.
    pub fn since_the_beginning(&self) -> Duration {
        self.clock.now().since(self.epoch)
    }

    /// A process over a database, with everything that production has between it and the provider.
    async fn process(
        &self,
        kept: &Kept,
        line: Arc<dyn HttpPort>,
        which: u64,
    ) -> Result<(Engine, AbortHandle), Trouble> {
        let clock: Arc<dyn Clock> = Arc::<Virtual>::clone(&self.clock);
        let ids: Arc<dyn Ids> = Arc::new(Seeded::of(self.chance.fork("ids", which), Arc::clone(&self.clock)));
        let store: Arc<dyn Store> = Arc::clone(&kept.store);
        let ramp = self.ramp.clone();
        let settings = controls::Settings { rate: LIMIT.per_second, ramp, ..controls::Settings::default() };
        let controls =
            Controls::open(Arc::<dyn Store>::clone(&store), Arc::clone(&clock), &*ids, settings).await?;
        let bank = OpenBanking::over(
            line,
            "neonomics".into(),
            TokenSource::None,
            Arc::clone(&clock),
            Arc::clone(&ids),
        );
        let terms = Terms { limit: LIMIT, retry_percent: 10, longest_call: Duration::from_secs(35) };
        let neighbourhood = Neighbourhood {
            neighbours: Arc::clone(&kept.neighbours),
            limits: [("neonomics".into(), terms)].into(),
            clock,
        };
        let provider = Arc::new(AtHome { payments: bank, chance: self.chance.fork("house", 0) });
        let options = Options { steps_in_flight: HANDS, lease: LEASE, grace: LEASE };
        let book = Book::default().with::<Remittance>().with::<QrPayment>();
        let (engine, work) = assemble_among(neighbourhood, (store, &controls), book, provider, ids, options);
        let run = tokio::spawn(async move {
            if let Some(work) = work {
                work.run_bare(pending(), QUIET).await;
            }
        });
        Ok((engine, run.abort_handle()))
    }

    /// Customers come, each when it is time. The last ones before the provider is back are timed, beside the same orders
    /// in a database that holds nothing.
    async fn arrivals(&self, engines: &[Engine], (aside, ends): (Engine, AbortHandle)) -> Latencies {
        let mut latencies = Latencies::default();
        let mut chance = self.chance.fork("arrivals", 0);
        let timed = Latencies::of(self.days);
        for number in 0..self.days.payments {
            let order = self.customers.number(number).order;
            sleep(order.at.saturating_sub(self.since_the_beginning())).await;
            let id = id_of(number, self.clock.now(), &mut chance);
            let engine = usize::try_from(number).ok().and_then(|number| engines.get(number % engines.len()));
            let Some(engine) = engine else { continue };
            let started = if timed.contains(&number) {
                latencies.both(engine, &aside, &order, id).await
            } else {
                orders::start(engine, &order, id, order.minor).await
            };
            if number == timed.end {
                ends.abort();
            }
            if !matches!(started, Ok(Started::New(_))) {
                let what = "an order was not accepted".to_owned();
                self.breaches.add(Rule::DurableAccept, Some(number.into()), what);
            }
        }
        latencies
    }

    async fn comes_back(&self, engine: &Engine, id: WorkflowId) {
        for _ in 0..MOST_RETURNS {
            let still = engine.get(id).await.ok().flatten();
            if still.is_none_or(|instance| &*instance.phase != "awaiting_user") {
                return;
            }
            if let Err(trouble) = engine.tell(id, &Event::Continued, "usr_kari", None).await {
                let number = Some(number_of(id).into());
                self.breaches.add(Rule::Liveness, number, trouble.to_string());
            }
            sleep(THINKS).await;
        }
    }
}

/// Lets those who are asked to come back do so, each after a while, and some never.
async fn returns(scene: Arc<Scene>, engines: Vec<Engine>, mut asked: mpsc::UnboundedReceiver<WorkflowId>) {
    let mut agenda: BinaryHeap<Reverse<(At, WorkflowId)>> = BinaryHeap::new();
    loop {
        let now = scene.clock.now();
        let next = agenda.peek().map(|Reverse((at, _))| at.since(now));
        tokio::select! {
            biased;
            id = asked.recv() => {
                let Some(id) = id else { return };
                if let Some(after) = scene.customers.number(number_of(id)).returns {
                    agenda.push(Reverse((now.plus(after), id)));
                }
            }
            () = sleep(next.unwrap_or(LOOK)) => {
                let is_due = agenda.peek().is_some_and(|Reverse((at, _))| *at <= scene.clock.now());
                if is_due
                    && let (Some(Reverse((_, id))), Some(engine)) = (agenda.pop(), engines.first().cloned())
                {
                    let scene = Arc::clone(&scene);
                    tokio::spawn(async move { scene.comes_back(&engine, id).await });
                }
            }
        }
    }
}

/// The provider of a process: payments go to the bank, prices and consents are answered here.
struct AtHome<P> {
    payments: P,
    chance: Chance,
}

#[async_trait]
impl<P: Provider> Provider for AtHome<P> {
    async fn perform(&self, call: &Call, context: &Context) -> Finding {
        let (_, reply) = match call {
            Call::Payments(_) | Call::Nothing { .. } => return self.payments.perform(call, context).await,
            Call::Consents(call) => house::consent(self.chance, call),
            Call::Prices(PricesCall::Renew { amount, price }) => house::price_of(*amount, price),
        };
        Finding::Done(reply)
    }
}
