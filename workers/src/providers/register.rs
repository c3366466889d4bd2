//! The ports that stay in the house: prices and the customer's accounts, answered by the product's own tables.
//!
//! The one rule: nothing leaves this machine, so a question that could not be answered was never sent.

use std::sync::Arc;

use async_trait::async_trait;
use workflows::engine::{Class, Finding, Refusal};
use workflows::ids::{BankAccountId, UserId};
use workflows::money::Money;
use workflows::ports::consents::ProviderConsentId;
use workflows::ports::prices::Price;
use workflows::ports::{Call, ConsentsCall, ConsentsReply, PricesCall, PricesReply, Reply};
use workflows::time::At;

use super::{Context, Provider};
use crate::ports::Clock;
use crate::registry::Registry;
use crate::store::Trouble;

/// The product's own tables as a provider.
pub struct Register {
    registry: Arc<dyn Registry>,
    clock: Arc<dyn Clock>,
}

impl Register {
    /// Over these tables.
    pub fn new(registry: Arc<dyn Registry>, clock: Arc<dyn Clock>) -> Self {
        Register { registry, clock }
    }

    /// A promised price as long as the promise lasts, today's afterwards.
    async fn renew(&self, amount: Money, price: &Price) -> Result<PricesReply, Trouble> {
        let now = self.clock.now();
        if price.until.is_none_or(|until| now < until) {
            return Ok(PricesReply::Kept);
        }
        let current = self.registry.rate(amount.currency, price.receive.currency).await?;
        let Some(current) = current.filter(|rate| rate.valid_until.is_none_or(|until| now < until)) else {
            return Ok(PricesReply::None);
        };
        Ok(match current.rate.convert(amount, price.receive.currency) {
            Ok(receive) => {
                PricesReply::Quoted(Price { rate: current.rate, receive, until: current.valid_until })
            }
            Err(_) => PricesReply::None,
        })
    }

    /// The consent of an account while it may be used; nothing when there is no such account.
    async fn find(
        &self,
        user: &UserId,
        account: &BankAccountId,
    ) -> Result<Option<Option<ProviderConsentId>>, Trouble> {
        let now = self.clock.now();
        let accounts = self.registry.bank_accounts(user).await?;
        Ok(accounts.into_iter().find(|one| one.id == *account).map(|account| {
            let lasts = account.consent_expires_at.is_none_or(|end| now < end);
            account.provider_consent.filter(|_| lasts).map(ProviderConsentId)
        }))
    }

    async fn adopt(
        &self,
        user: &UserId,
        account: &BankAccountId,
        consent: &ProviderConsentId,
        valid_until: Option<At>,
    ) -> Result<bool, Trouble> {
        self.registry.adopt_consent(user, account, &consent.0, valid_until, self.clock.now()).await
    }
}

#[async_trait]
impl Provider for Register {
    async fn perform(&self, call: &Call, _: &Context) -> Finding {
        let answered = match call {
            Call::Prices(PricesCall::Renew { amount, price }) => {
                self.renew(*amount, price).await.map(|reply| Finding::Done(Reply::Prices(reply)))
            }
            Call::Consents(ConsentsCall::Adopt { user, account, consent, valid_until }) => {
                self.adopt(user, account, consent, *valid_until).await.map(|there| {
                    if there { Finding::Done(Reply::Consents(ConsentsReply::Adopted)) } else { gone() }
                })
            }
            Call::Consents(ConsentsCall::Find { user, account }) => {
                self.find(user, account).await.map(|found| {
                    found.map_or_else(gone, |consent| {
                        Finding::Done(Reply::Consents(ConsentsReply::Known { consent }))
                    })
                })
            }
            Call::Nothing { takes } => {
                if !takes.is_zero() {
                    tokio::time::sleep(*takes).await;
                }
                return Finding::Done(Reply::Nothing);
            }
            Call::Payments(_) | Call::Consents(ConsentsCall::Ask { .. } | ConsentsCall::Read { .. }) => {
                return Finding::NotSent("that is a question to a bank");
            }
        };
        answered.unwrap_or(Finding::NotSent("the database does not answer"))
    }
}

fn gone() -> Finding {
    Finding::Refused(Refusal { code: "ACCOUNT_NOT_FOUND".to_owned(), class: Class::Final })
}
