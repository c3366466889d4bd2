//! A planned order as the front-end would make it of a request, by the same rules.

use std::time::Duration;

use workers::engine::{Engine, Started};
use workers::store::{StartKey, Trouble};
use workflows::accounts::Iban;
use workflows::ids::{TransactionId, WorkflowId};
use workflows::money::{Currency, Money, Rate};
use workflows::payment::{Deal, Payee, Payer, PaymentLimits};
use workflows::ports::payments::{BankId, CreditorAccount};
use workflows::qr_payment::{self, QrPayment};
use workflows::remittance::{self, Remittance};
use workflows::text::Private;

use crate::plan::{Class, Kind, Order};

const DEBTOR: &str = "NO9386011117947";
const PAYEES: [&str; 4] =
    ["RS35265000000123456757", "DE89370400440532013000", "GB29NWBK60161331926819", "NO9386011117947"];

/// The scope of every start: who calls, and which route.
pub const SCOPE: &str = "simulation";
const OWNER: &str = "usr_kari";

/// Starts an order under its key, with this id and amount.
///
/// # Errors
/// When the store does not answer.
pub async fn start(engine: &Engine, order: &Order, id: WorkflowId, minor: i64) -> Result<Started, Trouble> {
    let key = StartKey {
        scope: SCOPE.into(),
        key: format!("order-{}", order.number).into(),
        body_hash: minor.to_string().into(),
    };
    match order.kind {
        Kind::Remittance => {
            let order = remittance(engine, order, id, minor);
            engine.start::<Remittance>(id, OWNER, key, OWNER, order).await
        }
        Kind::QrPayment => {
            let order = qr_payment(engine, order, id, minor);
            engine.start::<QrPayment>(id, OWNER, key, OWNER, order).await
        }
    }
}

fn remittance(engine: &Engine, order: &Order, id: WorkflowId, minor: i64) -> remittance::Order {
    let promised = order.number.is_multiple_of(2).then(|| engine.now().plus(Duration::from_mins(1)));
    let ask = remittance::Ask {
        transaction: TransactionId::from(id),
        recipient: "rec_marko".parse().expect("an id of this form"),
        payer: payer(order),
        payee: payee(order),
        amount: nok(minor),
        receive: Currency::EUR,
        rate: Some((Rate::parse("0.0870").expect("a rate of this form"), promised)),
        note: None,
        limits: limits(),
        fee_basis_points: 50,
        deal: deal(order),
    };
    remittance::accept(ask, engine.now()).expect("the plan keeps every rule of acceptance")
}

fn qr_payment(engine: &Engine, order: &Order, id: WorkflowId, minor: i64) -> qr_payment::Order {
    let ask = qr_payment::Ask {
        transaction: TransactionId::from(id),
        merchant: "mer_kiwi".parse().expect("an id of this form"),
        payer: payer(order),
        payee: payee(order),
        amount: nok(minor),
        limits: limits(),
        deal: deal(order),
    };
    qr_payment::accept(ask, engine.now()).expect("the plan keeps every rule of acceptance")
}

/// Whether a payment says what the client ordered: amount, currency, debtor, creditor.
pub fn is_as_ordered(
    order: &Order,
    minor: i64,
    asked: Option<i64>,
    (currency, debtor, creditor): &(String, String, String),
) -> bool {
    asked == Some(minor) && currency == "NOK" && debtor == DEBTOR && creditor == creditor_of(order)
}

fn creditor_of(order: &Order) -> &'static str {
    PAYEES.get(order.payee).copied().unwrap_or(DEBTOR)
}

fn payer(order: &Order) -> Payer {
    Payer {
        user: OWNER.parse().expect("an id of this form"),
        bank_account: "bac_1".parse().expect("an id of this form"),
        provider_account: None,
        birth_date: chrono::NaiveDate::from_ymd_opt(1990, 1, 1),
        identified: true,
        bank: BankId(bank(order.class).to_owned()),
        account: iban(DEBTOR),
        currency: Currency::NOK,
        consent: Some("consent-1".to_owned()),
        consent_expires_at: None,
        ip: None,
    }
}

fn payee(order: &Order) -> Payee {
    Payee {
        name: Private::from("Marko Petrovic".to_owned()),
        account: CreditorAccount::Iban(iban(creditor_of(order))),
        agent: None,
        domestic: order.kind == Kind::QrPayment,
    }
}

fn deal(order: &Order) -> Deal {
    Deal {
        terms: order.terms.clone(),
        redirect_uri: "http://localhost/v1/payments/callback".to_owned(),
        consent_redirect_uri: "http://localhost/v1/consents/callback".to_owned(),
    }
}

fn limits() -> PaymentLimits {
    PaymentLimits { least: nok(10_000), most: nok(5_000_000) }
}

fn nok(minor: i64) -> Money {
    Money::new(minor, Currency::NOK)
}

fn iban(text: &str) -> Iban {
    Iban::parse(text).expect("a vector of the standard")
}

/// A bank for each class, so that one that hangs has lanes of its own.
fn bank(class: Class) -> &'static str {
    match class {
        Class::KeyForEver => "a",
        Class::KeyAlone => "a2",
        Class::KeyForAWhile => "b",
        Class::LookupAlone => "c",
        Class::Blind => "d",
        Class::Flips => "e",
        Class::Late => "f",
        Class::Callbacks => "g",
    }
}
