//! Remittance: money abroad, from the payer's own account, by the payer's own bank (FE-02, FE-03).
//!
//! The order locks what was promised to the customer: amount, fee, rate. The payment itself is [`crate::payment`]'s.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::ids::{BankAccountId, RecipientId, TransactionId, UserId};
use crate::money::{Currency, Money, Rate};
use crate::payment::{self, Deal, Denied, Facts, Instruction, Payee, Payer, PaymentLimits, Progress};
use crate::ports::prices::Price;
use crate::text::Private;
use crate::time::At;

/// The provider whose lanes a remittance queues in.
const PROVIDER: &str = "neonomics";

/// The workflow.
#[derive(Clone, Copy, Debug)]
pub struct Remittance;

/// What was agreed with the customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its id; the workflow has the same 128 bits.
    pub transaction: TransactionId,
    /// Who pays.
    pub user: UserId,
    /// Who is paid.
    pub recipient: RecipientId,
    /// From which account.
    pub bank_account: BankAccountId,
    /// What Drop charges, beside the amount and never inside it.
    pub fee: Money,
    /// The price that was promised.
    pub rate: Rate,
    /// What the payee receives at that price.
    pub receive: Money,
    /// The customer's own note.
    pub note: Option<Private>,
    /// The payment.
    pub payment: Instruction,
}

impl Order {
    /// What the bank moves.
    pub fn amount(&self) -> Money {
        self.payment.initiation.amount
    }

    /// Amount and fee together. [`accept`] refused an order whose sum has no representation.
    pub fn total(&self) -> Money {
        Money { minor: self.amount().minor.saturating_add(self.fee.minor), ..self.fee }
    }
}

/// A request, with everything that the rules ask about.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The id it will have.
    pub transaction: TransactionId,
    /// Who is paid.
    pub recipient: RecipientId,
    /// The payer's facts.
    pub payer: Payer,
    /// The payee's facts.
    pub payee: Payee,
    /// What the bank shall move.
    pub amount: Money,
    /// What the payee is to receive.
    pub receive: Currency,
    /// The price of the pair, if there is one, and until when it may be promised.
    pub rate: Option<(Rate, Option<At>)>,
    /// The customer's own note.
    pub note: Option<Private>,
    /// Limits of the amount (FE-07).
    pub limits: PaymentLimits,
    /// The fee in hundredths of a per cent (FE-03: 50).
    pub fee_basis_points: u32,
    /// What the service brings.
    pub deal: Deal,
}

/// Applies every rule and locks the quote in the order.
///
/// # Errors
/// The first rule that the request breaks.
pub fn accept(ask: Ask, now: At) -> Result<Order, Denied> {
    payment::may_pay(&ask.payer, now)?;
    payment::within_limits(ask.amount, ask.limits)?;
    if ask.payer.currency != ask.amount.currency {
        return Err(Denied::CurrencyNotSupported("the bank account is not in the currency of the payment"));
    }
    let (rate, until) = match ask.rate {
        Some((_, Some(until))) if until <= now => {
            return Err(Denied::CurrencyNotSupported("the exchange rate has expired"));
        }
        Some(rate) => rate,
        None => return Err(Denied::CurrencyNotSupported("there is no exchange rate for this currency")),
    };
    let unrepresentable = |_| Denied::AmountOutOfRange { limits: ask.limits };
    let receive = rate.convert(ask.amount, ask.receive).map_err(unrepresentable)?;
    let fee = ask.amount.share(ask.fee_basis_points).map_err(unrepresentable)?;
    ask.amount.checked_add(fee).map_err(unrepresentable)?;
    // A price without an end holds for as long as the payment waits.
    let price = until.map(|_| Price { rate, receive, until });
    Ok(Order {
        transaction: ask.transaction,
        user: ask.payer.user.clone(),
        recipient: ask.recipient,
        bank_account: ask.payer.bank_account.clone(),
        fee,
        rate,
        receive,
        note: ask.note,
        payment: Instruction {
            price,
            ..payment::instruct(
                ask.transaction,
                "Drop remittance",
                ask.payer,
                ask.payee,
                ask.amount,
                (ask.deal, now),
            )
        },
    })
}

/// What the API shows beside status and phase.
pub fn facts(_: &Order, progress: &Progress) -> Facts {
    payment::facts(progress)
}

payment::pays!(Remittance, "remittance", Order, PROVIDER);
