//! The laws of a remittance, and the rules that its order locks.

use std::time::Duration;

use super::*;
use crate::accounts::Iban;
use crate::calendar::Date;
use crate::payment::Terms;
use crate::payment::tests::{instruction, lawful, laws_hold, terms};
use crate::ports::payments::{BankId, CreditorAccount};

lawful!(Remittance);

fn order(terms: Terms) -> Order {
    let nok = |minor| Money::new(minor, Currency::NOK);
    Order {
        transaction: TransactionId::new(7),
        user: "usr_kari".parse().expect("an id"),
        recipient: "rec_marko".parse().expect("an id"),
        bank_account: "bac_1".parse().expect("an id"),
        fee: nok(1_000),
        rate: Rate::parse("0.0870").expect("a rate"),
        receive: Money::new(17_400, Currency::EUR),
        note: None,
        payment: instruction(terms),
    }
}

fn ask() -> Ask {
    let iban = |text| Iban::parse(text).expect("a vector of the contract");
    Ask {
        transaction: TransactionId::new(7),
        recipient: "rec_marko".parse().expect("an id"),
        payer: Payer {
            user: "usr_kari".parse().expect("an id"),
            bank_account: "bac_1".parse().expect("an id"),
            provider_account: None,
            birth_date: Date::from_ymd_opt(1990, 5, 17),
            identified: true,
            bank: BankId("dnb".to_owned()),
            account: iban("NO9386011117947"),
            currency: Currency::NOK,
            consent: None,
            consent_expires_at: Some(now().plus(Duration::from_hours(1))),
            ip: None,
        },
        payee: Payee {
            name: Private::from("Marko Petrovic".to_owned()),
            account: CreditorAccount::Iban(iban("RS35265000000123456757")),
            agent: None,
            domestic: false,
        },
        amount: Money::new(200_000, Currency::NOK),
        receive: Currency::EUR,
        rate: Some((Rate::parse("0.0870").expect("a rate"), None)),
        note: None,
        limits: PaymentLimits {
            least: Money::new(10_000, Currency::NOK),
            most: Money::new(5_000_000, Currency::NOK),
        },
        fee_basis_points: 50,
        deal: Deal {
            terms: terms(None, true, false),
            redirect_uri: "http://localhost/".to_owned(),
            consent_redirect_uri: "http://localhost/".to_owned(),
        },
    }
}

fn now() -> At {
    At::parse("2026-02-23T08:00:00Z").expect("a time")
}

#[test]
fn the_laws_hold_in_every_situation() {
    // A price that may run out, so that it is quoted anew.
    let price = Price {
        rate: Rate::parse("0.0870").expect("a rate"),
        receive: Money::new(17_400, Currency::EUR),
        until: Some(now()),
    };
    let maps = laws_hold::<Remittance>(|terms| {
        let mut order = order(terms);
        order.payment.price = Some(price.clone());
        order
    });
    for map in &maps {
        assert!(map.situations > 50, "the walk saw only {} situations", map.situations);
    }
    let diagram = maps[0].mermaid();
    for edge in ["initiating --> in_doubt", "awaiting_sca --> cancelling", "cancelling --> sca_timeout"] {
        assert!(diagram.contains(edge), "{edge} is missing in\n{diagram}");
    }
}

#[test]
fn the_fee_stands_beside_the_amount_and_the_quote_in_the_order() {
    let order = accept(ask(), now()).expect("lawful");
    assert_eq!(order.amount(), Money::new(200_000, Currency::NOK));
    assert_eq!(order.fee, Money::new(1_000, Currency::NOK));
    assert_eq!(order.total(), Money::new(201_000, Currency::NOK));
    assert_eq!(order.receive, Money::new(17_400, Currency::EUR));
    assert_eq!(order.payment.initiation.amount, order.amount());
    let odd = Ask { amount: Money::new(10_100, Currency::NOK), ..ask() };
    assert_eq!(accept(odd, now()).expect("lawful").fee.minor, 51, "50.5 øre is rounded half up");
}

#[test]
fn every_rule_is_applied() {
    type Breaks = fn(&mut Ask);
    let broken: [(&str, Breaks); 11] = [
        ("kyc_required", |ask| ask.payer.identified = false),
        ("kyc_required", |ask| ask.payer.birth_date = None),
        ("underage", |ask| ask.payer.birth_date = Date::from_ymd_opt(2008, 2, 24)),
        ("consent_expired", |ask| ask.payer.consent_expires_at = Some(now())),
        ("amount_out_of_range", |ask| ask.amount.minor = 9_999),
        ("amount_out_of_range", |ask| ask.amount.minor = 5_000_001),
        ("amount_out_of_range", |ask| ask.amount.minor = -200_000),
        ("currency_not_supported", |ask| ask.amount.currency = Currency::EUR),
        ("currency_not_supported", |ask| ask.payer.currency = Currency::EUR),
        ("currency_not_supported", |ask| ask.rate = None),
        ("currency_not_supported", |ask| {
            ask.rate = ask.rate.map(|(rate, _)| (rate, Some(now())));
        }),
    ];
    for (code, breaks) in broken {
        let mut ask = ask();
        breaks(&mut ask);
        assert_eq!(accept(ask, now()).expect_err(code).code(), code);
    }
    let mut birthday = ask();
    birthday.payer.birth_date = Date::from_ymd_opt(2008, 2, 23);
    assert!(accept(birthday, now()).is_ok(), "eighteen on the birthday");
    for minor in [10_000, 5_000_000] {
        let mut bound = ask();
        bound.amount.minor = minor;
        assert!(accept(bound, now()).is_ok(), "both bounds are inside");
    }
}
