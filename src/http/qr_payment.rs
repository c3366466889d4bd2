//! A purchase in a shop: `POST /v1/transactions/qr-payment`.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use workflows::accounts::Country;
use workflows::ids::{BankAccountId, MerchantId, TransactionId, UserId};
use workflows::money::Money;
use workflows::payment::Payee;
use workflows::ports::payments::CreditorAccount;
use workflows::qr_payment::{Ask, QrPayment, accept};
use workflows::text::Private;

use super::auth::Caller;
use super::body::Json;
use super::error::{Code, Problem};
use super::idempotency::IdempotencyKey;
use super::money::Decimal;
use super::payments::{self, PsuIp};
use super::prefer::Prefer;
use super::transaction::Transaction;
use super::validation::{Faults, Given, sure};
use super::{App, Services};

/// A purchase to be paid.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QrPaymentRequest {
    /// Which shop to pay.
    #[serde(default)]
    #[schema(value_type = String, required, example = "mer_kiosk")]
    merchant_id: Given<MerchantId>,
    /// What to pay: a decimal string or number with at most two decimals.
    #[serde(default)]
    #[schema(value_type = Decimal, inline, required, example = "149.00")]
    amount: Given<Decimal>,
    /// NOK when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "NOK")]
    currency: Given<String>,
    /// From which account; the only or primary one when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "bac_1")]
    bank_account_id: Given<BankAccountId>,
    /// The payload of a scanned code. This service has made none so far, so none can be genuine.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    qr: Given<String>,
    /// Who pays; required for, and reserved to, the `service` role.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "usr_kari")]
    on_behalf_of: Given<UserId>,
}

/// The request, understood. Its JSON form is what its fingerprint is made of.
#[derive(Serialize)]
struct Wish {
    user: UserId,
    merchant: MerchantId,
    amount: Money,
    bank_account: Option<BankAccountId>,
}

/// Start a QR payment.
///
/// Answers as soon as the bank's approval link is there, or after `Prefer: wait=N` seconds. There is no fee.
#[utoipa::path(
    post,
    path = "/v1/transactions/qr-payment",
    tag = "Payments", operation_id = "startQrPayment",
    params(
        ("Idempotency-Key" = String, Header, description = "1 to 255 printable ASCII characters; the same key starts one payment"),
        ("Prefer" = Option<String>, Header, description = "wait=N: how many seconds to wait for the link (default 5, at most 30)"),
    ),
    request_body = QrPaymentRequest,
    responses(
        (status = 201, description = "The approval link is ready, or the payment is at its end", body = Transaction),
        (status = 202, description = "Still working, or queued", body = Transaction),
        (status = 200, description = "The payment that this key started before", body = Transaction),
        (status = 403, description = "`underage`"),
        (status = 404, description = "Unknown merchant or bank account: `not_found`"),
        (status = 409, description = "`kyc_required`, `consent_expired`"),
        (status = 422, description = "`amount_out_of_range`, `currency_not_supported`, `qr_invalid`, `idempotency_key_reused`"),
        (status = 503, description = "`payments_disabled`, `overloaded`, `database_unavailable`"),
    )
)]
pub async fn start(
    State(app): State<App>,
    caller: Caller,
    key: IdempotencyKey,
    prefer: Prefer,
    psu_ip: PsuIp,
    Json(request): Json<QrPaymentRequest>,
) -> Result<Response, Problem> {
    let wish = request.understand(&caller)?;
    let key = key.start_key(&caller, "transactions/qr-payment", &wish)?;
    let user = wish.user.clone();
    let ask = async |transaction| {
        let ask = wish.ask(&app, &caller, transaction, psu_ip).await?;
        Ok(accept(ask, app.engine.now())?)
    };
    payments::start::<QrPayment, _>(&app, &caller, &user, key, prefer, ask).await
}

impl QrPaymentRequest {
    fn understand(self, caller: &Caller) -> Result<Wish, Problem> {
        let user = caller.acts_for(self.on_behalf_of)?;
        let mut faults = Faults::default();
        if faults.optional("qr", self.qr).is_some() {
            faults.finish()?;
            return Err(Code::QrInvalid.into());
        }
        let merchant = faults.required("merchantId", self.merchant_id);
        let amount = payments::amount(&mut faults, self.amount, self.currency, Given::Absent)?;
        let bank_account = faults.optional("bankAccountId", self.bank_account_id);
        faults.finish()?;
        Ok(Wish { user, merchant: sure(merchant)?, amount: sure(amount)?, bank_account })
    }
}

impl Wish {
    /// The request with everything that the rules ask about.
    async fn ask(
        self,
        app: &Services,
        caller: &Caller,
        transaction: TransactionId,
        psu_ip: PsuIp,
    ) -> Result<Ask, Problem> {
        let merchant = app.registry.merchant(&self.merchant).await?;
        let merchant = merchant.ok_or_else(|| Problem::new(Code::NotFound, "There is no such merchant."))?;
        let psu_ip = psu_ip.of(caller);
        let payer = payments::payer(app, caller, &self.user, self.bank_account.as_ref(), psu_ip).await?;
        Ok(Ask {
            transaction,
            merchant: self.merchant,
            payer,
            payee: Payee {
                name: Private::from(merchant.name),
                domestic: merchant.iban.country() == Country::NO,
                account: CreditorAccount::Iban(merchant.iban),
                agent: None,
            },
            amount: self.amount,
            limits: payments::limits(app.settings.payments.qr),
            deal: payments::deal(app, transaction),
        })
    }
}
