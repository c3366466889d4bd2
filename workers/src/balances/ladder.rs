//! How old a balance may be, and what is said about it. Pure: it is told the time.
//!
//! Fresh → from the cache. Too old → from the bank. No answer → the cache again, with its age and a warning. Older than a
//! day → nothing.

use std::time::Duration;

use workflows::calendar;
use workflows::money::{Currency, Money};
use workflows::time::At;

use super::admission::Mode;
use super::store::{Attendance, Cached, Entry};

/// A balance counts as fresh for so long (AI-13),
const FRESH: Duration = Duration::from_mins(1);
/// so long while the bank wants fewer calls (AI-13, AI-15),
pub const FRESH_WHILE_LIMITED: Duration = Duration::from_mins(5);
/// and so long in the mode for outages (AI-13, AI-33).
const FRESH_IN_OUTAGE: Duration = Duration::from_hours(1);
/// An older balance is not shown (AI-16).
const LONGEST: Duration = Duration::from_hours(24);

/// What is shown of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The account's currency.
    pub currency: Currency,
    /// What is on it, if that is known.
    pub figure: Option<Figure>,
    /// What people should know about it.
    pub warning: Option<Warning>,
}

/// A balance that may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// How much.
    pub amount: Money,
    /// When the bank was asked for it.
    pub as_of: At,
    /// Where it comes from.
    pub source: Source,
}

/// Where a balance comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The bank said it to this question.
    Live,
    /// The bank said it earlier.
    Cached,
}

/// What people should know about a balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The bank, or the provider before it, does not answer: M-13, which names it (AI-24, rest-api §3).
    BankDown,
    /// The bank answers and gives no balance: M-34, which blames nobody (AI-23). The seeds give both texts for the same
    /// code, and M-13 would be untrue of a bank that works, refuses us, or has told us to come back later.
    Outdated,
    /// Balances are read rarely for now: M-08 with the time of this one.
    Delayed(At),
    /// Balances are not shown for now: M-09 (AI-18).
    Hidden,
}

impl Warning {
    /// The text of the catalogue, with the bank's name where it has one.
    pub fn text(self, bank_name: &str) -> String {
        match self {
            Warning::BankDown => {
                format!("{bank_name} opplever tekniske problemer. Saldo kan være utdatert.")
            }
            Warning::Outdated => "Balance may be outdated due to bank API issues".to_owned(),
            Warning::Delayed(as_of) => format!(
                "⚠️ Saldo vises med forsinkelse\nVi viser din sist kjente saldo fra {}.\n\
                 Tjenesten er tilbake til normal snart.",
                calendar::local(as_of).format("%d.%m.%Y %H:%M")
            ),
            Warning::Hidden => "Saldo midlertidig utilgjengelig\n\
                 Du kan fortsatt gjøre betalinger som normalt.\n\
                 Banken vil avvise betalingen hvis du ikke har nok midler."
                .to_owned(),
        }
    }
}

impl Shown {
    /// No balance, because none is shown for now.
    pub fn hidden(currency: Currency) -> Self {
        Shown { currency, figure: None, warning: Some(Warning::Hidden) }
    }

    /// No balance, because none is known.
    pub fn nothing(currency: Currency) -> Self {
        Shown { currency, figure: None, warning: None }
    }

    /// As the bank has just said it.
    pub fn live(entry: Entry) -> Self {
        Shown { currency: entry.amount.currency, figure: Some(figure(entry, Source::Live)), warning: None }
    }
}

/// Why the bank gave no balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// It, or the provider, is down, or too slow for whoever waits.
    Down,
    /// It wants fewer calls.
    Limited,
    /// The day's reads without the customer are used up.
    Spent,
    /// It answered, and no balance can be read from that.
    Unusable,
}

/// What holds at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How balances are shown.
    pub mode: Mode,
    /// How long they count as fresh when somebody says so.
    pub ttl: Option<Duration>,
    /// Whether the bank is known to be down.
    pub down: bool,
    /// Who asks.
    pub attendance: Attendance,
}

/// What is known of an account, under what holds at the moment.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The account's currency.
    pub currency: Currency,
    /// What is known.
    pub cached: Cached,
    /// What holds.
    pub rules: Rules,
}

impl View {
    /// The same with a newer balance.
    #[must_use]
    pub fn with(mut self, entry: Entry) -> Self {
        self.cached.entry = Some(entry);
        self
    }

    /// How long a balance counts as fresh.
    pub fn freshness(&self, now: At) -> Duration {
        let usual = self.rules.ttl.unwrap_or(match self.rules.mode {
            Mode::Live | Mode::Hidden => FRESH,
            Mode::Cached => FRESH_IN_OUTAGE,
        });
        // A limit on reads without the customer does not concern the customer.
        let limited = self.cached.bounds.keep_out(self.rules.attendance, now).is_some();
        let freshness = if limited { usual.max(FRESH_WHILE_LIMITED) } else { usual };
        freshness.min(LONGEST)
    }

    /// Whether there is a balance that may be shown when the bank gives none.
    pub fn has_earlier(&self, now: At) -> bool {
        self.presentable(now).is_some()
    }

    /// What is shown without asking the bank, if that is enough.
    pub fn enough(&self, now: At) -> Option<Shown> {
        let entry = self.cached.entry?;
        (now.since(entry.synced_at) <= self.freshness(now)).then(|| self.fresh(now))
    }

    /// What is shown of a balance that is fresh.
    pub fn fresh(&self, now: At) -> Shown {
        let delayed = |entry: Entry| now.since(entry.synced_at) > FRESH && self.rules.mode == Mode::Cached;
        let warning = match self.cached.entry {
            _ if self.rules.down => Some(Warning::BankDown),
            Some(entry) if delayed(entry) => Some(Warning::Delayed(entry.synced_at)),
            Some(_) | None => None,
        };
        Shown { warning, ..self.kept(now) }
    }

    /// What is shown when the bank gave no balance.
    pub fn after(&self, missed: Missed, now: At) -> Shown {
        let age = self.cached.entry.map(|entry| now.since(entry.synced_at));
        let warning = match missed {
            Missed::Down => Some(Warning::BankDown),
            // AI-15: while the bank wants fewer calls, it still counts as fresh.
            Missed::Limited if age.is_some_and(|age| age <= FRESH_WHILE_LIMITED) => None,
            Missed::Limited | Missed::Spent | Missed::Unusable => Some(Warning::Outdated),
        };
        Shown { warning, ..self.kept(now) }
    }

    /// What was known, as far as it may be shown.
    pub fn kept(&self, now: At) -> Shown {
        let figure = self.presentable(now).map(|entry| figure(entry, Source::Cached));
        Shown { currency: self.currency, figure, warning: None }
    }

    fn presentable(&self, now: At) -> Option<Entry> {
        self.cached.entry.filter(|entry| now.since(entry.synced_at) <= LONGEST)
    }
}

fn figure(entry: Entry, source: Source) -> Figure {
    Figure { amount: entry.amount, as_of: entry.synced_at, source }
}

#[cfg(test)]
mod tests {
    use super::super::store::Bounds;
    use super::*;

    const BEGIN: At = At::from_millis(1_771_833_600_000);

    fn view(mode: Mode, ttl: Option<u64>, limited: bool) -> View {
        let entry = Entry { amount: Money::new(1, Currency::NOK), synced_at: BEGIN };
        let bounds = Bounds { everybody: limited.then_some(At::MAX), unattended: None };
        let ttl = ttl.map(Duration::from_secs);
        let rules = Rules { mode, ttl, down: false, attendance: Attendance::Attended };
        View { currency: Currency::NOK, cached: Cached { entry: Some(entry), bounds }, rules }
    }

    #[test]
    fn a_balance_is_fresh_for_as_long_as_its_mode_a_limit_or_the_setting_says() {
        for (mode, ttl, limited, seconds) in [
            (Mode::Live, None, false, 60),
            (Mode::Live, None, true, 300),
            (Mode::Cached, None, false, 3_600),
            (Mode::Cached, None, true, 3_600),
            (Mode::Live, Some(5), false, 5),
            (Mode::Cached, Some(5), false, 5),
            (Mode::Live, Some(5), true, 300),
            (Mode::Live, Some(600), true, 600),
            // Nothing makes yesterday's balance fresh.
            (Mode::Live, Some(1_000_000), false, 86_400),
        ] {
            let view = view(mode, ttl, limited);
            for (age, fresh) in [(0, true), (seconds, true), (seconds + 1, false)] {
                let enough = view.enough(BEGIN.plus(Duration::from_secs(age)));
                assert_eq!(enough.is_some(), fresh, "{mode:?} {ttl:?} {limited} after {age} s");
            }
        }
    }

    #[test]
    fn the_last_known_balance_is_shown_for_a_day_with_the_reason() {
        let hours = |hours| BEGIN.plus(Duration::from_hours(hours));
        for (missed, at, shown, warning) in [
            (Missed::Down, hours(24), true, Some(Warning::BankDown)),
            (Missed::Down, hours(25), false, Some(Warning::BankDown)),
            (Missed::Spent, hours(1), true, Some(Warning::Outdated)),
            (Missed::Unusable, hours(1), true, Some(Warning::Outdated)),
            (Missed::Limited, hours(1), true, Some(Warning::Outdated)),
            (Missed::Limited, BEGIN.plus(FRESH_WHILE_LIMITED), true, None),
        ] {
            let told = view(Mode::Live, None, false).after(missed, at);
            assert_eq!((told.figure.is_some(), told.warning), (shown, warning), "{missed:?} {at:?}");
        }
    }

    #[test]
    fn the_texts_are_those_of_the_catalogue() {
        for (warning, text) in [
            (Warning::BankDown, "Nordea opplever tekniske problemer. Saldo kan være utdatert."),
            (Warning::Outdated, "Balance may be outdated due to bank API issues"),
            (
                Warning::Delayed(BEGIN),
                "⚠️ Saldo vises med forsinkelse\nVi viser din sist kjente saldo fra 23.02.2026 09:00.\n\
                 Tjenesten er tilbake til normal snart.",
            ),
            (
                Warning::Hidden,
                "Saldo midlertidig utilgjengelig\nDu kan fortsatt gjøre betalinger som normalt.\n\
                 Banken vil avvise betalingen hvis du ikke har nok midler.",
            ),
        ] {
            assert_eq!(warning.text("Nordea"), text);
        }
    }
}
