//! How long it takes to accept a payment while the queue is long, beside an empty database: the same orders, one after the
//! other, so that whatever else the machine does happens to both.

use std::ops::Range;
use std::time::Duration;

use workers::engine::{Engine, Started};
use workers::ports::{AnchoredClock, Clock};
use workers::store::Trouble;
use workflows::ids::WorkflowId;

use super::days::Days;
use crate::orders;
use crate::plan::Order;

/// The most that are timed.
const MOST: u32 = 4_000;

/// Real times from a start to its answer.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// With the queue full.
    pub parked: Vec<Duration>,
    /// In an empty database.
    pub empty: Vec<Duration>,
}

impl Latencies {
    /// The payments that are timed: the last ones that come while the provider is away, a quarter of all at most.
    pub fn of(days: Days) -> Range<u32> {
        let end = days.payments_until(days.returns());
        end.saturating_sub(MOST.min(days.payments_until(days.away) / 4))..end
    }

    /// Starts an order in both, the one first and then the other, by turns.
    pub async fn both(
        &mut self,
        full: &Engine,
        empty: &Engine,
        order: &Order,
        id: WorkflowId,
    ) -> Result<Started, Trouble> {
        if order.number.is_multiple_of(2) {
            timed(&mut self.empty, empty, order, id).await?;
            timed(&mut self.parked, full, order, id).await
        } else {
            let started = timed(&mut self.parked, full, order, id).await;
            timed(&mut self.empty, empty, order, id).await?;
            started
        }
    }
}

async fn timed(
    times: &mut Vec<Duration>,
    engine: &Engine,
    order: &Order,
    id: WorkflowId,
) -> Result<Started, Trouble> {
    let wall = AnchoredClock::wall();
    let began = wall.now();
    let started = orders::start(engine, order, id, order.minor).await;
    times.push(wall.now().since(began));
    started
}

/// The time that so many of a hundred do not exceed.
pub fn percentile(times: &[Duration], of_hundred: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() * of_hundred).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}
