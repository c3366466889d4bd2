//! The provider of a process: payments go down the line to the bank, prices and consents are answered here, with what
//! the order's plan says of them.

use std::sync::Arc;

use async_trait::async_trait;
use workers::providers::{Context, Provider};
use workflows::engine::Finding;
use workflows::money::{Money, Rate};
use workflows::ports::consents::{ConsentStanding, ProviderConsentId};
use workflows::ports::prices::Price;
use workflows::ports::{Call, ConsentsCall, ConsentsReply, PricesCall, PricesReply, Reply};

use crate::boundary::Edge;
use crate::chance::Chance;
use crate::faults::{Fault, Faults, Rates};
use crate::host::{Crossed, Host};

/// A process' provider.
pub struct House<P> {
    /// What leads to the bank.
    pub payments: P,
    /// Whose it is.
    pub host: Arc<Host>,
    /// What goes wrong.
    pub faults: Arc<Faults>,
    /// What consents and prices come to.
    pub chance: Chance,
}

/// What a question within the house may come to, and one to a bank about a consent.
const ASIDE: &Rates = &[(Fault::ConnectionRefused, 100), (Fault::ReplyLost, 100)];

#[async_trait]
impl<P: Provider> Provider for House<P> {
    async fn perform(&self, call: &Call, context: &Context) -> Finding {
        let (place, reply) = match call {
            Call::Payments(_) => return self.payments.perform(call, context).await,
            Call::Consents(call) => consent(self.chance, call),
            Call::Prices(PricesCall::Renew { amount, price }) => price_of(*amount, price),
            Call::Nothing { .. } => ("nothing", Reply::Nothing),
        };
        let name = || place.to_owned();
        self.host.cross(place, u64::MAX, &name, Edge::Before).await;
        let fault = self.faults.at(place, u64::MAX, ASIDE);
        if matches!(fault, Some((Fault::ConnectionRefused, _))) {
            return Finding::NotSent("no connection");
        }
        let unanswered = self.host.cross(place, u64::MAX, &name, Edge::After).await == Crossed::Unanswered;
        if unanswered || fault.is_some() {
            return Finding::Unknown("no answer");
        }
        Finding::Done(reply)
    }
}

/// Four of five customers approve a new consent, after being asked about it a few times.
pub fn consent(chance: Chance, call: &ConsentsCall) -> (&'static str, Reply) {
    match call {
        ConsentsCall::Ask { .. } => {
            let consent = ProviderConsentId("consent-2".to_owned());
            let sca = Some("https://bank.example/consent".to_owned());
            ("ask consent", Reply::Consents(ConsentsReply::Asked { consent, sca }))
        }
        ConsentsCall::Read { .. } => {
            let standing = if chance.fork("consents", 0).hits(8_000) {
                ConsentStanding::Valid
            } else {
                ConsentStanding::Dead
            };
            ("read consent", Reply::Consents(ConsentsReply::Standing { standing, valid_until: None }))
        }
        ConsentsCall::Find { .. } => {
            ("find consent", Reply::Consents(ConsentsReply::Known { consent: None }))
        }
        ConsentsCall::Adopt { .. } => ("adopt consent", Reply::Consents(ConsentsReply::Adopted)),
    }
}

/// Every promise that is looked at again has run out, and costs a little more.
pub fn price_of(amount: Money, price: &Price) -> (&'static str, Reply) {
    let renewed = Rate::parse("0.0860").ok().and_then(|rate| {
        let receive = rate.convert(amount, price.receive.currency).ok()?;
        Some(Price { rate, receive, until: None })
    });
    let reply = match renewed {
        Some(today) if price.until.is_some() => PricesReply::Quoted(today),
        Some(_) | None => PricesReply::Kept,
    };
    ("price", Reply::Prices(reply))
}
