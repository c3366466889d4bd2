//! The consents port at the aggregator: a new consent is asked for, and where it stands is read.

use chrono::{Days, NaiveDate};
use workflows::calendar;
use workflows::engine::Finding;
use workflows::ports::consents::{ConsentStanding, ProviderConsentId};
use workflows::ports::{ConsentsCall, ConsentsReply, Reply};
use workflows::time::At;

use super::accounts::{AccountId, Consent, ConsentId, ConsentRequest, ConsentStatus};
use super::{Context, OpenBanking};
use crate::providers::outcome::{Outcome, finding_of};

impl OpenBanking {
    /// One attempt at a question about a consent. A consent that was asked for twice does no harm: the customer approves
    /// one, and the other lapses at the bank.
    pub(super) async fn consents(&self, call: &ConsentsCall, context: &Context) -> Finding {
        let outcome = match call {
            ConsentsCall::Ask { bank, account, redirect_uri, psu_ip } => {
                let wanted = ConsentRequest {
                    bank: bank.clone(),
                    account: account.clone().map(AccountId),
                    valid_until: last_day(self.clock.now(), self.consent_days),
                    redirect_uri: redirect_uri.clone(),
                    psu_ip: *psu_ip,
                };
                self.consent_create(&wanted, context).await.map(|asked| ConsentsReply::Asked {
                    consent: ProviderConsentId(asked.id.0),
                    sca: asked.sca,
                })
            }
            ConsentsCall::Read { bank, consent } => {
                let read = self.consent_of(bank, &ConsentId(consent.0.clone()), context).await;
                standing(read)
            }
            ConsentsCall::Find { .. } | ConsentsCall::Adopt { .. } => {
                return Finding::NotSent("an account's consent is the house's business");
            }
        };
        finding_of(outcome.map(Reply::Consents))
    }
}

/// Where a consent stands, for whoever waits for it.
fn standing(read: Outcome<Consent>) -> Outcome<ConsentsReply> {
    read.map(|consent| ConsentsReply::Standing {
        standing: match consent.status {
            // A word that we do not know is no decision.
            ConsentStatus::Received | ConsentStatus::PartiallyAuthorised | ConsentStatus::Unrecognised => {
                ConsentStanding::Waiting
            }
            ConsentStatus::Valid => ConsentStanding::Valid,
            ConsentStatus::Rejected
            | ConsentStatus::RevokedByPsu
            | ConsentStatus::Expired
            | ConsentStatus::TerminatedByTpp => ConsentStanding::Dead,
        },
        valid_until: consent.valid_until.map(end_of),
    })
}

/// The last day to ask for: so many days after today in Norway.
fn last_day(now: At, days: u16) -> NaiveDate {
    let today = calendar::local_date(now);
    today.checked_add_days(Days::new(u64::from(days))).unwrap_or(today)
}

/// The end of a consent's last day. In UTC, which is an hour or two after Norway's: near the end it is the bank who says
/// whether the consent still counts. `9999-12-31` is how banks write "without end".
fn end_of(day: NaiveDate) -> At {
    let next = day.succ_opt().and_then(|next| next.and_hms_opt(0, 0, 0));
    next.map_or(At::MAX, |end| At::from_millis(end.and_utc().timestamp_millis()).min(At::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_of_a_consent_has_one_standing() {
        let table = [
            (ConsentStatus::Received, ConsentStanding::Waiting),
            (ConsentStatus::PartiallyAuthorised, ConsentStanding::Waiting),
            (ConsentStatus::Unrecognised, ConsentStanding::Waiting),
            (ConsentStatus::Valid, ConsentStanding::Valid),
            (ConsentStatus::Rejected, ConsentStanding::Dead),
            (ConsentStatus::RevokedByPsu, ConsentStanding::Dead),
            (ConsentStatus::Expired, ConsentStanding::Dead),
            (ConsentStatus::TerminatedByTpp, ConsentStanding::Dead),
        ];
        for (status, expected) in table {
            let read = Consent { status, valid_until: None, accounts: vec![] };
            let expected = ConsentsReply::Standing { standing: expected, valid_until: None };
            assert_eq!(standing(Ok(read)), Ok(expected), "{status:?}");
        }
    }

    #[test]
    fn a_consent_is_asked_for_in_days_of_norway_and_lasts_to_the_end_of_its_day() {
        let late = At::parse("2026-02-23T23:30:00Z").expect("a time");
        assert_eq!(last_day(late, 90).to_string(), "2026-05-25", "it is the 24th in Norway");
        for (day, end) in
            [("2026-05-25", "2026-05-26T00:00:00.000Z"), ("9999-12-31", "9999-12-31T23:59:59.999Z")]
        {
            assert_eq!(end_of(day.parse().expect("a day")).to_rfc3339_millis(), end);
        }
    }
}
