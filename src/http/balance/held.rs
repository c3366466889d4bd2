//! What an account's own payments are about to take, as far as they know.
//!
//! It is added up whenever somebody looks and kept nowhere: a payment that fails or is taken back no longer counts, and
//! nothing has to release it. The bank's own figure is never touched.

use workers::registry::BankAccount;
use workers::store::Filter;
use workflows::money::Money;

use super::super::App;
use super::super::error::Problem;
use super::super::transaction::{KINDS, Payment};

/// Where a payment stands that was sent, or may have been, and has not come to its end.
const SENT: [&str; 4] = ["awaiting_sca", "confirming", "in_doubt", "cancelling"];
/// How many payments are read at a time.
const PAGE: usize = 200;

/// The sum of what the account's payments take that were sent and have not ended; nothing when one of them cannot be
/// read: what is not known is not 0.
///
/// # Errors
/// `database_unavailable`.
pub async fn held(app: &App, account: &BankAccount) -> Result<Option<Money>, Problem> {
    let mut filter = Filter {
        owner: Some(account.owner.as_str().into()),
        kinds: KINDS.map(Into::into).into(),
        phases: SENT.map(Into::into).into(),
        limit: PAGE,
        ..Filter::default()
    };
    let mut sum = Money::zero(account.currency);
    loop {
        let found = app.engine.list(&filter).await?;
        for instance in &found {
            let Ok(Some(payment)) = Payment::of(instance) else { return Ok(None) };
            let (from, total) = payment.taken();
            if *from != account.id {
                continue;
            }
            if total.currency != sum.currency {
                return Ok(None);
            }
            sum.minor = sum.minor.saturating_add(total.minor);
        }
        filter.before = found.last().map(|last| last.id);
        if found.len() < PAGE {
            return Ok(Some(sum));
        }
    }
}
