//! What the product knows beside its workflows: people, their accounts, whom they pay, and prices.

use async_trait::async_trait;
use chrono::NaiveDate;
use workflows::accounts::Bic;
use workflows::accounts::Iban;
use workflows::ids::{BankAccountId, MerchantId, RecipientId, UserId};
use workflows::money::{Currency, Rate};
use workflows::ports::payments::{BankId, CreditorAccount};
use workflows::time::At;

use crate::store::Trouble;

/// Reads and writes of the product's own tables. Each method is one transaction.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Creates or replaces a user.
    async fn put_user(&self, user: &User, now: At) -> Result<(), Trouble>;
    /// A user.
    async fn user(&self, id: &UserId) -> Result<Option<User>, Trouble>;

    /// Creates or replaces a bank account of a user; making one primary makes the user's others secondary. `false`
    /// when the id belongs to another user, in which case nothing is written.
    async fn put_bank_account(&self, account: &BankAccount, now: At) -> Result<bool, Trouble>;
    /// The bank accounts of a user, primary first, then by id.
    async fn bank_accounts(&self, owner: &UserId) -> Result<Vec<BankAccount>, Trouble>;

    /// Makes a consent the one of a bank account, until its last moment if the bank names one; the account's earlier
    /// ones are kept as replaced. A repetition changes nothing, whatever became of the consent since. `false` when the
    /// user has no such account.
    async fn adopt_consent(
        &self,
        owner: &UserId,
        account: &BankAccountId,
        consent: &str,
        valid_until: Option<At>,
        now: At,
    ) -> Result<bool, Trouble>;
    /// Marks a consent as expired that its bank refuses, on every account that uses it; it is kept. Answers on
    /// how many accounts it was thought to be in force.
    async fn expire_consent(&self, bank: &BankId, consent: &str, now: At) -> Result<u64, Trouble>;

    /// Creates or replaces a recipient of a user. `false` when the id belongs to another user.
    async fn put_recipient(&self, recipient: &Recipient, now: At) -> Result<bool, Trouble>;
    /// The recipients of a user by id, ids above `after` only, at most `limit`.
    async fn recipients(
        &self,
        owner: &UserId,
        after: Option<&RecipientId>,
        limit: usize,
    ) -> Result<Vec<Recipient>, Trouble>;
    /// One recipient of a user.
    async fn recipient(&self, owner: &UserId, id: &RecipientId) -> Result<Option<Recipient>, Trouble>;
    /// Removes a recipient; `false` when there was none.
    async fn remove_recipient(&self, owner: &UserId, id: &RecipientId) -> Result<bool, Trouble>;

    /// Creates or replaces a merchant.
    async fn put_merchant(&self, merchant: &Merchant, now: At) -> Result<(), Trouble>;
    /// A merchant.
    async fn merchant(&self, id: &MerchantId) -> Result<Option<Merchant>, Trouble>;

    /// Replaces the rates of these pairs, all or none.
    async fn put_rates(&self, rates: &[ExchangeRate], now: At) -> Result<(), Trouble>;
    /// The rate of a pair, expired or not.
    async fn rate(&self, from: Currency, to: Currency) -> Result<Option<ExchangeRate>, Trouble>;

    /// Stores an API key.
    async fn put_api_key(&self, key: &ApiKey) -> Result<(), Trouble>;
    /// The API key with this SHA-256 of its secret.
    async fn api_key(&self, secret_hash: &str) -> Result<Option<ApiKey>, Trouble>;
    /// Revokes a key by its public id; `false` when there is none.
    async fn revoke_api_key(&self, id: &str, now: At) -> Result<bool, Trouble>;
}

/// A customer.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// Address for messages.
    pub email: Option<String>,
    /// Number, with country code.
    pub phone: Option<String>,
    /// Date of birth; nobody under 18 is served (FE-01).
    pub birth_date: Option<NaiveDate>,
    /// Where the identity check stands.
    pub kyc: KycStatus,
}

/// Where an identity check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KycStatus {
    /// Never begun.
    NotStarted,
    /// At the provider.
    Pending,
    /// The person has to do something.
    ActionRequired,
    /// People look at it.
    ManualReview,
    /// The money-laundering officer looks at it.
    ManualReviewAml,
    /// Passed.
    Approved,
    /// Passed by two people's decision.
    ApprovedManual,
    /// Failed for good.
    Rejected,
}

impl KycStatus {
    /// Every status.
    pub const ALL: [KycStatus; 8] = [
        KycStatus::NotStarted,
        KycStatus::Pending,
        KycStatus::ActionRequired,
        KycStatus::ManualReview,
        KycStatus::ManualReviewAml,
        KycStatus::Approved,
        KycStatus::ApprovedManual,
        KycStatus::Rejected,
    ];

    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            KycStatus::NotStarted => "not_started",
            KycStatus::Pending => "pending",
            KycStatus::ActionRequired => "action_required",
            KycStatus::ManualReview => "manual_review",
            KycStatus::ManualReviewAml => "manual_review_aml",
            KycStatus::Approved => "approved",
            KycStatus::ApprovedManual => "approved_manual",
            KycStatus::Rejected => "rejected",
        }
    }

    /// The status of that word.
    pub fn parse(word: &str) -> Option<KycStatus> {
        KycStatus::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether payments are allowed.
    pub fn allows_payments(self) -> bool {
        matches!(self, KycStatus::Approved | KycStatus::ApprovedManual)
    }
}

/// A customer's account at a bank.
#[derive(Clone, PartialEq, Eq)]
pub struct BankAccount {
    /// Our id.
    pub id: BankAccountId,
    /// Whose.
    pub owner: UserId,
    /// The bank's id at the aggregator.
    pub bank: BankId,
    /// The bank's name for people.
    pub bank_name: String,
    /// The account.
    pub iban: Iban,
    /// Its id at the provider.
    pub provider_account: String,
    /// Its currency.
    pub currency: Currency,
    /// The consent at the provider that covers it.
    pub provider_consent: Option<String>,
    /// When that consent ends.
    pub consent_expires_at: Option<At>,
    /// Whether payments come from here unless said otherwise.
    pub primary: bool,
}

/// Whom a customer pays abroad.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Its id.
    pub id: RecipientId,
    /// Whose.
    pub owner: UserId,
    /// Name of the payee.
    pub name: String,
    /// ISO 3166 alpha-2.
    pub country: String,
    /// Town, needed for structured addresses.
    pub town: Option<String>,
    /// The payee's account.
    pub account: CreditorAccount,
    /// The payee's bank.
    pub bic: Option<Bic>,
    /// What the payee receives.
    pub currency: Currency,
}

/// A shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merchant {
    /// Its id.
    pub id: MerchantId,
    /// Its name.
    pub name: String,
    /// Norwegian organisation number.
    pub org_number: Option<String>,
    /// Where it is paid.
    pub iban: Iban,
    /// The user who runs it.
    pub owner: Option<UserId>,
}

/// A price of one currency in another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeRate {
    /// One unit of this
    pub from: Currency,
    /// costs so much of this.
    pub to: Currency,
    /// The price.
    pub rate: Rate,
    /// Until when it may be promised.
    pub valid_until: Option<At>,
}

/// A key for programs. The secret itself is never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Public id.
    pub id: String,
    /// SHA-256 of the secret, lower-case hex.
    pub secret_hash: String,
    /// What the caller is called in the audit trail.
    pub subject: String,
    /// What it may do.
    pub role: String,
    /// Until when.
    pub expires_at: Option<At>,
    /// When it was made.
    pub created_at: At,
    /// When it was revoked.
    pub revoked_at: Option<At>,
}
