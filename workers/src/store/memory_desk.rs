//! What people decide and providers push, in memory: the definition that the SQL stores are held to.

use std::collections::BTreeMap;

use async_trait::async_trait;
use workflows::ids::ApprovalId;
use workflows::time::At;

use super::Trouble;
use super::memory::MemoryStore;
use crate::actions::{Action, Actions};
use crate::approvals::{Approval, Approvals, Asked, Decided, Decision, Outcome, Request, Standing, Which};
use crate::notices::{Notice, Notices};

/// The tables of the operators' desk.
#[derive(Default)]
pub(super) struct Desk {
    approvals: BTreeMap<ApprovalId, Approval>,
    actions: Vec<Action>,
    notices: BTreeMap<(String, String), Notice>,
}

#[async_trait]
impl Approvals for MemoryStore {
    async fn ask(&self, request: &Request) -> Result<Asked, Trouble> {
        let mut tables = self.tables();
        let revision = tables.instances.get(&request.instance).map(|instance| instance.seq);
        if revision != Some(request.revision) {
            return Ok(Asked::Moved);
        }
        let is_open = |other: &&Approval| {
            other.request.instance == request.instance
                && other.standing(request.created_at) == Standing::Pending
        };
        if let Some(open) = tables.desk.approvals.values().find(is_open) {
            return Ok(Asked::Open(open.request.id));
        }
        tables.desk.approvals.insert(request.id, Approval::filed(request.clone()));
        Ok(Asked::Filed)
    }

    async fn decide(&self, id: ApprovalId, decision: &Decision, checked_on: i64) -> Result<Decided, Trouble> {
        let mut tables = self.tables();
        let Some(approval) = tables.desk.approvals.get(&id) else { return Ok(Decided::NotFound) };
        let revision = tables.instances.get(&approval.request.instance).map(|instance| instance.seq);
        if let Err(rule) = approval.judge(decision, checked_on, revision) {
            return Ok(Decided::Forbidden(rule));
        }
        let decided = Approval { decision: Some(decision.clone()), ..approval.clone() };
        tables.desk.approvals.insert(id, decided.clone());
        Ok(Decided::Done(Box::new(decided)))
    }

    async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, Trouble> {
        Ok(self.tables().desk.approvals.get(&id).cloned())
    }

    async fn approvals(&self, which: &Which) -> Result<Vec<Approval>, Trouble> {
        let tables = self.tables();
        let meant = |approval: &&Approval| {
            which.standing.is_none_or(|standing| approval.standing(which.now) == standing)
                && which.instance.is_none_or(|instance| approval.request.instance == instance)
                && which.before.is_none_or(|before| approval.request.id < before)
        };
        Ok(tables.desk.approvals.values().rev().filter(meant).take(which.limit).cloned().collect())
    }

    async fn to_apply(&self, limit: usize) -> Result<Vec<Approval>, Trouble> {
        let tables = self.tables();
        let approved = |approval: &&Approval| approval.standing(At::EPOCH) == Standing::Approved;
        let mut waiting: Vec<_> = tables.desk.approvals.values().filter(approved).cloned().collect();
        waiting.sort_by_key(|approval| approval.decision.as_ref().map(|decision| decision.at));
        waiting.truncate(limit);
        Ok(waiting)
    }

    async fn applied(&self, id: ApprovalId, result: Outcome, at: At) -> Result<bool, Trouble> {
        let mut tables = self.tables();
        let Some(approval) = tables.desk.approvals.get_mut(&id) else { return Ok(false) };
        if approval.standing(at) != Standing::Approved {
            return Ok(false);
        }
        approval.result = Some((result, at));
        Ok(true)
    }
}

#[async_trait]
impl Actions for MemoryStore {
    async fn record(&self, action: &Action) -> Result<(), Trouble> {
        self.tables().desk.actions.push(action.clone());
        Ok(())
    }

    async fn actions(&self, subject: &str, limit: usize) -> Result<Vec<Action>, Trouble> {
        let tables = self.tables();
        let mut on: Vec<_> =
            tables.desk.actions.iter().filter(|one| one.subject == subject).cloned().collect();
        on.sort_by_key(|action| std::cmp::Reverse(action.id));
        on.truncate(limit);
        Ok(on)
    }
}

#[async_trait]
impl Notices for MemoryStore {
    async fn receive(&self, notice: &Notice) -> Result<bool, Trouble> {
        let mut tables = self.tables();
        let key = (notice.source.clone(), notice.event.clone());
        let is_new = !tables.desk.notices.contains_key(&key);
        tables.desk.notices.entry(key).or_insert_with(|| notice.clone());
        Ok(is_new)
    }

    async fn due(&self, now: At, limit: usize) -> Result<Vec<Notice>, Trouble> {
        let tables = self.tables();
        let is_due = |notice: &&Notice| notice.handled.is_none() && notice.due_at <= now;
        let mut due: Vec<_> = tables.desk.notices.values().filter(is_due).cloned().collect();
        due.sort_by_key(|notice| notice.due_at);
        due.truncate(limit);
        Ok(due)
    }

    async fn put_off(&self, source: &str, event: &str, due_at: At) -> Result<(), Trouble> {
        let mut tables = self.tables();
        let notice = tables.desk.notices.get_mut(&(source.to_owned(), event.to_owned()));
        if let Some(notice) = notice.filter(|notice| notice.handled.is_none()) {
            notice.due_at = due_at;
        }
        Ok(())
    }

    async fn handled(&self, source: &str, event: &str, outcome: &str, at: At) -> Result<bool, Trouble> {
        let mut tables = self.tables();
        let notice = tables.desk.notices.get_mut(&(source.to_owned(), event.to_owned()));
        let Some(notice) = notice.filter(|notice| notice.handled.is_none()) else { return Ok(false) };
        notice.handled = Some((outcome.to_owned(), at));
        Ok(true)
    }

    async fn notice(&self, source: &str, event: &str) -> Result<Option<Notice>, Trouble> {
        Ok(self.tables().desk.notices.get(&(source.to_owned(), event.to_owned())).cloned())
    }

    async fn owed(&self, now: At) -> Result<bool, Trouble> {
        Ok(!self.to_apply(1).await?.is_empty() || !self.due(now, 1).await?.is_empty())
    }
}
