//! A bank's word that a consent is over reaches the register, whatever the question was (AI-19, X-35).

use std::sync::Arc;

use async_trait::async_trait;
use tracing::{error, info};
use workflows::engine::{Class, Finding};
use workflows::ports::{Call, PaymentsCall};

use super::{Context, Provider};
use crate::ports::Clock;
use crate::registry::Registry;

/// Banks, with somebody who listens.
pub struct Consented<P> {
    banks: P,
    registry: Arc<dyn Registry>,
    clock: Arc<dyn Clock>,
}

impl<P> Consented<P> {
    /// Marks in these tables what these banks say.
    pub fn new(banks: P, registry: Arc<dyn Registry>, clock: Arc<dyn Clock>) -> Self {
        Consented { banks, registry, clock }
    }
}

#[async_trait]
impl<P: Provider> Provider for Consented<P> {
    async fn perform(&self, call: &Call, context: &Context) -> Finding {
        let finding = self.banks.perform(call, context).await;
        if let (Call::Payments(PaymentsCall::Initiate(initiation)), Finding::Refused(no)) = (call, &finding)
            && let (Class::Consent, Some(consent)) = (no.class, &initiation.consent)
        {
            let bank = &initiation.bank;
            match self.registry.expire_consent(bank, consent, self.clock.now()).await {
                Ok(_) => info!(service = "pisp", bank = %bank, code = no.code, "a bank refuses a consent"),
                // The bank will say so again; what became of the payment is not touched by it.
                Err(trouble) => error!(error = %trouble, "a refused consent could not be marked"),
            }
        }
        finding
    }
}

#[cfg(test)]
mod tests {
    use workflows::engine::Refusal;
    use workflows::ids::UserId;
    use workflows::money::Currency;
    use workflows::time::At;

    use super::super::testing::{Standing, context, every_call, initiation};
    use super::*;
    use crate::registry::BankAccount;
    use crate::store;

    /// Refuses every question in this way.
    struct Refuses(&'static str, Class);

    #[async_trait]
    impl Provider for Refuses {
        async fn perform(&self, _: &Call, _: &Context) -> Finding {
            Finding::Refused(Refusal { code: self.0.to_owned(), class: self.1 })
        }
    }

    #[tokio::test]
    async fn a_consent_that_a_payment_is_refused_for_is_marked_and_no_other_refusal_marks_any() {
        let files = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", files.path().join("sluse.db").display());
        let registry = store::open(&url, &store::Options::default()).await.unwrap().registry;
        let owner: UserId = "usr_kari".parse().unwrap();
        let account = BankAccount {
            id: "bac_1".parse().unwrap(),
            owner: owner.clone(),
            bank: initiation().bank,
            bank_name: "DNB".to_owned(),
            iban: initiation().debtor,
            provider_account: "acc-1".to_owned(),
            currency: Currency::NOK,
            provider_consent: initiation().consent,
            consent_expires_at: None,
            primary: true,
        };
        assert!(registry.put_bank_account(&account, At::EPOCH).await.unwrap());
        let ends = async || registry.bank_accounts(&owner).await.unwrap().remove(0).consent_expires_at;
        for (code, class, marked) in [
            ("PAYMENT_REJECTED", Class::Final, None),
            ("invalid_api_key", Class::Credential, None),
            ("CONSENT_EXPIRED", Class::Consent, Some(At::EPOCH)),
        ] {
            let clock = Arc::new(Standing::default());
            let banks = Consented::new(Refuses(code, class), Arc::clone(&registry), clock);
            for (_, call) in every_call() {
                let refused = Finding::Refused(Refusal { code: code.to_owned(), class });
                assert_eq!(
                    banks.perform(&call, &context()).await,
                    refused,
                    "the finding is passed on as it is"
                );
            }
            assert_eq!(ends().await, marked, "{code}");
        }
    }
}
