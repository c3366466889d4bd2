//! Balances and the right to read them, on a SQL database.
//!
//! The row of an account in `account_reads` is the lock: whoever holds the right to read wrote it last, and reads
//! without the customer are counted while it is held.

use async_trait::async_trait;
use workflows::money::Money;
use workflows::time::At;

use super::Trouble;
use super::driver::{Driver, Transaction};
use super::sql::{SqlStore, finish, first, lost, not_committed};
use super::value::{Misread, Row, Value};
use crate::balances::{
    Attendance, BalanceStore, Begun, Bounds, Cached, End, Entry, Holding, Limit, Limited, Read, ReadId,
    UNATTENDED_READS, WINDOW,
};

#[async_trait]
impl<D: Driver> BalanceStore for SqlStore<D> {
    async fn balance(&self, of: &Holding) -> Result<Cached, Trouble> {
        const DOING: &str = "read a balance";
        let rows = self
            .read(
                DOING,
                "/* balance */ select b.balance, b.balance_synced_at, r.limited_until, \
                 case when r.limits_all = 1 and r.limited_until > r.everybody_until \
                 then r.limited_until else r.everybody_until end \
                 from bank_accounts b left join account_reads r \
                 on r.bank = b.bank and r.account = b.provider_account and r.consent = $4 \
                 where b.id = $1 and b.bank = $2 and b.provider_account = $3 and b.currency = $5",
                &[
                    of.id.as_str().into(),
                    of.bank.0.as_str().into(),
                    of.account.0.as_str().into(),
                    of.consent.0.as_str().into(),
                    of.currency.as_str().into(),
                ],
            )
            .await?;
        Ok(first(DOING, rows, |row| cached(row, of))?.unwrap_or_default())
    }

    async fn begin_read(&self, of: &Holding, read: &Read, now: At) -> Result<Begun, Trouble> {
        const DOING: &str = "begin to read a balance";
        let mut tx = self.begin(DOING).await?;
        let begun = begin(&mut tx, of, read, now).await.map_err(not_committed(DOING))?;
        // What was not granted leaves no trace: the transaction is rolled back.
        if begun == Begun::Granted {
            finish(DOING, tx).await?;
        }
        Ok(begun)
    }

    async fn end_read(&self, of: &Holding, id: ReadId, end: End) -> Result<(), Trouble> {
        const DOING: &str = "end the read of a balance";
        let mut tx = self.begin(DOING).await?;
        let (until, all) = match end {
            End::Limited(Limit { until, whom }) => (until, whom == Limited::Everybody),
            End::Told(_) | End::Unsent | End::Nothing => (At::EPOCH, false),
        };
        let [bank, account, consent] = key(of);
        tx.touch(
            "/* end read */ update account_reads set \
             lease_until = case when lease = $4 then 0 else lease_until end, \
             limits_all = case when limited_until < $5 then $6 else limits_all end, \
             everybody_until = case \
             when limits_all = 1 and limited_until > everybody_until and limited_until > $5 * $6 \
             then limited_until \
             when everybody_until < $5 * $6 then $5 * $6 else everybody_until end, \
             limited_until = case when limited_until < $5 then $5 else limited_until end \
             where bank = $1 and account = $2 and consent = $3",
            &[bank, account, consent, name(id), until.into(), all.into()],
        )
        .await
        .map_err(lost(DOING))?;
        match end {
            End::Told(entry) => {
                tx.touch(
                    "/* keep balance */ update bank_accounts set balance = $5, balance_synced_at = $6 \
                     where id = $1 and bank = $2 and provider_account = $3 and currency = $4 \
                     and (balance_synced_at is null or balance_synced_at < $6)",
                    &[
                        of.id.as_str().into(),
                        of.bank.0.as_str().into(),
                        of.account.0.as_str().into(),
                        entry.amount.currency.as_str().into(),
                        entry.amount.minor.into(),
                        entry.synced_at.into(),
                    ],
                )
                .await
                .map_err(lost(DOING))?;
            }
            End::Unsent => {
                tx.touch("/* give read back */ delete from unattended_reads where read = $1", &[name(id)])
                    .await
                    .map_err(lost(DOING))?;
            }
            End::Limited(_) | End::Nothing => {}
        }
        finish(DOING, tx).await
    }
}

async fn begin<T: Transaction>(
    tx: &mut T,
    of: &Holding,
    read: &Read,
    now: At,
) -> Result<Begun, super::commit::Failure> {
    let [bank, account, consent] = key(of);
    let unattended = read.attendance == Attendance::Unattended;
    let taken = tx
        .touch(
            "/* begin read */ insert into account_reads \
             (bank, account, consent, lease, lease_until, limited_until, limits_all) \
             values ($1, $2, $3, $4, $5, 0, 0) \
             on conflict (bank, account, consent) do update set \
             lease = excluded.lease, lease_until = excluded.lease_until \
             where (account_reads.lease_until <= $6 or account_reads.lease = excluded.lease) \
             and (account_reads.limited_until <= $6 or account_reads.limits_all < $7) \
             and (account_reads.everybody_until <= $6)",
            &[
                bank.clone(),
                account.clone(),
                consent.clone(),
                name(read.id),
                read.lease_until.into(),
                now.into(),
                // A limit on everybody is 1, on unattended reads 0: a customer passes below 1, and nobody below 0.
                i64::from(!unattended).into(),
            ],
        )
        .await?;
    if taken == 0 {
        return kept_out(tx, of, read, now).await;
    }
    let rows = tx
        .run(
            "/* balance in time */ select balance, balance_synced_at from bank_accounts \
             where id = $1 and bank = $2 and provider_account = $3 and currency = $4 \
             and balance is not null and balance_synced_at >= $5",
            &[
                of.id.as_str().into(),
                bank.clone(),
                account.clone(),
                of.currency.as_str().into(),
                read.fresh_from.into(),
            ],
        )
        .await?;
    if let Some(row) = rows.into_iter().next() {
        return Ok(entry(row, of)?.map_or(Begun::Granted, Begun::Fresh));
    }
    if !unattended {
        return Ok(Begun::Granted);
    }
    let from = Value::from(now.minus(WINDOW));
    tx.touch(
        "/* forget reads */ delete from unattended_reads \
         where bank = $1 and account = $2 and consent = $3 and at <= $4",
        &[bank.clone(), account.clone(), consent.clone(), from],
    )
    .await?;
    let counted = tx
        .touch(
            "/* count read */ insert into unattended_reads (read, bank, account, consent, at) \
             select $4, $1, $2, $3, $5 where (select count(*) from unattended_reads \
             where bank = $1 and account = $2 and consent = $3) < $6",
            &[
                bank.clone(),
                account.clone(),
                consent.clone(),
                name(read.id),
                now.into(),
                UNATTENDED_READS.into(),
            ],
        )
        .await?;
    if counted > 0 {
        return Ok(Begun::Granted);
    }
    let rows = tx
        .run(
            "/* oldest read */ select min(at) from unattended_reads \
             where bank = $1 and account = $2 and consent = $3",
            &[bank, account, consent],
        )
        .await?;
    let oldest = rows.into_iter().next().map(|mut row| row.at()).transpose()?.unwrap_or(now);
    Ok(Begun::Spent(oldest.plus(WINDOW)))
}

/// Why the right to read was not given.
async fn kept_out<T: Transaction>(
    tx: &mut T,
    of: &Holding,
    read: &Read,
    now: At,
) -> Result<Begun, super::commit::Failure> {
    let rows = tx
        .run(
            "/* kept out */ select lease, lease_until, limited_until, everybody_until from account_reads \
             where bank = $1 and account = $2 and consent = $3",
            &key(of),
        )
        .await?;
    let mut row = rows.into_iter().next().ok_or(Misread { expected: "the row that stood in the way" })?;
    let (lease, lease_until) = (row.text()?, row.at()?);
    let (limited_until, everybody_until) = (row.at()?, row.at()?);
    let underway = Value::Text(lease) != name(read.id) && lease_until > now;
    let until = match read.attendance {
        Attendance::Unattended => limited_until.max(everybody_until),
        Attendance::Attended if everybody_until > now => everybody_until,
        // An older process wrote it.
        Attendance::Attended => limited_until,
    };
    Ok(if underway { Begun::Underway(lease_until) } else { Begun::Limited(until) })
}

fn cached(mut row: Row, of: &Holding) -> Result<Cached, Misread> {
    let (minor, synced_at) = (row.maybe_int()?, row.maybe_at()?);
    let (unattended, everybody) = (row.maybe_at()?, row.maybe_at()?);
    let some = |until: &At| *until > At::EPOCH;
    // What concerns everybody is no limit of its own on those who come without the customer.
    let unattended = unattended.filter(some).filter(|until| everybody.is_none_or(|all| all < *until));
    let entry = minor
        .zip(synced_at)
        .map(|(minor, synced_at)| Entry { amount: Money::new(minor, of.currency), synced_at });
    Ok(Cached { entry, bounds: Bounds { everybody: everybody.filter(some), unattended } })
}

fn entry(mut row: Row, of: &Holding) -> Result<Option<Entry>, Misread> {
    let (minor, synced_at) = (row.maybe_int()?, row.maybe_at()?);
    Ok(minor
        .zip(synced_at)
        .map(|(minor, synced_at)| Entry { amount: Money::new(minor, of.currency), synced_at }))
}

fn key(of: &Holding) -> [Value; 3] {
    [of.bank.0.as_str().into(), of.account.0.as_str().into(), of.consent.0.as_str().into()]
}

fn name(id: ReadId) -> Value {
    format!("{:032x}", id.0).into()
}
