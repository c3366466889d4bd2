//! A transaction as callers see it, made from the documents of its workflow.

use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;
use workers::store::Instance;
use workflows::engine::Machine;
use workflows::ids::{BankAccountId, TransactionId};
use workflows::money::{Money, Rate};
use workflows::payment::{Facts, Instruction, Progress};
use workflows::qr_payment::{self, QrPayment};
use workflows::remittance::{self, Remittance};
use workflows::time::At;

use super::error::{Code, Problem};

/// The workflows that are transactions.
pub const KINDS: [&str; 2] = [Remittance::KIND, QrPayment::KIND];

/// A payment: its order, read.
pub enum Order {
    /// Money abroad.
    Remittance(Box<remittance::Order>),
    /// A purchase in a shop.
    QrPayment(Box<qr_payment::Order>),
}

/// A payment's documents, read.
pub struct Payment {
    /// What was agreed.
    pub order: Order,
    /// Where it stands.
    pub progress: Progress,
}

/// A payment (rest-api §2). Every field is always there; `null` where nothing is known.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    /// Its id.
    #[schema(example = "tx_0192f0c1a2b37c4d8e5f60718293a4b5")]
    id: String,
    /// The workflow that carries it out.
    #[schema(example = "wf_0192f0c1a2b37c4d8e5f60718293a4b5")]
    workflow_id: String,
    /// `remittance` or `qr_payment`.
    #[schema(example = "remittance")]
    r#type: String,
    /// `processing`, `queued`, `completed`, `failed` or `cancelled`.
    #[schema(example = "processing")]
    status: String,
    /// The finer word, such as `awaiting_sca`, `confirming`, `in_doubt`, `parked` or `settled`.
    #[schema(example = "awaiting_sca")]
    phase: String,
    /// What the bank moves, in major units.
    #[schema(example = "2000.00")]
    amount: String,
    /// Its currency.
    #[schema(example = "NOK")]
    currency: String,
    /// What is charged beside it.
    #[schema(example = "10.00")]
    fee: String,
    /// Both together.
    #[schema(example = "2010.00")]
    total: String,
    /// The price that was promised; `null` where nothing is exchanged.
    #[schema(required, example = "0.0870")]
    exchange_rate: Option<String>,
    /// What the payee receives.
    #[schema(example = "174.00")]
    receive_amount: String,
    /// In this currency.
    #[schema(example = "EUR")]
    receive_currency: String,
    /// Who is paid abroad.
    #[schema(required, example = "rec_marko")]
    recipient_id: Option<String>,
    /// Which shop is paid.
    #[schema(required)]
    merchant_id: Option<String>,
    /// From which account.
    #[schema(example = "bac_1")]
    bank_account_id: String,
    /// Where the payer approves it, while that means something.
    #[schema(required)]
    sca_redirect: Option<ScaRedirect>,
    /// Until when.
    #[schema(required, example = "2026-02-23T08:05:00.000Z")]
    sca_expires_at: Option<String>,
    /// The bank's id of the payment.
    #[schema(required)]
    provider_payment_id: Option<String>,
    /// Why it failed, such as `INSUFFICIENT_FUNDS` or `SCA_TIMEOUT`.
    #[schema(required, example = json!(null))]
    error_code: Option<&'static str>,
    /// What the payer should read.
    #[schema(required, example = json!(null))]
    message: Option<&'static str>,
    /// When it was accepted.
    #[schema(example = "2026-02-23T08:00:00.000Z")]
    created_at: String,
    /// When it last moved.
    #[schema(example = "2026-02-23T08:00:01.000Z")]
    updated_at: String,
    /// When it ended.
    #[schema(required, example = json!(null))]
    completed_at: Option<String>,
}

/// Where the payer approves a payment.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ScaRedirect {
    /// The bank's page.
    #[schema(example = "https://bank.example/approve/1")]
    href: String,
}

/// One committed transition of a transaction.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransactionEvent {
    /// Number of the transition, from 1.
    seq: i64,
    /// The transaction, with the status and phase of that transition.
    #[serde(flatten)]
    transaction: Transaction,
}

impl Payment {
    /// Reads the documents of an instance; `None` when it is no payment.
    ///
    /// # Errors
    /// `internal` when they cannot be read.
    pub fn of(instance: &Instance) -> Result<Option<Self>, Problem> {
        if *instance.kind == *Remittance::KIND {
            let (order, progress) = documents::<Remittance>(instance)?;
            return Ok(Some(Payment { order: Order::Remittance(Box::new(order)), progress }));
        }
        if *instance.kind == *QrPayment::KIND {
            let (order, progress) = documents::<QrPayment>(instance)?;
            return Ok(Some(Payment { order: Order::QrPayment(Box::new(order)), progress }));
        }
        Ok(None)
    }

    /// What the bank is told, and under which rules.
    pub fn instruction(&self) -> &Instruction {
        match &self.order {
            Order::Remittance(order) => &order.payment,
            Order::QrPayment(order) => &order.payment,
        }
    }

    /// What the payer's account pays in all, and which account that is.
    pub fn taken(&self) -> (&BankAccountId, Money) {
        match &self.order {
            Order::Remittance(order) => (&order.bank_account, order.total()),
            Order::QrPayment(order) => (&order.bank_account, order.amount()),
        }
    }

    /// What its state says beside status and phase.
    pub fn facts(&self) -> Facts {
        match &self.order {
            Order::Remittance(order) => remittance::facts(order, &self.progress),
            Order::QrPayment(order) => qr_payment::facts(order, &self.progress),
        }
    }
}

impl Transaction {
    /// The transaction that an instance is.
    ///
    /// # Errors
    /// `not_found` when it is none, `internal` when its documents cannot be read.
    pub fn of(instance: &Instance) -> Result<Self, Problem> {
        let payment = Payment::of(instance)?.ok_or(Code::NotFound)?;
        let facts = payment.facts();
        let mut terms = Agreed::of(&payment.order);
        if let Some(price) = facts.price {
            terms.rate = Some(price.rate);
            terms.receive = price.receive;
        }
        Ok(Transaction {
            id: TransactionId::from(instance.id).to_string(),
            workflow_id: instance.id.to_string(),
            r#type: instance.kind.to_string(),
            status: instance.status.as_str().to_owned(),
            phase: instance.phase.to_string(),
            amount: terms.amount.to_decimal_string(),
            currency: terms.amount.currency.to_string(),
            fee: terms.fee.to_decimal_string(),
            total: terms.total.to_decimal_string(),
            exchange_rate: terms.rate.map(|rate| rate.to_string()),
            receive_amount: terms.receive.to_decimal_string(),
            receive_currency: terms.receive.currency.to_string(),
            recipient_id: terms.recipient,
            merchant_id: terms.merchant,
            bank_account_id: terms.bank_account,
            sca_redirect: facts.sca_redirect.map(|href| ScaRedirect { href }),
            sca_expires_at: facts.sca_expires_at.map(At::to_rfc3339_millis),
            provider_payment_id: facts.provider_payment.map(|id| id.0),
            error_code: facts.error_code,
            message: facts.message,
            created_at: instance.created_at.to_rfc3339_millis(),
            updated_at: instance.updated_at.to_rfc3339_millis(),
            completed_at: instance.completed_at.map(At::to_rfc3339_millis),
        })
    }

    /// Amount with its currency, and the bank's id of it.
    pub fn essence(self) -> ((String, String), Option<String>) {
        ((self.amount, self.currency), self.provider_payment_id)
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl TransactionEvent {
    /// The transition that made a revision.
    ///
    /// # Errors
    /// `internal` when its documents cannot be read.
    pub fn of(revision: &Instance) -> Result<Self, Problem> {
        Ok(TransactionEvent { seq: revision.seq, transaction: Transaction::of(revision)? })
    }

    /// Number of the transition.
    pub fn seq(&self) -> i64 {
        self.seq
    }
}

/// What was agreed, the same for every kind.
struct Agreed {
    amount: Money,
    fee: Money,
    total: Money,
    rate: Option<Rate>,
    receive: Money,
    recipient: Option<String>,
    merchant: Option<String>,
    bank_account: String,
}

impl Agreed {
    fn of(order: &Order) -> Self {
        match order {
            Order::Remittance(order) => Agreed {
                amount: order.amount(),
                fee: order.fee,
                total: order.total(),
                rate: Some(order.rate),
                receive: order.receive,
                recipient: Some(order.recipient.to_string()),
                merchant: None,
                bank_account: order.bank_account.to_string(),
            },
            Order::QrPayment(order) => Agreed {
                amount: order.amount(),
                fee: Money::zero(order.amount().currency),
                total: order.amount(),
                rate: None,
                receive: order.amount(),
                recipient: None,
                merchant: Some(order.merchant.to_string()),
                bank_account: order.bank_account.to_string(),
            },
        }
    }
}

/// The two documents of an instance, brought up to the version of its machine.
fn documents<M: Machine>(instance: &Instance) -> Result<(M::Order, M::State), Problem> {
    let unreadable =
        |why: String| Problem::internal("read a stored workflow", format!("{}: {why}", instance.id));
    if instance.version == M::VERSION {
        return Ok((read(&instance.order).map_err(unreadable)?, read(&instance.state).map_err(unreadable)?));
    }
    let (order, state) =
        (read(&instance.order).map_err(unreadable)?, read(&instance.state).map_err(unreadable)?);
    let (order, state) = M::upcast(instance.version, order, state)
        .ok_or_else(|| unreadable(format!("version {} is not known", instance.version)))?;
    let order = serde_json::from_value(order).map_err(|error| unreadable(error.to_string()))?;
    let state = serde_json::from_value(state).map_err(|error| unreadable(error.to_string()))?;
    Ok((order, state))
}

fn read<D: DeserializeOwned>(document: &str) -> Result<D, String> {
    serde_json::from_str(document).map_err(|error| error.to_string())
}
