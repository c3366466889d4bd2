//! The REST contract, from outside. Each case runs on SQLite and on PostgreSQL.

mod auth;
mod idempotency;
mod input;
mod payments;
mod queue;
mod reading;
mod refusals;
mod surface;

use std::sync::Arc;

use crate::bank::Branch;
use crate::client::{Caller, Customer};
use crate::service::{Kind, World};

/// A part of the shared world that belongs to one test: a branch of the bank and a customer of it.
struct Corner {
    world: Arc<World>,
    name: &'static str,
}

impl Corner {
    fn of(kind: Kind, name: &'static str) -> Self {
        Corner { world: World::shared(kind), name }
    }

    async fn branch(&self) -> Branch<'_> {
        self.world.bank.open_branch(self.name).await
    }

    async fn customer(&self, branch: &Branch<'_>) -> Customer {
        Customer::register(&self.base(), branch).await
    }

    fn base(&self) -> String {
        self.world.service.base()
    }

    fn admin(&self) -> Caller {
        Caller::with_token(&self.base(), &crate::tokens::token("adm_1", "admin"))
    }

    fn backend(&self) -> Caller {
        Caller::backend(&self.base())
    }
}
