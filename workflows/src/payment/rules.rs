//! What has to hold before a payment is accepted, whatever is paid with it.

use std::net::IpAddr;

use super::{Access, Instruction, Terms};
use crate::accounts::{Bic, Iban};
use crate::calendar::{self, Date};
use crate::ids::{BankAccountId, EndToEndId, TransactionId, UserId};
use crate::money::{Currency, Money};
use crate::ports::payments::{BankId, CreditorAccount, Initiation, Product, ReplayKey};
use crate::text::{Private, Reference};
use crate::time::At;

/// Who pays, as far as the rules care.
#[derive(Clone, Debug)]
pub struct Payer {
    /// Who.
    pub user: UserId,
    /// From which account.
    pub bank_account: BankAccountId,
    /// Its id at the provider.
    pub provider_account: Option<String>,
    /// Date of birth.
    pub birth_date: Option<Date>,
    /// Whether the identity check allows payments.
    pub identified: bool,
    /// The bank.
    pub bank: BankId,
    /// The account.
    pub account: Iban,
    /// Its currency.
    pub currency: Currency,
    /// The consent at the provider that covers it.
    pub consent: Option<String>,
    /// When that consent ends.
    pub consent_expires_at: Option<At>,
    /// The payer's address, when they are present.
    pub ip: Option<IpAddr>,
}

/// Who is paid.
#[derive(Clone, Debug)]
pub struct Payee {
    /// Name.
    pub name: Private,
    /// Account.
    pub account: CreditorAccount,
    /// Bank.
    pub agent: Option<Bic>,
    /// Whether the account is in Norway: decides the rail.
    pub domestic: bool,
}

/// Bounds of an amount, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentLimits {
    /// The least.
    pub least: Money,
    /// The most.
    pub most: Money,
}

/// Why a payment is not accepted. Nothing was stored and nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The identity check is missing or failed (FE-45).
    #[error("identity verification is required before the first payment")]
    KycRequired,
    /// Under 18, or of unknown age (FE-01).
    #[error("only people of 18 years or older can pay")]
    Underage,
    /// The bank connection has lapsed.
    #[error("the consent for this bank account has expired")]
    ConsentExpired,
    /// Outside the limits (FE-07).
    #[error("the amount must be between {} and {}", limits.least, limits.most)]
    AmountOutOfRange {
        /// The limits.
        limits: PaymentLimits,
    },
    /// Cannot be sent in, or converted to, this currency.
    #[error("{0}")]
    CurrencyNotSupported(&'static str),
}

impl Denied {
    /// The code of the API (rest-api §2).
    pub fn code(&self) -> &'static str {
        match self {
            Denied::KycRequired => "kyc_required",
            Denied::Underage => "underage",
            Denied::ConsentExpired => "consent_expired",
            Denied::AmountOutOfRange { .. } => "amount_out_of_range",
            Denied::CurrencyNotSupported(_) => "currency_not_supported",
        }
    }
}

/// Everybody's rules about the payer.
pub(crate) fn may_pay(payer: &Payer, now: At) -> Result<(), Denied> {
    if !payer.identified {
        return Err(Denied::KycRequired);
    }
    match payer.birth_date {
        Some(birth_date) if calendar::is_adult(birth_date, now) => {}
        Some(_) => return Err(Denied::Underage),
        None => return Err(Denied::KycRequired),
    }
    if payer.consent_expires_at.is_some_and(|end| end <= now) {
        return Err(Denied::ConsentExpired);
    }
    Ok(())
}

/// Whether an amount is in NOK and within its limits.
///
/// # Errors
/// The rule that it breaks.
pub fn within_limits(amount: Money, limits: PaymentLimits) -> Result<(), Denied> {
    if amount.currency != limits.least.currency {
        return Err(Denied::CurrencyNotSupported("payments are made in NOK"));
    }
    if amount.minor < limits.least.minor || amount.minor > limits.most.minor {
        return Err(Denied::AmountOutOfRange { limits });
    }
    Ok(())
}

/// The payment order for the bank. The transaction's own UUID is the replay key, where the provider honours one.
pub(crate) fn instruct(
    transaction: TransactionId,
    label: &str,
    from: Payer,
    to: Payee,
    amount: Money,
    (deal, now): (Deal, At),
) -> Instruction {
    let replay_key = deal.terms.replay.map(|_| ReplayKey::of(transaction.as_u128()));
    Instruction {
        initiation: Initiation {
            replay_key,
            product: if to.domestic { Product::Domestic } else { Product::CreditTransfer },
            bank: from.bank,
            consent: from.consent,
            redirect_uri: deal.redirect_uri,
            psu_ip: from.ip,
            debtor: from.account,
            amount,
            creditor_name: to.name,
            creditor: to.account,
            creditor_agent: to.agent,
            end_to_end: EndToEndId::of(transaction),
            remittance_information: Private::from(Reference::with_id(label, transaction).as_str().to_owned()),
        },
        accepted_at: now,
        terms: deal.terms,
        price: None,
        access: Some(Access {
            user: from.user,
            account: from.bank_account,
            provider_account: from.provider_account,
            redirect_uri: deal.consent_redirect_uri,
        }),
    }
}

/// What the service brings to a payment.
#[derive(Clone, Debug)]
pub struct Deal {
    /// The provider's terms.
    pub terms: Terms,
    /// Where the bank sends the payer's browser afterwards.
    pub redirect_uri: String,
    /// Where it sends the customer's browser after the approval of a new consent.
    pub consent_redirect_uri: String,
}
