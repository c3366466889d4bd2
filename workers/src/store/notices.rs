//! The inbox of pushed notices on a SQL database.

use async_trait::async_trait;
use workflows::time::At;

use super::Trouble;
use super::driver::{Driver, Transaction};
use super::sql::{SqlStore, each, finish, first, lost};
use super::statement::Batched;
use super::statement::Column::{Int, Text};
use super::value::{Misread, Row};
use crate::notices::{Notice, Notices};

#[async_trait]
impl<D: Driver> Notices for SqlStore<D> {
    async fn receive(&self, notice: &Notice) -> Result<bool, Trouble> {
        const DOING: &str = "keep a notice";
        static KEEP: Batched = Batched {
            columns: &[
                Text("source"),
                Text("event"),
                Text("reference"),
                Text("body"),
                Int("received_at"),
                Int("due_at"),
                Int("handled_at"),
                Text("outcome"),
            ],
            sql: "/* keep notice */ with {d} \
                  insert into notices \
                  (source, event, reference, body, received_at, due_at, handled_at, outcome) \
                  select source, event, reference, body, received_at, due_at, handled_at, outcome from d \
                  where source is not null on conflict do nothing returning event",
            returning: "",
        };
        let (outcome, handled_at) = notice.handled.clone().unzip();
        let cells = [
            notice.source.as_str().into(),
            notice.event.as_str().into(),
            notice.reference.as_deref().into(),
            notice.body.as_str().into(),
            notice.received_at.into(),
            notice.due_at.into(),
            handled_at.into(),
            outcome.into(),
        ];
        let mut tx = self.begin(DOING).await?;
        let kept = !tx.batch(&KEEP, &cells).await.map_err(lost(DOING))?.is_empty();
        finish(DOING, tx).await?;
        Ok(kept)
    }

    async fn due(&self, now: At, limit: usize) -> Result<Vec<Notice>, Trouble> {
        const DOING: &str = "look for due notices";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self
            .read(
                DOING,
                "/* due notices */ select source, event, reference, body, received_at, due_at, outcome, handled_at \
                 from notices where handled_at is null and due_at <= $1 order by due_at limit $2",
                &[now.into(), limit.into()],
            )
            .await?;
        each(DOING, rows, notice)
    }

    async fn put_off(&self, source: &str, event: &str, due_at: At) -> Result<(), Trouble> {
        self.change(
            "put off a notice",
            "/* put off notice */ update notices set due_at = $3 \
             where source = $1 and event = $2 and handled_at is null",
            &[source.into(), event.into(), due_at.into()],
        )
        .await
        .map(|_| ())
    }

    async fn handled(&self, source: &str, event: &str, outcome: &str, at: At) -> Result<bool, Trouble> {
        let touched = self
            .change(
                "record what a notice came to",
                "/* handled notice */ update notices set outcome = $3, handled_at = $4 \
                 where source = $1 and event = $2 and handled_at is null",
                &[source.into(), event.into(), outcome.into(), at.into()],
            )
            .await?;
        Ok(touched > 0)
    }

    async fn notice(&self, source: &str, event: &str) -> Result<Option<Notice>, Trouble> {
        const DOING: &str = "read a notice";
        let rows = self
            .read(
                DOING,
                "/* notice */ select source, event, reference, body, received_at, due_at, outcome, handled_at \
                 from notices where source = $1 and event = $2",
                &[source.into(), event.into()],
            )
            .await?;
        first(DOING, rows, notice)
    }

    async fn owed(&self, now: At) -> Result<bool, Trouble> {
        const DOING: &str = "look for what is owed";
        let rows = self
            .read(
                DOING,
                "/* owed */ select count(*) from ( \
                 select instance from approvals where verdict = 'approved' and result is null \
                 union all \
                 select event from notices where handled_at is null and due_at <= $1) as owed",
                &[now.into()],
            )
            .await?;
        Ok(first(DOING, rows, |mut row| row.int())?.is_some_and(|count| count > 0))
    }
}

fn notice(mut row: Row) -> Result<Notice, Misread> {
    Ok(Notice {
        source: row.text()?.to_string(),
        event: row.text()?.to_string(),
        reference: row.maybe_text()?.map(|text| text.to_string()),
        body: row.text()?.to_string(),
        received_at: row.at()?,
        due_at: row.at()?,
        handled: row.maybe_text()?.map(|outcome| outcome.to_string()).zip(row.maybe_at()?),
    })
}
