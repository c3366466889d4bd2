//! What was decided or pushed and not yet told to its workflow is told: at once, and when a process died before it could.

use std::time::Duration;

use workers::store::Trouble;
use workflows::time::At;

use super::Desk;

/// How often a process looks for what another one left behind. What it keeps itself it knows of at once, and so it does
/// when another process is found dead; an earlier life of itself is followed up when it starts.
const LOOK: Duration = Duration::from_secs(30);
/// After the store did not answer.
const TROUBLE: Duration = Duration::from_secs(2);
/// How many of each kind are taken up at a time.
const BATCH: usize = 100;

impl Desk {
    /// Follows up for ever.
    pub async fn follow_up(self) {
        // What was put off here and is due before the next look.
        let mut soon: Option<At> = None;
        let mut deaths = self.engine.deaths();
        loop {
            let now = self.engine.now();
            let wait = match self.catch_up().await {
                Ok(again) => {
                    soon = soon.filter(|at| *at > now).into_iter().chain(again).min();
                    soon.map_or(LOOK, |at| at.since(self.engine.now()).min(LOOK))
                }
                Err(trouble) => {
                    tracing::warn!(%trouble, "what was decided or pushed is told later");
                    TROUBLE
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.news.notified() => {}
                Ok(()) = deaths.changed() => {}
            }
        }
    }

    /// Tells everything that is owed now. Answers when something that was put off here is due again. What cannot be
    /// told keeps nothing else from being told.
    ///
    /// # Errors
    /// When the store does not answer: what was told so far is told for good.
    pub async fn catch_up(&self) -> Result<Option<At>, Trouble> {
        if !self.drawers.notices.owed(self.engine.now()).await? {
            return Ok(None);
        }
        let approvals = self.drawers.approvals.to_apply(BATCH).await?;
        for approval in &approvals {
            if let Err(trouble) = self.apply(approval).await {
                tracing::error!(approval = %approval.request.id, %trouble, "an approval could not be carried out");
            }
        }
        let notices = self.drawers.notices.due(self.engine.now(), BATCH).await?;
        let mut next: Option<At> = None;
        for notice in &notices {
            let again = match self.apply_notice(notice).await {
                Ok(again) => again,
                Err(trouble) => {
                    tracing::error!(source = notice.source, event = notice.event, %trouble, "a notice waits");
                    let again = self.engine.now().plus(LOOK);
                    self.drawers.notices.put_off(&notice.source, &notice.event, again).await?;
                    Some(again)
                }
            };
            next = next.into_iter().chain(again).min();
        }
        let more = notices.len() == BATCH;
        Ok(if more { Some(self.engine.now()) } else { next })
    }
}
