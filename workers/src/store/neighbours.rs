//! The processes on one database: which of them live, and what each may ask the providers.
//!
//! On PostgreSQL a process shows that it lives by an advisory lock on a connection of its own, which ends with it. Who
//! finds a node's lock free takes it before it buries the node, so that a process that lost its connection and lives is
//! buried whole or not at all: it comes back under the same id when the burial is over, without a share, and its fences
//! guard what was claimed before. On SQLite the file has one process; those that were there before it are dead.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use workflows::time::At;

use super::commit::Failure;
use super::driver::{Driver, Transaction};
use super::sql::{SqlStore, each, finish, not_committed};
use super::statement::Batched;
use super::statement::Column::{Int, Text};
use super::value::{Misread, Row, Value};
use super::{NodeId, Store, Trouble};
use crate::committer::chain;
use crate::limits::budget;
use crate::limits::shares::{Limit, Report, Share, renew};

/// The wait before a lost connection is made anew. It is made by one process once, and everything else waits for it.
const AGAIN: Duration = Duration::from_millis(100);

/// The other processes. Each method but [`Neighbours::live`] is one transaction.
#[async_trait]
pub trait Neighbours: Send + Sync {
    /// Shows that a node lives for as long as this is polled, and says in `alive` whether others can see it.
    async fn live(&self, node: &NodeId, alive: &watch::Sender<bool>);

    /// Looks for other nodes whose processes are dead, makes their claims due at once and frees what they held. Answers
    /// how many there were. One statement when there are none.
    async fn bury(&self, node: &NodeId) -> Result<u64, Trouble>;

    /// Every node that is not buried.
    async fn nodes(&self) -> Result<Vec<NodeId>, Trouble>;

    /// The node's process ends in good order: claims that it did not hand back are due, and what it held is free.
    async fn leave(&self, node: &NodeId) -> Result<(), Trouble>;

    /// Renews a node's share of a provider by [`renew`], and adds what it earned and spent of repetitions, in
    /// thousandths. An answer that does not come leaves a share stored that its node does not use.
    async fn renew_share(
        &self,
        provider: &str,
        node: &NodeId,
        report: &Report,
        untold: i64,
    ) -> Result<Granted, Trouble>;

    /// Frees what a node holds of a provider.
    async fn give_up_share(&self, provider: &str, node: &NodeId) -> Result<(), Trouble>;
}

/// What a node may do from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Calls a second, and at once.
    pub obey: Limit,
    /// The repetitions that all nodes together may make, in thousandths.
    pub balance: i64,
}

#[async_trait]
impl<D: Driver> Neighbours for SqlStore<D> {
    async fn live(&self, node: &NodeId, alive: &watch::Sender<bool>) {
        // An outage is told once, not ten times a second.
        let mut tries = 0;
        loop {
            let failed = match self.driver.live(number(node)).await {
                Ok(life) => match self.announce(node).await {
                    Ok(()) => {
                        tracing::info!(%node, tries, "others see that this process lives");
                        alive.send_replace(true);
                        self.driver.outlive(life).await;
                        alive.send_replace(false);
                        tracing::warn!(%node, "others may have taken this process for dead");
                        tries = 0;
                        None
                    }
                    Err(trouble) => Some(chain(&trouble)),
                },
                Err(error) => Some(error.to_string()),
            };
            if let Some(error) = failed {
                if tries == 0 {
                    tracing::warn!(error, "this process does not show that it lives");
                }
                tries += 1;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn bury(&self, node: &NodeId) -> Result<u64, Trouble> {
        const DOING: &str = "look for dead nodes";
        let Some(sql) = D::DEAD_NODES else { return Ok(0) };
        let dead = each(DOING, self.read(DOING, sql, &[(&node.0).into()]).await?, |mut row| row.text())?;
        let mut buried = 0;
        for node in dead {
            buried += u64::from(self.bury_one(&NodeId(node)).await?);
        }
        Ok(buried)
    }

    async fn nodes(&self) -> Result<Vec<NodeId>, Trouble> {
        const DOING: &str = "list the nodes";
        let rows = self.read(DOING, "/* nodes */ select node from nodes", &[]).await?;
        each(DOING, rows, |mut row| row.text().map(NodeId))
    }

    async fn leave(&self, node: &NodeId) -> Result<(), Trouble> {
        const DOING: &str = "leave";
        let mut tx = self.begin(DOING).await?;
        bury(&mut tx, node, self.now()).await.map_err(not_committed(DOING))?;
        finish(DOING, tx).await
    }

    async fn renew_share(
        &self,
        provider: &str,
        node: &NodeId,
        report: &Report,
        untold: i64,
    ) -> Result<Granted, Trouble> {
        const DOING: &str = "renew a share";
        let mut tx = self.begin(DOING).await?;
        let granted = renew_share(&mut tx, provider, node, report, (untold, self.now()));
        let granted = granted.await.map_err(not_committed(DOING))?;
        finish(DOING, tx).await?;
        Ok(granted)
    }

    async fn give_up_share(&self, provider: &str, node: &NodeId) -> Result<(), Trouble> {
        const DOING: &str = "give a share up";
        let mut tx = self.begin(DOING).await?;
        give_up(&mut tx, provider, node, self.now()).await.map_err(not_committed(DOING))?;
        finish(DOING, tx).await
    }
}

impl<D: Driver> SqlStore<D> {
    /// Buries every node there is: whoever opens a SQLite file as its engine is alone.
    pub(super) async fn bury_everybody(&self) -> Result<(), Trouble> {
        for node in self.nodes().await? {
            self.bury_one(&node).await?;
        }
        Ok(())
    }

    /// Buries a node, unless its process came back or somebody else is burying it.
    async fn bury_one(&self, node: &NodeId) -> Result<bool, Trouble> {
        const DOING: &str = "bury a dead node";
        let mut tx = self.begin(DOING).await?;
        let is_dead = async {
            let sql = "/* is dead */ select n.node from nodes n \
                       where n.node = $1{ and pg_try_advisory_xact_lock(n.number)}";
            let dead = !tx.run(sql, &[(&node.0).into()]).await?.is_empty();
            if dead {
                bury(&mut tx, node, self.now()).await?;
            }
            Ok(dead)
        };
        let is_dead = is_dead.await.map_err(not_committed(DOING))?;
        finish(DOING, tx).await?;
        if is_dead {
            tracing::warn!(%node, "a process is dead; its work is taken over");
        }
        Ok(is_dead)
    }

    async fn announce(&self, node: &NodeId) -> Result<(), Trouble> {
        const DOING: &str = "announce a node";
        static ANNOUNCE: Batched = Batched {
            columns: &[Text("node"), Int("number"), Text("version"), Int("now")],
            sql: "/* announce */ with {d} \
                  insert into nodes (node, number, version, started_at, seen_at) \
                  select node, number, version, now, now from d where node is not null \
                  on conflict (node) do update set seen_at = excluded.seen_at",
            returning: "",
        };
        let mut tx = self.begin(DOING).await?;
        let cells =
            [(&node.0).into(), number(node).into(), env!("CARGO_PKG_VERSION").into(), self.now().into()];
        tx.batch(&ANNOUNCE, &cells).await.map_err(super::sql::lost(DOING))?;
        finish(DOING, tx).await
    }

    fn now(&self) -> At {
        self.clock().now()
    }
}

/// The number of a node's lock: FNV-1a of its id.
fn number(node: &NodeId) -> i64 {
    let hash = node.0.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.cast_signed()
}

async fn bury<T: Transaction>(tx: &mut T, node: &NodeId, now: At) -> Result<(), Failure> {
    tx.touch(
        "/* take over from */ update tasks \
         set due_at = case when due_at < $1 then due_at else $1 end where lease = $2",
        &[now.into(), (&node.0).into()],
    )
    .await?;
    let held = "/* held of */ select provider from shares where node = $1 order by provider";
    for mut row in tx.run(held, &[(&node.0).into()]).await? {
        give_up(tx, &row.text()?, node, now).await?;
    }
    tx.touch("/* strike out */ delete from nodes where node = $1", &[(&node.0).into()]).await?;
    Ok(())
}

async fn renew_share<T: Transaction>(
    tx: &mut T,
    provider: &str,
    node: &NodeId,
    report: &Report,
    (untold, now): (i64, At),
) -> Result<Granted, Failure> {
    let (balance, now) = lock(tx, provider, untold, now).await?;
    let (mine, others) = shares(tx, provider, node).await?;
    let mine = mine.unwrap_or_else(|| Share::none(node.clone()));
    let renewed = renew(&mine, &others, report, now);
    put(tx, provider, &renewed.share).await?;
    if others.iter().any(|other| other.until <= now && other.ceded_until <= now) {
        tx.touch(
            "/* forget shares */ delete from shares where provider = $1 and until <= $2 and ceded_until <= $2",
            &[provider.into(), now.into()],
        )
        .await?;
    }
    Ok(Granted { obey: renewed.obey, balance })
}

async fn give_up<T: Transaction>(tx: &mut T, provider: &str, node: &NodeId, now: At) -> Result<(), Failure> {
    let (_, now) = lock(tx, provider, 0, now).await?;
    if let (Some(mine), _) = shares(tx, provider, node).await? {
        put(tx, provider, &mine.given_up(now)).await?;
    }
    Ok(())
}

/// Makes everybody else wait who changes a share of this provider. Answers the balance of repetitions, and the time by
/// the one clock that all of them share: PostgreSQL's own, asked now; SQLite's is the clock of its only process.
async fn lock<T: Transaction>(
    tx: &mut T,
    provider: &str,
    untold: i64,
    now: At,
) -> Result<(i64, At), Failure> {
    let rows = tx
        .run(
            "/* lock limit */ insert into limits (provider, budget, renewals) \
             values ($1, case when $2 < 0 then $3 + $2 else $3 end, 1) \
             on conflict (provider) do update set renewals = limits.renewals + 1, \
             budget = case when limits.budget + $2 > $3 then $3 \
             when limits.budget + $2 < 0 then 0 else limits.budget + $2 end \
             returning budget, $4{ * 0 + (extract(epoch from clock_timestamp()) * 1000000)::bigint}",
            &[provider.into(), untold.into(), budget::MOST.into(), now.into()],
        )
        .await?;
    let mut row = rows.into_iter().next().ok_or(Misread { expected: "a limit" })?;
    Ok((row.int()?, row.at()?))
}

async fn shares<T: Transaction>(
    tx: &mut T,
    provider: &str,
    node: &NodeId,
) -> Result<(Option<Share>, Vec<Share>), Failure> {
    let rows = tx
        .run(
            "/* shares */ select node, per_second, ceded, ceded_until, in_flight, wants_per_second, \
             wants_in_flight, until from shares where provider = $1",
            &[provider.into()],
        )
        .await?;
    let shares = rows.into_iter().map(share).collect::<Result<Vec<_>, _>>()?;
    let (mine, others): (Vec<Share>, Vec<Share>) = shares.into_iter().partition(|share| share.node == *node);
    Ok((mine.into_iter().next(), others))
}

fn share(mut row: Row) -> Result<Share, Misread> {
    Ok(Share {
        node: NodeId(row.text()?),
        per_second: row.count()?,
        ceded: row.count()?,
        ceded_until: row.at()?,
        in_flight: row.count()?,
        wants: Limit { per_second: row.count()?, in_flight: row.count()? },
        until: row.at()?,
    })
}

async fn put<T: Transaction>(tx: &mut T, provider: &str, share: &Share) -> Result<(), Failure> {
    static PUT: Batched = Batched {
        columns: &[
            Text("provider"),
            Text("node"),
            Int("per_second"),
            Int("ceded"),
            Int("ceded_until"),
            Int("in_flight"),
            Int("wants_per_second"),
            Int("wants_in_flight"),
            Int("until"),
        ],
        sql: "/* put share */ with {d} \
              insert into shares (provider, node, per_second, ceded, ceded_until, in_flight, \
              wants_per_second, wants_in_flight, until) \
              select provider, node, per_second, ceded, ceded_until, in_flight, \
              wants_per_second, wants_in_flight, until from d where provider is not null \
              on conflict (provider, node) do update set per_second = excluded.per_second, \
              ceded = excluded.ceded, ceded_until = excluded.ceded_until, in_flight = excluded.in_flight, \
              wants_per_second = excluded.wants_per_second, wants_in_flight = excluded.wants_in_flight, \
              until = excluded.until",
        returning: "",
    };
    let count = |count: u32| Value::Int(count.into());
    let Share { node, per_second, ceded, ceded_until, in_flight, wants, until } = share;
    let cells: [Value; 9] = [
        provider.into(),
        (&node.0).into(),
        count(*per_second),
        count(*ceded),
        (*ceded_until).into(),
        count(*in_flight),
        count(wants.per_second),
        count(wants.in_flight),
        (*until).into(),
    ];
    tx.batch(&PUT, &cells).await?;
    Ok(())
}
