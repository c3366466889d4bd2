//! Neighbours in memory: what the tables of `0004_limits` mean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Granted, MemoryStore, Neighbours, NodeId, Store, Trouble};
use crate::limits::budget;
use crate::limits::shares::{Report, Share, renew};

/// Nodes, shares and budgets.
#[derive(Default)]
pub(super) struct Tables {
    nodes: BTreeSet<Arc<str>>,
    living: BTreeSet<Arc<str>>,
    shares: BTreeMap<(Arc<str>, Arc<str>), Share>,
    budgets: BTreeMap<Arc<str>, i64>,
}

impl Tables {
    pub(super) fn somebody_died(&self) -> bool {
        !self.nodes.is_subset(&self.living)
    }
}

#[async_trait]
impl Neighbours for MemoryStore {
    async fn live(&self, node: &NodeId, alive: &watch::Sender<bool>) {
        let living = Living { store: self, node };
        {
            let mut tables = self.tables();
            tables.neighbours.nodes.insert(Arc::clone(&node.0));
            tables.neighbours.living.insert(Arc::clone(&node.0));
        }
        alive.send_replace(true);
        std::future::pending::<()>().await;
        drop(living);
    }

    async fn bury(&self, node: &NodeId) -> Result<u64, Trouble> {
        let dead: Vec<NodeId> = {
            let tables = self.tables();
            let dead = tables.neighbours.nodes.difference(&tables.neighbours.living);
            dead.filter(|dead| **dead != node.0).map(|dead| NodeId(Arc::clone(dead))).collect()
        };
        for dead in &dead {
            self.leave(dead).await?;
        }
        Ok(dead.len().try_into().unwrap_or(u64::MAX))
    }

    async fn nodes(&self) -> Result<Vec<NodeId>, Trouble> {
        Ok(self.tables().neighbours.nodes.iter().map(|node| NodeId(Arc::clone(node))).collect())
    }

    async fn leave(&self, node: &NodeId) -> Result<(), Trouble> {
        let now = self.clock().now();
        let mut tables = self.tables();
        tables.take_over(|holder| holder == node, now);
        tables.neighbours.nodes.remove(&node.0);
        for share in tables.neighbours.shares.values_mut().filter(|share| share.node == *node) {
            *share = share.given_up(now);
        }
        Ok(())
    }

    async fn renew_share(
        &self,
        provider: &str,
        node: &NodeId,
        report: &Report,
        untold: i64,
    ) -> Result<Granted, Trouble> {
        let now = self.clock().now();
        let mut tables = self.tables();
        let Tables { shares, budgets, .. } = &mut tables.neighbours;
        let of_provider =
            shares.iter().filter(|((of, _), _)| **of == *provider).map(|(_, share)| share.clone());
        let (mine, others): (Vec<Share>, Vec<Share>) = of_provider.partition(|share| share.node == *node);
        let mine = mine.into_iter().next().unwrap_or_else(|| Share::none(node.clone()));
        let renewed = renew(&mine, &others, report, now);
        shares.insert((provider.into(), Arc::clone(&node.0)), renewed.share);
        let balance = budgets.entry(provider.into()).or_insert(budget::MOST);
        *balance = budget::after(*balance, untold);
        Ok(Granted { obey: renewed.obey, balance: *balance })
    }

    async fn give_up_share(&self, provider: &str, node: &NodeId) -> Result<(), Trouble> {
        let now = self.clock().now();
        let mut tables = self.tables();
        let key = (Arc::from(provider), Arc::clone(&node.0));
        if let Some(share) = tables.neighbours.shares.get_mut(&key) {
            *share = share.given_up(now);
        }
        Ok(())
    }
}

/// Shown for as long as it is there.
struct Living<'a> {
    store: &'a MemoryStore,
    node: &'a NodeId,
}

impl Drop for Living<'_> {
    fn drop(&mut self) {
        self.store.tables().neighbours.living.remove(&self.node.0);
    }
}
