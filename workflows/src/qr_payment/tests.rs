//! The laws of a QR payment.

use super::*;
use crate::payment::Terms;
use crate::payment::tests::{instruction, lawful, laws_hold};

lawful!(QrPayment);

fn order(terms: Terms) -> Order {
    Order {
        transaction: TransactionId::new(7),
        user: "usr_kari".parse().expect("an id"),
        merchant: "mer_kiosk".parse().expect("an id"),
        bank_account: "bac_1".parse().expect("an id"),
        payment: instruction(terms),
    }
}

#[test]
fn the_laws_hold_in_every_situation() {
    for map in laws_hold::<QrPayment>(order) {
        assert!(map.situations > 50, "the walk saw only {} situations", map.situations);
    }
}
