//! QR payment: a purchase in a shop, paid from the customer's own account to the merchant's (FE-04).
//!
//! No fee, domestic rail, and the same [`crate::payment`] machine as a remittance.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::ids::{BankAccountId, MerchantId, TransactionId, UserId};
use crate::money::Money;
use crate::payment::{self, Deal, Denied, Facts, Instruction, Payee, Payer, PaymentLimits, Progress};
use crate::time::At;

/// The provider whose lanes a QR payment queues in.
const PROVIDER: &str = "neonomics";

/// The workflow.
#[derive(Clone, Copy, Debug)]
pub struct QrPayment;

/// What was agreed with the customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its id; the workflow has the same 128 bits.
    pub transaction: TransactionId,
    /// Who pays.
    pub user: UserId,
    /// Who is paid.
    pub merchant: MerchantId,
    /// From which account.
    pub bank_account: BankAccountId,
    /// The payment.
    pub payment: Instruction,
}

impl Order {
    /// What the bank moves.
    pub fn amount(&self) -> Money {
        self.payment.initiation.amount
    }
}

/// A request, with everything that the rules ask about.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The id it will have.
    pub transaction: TransactionId,
    /// Who is paid.
    pub merchant: MerchantId,
    /// The payer's facts.
    pub payer: Payer,
    /// The merchant's facts.
    pub payee: Payee,
    /// What the bank shall move.
    pub amount: Money,
    /// Limits of the amount (a setting of its own, FE-07).
    pub limits: PaymentLimits,
    /// What the service brings.
    pub deal: Deal,
}

/// Applies every rule.
///
/// # Errors
/// The first rule that the request breaks.
pub fn accept(ask: Ask, now: At) -> Result<Order, Denied> {
    payment::may_pay(&ask.payer, now)?;
    payment::within_limits(ask.amount, ask.limits)?;
    if ask.payer.currency != ask.amount.currency {
        return Err(Denied::CurrencyNotSupported("the bank account is not in the currency of the payment"));
    }
    Ok(Order {
        transaction: ask.transaction,
        user: ask.payer.user.clone(),
        merchant: ask.merchant,
        bank_account: ask.payer.bank_account.clone(),
        payment: payment::instruct(
            ask.transaction,
            "Drop QR",
            ask.payer,
            ask.payee,
            ask.amount,
            (ask.deal, now),
        ),
    })
}

/// What the API shows beside status and phase.
pub fn facts(_: &Order, progress: &Progress) -> Facts {
    payment::facts(progress)
}

payment::pays!(QrPayment, "qr_payment", Order, PROVIDER);
