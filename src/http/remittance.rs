//! Money abroad: `POST /v1/transactions/remittance`.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use workers::registry::Recipient;
use workers::store::StartKey;
use workflows::accounts::Country;
use workflows::ids::{BankAccountId, RecipientId, UserId};
use workflows::money::{Currency, Money, Rate};
use workflows::payment::Payee;
use workflows::ports::payments::CreditorAccount;
use workflows::remittance::{Ask, Remittance, accept};
use workflows::text::Private;
use workflows::time::At;

use super::auth::Caller;
use super::body::Json;
use super::error::{Code, Problem};
use super::idempotency::IdempotencyKey;
use super::money::Decimal;
use super::payments::{self, PsuIp};
use super::prefer::Prefer;
use super::transaction::Transaction;
use super::validation::{Faults, Given, line, sure};
use super::{App, Services};

/// A remittance to be made. Only `recipientId` and `amount` must be given.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemittanceRequest {
    /// Whom to pay.
    #[serde(default)]
    #[schema(value_type = String, required, example = "rec_marko")]
    recipient_id: Given<RecipientId>,
    /// What the bank shall move, the fee not included: a decimal string or number with at most two decimals.
    #[serde(default)]
    #[schema(value_type = Decimal, inline, required, example = "2000.00")]
    amount: Given<Decimal>,
    /// Another name for `sendCurrency`; both must agree.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "NOK")]
    currency: Given<String>,
    /// The currency of `amount`; NOK when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "NOK")]
    send_currency: Given<String>,
    /// What the payee receives; the recipient's own currency when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "EUR")]
    receive_currency: Given<String>,
    /// From which account; the only or primary one when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "bac_1")]
    bank_account_id: Given<BankAccountId>,
    /// The payer's own note, at most 140 characters.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "February")]
    note: Given<String>,
    /// Who pays; required for, and reserved to, the `service` role.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "usr_kari")]
    on_behalf_of: Given<UserId>,
}

/// The request, understood. Its JSON form is what its fingerprint is made of.
#[derive(Serialize)]
struct Wish {
    user: UserId,
    recipient: RecipientId,
    amount: Money,
    receive: Option<Currency>,
    bank_account: Option<BankAccountId>,
    note: Option<String>,
}

/// Start a remittance.
///
/// Answers as soon as the bank's approval link is there, or after `Prefer: wait=N` seconds.
#[utoipa::path(
    post,
    path = "/v1/transactions/remittance",
    tag = "Payments", operation_id = "startRemittance",
    params(
        ("Idempotency-Key" = String, Header, description = "1 to 255 printable ASCII characters; the same key starts one payment"),
        ("Prefer" = Option<String>, Header, description = "wait=N: how many seconds to wait for the link (default 5, at most 30)"),
    ),
    request_body = RemittanceRequest,
    responses(
        (status = 201, description = "The approval link is ready, or the payment is at its end", body = Transaction),
        (status = 202, description = "Still working, or queued", body = Transaction),
        (status = 200, description = "The payment that this key started before", body = Transaction),
        (status = 403, description = "`underage`"),
        (status = 404, description = "Unknown recipient or bank account: `not_found`"),
        (status = 409, description = "`kyc_required`, `consent_expired`"),
        (status = 422, description = "`amount_out_of_range`, `currency_not_supported`, `idempotency_key_reused`"),
        (status = 503, description = "`payments_disabled`, `overloaded`, `database_unavailable`"),
    )
)]
pub async fn start(
    State(app): State<App>,
    caller: Caller,
    key: IdempotencyKey,
    prefer: Prefer,
    psu_ip: PsuIp,
    Json(request): Json<RemittanceRequest>,
) -> Result<Response, Problem> {
    let wish = request.understand(&caller)?;
    let key: StartKey = key.start_key(&caller, "transactions/remittance", &wish)?;
    let user = wish.user.clone();
    let ask = async |transaction| {
        let ask = wish.ask(&app, &caller, transaction, psu_ip).await?;
        Ok(accept(ask, app.engine.now())?)
    };
    payments::start::<Remittance, _>(&app, &caller, &user, key, prefer, ask).await
}

impl RemittanceRequest {
    fn understand(self, caller: &Caller) -> Result<Wish, Problem> {
        let user = caller.acts_for(self.on_behalf_of)?;
        let mut faults = Faults::default();
        let recipient = faults.required("recipientId", self.recipient_id);
        let amount = payments::amount(&mut faults, self.amount, self.currency, self.send_currency)?;
        let receive = faults.optional("receiveCurrency", self.receive_currency);
        let bank_account = faults.optional("bankAccountId", self.bank_account_id);
        let note = faults.optional("note", self.note);
        let note = faults.read("note", note, line(140));
        faults.finish()?;
        let receive =
            receive.map(|code| code.parse().map_err(|_| payments::unsupported(&code))).transpose()?;
        Ok(Wish { user, recipient: sure(recipient)?, amount: sure(amount)?, receive, bank_account, note })
    }
}

impl Wish {
    /// The request with everything that the rules ask about.
    async fn ask(
        self,
        app: &Services,
        caller: &Caller,
        transaction: workflows::ids::TransactionId,
        psu_ip: PsuIp,
    ) -> Result<Ask, Problem> {
        let recipient = app.registry.recipient(&self.user, &self.recipient).await?;
        let recipient =
            recipient.ok_or_else(|| Problem::new(Code::NotFound, "There is no such recipient."))?;
        let psu_ip = psu_ip.of(caller);
        let payer = payments::payer(app, caller, &self.user, self.bank_account.as_ref(), psu_ip).await?;
        let receive = self.receive.unwrap_or(recipient.currency);
        Ok(Ask {
            transaction,
            recipient: self.recipient,
            payer,
            payee: payee(recipient),
            rate: price(app, self.amount.currency, receive).await?,
            amount: self.amount,
            receive,
            note: self.note.map(Private::from),
            limits: payments::limits(app.settings.payments.remittance),
            fee_basis_points: app.settings.payments.remittance_fee,
            deal: payments::deal(app, transaction),
        })
    }
}

fn payee(recipient: Recipient) -> Payee {
    let country = match &recipient.account {
        CreditorAccount::Iban(iban) => iban.country(),
        CreditorAccount::Bban(bban) => bban.country(),
    };
    Payee {
        name: Private::from(recipient.name),
        account: recipient.account,
        agent: recipient.bic,
        domestic: country == Country::NO,
    }
}

/// The price of a pair; one unit of a currency costs one of itself.
async fn price(app: &Services, from: Currency, to: Currency) -> Result<Option<(Rate, Option<At>)>, Problem> {
    if from == to {
        let one = Rate::parse("1").map_err(|error| Problem::internal("price a currency in itself", error))?;
        return Ok(Some((one, None)));
    }
    let stored = app.registry.rate(from, to).await?;
    Ok(stored.map(|stored| (stored.rate, stored.valid_until)))
}
