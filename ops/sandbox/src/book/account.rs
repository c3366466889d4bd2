//! Accounts and what they hold.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Book, Fact,
    payment::{Creditor, Order},
};
use crate::{
    banks::{self, BankId},
    iban::Iban,
    money::{Currency, Money},
    refusal::Refusal,
};

/// An account's id in the contract (`accountId`, `resourceId`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountId(pub String);

/// An account: one pot per currency, in minor units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Its id.
    pub account_id: AccountId,
    /// Where it is held.
    pub bank: BankId,
    /// Its number.
    pub iban: Iban,
    /// Minor units per currency.
    pub pots: BTreeMap<Currency, i64>,
    /// When a pot last changed; `None` for an account nobody used.
    pub changed_at: Option<DateTime<Utc>>,
    /// Set up by the bank or an operator, not opened because a payment named it.
    pub listed: bool,
}

/// An account as an operator writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewAccount {
    pub(crate) iban: Iban,
    pub(crate) bank: Option<BankId>,
    pub(crate) balances: Vec<Money>,
}

impl Account {
    /// The currency it is shown with: kroner if it has them.
    pub fn currency(&self) -> Currency {
        if self.pots.contains_key(&Currency::NOK) {
            return Currency::NOK;
        }
        self.pots.keys().next().cloned().unwrap_or(Currency::NOK)
    }
}

/// Accounts to practise with, one of them nearly empty.
pub(super) fn demo() -> impl Iterator<Item = Account> {
    [
        ("acc-1", "dnb", "86011117947", 4_523_000, 250_000),
        ("acc-2", "nordea", "60011234561", 1_500_050, 0),
        ("acc-3", "sparebank1-smn", "42001234565", 9_900_000, 100_000),
        ("acc-4", "dnb", "12073650567", 250_000_000, 25_000_000),
        ("acc-poor", "dnb", "12032202452", 1_000, 0),
    ]
    .into_iter()
    .filter_map(|(id, bank, number, nok, eur)| {
        Some(Account {
            account_id: AccountId(id.to_owned()),
            bank: BankId(bank.to_owned()),
            iban: Iban::norwegian(number).ok()?,
            pots: [(Currency::NOK, nok), (Currency::EUR, eur)]
                .into_iter()
                .filter(|(_, held)| *held > 0)
                .collect(),
            changed_at: None,
            listed: true,
        })
    })
}

impl Book {
    /// An account by id.
    pub fn account(&self, id: &AccountId) -> Option<&Account> {
        self.accounts.get(id)
    }

    /// All accounts.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    /// An operator sets up an account or replaces one.
    pub(crate) fn set_account(&self, id: AccountId, account: NewAccount) -> Result<Vec<Fact>, Refusal> {
        if self.account_of.get(&account.iban).is_some_and(|holder| *holder != id && self.is_listed(holder)) {
            return Err(Refusal::status_invalid("another account has this IBAN"));
        }
        let bank = account.bank.unwrap_or_else(|| banks::bank_of(&account.iban));
        self.known_bank(&bank)?;
        let pots = account.balances.iter().map(|money| (money.currency().clone(), money.minor())).collect();
        let account =
            Account { account_id: id, bank, iban: account.iban, pots, changed_at: None, listed: true };
        Ok(vec![Fact::AccountPut { account }])
    }

    /// The fact that opens the account (or the pot) of a payer nobody set up; `None` when it is there.
    pub(super) fn opened_for(&self, order: &Order, bank: &BankId) -> Option<Fact> {
        let currency = order.money.currency();
        let existing = self.account_of.get(&order.debtor).and_then(|id| self.accounts.get(id));
        if existing.is_some_and(|account| account.listed || account.pots.contains_key(currency)) {
            return None;
        }
        let mut account = existing.cloned().unwrap_or_else(|| Account {
            account_id: AccountId(format!("acc-{}", order.debtor.as_str().to_lowercase())),
            bank: bank.clone(),
            iban: order.debtor.clone(),
            pots: BTreeMap::new(),
            changed_at: None,
            listed: false,
        });
        let units = (0..currency.decimals()).fold(1, |units, _| units * 10);
        account.pots.insert(currency.clone(), i64::from(self.settings.opening_balance) * units);
        Some(Fact::AccountPut { account })
    }

    pub(super) fn covers(&self, order: &Order) -> bool {
        let account = self.account_of.get(&order.debtor).and_then(|id| self.accounts.get(id));
        let held = account.and_then(|account| account.pots.get(order.money.currency()));
        held.is_some_and(|held| *held >= order.money.minor())
    }

    pub(super) fn move_money(&mut self, at: DateTime<Utc>, order: &Order) {
        self.add(at, &order.debtor, &order.money, -order.money.minor());
        if let Creditor::Iban(creditor) = &order.creditor {
            self.add(at, creditor, &order.money, order.money.minor());
        }
    }

    pub(super) fn put_account(&mut self, account: Account) {
        if let Some(replaced) = self.accounts.get(&account.account_id) {
            self.account_of.remove(&replaced.iban);
        }
        self.account_of.insert(account.iban.clone(), account.account_id.clone());
        self.accounts.insert(account.account_id.clone(), account);
    }

    fn add(&mut self, at: DateTime<Utc>, iban: &Iban, money: &Money, minor: i64) {
        let account = self.account_of.get(iban).and_then(|id| self.accounts.get_mut(id));
        if let Some(account) = account {
            let pot = account.pots.entry(money.currency().clone()).or_insert(0);
            *pot = pot.saturating_add(minor);
            account.changed_at = Some(at);
        }
    }

    fn is_listed(&self, id: &AccountId) -> bool {
        self.accounts.get(id).is_some_and(|account| account.listed)
    }
}
