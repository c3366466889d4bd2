//! Controls on a SQL database.

use async_trait::async_trait;
use workflows::time::At;

use super::Trouble;
use super::driver::{Driver, Transaction};
use super::sql::{SqlStore, each, finish, lost, not_committed};
use super::value::{Misread, Row};
use crate::controls::{Change, Changed, ControlRow, ControlStore, Kind};

#[async_trait]
impl<D: Driver> ControlStore for SqlStore<D> {
    async fn controls_revision(&self) -> Result<i64, Trouble> {
        const DOING: &str = "ask whether controls changed";
        let rows =
            self.read(DOING, "/* controls revision */ select revision from controls_revision", &[]).await?;
        revision(DOING, rows.into_iter().next())
    }

    async fn controls(&self) -> Result<(i64, Vec<ControlRow>), Trouble> {
        const DOING: &str = "read controls";
        let rows = self
            .read(
                DOING,
                "/* controls */ select r.revision, c.kind, c.subject, c.document, c.version, c.updated_at \
                 from controls_revision r left join controls c on true",
                &[],
            )
            .await?;
        let rows = each(DOING, rows, |mut row| Ok((row.int()?, control(row)?)))?;
        // One row for each control, or one without a control: each carries the revision.
        let revision = rows.first().map_or(0, |(revision, _)| *revision);
        Ok((revision, rows.into_iter().filter_map(|(_, control)| control).collect()))
    }

    async fn change_control(&self, change: &Change, now: At) -> Result<Changed, Trouble> {
        const DOING: &str = "change a control";
        let Change { kind, subject, version, document } = change;
        let mut tx = self.begin(DOING).await?;
        // The one row that every change passes through: changes are in the order of their revisions, and a version is
        // never used twice, not even by a control that went and came again.
        let rows = tx
            .run(
                "/* next revision */ update controls_revision set revision = revision + 1 returning revision",
                &[],
            )
            .await
            .map_err(lost(DOING))?;
        let revision = revision(DOING, rows.into_iter().next())?;
        let (kind, subject) = (kind.as_str().into(), subject.into());
        let touched = match (document, version) {
            (Some(document), 0) => {
                tx.touch(
                    "/* put control */ insert into controls (kind, subject, document, version, updated_at) \
                     values ($1, $2, $3, $4, $5) on conflict (kind, subject) do nothing",
                    &[kind, subject, document.into(), revision.into(), now.into()],
                )
                .await
            }
            (Some(document), version) => {
                tx.touch(
                    "/* change control */ update controls set document = $3, version = $4, updated_at = $5 \
                     where kind = $1 and subject = $2 and version = $6",
                    &[kind, subject, document.into(), revision.into(), now.into(), (*version).into()],
                )
                .await
            }
            (None, version) => {
                tx.touch(
                    "/* drop control */ delete from controls where kind = $1 and subject = $2 and version = $3",
                    &[kind, subject, (*version).into()],
                )
                .await
            }
        };
        if touched.map_err(lost(DOING))? == 0 {
            // Dropped, the transaction takes its revision back.
            return Ok(Changed::Stale);
        }
        finish(DOING, tx).await?;
        Ok(Changed::Written(revision))
    }
}

/// A control from: kind, subject, document, version, `updated_at`; all null when there is none. A kind that this
/// version does not know is a newer process' business.
fn control(mut row: Row) -> Result<Option<ControlRow>, Misread> {
    let Some(word) = row.maybe_text()? else { return Ok(None) };
    let Some(kind) = Kind::parse(&word) else { return Ok(None) };
    Ok(Some(ControlRow {
        kind,
        subject: row.text()?,
        document: row.text()?,
        version: row.int()?,
        updated_at: row.at()?,
    }))
}

fn revision(doing: &'static str, row: Option<Row>) -> Result<i64, Trouble> {
    let read = row.map_or(Ok(0), |mut row| row.int());
    read.map_err(|misread| not_committed(doing)(misread.into()))
}
