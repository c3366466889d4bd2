//! What the clients order, and what the payer does about it. Both follow from the order itself, so that everybody who
//! meets it knows, and a seed repeats it.

/// An order that nobody else makes: one payee for each client, one amount for each order of a client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    /// The payee's name, as the bank's ledger shows it.
    pub payee: String,
    /// Hundredths of a krone.
    pub minor: u64,
}

/// What becomes of an order at the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// The payer approves it.
    Approves,
    /// The payer approves it while the client takes it back.
    TakesBack,
    /// The payer denies it.
    Denies,
    /// The payer does not come.
    NeverComes,
}

/// The smallest amount that is taken.
const LEAST: u64 = 10_000;

impl Order {
    /// The order with this number of this client.
    pub fn nth(client: u64, number: u64) -> Self {
        Order { payee: payee(client), minor: LEAST + number }
    }

    /// The order that an amount as text belongs to; `None` when it is no amount.
    pub fn read(payee: &str, amount: &str) -> Option<Self> {
        let (kroner, rest) = amount.split_once('.')?;
        let minor =
            kroner.parse::<u64>().ok()? * 100 + rest.parse::<u64>().ok().filter(|_| rest.len() == 2)?;
        Some(Order { payee: payee.to_owned(), minor })
    }

    /// The amount as it is written, in kroner.
    pub fn amount(&self) -> String {
        format!("{}.{:02}", self.minor / 100, self.minor % 100)
    }

    /// What becomes of it.
    pub fn habit(&self) -> Habit {
        match self.minor % 10 {
            0 | 1 => Habit::Denies,
            2 => Habit::NeverComes,
            3 => Habit::TakesBack,
            _ => Habit::Approves,
        }
    }
}

/// The name of the one whom a client pays.
pub fn payee(client: u64) -> String {
    format!("Payee {client}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_known_again_by_payee_and_amount() {
        for number in [0, 7, 99, 12_345] {
            let order = Order::nth(3, number);
            assert_eq!(Order::read("Payee 3", &order.amount()), Some(order));
        }
        for bad in ["", "100", "100.1", "100.001", "x.00"] {
            assert_eq!(Order::read("Payee 3", bad), None, "{bad}");
        }
    }
}
