//! The store of balances as a definition: the SQL stores are held to it by the suite in `tests/store/`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use workflows::ids::BankAccountId;
use workflows::ports::payments::BankId;
use workflows::time::At;

use super::store::{
    Attendance, BalanceStore, Begun, Bounds, Cached, End, Entry, Holding, Read, ReadId, UNATTENDED_READS,
    WINDOW,
};
use crate::providers::open_banking::{AccountId, ConsentId};
use crate::store::Trouble;

/// Balances that are forgotten at the end of the process.
#[derive(Default)]
pub struct MemoryBalances(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    balances: HashMap<BankAccountId, (BankId, AccountId, Entry)>,
    accounts: HashMap<Key, Reads>,
}

/// A bank counts reads by account and consent.
type Key = (BankId, AccountId, ConsentId);

/// The reads of one account under one consent.
#[derive(Default)]
struct Reads {
    lease: Option<(ReadId, At)>,
    bounds: Bounds,
    unattended: Vec<(ReadId, At)>,
}

impl MemoryBalances {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BalanceStore for MemoryBalances {
    async fn balance(&self, of: &Holding) -> Result<Cached, Trouble> {
        let tables = self.tables();
        let bounds = tables.accounts.get(&key(of)).map(|reads| reads.bounds).unwrap_or_default();
        Ok(Cached { entry: tables.entry(of), bounds })
    }

    async fn begin_read(&self, of: &Holding, read: &Read, now: At) -> Result<Begun, Trouble> {
        let mut tables = self.tables();
        let entry = tables.entry(of);
        let reads = tables.accounts.entry(key(of)).or_default();
        let unattended = read.attendance == Attendance::Unattended;
        if let Some((_, until)) = reads.lease.filter(|(id, until)| *id != read.id && *until > now) {
            return Ok(Begun::Underway(until));
        }
        if let Some(until) = reads.bounds.keep_out(read.attendance, now) {
            return Ok(Begun::Limited(until));
        }
        if let Some(entry) = entry.filter(|entry| entry.synced_at >= read.fresh_from) {
            return Ok(Begun::Fresh(entry));
        }
        if unattended {
            reads.unattended.retain(|(_, at)| *at > now.minus(WINDOW));
            let spent = i64::try_from(reads.unattended.len()).is_ok_and(|count| count >= UNATTENDED_READS);
            if let Some((_, oldest)) = reads.unattended.first().filter(|_| spent) {
                return Ok(Begun::Spent(oldest.plus(WINDOW)));
            }
            reads.unattended.push((read.id, now));
        }
        reads.lease = Some((read.id, read.lease_until));
        Ok(Begun::Granted)
    }

    async fn end_read(&self, of: &Holding, id: ReadId, end: End) -> Result<(), Trouble> {
        let mut tables = self.tables();
        let newest = tables.entry(of).map(|entry| entry.synced_at);
        let reads = tables.accounts.entry(key(of)).or_default();
        if reads.lease.is_some_and(|(holder, _)| holder == id) {
            reads.lease = None;
        }
        match end {
            End::Told(entry) => {
                if newest.is_none_or(|newest| newest < entry.synced_at) {
                    let told = (of.bank.clone(), of.account.clone(), entry);
                    tables.balances.insert(of.id.clone(), told);
                }
            }
            End::Limited(limit) => reads.bounds = reads.bounds.with(limit),
            End::Unsent => reads.unattended.retain(|(read, _)| *read != id),
            End::Nothing => {}
        }
        Ok(())
    }
}

impl Tables {
    fn entry(&self, of: &Holding) -> Option<Entry> {
        let (bank, account, entry) = self.balances.get(&of.id)?;
        (*bank == of.bank && *account == of.account && entry.amount.currency == of.currency).then_some(*entry)
    }
}

fn key(of: &Holding) -> Key {
    (of.bank.clone(), of.account.clone(), of.consent.clone())
}
