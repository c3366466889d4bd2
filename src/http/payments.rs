//! What every way of paying has in common: who pays, under which terms, and how a start is answered.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use workers::Watch;
use workers::controls::PispMode;
use workers::engine::Started;
use workers::registry::{BankAccount, User};
use workers::store::{Instance, StartKey};
use workflows::engine::Machine;
use workflows::ids::{BankAccountId, TransactionId, UserId, WorkflowId};
use workflows::money::{Currency, Money};
use workflows::payment::{Deal, Payer, PaymentLimits, Terms, view};

use super::auth::Caller;
use super::error::{Code, Problem};
use super::idempotency::IDEMPOTENCY_REPLAYED;
use super::money::Decimal;
use super::prefer::Prefer;
use super::transaction::{Payment, Transaction};
use super::validation::{Faults, Given};
use super::{App, Services};
use crate::{config, provider};

/// Seconds after which a caller that was told to come back should.
const COME_BACK_AFTER: u32 = 2;
/// How long a queued payment waits for its payer once the provider is back.
const USER_DEADLINE: Duration = Duration::from_hours(24);
/// How many agreeing answers of the bank, a visibility lag apart, prove that it knows no such payment.
const AGREEING_READS: u8 = 3;

/// The payer's address, when the payer's own device calls: its absence tells the bank that nobody is present.
pub struct PsuIp(Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for PsuIp {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(PsuIp(peer.map(|ConnectInfo(address)| address.ip())))
    }
}

impl PsuIp {
    /// The address, unless a backend calls on the payer's behalf.
    pub fn of(self, caller: &Caller) -> Option<IpAddr> {
        self.0.filter(|_| caller.user().is_some())
    }
}

/// The terms of every payment that is accepted from now on.
pub fn terms(payments: &config::Payments, neonomics: &config::Neonomics) -> Terms {
    Terms {
        sca_timeout: payments.sca_timeout,
        poll_first: neonomics.poll_first,
        poll_most: neonomics.poll_most,
        retry_base: neonomics.retry_base,
        attempt: neonomics.attempt(),
        visibility_lag: neonomics.visibility_lag,
        agreeing_reads: AGREEING_READS,
        replay: neonomics.replay_window,
        lookup: true,
        auto_start: payments.auto_start,
        user_deadline: USER_DEADLINE,
        overdue: payments.pending_sla,
        sla: payments.pending_sla,
        queue_expiry: payments.queue_expiry,
    }
}

/// Limits as the rules know them.
pub fn limits(limits: config::Limits) -> PaymentLimits {
    PaymentLimits { least: limits.least, most: limits.most }
}

/// The amount of a body. `currency` and `sendCurrency` are two names for one thing.
pub fn amount(
    faults: &mut Faults,
    amount: Given<Decimal>,
    currency: Given<String>,
    send_currency: Given<String>,
) -> Result<Option<Money>, Problem> {
    let currency = faults.optional("currency", currency);
    let send_currency = faults.optional("sendCurrency", send_currency);
    if let (Some(one), Some(other)) = (&currency, &send_currency)
        && one != other
    {
        faults.add("currency", "must agree with sendCurrency");
    }
    let currency = match send_currency.or(currency) {
        Some(code) => code.parse().map_err(|_| unsupported(&code))?,
        None => Currency::NOK,
    };
    let amount = faults.required("amount", amount);
    Ok(faults.read("amount", amount, |Decimal(text)| Money::parse(&text, currency)))
}

/// A currency that nobody knows is not supported either.
pub fn unsupported(code: &str) -> Problem {
    let shown: String = code.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    Problem::new(Code::CurrencyNotSupported, format!("The currency {shown} is not supported."))
}

/// Who pays, from which account: the one named, else the only or primary one.
///
/// # Errors
/// `not_found` when the user or the account is not known, `payments_disabled` at their bank.
pub async fn payer(
    app: &Services,
    caller: &Caller,
    user: &UserId,
    bank_account: Option<&BankAccountId>,
    ip: Option<IpAddr>,
) -> Result<Payer, Problem> {
    let known = app.registry.user(user).await?;
    if known.is_none() && caller.user().is_none() {
        return Err(Problem::new(Code::NotFound, "There is no such user."));
    }
    let accounts = app.registry.bank_accounts(user).await?;
    let account = choose(accounts, bank_account)
        .ok_or_else(|| Problem::new(Code::NotFound, "There is no such bank account."))?;
    are_made(app, &account.bank.0)?;
    Ok(facts(user, known.as_ref(), account, ip))
}

/// Whether payments are taken at a bank, or at any of the provider's when none is named (PI-41).
///
/// # Errors
/// `payments_disabled`.
pub fn are_made(app: &Services, bank: &str) -> Result<(), Problem> {
    match app.controls.pisp(provider::NAME, bank) {
        PispMode::Live | PispMode::Queue => Ok(()),
        PispMode::Disabled => Err(Code::PaymentsDisabled.into()),
    }
}

/// The account that is named, else the only or primary one.
pub fn choose(accounts: Vec<BankAccount>, wanted: Option<&BankAccountId>) -> Option<BankAccount> {
    let only = accounts.len() == 1;
    accounts.into_iter().find(|account| match wanted {
        Some(id) => account.id == *id,
        None => only || account.primary,
    })
}

/// Somebody with a token whom nobody has registered is somebody whose identity was not checked.
fn facts(user: &UserId, known: Option<&User>, account: BankAccount, ip: Option<IpAddr>) -> Payer {
    Payer {
        user: user.clone(),
        bank_account: account.id,
        // An account whose id at the provider nobody ever gave stands under its number, which the provider does not know.
        provider_account: Some(account.provider_account).filter(|id| *id != account.iban.as_str()),
        birth_date: known.and_then(|user| user.birth_date),
        identified: known.is_some_and(|user| user.kyc.allows_payments()),
        bank: account.bank,
        account: account.iban,
        currency: account.currency,
        consent: account.provider_consent,
        consent_expires_at: account.consent_expires_at,
        ip,
    }
}

/// What the service brings to a payment.
pub fn deal(app: &Services, transaction: TransactionId) -> Deal {
    let callback = &app.settings.callback;
    Deal {
        terms: app.settings.terms.clone(),
        redirect_uri: callback.redirect_uri(transaction),
        consent_redirect_uri: callback.consent_redirect_uri(transaction),
    }
}

/// Starts a payment once, waits for its first milestone, and answers.
///
/// A repetition gets the payment it started, whatever has changed since: whoever is refused, by a rule or because the
/// key is taken, is answered by what the key started, if it started anything.
///
/// # Errors
/// `idempotency_key_reused`, `payments_disabled`, `overloaded`, and whatever `order` refuses.
pub async fn start<M, Accepted>(
    app: &App,
    caller: &Caller,
    user: &UserId,
    key: StartKey,
    prefer: Prefer,
    order: impl FnOnce(TransactionId) -> Accepted,
) -> Result<Response, Problem>
where
    M: Machine,
    Accepted: Future<Output = Result<M::Order, Problem>>,
{
    let transaction = TransactionId::new(app.engine.ids().ordered());
    let ordered = async {
        are_made(app, "")?;
        if !app.engine.accepting() {
            return Err(Code::Overloaded.into());
        }
        order(transaction).await
    };
    let order = match ordered.await {
        Ok(order) => order,
        Err(refused) => {
            let earlier = app.engine.started(&key.scope, &key.key).await?;
            let earlier = earlier.ok_or(refused)?;
            return replay(app, earlier, &key.body_hash, prefer).await;
        }
    };
    let body_hash = key.body_hash.clone();
    let id = WorkflowId::from(transaction);
    let watch = app.engine.watch(id);
    match app.engine.start::<M>(id, user.as_str(), key, &caller.subject, order).await? {
        Started::New(instance) => {
            let instance = milestone(app, watch, instance, prefer).await?;
            let status =
                if is_settled_for_now(&instance)? { StatusCode::CREATED } else { StatusCode::ACCEPTED };
            answer(status, &instance, prefer)
        }
        Started::Existing(instance) => replay(app, instance, &body_hash, prefer).await,
    }
}

/// Waits until a payment has something worth knowing, at most as long as its caller prefers. The `watch` began before
/// the instance was read.
pub async fn milestone(
    app: &App,
    watch: Watch,
    instance: Arc<Instance>,
    prefer: Prefer,
) -> Result<Arc<Instance>, Problem> {
    wait(app, watch, instance, prefer.for_milestone(), has_milestone).await
}

/// The instance as soon as it is `enough`, when the time is up, or when the service is about to end: its callers are
/// told how things stand and come back to another process. The `watch` began before the instance was read.
pub async fn wait(
    app: &App,
    watch: Watch,
    instance: Arc<Instance>,
    timeout: Duration,
    enough: impl Fn(&Instance) -> bool + Send,
) -> Result<Arc<Instance>, Problem> {
    let enough = move |instance: &Instance| enough(instance) || !app.engine.accepting();
    Ok(app.engine.wait_from(watch, instance, timeout, enough).await?)
}

/// A transaction with where to look for it again.
pub fn answer(status: StatusCode, instance: &Instance, prefer: Prefer) -> Result<Response, Problem> {
    let transaction = Transaction::of(instance)?;
    let location = HeaderValue::try_from(format!("/v1/transactions/{}", transaction.id()))
        .map_err(|error| Problem::internal("write a location", error))?;
    let mut response = (status, axum::Json(transaction)).into_response();
    let headers = response.headers_mut();
    prefer.applied(headers);
    headers.insert(header::LOCATION, location);
    if matches!(status, StatusCode::CREATED | StatusCode::ACCEPTED) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(COME_BACK_AFTER));
    }
    Ok(response)
}

async fn replay(
    app: &App,
    earlier: Arc<Instance>,
    body_hash: &str,
    prefer: Prefer,
) -> Result<Response, Problem> {
    if *earlier.start.body_hash != *body_hash {
        return Err(Code::IdempotencyKeyReused.into());
    }
    // It may have moved before it is watched.
    let watch = app.engine.watch(earlier.id);
    let newest = if has_milestone(&earlier) { None } else { app.engine.get(earlier.id).await? };
    let instance = milestone(app, watch, newest.unwrap_or(earlier), prefer).await?;
    let mut response = answer(StatusCode::OK, &instance, prefer)?;
    response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

fn has_milestone(instance: &Instance) -> bool {
    // A document that cannot be read is reported by whoever answers with it; there is no point in waiting for it.
    Payment::of(instance)
        .map_or(true, |payment| payment.is_none_or(|payment| view(&payment.progress).milestone))
}

/// Whether a new payment needs nothing more from us at the moment: its link is there, or it is at its end. Everything
/// else is still being worked on, or queued.
fn is_settled_for_now(instance: &Instance) -> Result<bool, Problem> {
    let link = Payment::of(instance)?.is_some_and(|payment| payment.facts().sca_redirect.is_some());
    Ok(link || instance.status.is_final())
}
