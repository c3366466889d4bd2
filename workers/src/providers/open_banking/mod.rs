//! Open banking behind an aggregator: payments for workflows, consents and balances beside them.
//!
//! [`OpenBanking`] gets a token, sends, and repeats once when the token had expired; what is said and how an answer is
//! read belongs to the profile [`drop_seed`]. The one rule: an attempt is sent a second time only after a 401, which
//! says that the first was not carried out (RFC 9110 §15.5.2).

mod accounts;
mod consents;
mod drop_seed;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use tracing::debug;
use uuid::Uuid;
use workflows::engine::Finding;
use workflows::ports::payments::BankId;
use workflows::ports::{Call, PaymentsCall, PaymentsReply};
use workflows::time::At;

pub use accounts::{
    AccountId, AskedConsent, Availability, Balance, Bank, Consent, ConsentId, ConsentRequest, ConsentStatus,
    ConsentedAccount,
};

use self::drop_seed::{replies, requests};
use super::http::{HttpFault, HttpPort, HttpReply, HttpRequest, Unusable, Waits, Wire};
use super::outcome::{Outcome, Setback, finding};
use super::token::{TokenSource, Tokens};
use super::{Context, Provider};
use crate::ports::{Clock, Ids};

/// Where and how the aggregator is reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name in lanes and logs: `neonomics`.
    pub provider: Arc<str>,
    /// Where it is.
    pub base_url: String,
    /// Who we are there.
    pub token: TokenSource,
    /// For a connection (PI-09: 5 s).
    pub connect_timeout: Duration,
    /// For the next byte of an answer (PI-09: 30 s).
    pub read_timeout: Duration,
    /// Before [`OpenBanking::banks`] and the token are asked for again (profile: 1 s).
    pub retry_base: Duration,
    /// For how many days a consent is asked for; the bank may shorten it.
    pub consent_days: u16,
}

/// The aggregator.
pub struct OpenBanking {
    provider: Arc<str>,
    http: Arc<dyn HttpPort>,
    tokens: Tokens,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    consent_days: u16,
}

/// What the seeds ask for (AI-27).
const CONSENT_DAYS: u16 = 90;

impl OpenBanking {
    /// Over the network. Opens no connection yet.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Result<Self, Unusable> {
        let waits = Waits {
            connect: settings.connect_timeout,
            read: settings.read_timeout,
            retry_base: settings.retry_base,
        };
        let wire = Wire::open(&settings.base_url, waits)?;
        let consent_days = settings.consent_days;
        let over = Self::over(Arc::new(wire), settings.provider, settings.token, clock, ids);
        Ok(OpenBanking { consent_days, ..over })
    }

    /// Over any transport; consents are asked for 90 days.
    pub fn over(
        http: Arc<dyn HttpPort>,
        provider: Arc<str>,
        token: TokenSource,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Self {
        let tokens = Tokens::new(token, Arc::clone(&http), Arc::clone(&clock), Arc::clone(&ids));
        OpenBanking { provider, http, tokens, clock, ids, consent_days: CONSENT_DAYS }
    }

    /// Its name in lanes and logs.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The banks behind the aggregator and how they are.
    pub async fn banks(&self, context: &Context) -> Outcome<Vec<Bank>> {
        let ask = Ask { operation: "banks", bank: "", context };
        self.ask(ask, |id| requests::banks(id).map(HttpRequest::several), replies::banks).await
    }

    /// Asks a bank for access to a customer's accounts; the customer approves at the link.
    pub async fn consent_create(&self, wanted: &ConsentRequest, context: &Context) -> Outcome<AskedConsent> {
        let ask = Ask { operation: "consent_create", bank: &wanted.bank.0, context };
        self.ask(ask, |id| requests::consent_create(wanted, id), replies::consent_created).await
    }

    /// Where a consent at a bank stands, until when it is valid, and the accounts it covers.
    pub async fn consent_of(
        &self,
        bank: &BankId,
        consent: &ConsentId,
        context: &Context,
    ) -> Outcome<Consent> {
        let ask = Ask { operation: "consent_status", bank: &bank.0, context };
        self.ask(ask, |id| requests::consent_status(consent, id), replies::consent).await
    }

    /// Ends a consent.
    pub async fn consent_revoke(&self, consent: &ConsentId, context: &Context) -> Outcome<()> {
        let ask = Ask { operation: "consent_revoke", bank: "", context };
        self.ask(ask, |id| requests::consent_revoke(consent, id), replies::consent_revoked).await
    }

    /// The balances of an account under a consent. Without `psu_ip` nobody is present, and the bank counts an
    /// unattended read (RTS (EU) 2018/389 Art. 36(5)(b)).
    pub async fn balances(
        &self,
        account: &AccountId,
        consent: &ConsentId,
        psu_ip: Option<IpAddr>,
        context: &Context,
    ) -> Outcome<Vec<Balance>> {
        let ask = Ask { operation: "balances", bank: "", context };
        self.ask(ask, |id| requests::balances(account, consent, psu_ip, id), replies::balances).await
    }

    async fn payments(&self, call: &PaymentsCall, context: &Context) -> Outcome<PaymentsReply> {
        let (operation, bank) = named(call);
        let ask = Ask { operation, bank, context };
        self.ask(ask, |id| requests::payment(call, id), |reply, now| replies::payment(call, reply, now)).await
    }

    /// One attempt: draft, send, read, and one line in the log that names nobody.
    async fn ask<T>(
        &self,
        ask: Ask<'_>,
        draft: impl Fn(Uuid) -> Result<HttpRequest, HttpFault> + Send + Sync,
        read: impl Fn(&HttpReply, At) -> Outcome<T> + Send + Sync,
    ) -> Outcome<T> {
        let begun = self.clock.now();
        let reply = self.exchange(ask.context, begun, draft).await;
        let now = self.clock.now();
        let status = reply.as_ref().ok().map(|reply| reply.status.as_u16());
        let outcome = reply.and_then(|reply| read(&reply, now));
        debug!(
            provider = &*self.provider,
            bank = ask.bank,
            operation = ask.operation,
            request_id = %ask.context.request_id,
            caused_by = ask.context.caused_by,
            status,
            ms = now.since(begun).as_millis(),
            finding = outcome.as_ref().map_or_else(Setback::word, |_| "done"),
            "provider call"
        );
        outcome
    }

    async fn exchange(
        &self,
        context: &Context,
        begun: At,
        draft: impl Fn(Uuid) -> Result<HttpRequest, HttpFault> + Send + Sync,
    ) -> Outcome<HttpReply> {
        let left = || context.timeout.saturating_sub(self.clock.now().since(begun));
        let drafted = |id| draft(id).map(|request| traced(request, context));

        let request = drafted(context.request_id)?;
        let bearer = self.tokens.bearer(&context.pass, left()).await?;
        let reply = self.send(bearer.sign(request), context, left()).await?;
        if reply.status != StatusCode::UNAUTHORIZED || replies::about_consent(&reply) {
            return Ok(reply);
        }
        let Some(bearer) = self.tokens.another(&bearer, &context.pass, left()).await? else {
            return Ok(reply);
        };
        let request = drafted(Uuid::from_u128(self.ids.random()))?;
        self.send(bearer.sign(request), context, left()).await
    }

    async fn send(&self, request: HttpRequest, context: &Context, left: Duration) -> Outcome<HttpReply> {
        if left.is_zero() {
            return Err(Setback::NotSent("the token took all the time"));
        }
        Ok(self.http.send(request, &context.pass, left).await?)
    }
}

#[async_trait]
impl Provider for OpenBanking {
    async fn perform(&self, call: &Call, context: &Context) -> Finding {
        match call {
            Call::Payments(call) => finding(self.payments(call, context).await),
            Call::Consents(call) => self.consents(call, context).await,
            Call::Prices(_) | Call::Nothing { .. } => Finding::NotSent("the aggregator has no such port"),
        }
    }
}

/// What the log says of an attempt.
#[derive(Clone, Copy)]
struct Ask<'a> {
    operation: &'static str,
    bank: &'a str,
    context: &'a Context,
}

fn named(call: &PaymentsCall) -> (&'static str, &str) {
    match call {
        PaymentsCall::Initiate(initiation) => ("initiate", &initiation.bank.0),
        PaymentsCall::Status { bank, .. } => ("status", &bank.0),
        PaymentsCall::Locate { bank, .. } => ("locate", &bank.0),
        PaymentsCall::Cancel { bank, .. } => ("cancel", &bank.0),
        PaymentsCall::Probe { bank } => ("probe", &bank.0),
    }
}

/// The request with its trace, where that is one: a trace is never worth a payment.
fn traced(request: HttpRequest, context: &Context) -> HttpRequest {
    let is_trace =
        |text: &&str| text.len() == 55 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    match context.traceparent.as_deref().filter(is_trace).map(http::HeaderValue::from_str) {
        Some(Ok(trace)) => {
            let mut request = request;
            request.headers.insert("traceparent", trace);
            request
        }
        Some(Err(_)) | None => request,
    }
}

#[cfg(test)]
mod tests;
