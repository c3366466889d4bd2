//! Requests, decisions and actions of people on a SQL database.

use std::sync::Arc;

use async_trait::async_trait;
use workflows::ids::{ApprovalId, WorkflowId};
use workflows::time::At;

use super::Trouble;
use super::driver::{Driver, Transaction};
use super::sql::{SqlStore, each, finish, first, lost, not_committed};
use super::statement::Batched;
use super::statement::Column::{Int, Text};
use super::value::{Misread, Row, Value};
use crate::actions::{Action, Actions};
use crate::approvals::{
    Approval, Approvals, Asked, Decided, Decision, Outcome, Request, Standing, Verdict, Which,
};

/// The columns that [`approval`] reads, of `approvals a`.
macro_rules! approval_columns {
    () => {
        "a.id, a.action, a.proposal, a.instance, a.revision, a.target, a.requested_by, a.reason, a.evidence, \
         a.created_at, a.expires_at, a.digest, a.verdict, a.decided_by, a.decision_reason, a.decided_at, \
         a.result, a.result_at"
    };
}

#[async_trait]
impl<D: Driver> Approvals for SqlStore<D> {
    async fn ask(&self, request: &Request) -> Result<Asked, Trouble> {
        const DOING: &str = "file a request";
        static FILE: Batched = Batched {
            columns: &[
                Text("id"),
                Text("action"),
                Text("proposal"),
                Text("instance"),
                Int("revision"),
                Text("target"),
                Text("requested_by"),
                Text("reason"),
                Text("evidence"),
                Int("created_at"),
                Int("expires_at"),
                Text("digest"),
            ],
            sql: "/* file request */ with {d} \
                  insert into approvals (id, action, proposal, instance, revision, target, requested_by, reason, \
                  evidence, created_at, expires_at, digest) \
                  select id, action, proposal, instance, revision, target, requested_by, reason, \
                  evidence, created_at, expires_at, digest from d where id is not null",
            returning: "",
        };
        let mut tx = self.begin(DOING).await?;
        // Whoever asks about the same instance at the same time waits here, so that one of the two sees the other.
        let current = tx
            .run(
                "/* lock the subject */ select seq from instances where id = $1{ for no key update}",
                &[request.instance.into()],
            )
            .await
            .map_err(lost(DOING))?;
        if first(DOING, current, |mut row| row.int())? != Some(request.revision) {
            return Ok(Asked::Moved);
        }
        let open = tx
            .run(
                "/* open request */ select id from approvals \
                 where instance = $1 and verdict is null and expires_at > $2 limit 1",
                &[request.instance.into(), request.created_at.into()],
            )
            .await
            .map_err(lost(DOING))?;
        if let Some(open) = first(DOING, open, |mut row| approval_id(&mut row))? {
            return Ok(Asked::Open(open));
        }
        let cells = [
            bits(request.id),
            request.action.as_str().into(),
            request.proposal.as_str().into(),
            request.instance.into(),
            request.revision.into(),
            request.target.as_str().into(),
            request.requested_by.as_str().into(),
            request.reason.as_str().into(),
            request.evidence.as_str().into(),
            request.created_at.into(),
            request.expires_at.into(),
            request.digest().into(),
        ];
        tx.batch(&FILE, &cells).await.map_err(lost(DOING))?;
        finish(DOING, tx).await?;
        Ok(Asked::Filed)
    }

    async fn decide(&self, id: ApprovalId, decision: &Decision, checked_on: i64) -> Result<Decided, Trouble> {
        const DOING: &str = "decide a request";
        let mut tx = self.begin(DOING).await?;
        // Two people who decide at once come one after the other, and the second one finds it decided.
        let rows = tx
            .run(
                concat!(
                    "/* request to decide */ select ",
                    approval_columns!(),
                    " from approvals a where a.id = $1{ for update}"
                ),
                &[bits(id)],
            )
            .await
            .map_err(lost(DOING))?;
        let Some(mut approval) = first(DOING, rows, approval)? else { return Ok(Decided::NotFound) };
        // The instance cannot move from here to the commit.
        let revision = tx
            .run(
                "/* hold the subject */ select seq from instances where id = $1{ for share}",
                &[approval.request.instance.into()],
            )
            .await
            .map_err(lost(DOING))?;
        if let Err(rule) = approval.judge(decision, checked_on, first(DOING, revision, |mut row| row.int())?)
        {
            return Ok(Decided::Forbidden(rule));
        }
        let touched = tx
            .touch(
                "/* decide */ update approvals set verdict = $2, decided_by = $3, decision_reason = $4, \
                 decided_at = $5 where id = $1 and verdict is null",
                &[
                    bits(id),
                    decision.verdict.word().into(),
                    decision.by.as_str().into(),
                    decision.reason.as_str().into(),
                    decision.at.into(),
                ],
            )
            .await
            .map_err(lost(DOING))?;
        if touched != 1 {
            return Err(not_committed(DOING)("a locked request was decided by somebody else".into()));
        }
        finish(DOING, tx).await?;
        approval.decision = Some(decision.clone());
        Ok(Decided::Done(Box::new(approval)))
    }

    async fn approval(&self, id: ApprovalId) -> Result<Option<Approval>, Trouble> {
        const DOING: &str = "read a request";
        const SQL: &str =
            concat!("/* request */ select ", approval_columns!(), " from approvals a where a.id = $1");
        first(DOING, self.read(DOING, SQL, &[bits(id)]).await?, approval)
    }

    async fn approvals(&self, which: &Which) -> Result<Vec<Approval>, Trouble> {
        const DOING: &str = "list requests";
        let mut values: Vec<Value> = Vec::new();
        let mut number = |value: Value| {
            values.push(value);
            format!("${}", values.len())
        };
        let mut conditions = vec!["a.id is not null".to_owned()];
        if let Some(instance) = which.instance {
            conditions.push(format!("a.instance = {}", number(instance.into())));
        }
        if let Some(before) = which.before {
            conditions.push(format!("a.id < {}", number(bits(before))));
        }
        match which.standing {
            None => {}
            Some(Standing::Pending) => {
                conditions.push(format!("a.verdict is null and a.expires_at > {}", number(which.now.into())));
            }
            Some(Standing::Expired) => {
                conditions
                    .push(format!("a.verdict is null and a.expires_at <= {}", number(which.now.into())));
            }
            Some(Standing::Approved) => {
                conditions.push("a.verdict = 'approved' and a.result is null".to_owned());
            }
            Some(Standing::Applied) => {
                conditions.push("a.verdict = 'approved' and a.result = 'applied'".to_owned());
            }
            Some(Standing::Rejected) => conditions.push("a.verdict = 'rejected'".to_owned()),
            Some(Standing::Void) => conditions.push("(a.verdict = 'void' or a.result = 'void')".to_owned()),
        }
        let limit = number(i64::try_from(which.limit).unwrap_or(i64::MAX).into());
        let sql = format!(
            "/* requests */ select {} from approvals a where {} order by a.id desc limit {limit}",
            approval_columns!(),
            conditions.join(" and ")
        );
        each(DOING, self.read(DOING, &sql, &values).await?, approval)
    }

    async fn to_apply(&self, limit: usize) -> Result<Vec<Approval>, Trouble> {
        const DOING: &str = "look for approvals to apply";
        const SQL: &str = concat!(
            "/* to apply */ select ",
            approval_columns!(),
            " from approvals a where a.verdict = 'approved' and a.result is null order by a.decided_at limit $1"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        each(DOING, self.read(DOING, SQL, &[limit.into()]).await?, approval)
    }

    async fn applied(&self, id: ApprovalId, result: Outcome, at: At) -> Result<bool, Trouble> {
        let touched = self
            .change(
                "record the result of an approval",
                "/* applied */ update approvals set result = $2, result_at = $3 \
                 where id = $1 and verdict = 'approved' and result is null",
                &[bits(id), result.word().into(), at.into()],
            )
            .await?;
        Ok(touched > 0)
    }
}

#[async_trait]
impl<D: Driver> Actions for SqlStore<D> {
    async fn record(&self, action: &Action) -> Result<(), Trouble> {
        static RECORD: Batched = Batched {
            columns: &[
                Text("id"),
                Int("at"),
                Text("actor"),
                Text("role"),
                Text("verb"),
                Text("subject"),
                Text("reason"),
                Int("expires_at"),
            ],
            sql: "/* record action */ with {d} \
                  insert into actions (id, at, actor, role, verb, subject, reason, expires_at) \
                  select id, at, actor, role, verb, subject, reason, expires_at from d where id is not null",
            returning: "",
        };
        let cells = [
            format!("{:032x}", action.id).into(),
            action.at.into(),
            action.actor.as_str().into(),
            action.role.as_str().into(),
            action.verb.as_str().into(),
            action.subject.as_str().into(),
            action.reason.as_str().into(),
            action.expires_at.into(),
        ];
        self.put("record an action", &RECORD, &cells).await
    }

    async fn actions(&self, subject: &str, limit: usize) -> Result<Vec<Action>, Trouble> {
        const DOING: &str = "read actions";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self
            .read(
                DOING,
                "/* actions */ select id, at, actor, role, verb, subject, reason, expires_at from actions \
                 where subject = $1 order by id desc limit $2",
                &[subject.into(), limit.into()],
            )
            .await?;
        each(DOING, rows, action)
    }
}

fn approval(mut row: Row) -> Result<Approval, Misread> {
    let request = Request {
        id: approval_id(&mut row)?,
        action: string(&row.text()?),
        proposal: string(&row.text()?),
        instance: row.workflow()?,
        revision: row.int()?,
        target: string(&row.text()?),
        requested_by: string(&row.text()?),
        reason: string(&row.text()?),
        evidence: string(&row.text()?),
        created_at: row.at()?,
        expires_at: row.at()?,
    };
    let digest = string(&row.text()?);
    let verdict = row.maybe_text()?;
    let (by, reason, at) = (row.maybe_text()?, row.maybe_text()?, row.maybe_at()?);
    let decision = match (verdict, by, reason, at) {
        (Some(verdict), Some(by), Some(reason), Some(at)) => Some(Decision {
            verdict: Verdict::parse(&verdict).ok_or(Misread { expected: "a verdict" })?,
            by: string(&by),
            reason: string(&reason),
            at,
        }),
        _ => None,
    };
    let result = match (row.maybe_text()?, row.maybe_at()?) {
        (Some(word), Some(at)) => Some((Outcome::parse(&word).ok_or(Misread { expected: "a result" })?, at)),
        _ => None,
    };
    Ok(Approval { request, digest, decision, result })
}

fn action(mut row: Row) -> Result<Action, Misread> {
    Ok(Action {
        id: read_bits(&row.text()?)?,
        at: row.at()?,
        actor: string(&row.text()?),
        role: string(&row.text()?),
        verb: string(&row.text()?),
        subject: string(&row.text()?),
        reason: string(&row.text()?),
        expires_at: row.maybe_at()?,
    })
}

fn approval_id(row: &mut Row) -> Result<ApprovalId, Misread> {
    read_bits(&row.text()?).map(ApprovalId::new)
}

fn read_bits(text: &str) -> Result<u128, Misread> {
    u128::from_str_radix(text, 16).map_err(|_| Misread { expected: "an id" })
}

fn bits(id: ApprovalId) -> Value {
    WorkflowId::new(id.as_u128()).into()
}

fn string(text: &Arc<str>) -> String {
    text.as_ref().to_owned()
}
