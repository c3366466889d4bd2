//! The bank's own ledger: what happened, whatever anybody else says.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use serde_json::Value;

use crate::order::Order;

/// Reads the ledger as it grows.
pub struct Follow {
    path: PathBuf,
    read: u64,
}

impl Follow {
    /// From its beginning.
    pub fn new(path: PathBuf) -> Self {
        Follow { path, read: 0 }
    }

    /// The facts that were added since the last call.
    ///
    /// # Errors
    /// When the file cannot be read, or a whole line is no fact.
    pub fn more(&mut self) -> io::Result<Vec<Value>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let (mut lines, mut line, mut facts) = (BufReader::new(file), String::new(), Vec::new());
        // A line without its end is being written, or was cut off by a kill and will be cut away.
        while lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
            self.read += line.len() as u64;
            facts.push(serde_json::from_str(&line).map_err(io::Error::other)?);
            line.clear();
        }
        Ok(facts)
    }
}

/// What the ledger says of one order, all its payments taken together.
#[derive(Debug, Default)]
pub struct Truth {
    /// The last status of each payment that was made for it.
    pub payments: BTreeMap<String, String>,
    /// The orders' ids that these carry.
    pub ids: Vec<String>,
    /// The keys that its requests carried.
    pub keys: Vec<String>,
    /// How often money moved.
    pub executed: usize,
    /// How much moved in all, hundredths of a krone.
    pub moved: u64,
}

impl Truth {
    /// Payments that moved money or still may.
    pub fn live(&self) -> usize {
        self.payments.values().filter(|status| !["RJCT", "CANC"].contains(&status.as_str())).count()
    }
}

/// The whole ledger, order by order.
///
/// # Errors
/// As [`Follow::more`], and for a payment that cannot be one of ours.
pub fn truths(path: PathBuf) -> io::Result<BTreeMap<Order, Truth>> {
    let mut orders: BTreeMap<String, Order> = BTreeMap::new();
    let mut truths: BTreeMap<Order, Truth> = BTreeMap::new();
    for fact in Follow::new(path).more()? {
        let word = |name: &str| fact[name].as_str().unwrap_or_default().to_owned();
        let payment = word("paymentId");
        if fact["fact"] == "paymentReceived" {
            let order = Order::read(&word("creditorName"), &word("amount"));
            let order = order.ok_or_else(|| io::Error::other(format!("no order of ours: {fact}")))?;
            orders.insert(payment.clone(), order);
        }
        let Some(order) = orders.get(&payment) else { continue };
        let truth = truths.entry(order.clone()).or_default();
        match fact["fact"].as_str().unwrap_or_default() {
            "paymentReceived" => {
                truth.payments.insert(payment, "RCVD".to_owned());
                truth.ids.push(word("endToEndIdentification"));
                truth.keys.push(word("key"));
            }
            "requestRepeated" => truth.keys.push(word("key")),
            "statusChanged" => {
                truth.payments.insert(payment, word("status"));
            }
            "executed" => {
                truth.executed += 1;
                truth.moved += Order::read("", &word("amount")).map_or(0, |moved| moved.minor);
            }
            _ => {}
        }
    }
    Ok(truths)
}
