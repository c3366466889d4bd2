//! The error codes that people see (PI-25 to PI-32) and where a bank's code leads.

use serde::{Deserialize, Serialize};

/// Why a payment failed, in the runbooks' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The balance is too low.
    InsufficientFunds,
    /// The payer's account is locked or closed.
    AccountNotAccessible,
    /// The consent has to be renewed.
    ConsentExpired,
    /// The bank said no, or the payer did.
    PaymentRejected,
    /// The bank's fraud protection said no.
    SecurityBlock,
    /// Proven not to have happened, after silence.
    Timeout,
    /// The payee's account number is wrong.
    InvalidIban,
    /// The payee's account does not exist.
    AccountNotFound,
    /// Over a limit of the user or the bank.
    LimitExceeded,
    /// Too many calls.
    RateLimitExceeded,
    /// Nobody approved in time.
    ScaTimeout,
    /// An operator undid it.
    CancelledByOperator,
}

impl ErrorCode {
    /// As shown.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::InsufficientFunds => "INSUFFICIENT_FUNDS",
            ErrorCode::AccountNotAccessible => "ACCOUNT_NOT_ACCESSIBLE",
            ErrorCode::ConsentExpired => "CONSENT_EXPIRED",
            ErrorCode::PaymentRejected => "PAYMENT_REJECTED",
            ErrorCode::SecurityBlock => "SECURITY_BLOCK",
            ErrorCode::Timeout => "TIMEOUT",
            ErrorCode::InvalidIban => "INVALID_IBAN",
            ErrorCode::AccountNotFound => "ACCOUNT_NOT_FOUND",
            ErrorCode::LimitExceeded => "LIMIT_EXCEEDED",
            ErrorCode::RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
            ErrorCode::ScaTimeout => "SCA_TIMEOUT",
            ErrorCode::CancelledByOperator => "CANCELLED_BY_OPERATOR",
        }
    }

    /// Where a bank's refusal or rejection reason leads: its own codes, Berlin Group's and ISO 20022's (domain
    /// contracts §2.5). What we do not know is a rejection.
    pub fn of_refusal(code: &str) -> ErrorCode {
        match code {
            "INSUFFICIENT_FUNDS" | "FUNDS_NOT_AVAILABLE" | "AM04" => ErrorCode::InsufficientFunds,
            "ACCOUNT_NOT_ACCESSIBLE" | "RESOURCE_BLOCKED" | "AC04" | "AC06" => {
                ErrorCode::AccountNotAccessible
            }
            "CONSENT_EXPIRED" | "CONSENT_INVALID" | "CONSENT_UNKNOWN" => ErrorCode::ConsentExpired,
            "SECURITY_BLOCK" => ErrorCode::SecurityBlock,
            "INVALID_IBAN" | "AC01" => ErrorCode::InvalidIban,
            "ACCOUNT_NOT_FOUND" | "AC03" => ErrorCode::AccountNotFound,
            "TIMEOUT" => ErrorCode::Timeout,
            "RATE_LIMIT_EXCEEDED" => ErrorCode::RateLimitExceeded,
            "LIMIT_EXCEEDED" | "AM02" | "AM14" => ErrorCode::LimitExceeded,
            _ => ErrorCode::PaymentRejected,
        }
    }

    /// What the payer reads (M-42 to M-44, M-50; where the catalogue has no text, ours in its tone).
    pub fn text(self) -> &'static str {
        match self {
            ErrorCode::InsufficientFunds => {
                "Payment failed: Insufficient funds\n\
                 Your bank account balance is too low to complete this payment.\n\
                 Please add funds or choose a different payment method."
            }
            ErrorCode::PaymentRejected | ErrorCode::SecurityBlock => {
                "Payment failed: Your bank declined this transaction.\n\
                 This may be due to fraud protection or payment limits.\n\
                 Please contact your bank to authorize the payment."
            }
            ErrorCode::InvalidIban | ErrorCode::AccountNotFound => {
                "Payment failed: Invalid recipient bank account\n\
                 The IBAN you entered is not valid. Please check and try again.\n\
                 IBAN: DE89 3704 0044 0532 0130 00 (example format)"
            }
            ErrorCode::ConsentExpired => "Bank connection expired, tap to reconnect",
            ErrorCode::Timeout => "Payment timed out",
            ErrorCode::ScaTimeout => {
                "Payment was not approved at the bank in time. Nothing was paid; please try again."
            }
            ErrorCode::AccountNotAccessible => {
                "Payment failed: Your bank account is not accessible. Please contact your bank."
            }
            ErrorCode::LimitExceeded => "Payment failed: The amount is over a limit at your bank.",
            ErrorCode::RateLimitExceeded => "Payment failed: Too many requests. Please try again later.",
            ErrorCode::CancelledByOperator => "Payment was cancelled by customer service. Nothing was paid.",
        }
    }
}
