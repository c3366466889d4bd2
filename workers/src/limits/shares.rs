//! Who may ask a provider how much: one process' share, from everybody's. Pure, and told the time.
//!
//! The one rule: what the shares of all processes add up to never exceeds the limit, at any moment and, for calls a
//! second, over any second. So a share grows only by what nobody holds; it shrinks only to what its process has obeyed
//! already, and what it held before still counts for a second; and it stays in place until the last call that was made
//! under it has ended, unless its process is known to be dead.

use std::time::Duration;

use workflows::time::At;

use super::pace::{SECOND, SLACK};
use crate::store::NodeId;

/// What a provider takes from all processes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Calls in any second.
    pub per_second: u32,
    /// Calls at once.
    pub in_flight: u32,
}

/// So long does a rate that was given up still count: calls that were made at it are in everybody's last second.
pub const WINDOW: Duration = SECOND.saturating_add(SLACK);

/// From this rate on, one call a second is kept for a process that comes and finds everything held.
const ROOM_FOR_A_NEWCOMER: u32 = 20;

/// Of what nobody asked for, up to this part of the whole stays with nobody: a process that comes after another one's
/// death would otherwise wait until the others cede something, while the dead one's last second still counts.
const LEFT_FREE: u32 = 5;

/// Where there is less to have than there are processes, they take turns of this length.
const TURN: Duration = Duration::from_secs(8);

/// What a process holds of a provider, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Whose.
    pub node: NodeId,
    /// Calls a second.
    pub per_second: u32,
    /// Calls a second that it held before, and that still count,
    pub ceded: u32,
    /// until then.
    pub ceded_until: At,
    /// Calls at once.
    pub in_flight: u32,
    /// What it would like.
    pub wants: Limit,
    /// From here on it holds nothing.
    pub until: At,
}

impl Share {
    /// Nothing.
    pub fn none(node: NodeId) -> Self {
        Share {
            node,
            per_second: 0,
            ceded: 0,
            ceded_until: At::MIN,
            in_flight: 0,
            wants: Limit { per_second: 0, in_flight: 0 },
            until: At::MIN,
        }
    }

    /// The calls a second that nobody else may have.
    pub fn rate_held(&self, now: At) -> u32 {
        let ceded = if now < self.ceded_until { self.ceded } else { 0 };
        if now < self.until { self.per_second.max(ceded) } else { ceded }
    }

    /// The calls at once that nobody else may have.
    pub fn places_held(&self, now: At) -> u32 {
        if now < self.until { self.in_flight } else { 0 }
    }

    /// What is left of it when its process gives it up, or is dead: nothing is asked any more, but the last second's
    /// calls still count.
    #[must_use]
    pub fn given_up(&self, now: At) -> Self {
        let ceded = self.rate_held(now);
        let held_until = if self.ceded_until > now { self.ceded_until } else { At::MIN };
        // A share that ran out by itself has seen its last call longer than a second ago.
        let ceded_until = if now < self.until && self.per_second > 0 { now.plus(WINDOW) } else { held_until };
        Share { ceded, ceded_until, ..Share::none(self.node.clone()) }
    }
}

/// What a process says when it renews its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What all processes together may do.
    pub limit: Limit,
    /// What it does not exceed from here on, and has not since this was put down: its calls that are open included.
    pub obeys: Limit,
    /// What it would like.
    pub wants: Limit,
    /// How long its share is to last.
    pub lasts: Duration,
}

/// A share as it is to be stored, and what its process is to obey from here on. That may be less, never more: as soon
/// as it is obeyed and reported, the rest is free for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// To be stored.
    pub share: Share,
    /// To be obeyed.
    pub obey: Limit,
}

/// Renews the share of a process among those of the others.
pub fn renew(mine: &Share, others: &[Share], report: &Report, now: At) -> Renewed {
    let Report { limit, obeys, wants, lasts } = *report;
    let entitled = entitled(&mine.node, others, report, now);
    let free_rate = left(limit.per_second, others.iter().map(|other| other.rate_held(now)));
    let free_places = left(limit.in_flight, others.iter().map(|other| other.places_held(now)));
    let obey = Limit {
        per_second: entitled.per_second.min(free_rate),
        in_flight: entitled.in_flight.min(free_places),
    };
    // What it has not obeyed yet it still holds. Nothing was held beyond `until`.
    let obeyed = if now < mine.until { obeys } else { Limit { per_second: 0, in_flight: 0 } };
    let per_second = obey.per_second.max(obeyed.per_second);
    let shrinks = now < mine.until && per_second < mine.per_second;
    let share = Share {
        node: mine.node.clone(),
        per_second,
        ceded: mine.rate_held(now),
        ceded_until: if shrinks { now.plus(WINDOW) } else { mine.ceded_until },
        in_flight: obey.in_flight.max(obeyed.in_flight),
        wants,
        until: now.plus(lasts),
    };
    Renewed { share, obey }
}

/// What a process may have by everybody's wants, whoever holds it now: equal parts, where nobody gets more than wanted
/// before everybody has that, and what is left over goes to everybody alike, and to whoever may come.
fn entitled(me: &NodeId, others: &[Share], report: &Report, now: At) -> Limit {
    let living = others.iter().filter(|other| now < other.until);
    let mut everybody: Vec<(&NodeId, Limit)> = living.map(|other| (&other.node, other.wants)).collect();
    everybody.push((me, report.wants));
    everybody.sort_by_key(|(node, _)| &*node.0);
    let part = |total: u32, want: fn(&Limit) -> u32| {
        let wants: Vec<u32> = everybody.iter().map(|(_, wants)| want(wants)).collect();
        let parts = parts(total, &wants, now);
        everybody.iter().zip(parts).find(|((node, _), _)| *node == me).map_or(0, |(_, part)| part)
    };
    let total = report.limit.per_second;
    let kept = u32::from(total >= ROOM_FOR_A_NEWCOMER);
    Limit {
        // Whoever wants anything gets at least the call that is kept.
        per_second: part(total - kept, |wants| wants.per_second).max(kept.min(report.wants.per_second)),
        in_flight: part(report.limit.in_flight, |wants| wants.in_flight),
    }
}

/// Parts of a total among those who want any of it.
fn parts(total: u32, wants: &[u32], now: At) -> Vec<u32> {
    let mut hungry: Vec<usize> = (0..wants.len()).filter(|n| wants[*n] > 0).collect();
    let mut parts = vec![0; wants.len()];
    let count = hungry.len();
    if count == 0 {
        return parts;
    }
    let have = usize::try_from(total).unwrap_or(usize::MAX);
    if have < count {
        let turn = usize::try_from(now.as_micros().div_euclid(i64::try_from(TURN.as_micros()).unwrap_or(1)));
        let first = turn.unwrap_or(0).wrapping_mul(have) % count;
        for n in 0..have {
            parts[hungry[(first + n) % count]] = 1;
        }
        return parts;
    }
    // The modest first: what they leave is for the others.
    hungry.sort_by_key(|n| wants[*n]);
    let mut rest = total;
    for (served, n) in hungry.iter().enumerate() {
        parts[*n] = wants[*n].min(share_of(rest, count - served));
        rest -= parts[*n];
    }
    rest -= share_of(rest, count + 1).min(total / LEFT_FREE);
    for (served, n) in hungry.iter().enumerate() {
        let more = share_of(rest, count - served);
        parts[*n] += more;
        rest -= more;
    }
    parts
}

fn share_of(rest: u32, among: usize) -> u32 {
    rest / u32::try_from(among).unwrap_or(u32::MAX).max(1)
}

fn left(limit: u32, held: impl Iterator<Item = u32>) -> u32 {
    held.fold(limit, u32::saturating_sub)
}

#[cfg(test)]
mod tests;
