//! The bank's books: every payment that it was asked for, and what became of it. Whoever judges the engine reads them,
//! the engine never does.

use std::collections::BTreeMap;

use workflows::time::At;

/// What a payment is at the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Waits for its payer.
    Pending,
    /// Approved; the bank will execute or reject it.
    Underway,
    /// Money moved.
    Executed,
    /// It will not happen.
    Rejected,
    /// It was taken back.
    Cancelled,
}

impl Standing {
    /// Whether money may still move.
    pub fn is_live(self) -> bool {
        matches!(self, Standing::Pending | Standing::Underway)
    }
}

/// One payment.
#[derive(Clone, Debug)]
pub struct Row {
    /// The bank's id.
    pub id: String,
    /// The world's number of the order.
    pub number: u64,
    /// As the order said.
    pub end_to_end: String,
    /// As the request said, whether the bank honours it or not.
    pub key: String,
    /// Fingerprint of the request's body.
    pub body: String,
    /// What the order said is to be moved, in hundredths.
    pub minor: i64,
    /// Currency, debtor's and creditor's account.
    pub said: (String, String, String),
    /// When the request arrived.
    pub received_at: At,
    /// From when it is found by its end-to-end id.
    pub visible_at: At,
    /// What it is.
    pub standing: Standing,
    /// The status that is shown.
    pub code: &'static str,
    /// The status that was shown before.
    pub before: &'static str,
    /// Why it was rejected.
    pub reason: Option<&'static str>,
    /// When money moved.
    pub executed_at: Option<At>,
    /// How often money moved.
    pub executed: u32,
}

/// Every payment, and the keys that are remembered.
#[derive(Debug, Default)]
pub struct Ledger {
    rows: Vec<Row>,
    by_end_to_end: BTreeMap<String, Vec<usize>>,
    by_id: BTreeMap<String, usize>,
    /// A key with its payment and when it was first seen.
    keys: BTreeMap<String, (usize, At)>,
}

impl Ledger {
    /// Enters a payment; answers its place.
    pub fn enter(&mut self, row: Row, remember: bool) -> usize {
        let place = self.rows.len();
        if remember {
            self.keys.insert(row.key.clone(), (place, row.received_at));
        }
        self.by_end_to_end.entry(row.end_to_end.clone()).or_default().push(place);
        self.by_id.insert(row.id.clone(), place);
        self.rows.push(row);
        place
    }

    /// The payment that a key stands for, with when the key was first seen.
    pub fn under_key(&self, key: &str) -> Option<(&Row, At)> {
        let (place, since) = self.keys.get(key)?;
        Some((self.rows.get(*place)?, *since))
    }

    /// The payment of this id.
    pub fn of_id(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The payments that carry this end-to-end id.
    pub fn of_end_to_end(&self, id: &str) -> impl Iterator<Item = &Row> {
        self.by_end_to_end.get(id).into_iter().flatten().filter_map(|place| self.rows.get(*place))
    }

    /// The payments of an order, whatever ids they carry.
    pub fn of_order(&self, number: u64) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.number == number)
    }

    /// The payment at a place.
    pub fn at(&mut self, place: usize) -> Option<&mut Row> {
        self.rows.get_mut(place)
    }

    /// Every payment, in the order in which they arrived.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}
