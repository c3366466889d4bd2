//! What a control is about: everything, a provider, a bank, or one operation at a bank.

use std::fmt;

use workflows::engine::Lane;

use super::holds::HoldOn;

/// How far a control reaches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everything.
    All,
    /// Everything behind a provider.
    Provider(String),
    /// Everything at a bank behind a provider.
    Bank(String, String),
}

impl Scope {
    /// A bank behind a provider.
    pub fn bank(provider: &str, bank: &str) -> Self {
        Scope::Bank(provider.to_owned(), bank.to_owned())
    }

    /// Whether it reaches this bank.
    pub fn covers(&self, provider: &str, bank: &str) -> bool {
        match self {
            Scope::All => true,
            Scope::Provider(of) => of == provider,
            Scope::Bank(of, at) => of == provider && at == bank,
        }
    }

    /// Reads what [`Scope`] writes: nothing, `neonomics` or `neonomics/dnb`.
    pub(super) fn parse(text: &str) -> Self {
        match text.split_once('/') {
            Some((provider, bank)) => Scope::bank(provider, bank),
            None if text.is_empty() => Scope::All,
            None => Scope::Provider(text.to_owned()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::All => Ok(()),
            Scope::Provider(provider) => f.write_str(provider),
            Scope::Bank(provider, bank) => write!(f, "{provider}/{bank}"),
        }
    }
}

/// What is asked of a bank, as far as breakers tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Reads of accounts and consents.
    Aisp,
    /// A payment is created: where money begins to move.
    Initiate,
    /// Where does a payment stand? Looking for one by our own id shares it.
    Status,
    /// A payment is taken back.
    Cancel,
}

impl Operation {
    /// Every one.
    pub const ALL: [Operation; 4] =
        [Operation::Aisp, Operation::Initiate, Operation::Status, Operation::Cancel];

    /// Its word in subjects, lanes and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Aisp => "aisp",
            Operation::Initiate => "initiate",
            Operation::Status => "status",
            Operation::Cancel => "cancel",
        }
    }

    /// The operation of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == word)
    }

    /// The lane of it at a bank.
    pub fn lane(self, provider: &str, bank: &str) -> Lane {
        Lane::of(provider, bank, self.as_str())
    }
}

/// Which breaker: a provider's own, or one of an operation at a bank. One bank's never closes another bank's lanes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BreakerId {
    /// The provider as such: it cannot be reached.
    Provider(String),
    /// An operation at a bank: provider, bank, operation.
    Bank(String, String, Operation),
}

impl BreakerId {
    /// The provider that it belongs to.
    pub fn provider(&self) -> &str {
        match self {
            BreakerId::Provider(provider) | BreakerId::Bank(provider, ..) => provider,
        }
    }

    /// The bank, unless it is the provider's own.
    pub fn bank(&self) -> Option<&str> {
        match self {
            BreakerId::Provider(_) => None,
            BreakerId::Bank(_, bank, _) => Some(bank),
        }
    }

    /// What it is that stands still, for logs: `all` for a provider.
    pub fn operation(&self) -> &'static str {
        match self {
            BreakerId::Provider(_) => "all",
            BreakerId::Bank(_, _, operation) => operation.as_str(),
        }
    }

    /// Whether new payments stand still with it.
    pub(super) fn stops_money(&self) -> bool {
        matches!(self, BreakerId::Provider(_) | BreakerId::Bank(_, _, Operation::Initiate))
    }

    /// Whether an operator who names no operation means it when they open breakers.
    pub(super) fn is_opened_by_hand(&self) -> bool {
        match self {
            BreakerId::Provider(_) => true,
            BreakerId::Bank(_, _, operation) => Work::Attempts(*operation).is_stopped_by_hand(),
        }
    }

    /// Whether it closes this lane.
    pub(super) fn covers(&self, place: Place<'_>) -> bool {
        match self {
            BreakerId::Provider(provider) => provider == place.provider,
            BreakerId::Bank(provider, bank, operation) => {
                provider == place.provider && bank == place.bank && place.work.operation() == Some(*operation)
            }
        }
    }

    pub(super) fn parse(subject: &str) -> Option<Self> {
        let Some((provider, rest)) = subject.split_once('/') else {
            return Some(BreakerId::Provider(subject.to_owned()));
        };
        // A bank's name may hold slashes: it is whatever stands between the other two.
        let (bank, operation) = rest.rsplit_once('/')?;
        Some(BreakerId::Bank(provider.to_owned(), bank.to_owned(), Operation::parse(operation)?))
    }
}

impl fmt::Display for BreakerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BreakerId::Provider(provider) => f.write_str(provider),
            BreakerId::Bank(provider, bank, operation) => {
                write!(f, "{provider}/{bank}/{}", operation.as_str())
            }
        }
    }
}

/// What a lane holds, as far as controls are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Attempts of an operation.
    Attempts(Operation),
    /// Parked payments that wait to be let through: nothing of them is sent here.
    Queue,
    /// Anything else: it stands still with its provider only.
    Other,
}

impl Work {
    /// The operation that decides about it: a queue follows what it leads to.
    pub(super) fn operation(self) -> Option<Operation> {
        match self {
            Work::Attempts(operation) => Some(operation),
            Work::Queue => Some(Operation::Initiate),
            Work::Other => None,
        }
    }

    /// Whether an operator who opens a provider's breaker means it: what shows where payments stand, and what takes them
    /// back, goes on.
    pub(super) fn is_stopped_by_hand(self) -> bool {
        match self {
            Work::Attempts(Operation::Initiate | Operation::Aisp) | Work::Queue => true,
            Work::Attempts(Operation::Status | Operation::Cancel) | Work::Other => false,
        }
    }

    /// Whether money begins to move here.
    pub(super) fn is_money(self) -> bool {
        self.operation() == Some(Operation::Initiate)
    }
}

/// A lane taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) provider: &'a str,
    pub(super) bank: &'a str,
    pub(super) work: Work,
}

impl<'a> Place<'a> {
    /// Of a lane; the lane of timers has none, and is never shut.
    pub(super) fn of(lane: &'a Lane) -> Option<Self> {
        let (provider, bank, operation) = lane.parts()?;
        let work = match operation {
            "aisp" | "consent" | "balances" => Work::Attempts(Operation::Aisp),
            "initiate" => Work::Attempts(Operation::Initiate),
            "status" | "locate" => Work::Attempts(Operation::Status),
            "cancel" => Work::Attempts(Operation::Cancel),
            "queue" => Work::Queue,
            _ => Work::Other,
        };
        Some(Place { provider, bank, work })
    }

    /// The breakers that stand before it, the provider's first.
    pub(super) fn breakers(&self) -> Vec<BreakerId> {
        let provider = BreakerId::Provider(self.provider.to_owned());
        let bank = self
            .work
            .operation()
            .map(|operation| BreakerId::Bank(self.provider.to_owned(), self.bank.to_owned(), operation));
        [Some(provider), bank].into_iter().flatten().collect()
    }
}

/// Whether a lane is one that parked work waits in until it is let through.
pub(crate) fn is_queue(lane: &Lane) -> bool {
    matches!(lane.parts(), Some((_, _, "queue")))
}

/// What the operation of a lane begins with that parked work is put aside in while it is held.
const ASIDE: &str = "held.";

/// Where parked work waits while a hold on it alone is in force: it keeps nobody else waiting, and nobody looks at it
/// before the hold ends. `None` where the whole queue is held, or the lane is no queue.
pub(crate) fn aside_of(queue: &Lane, hold: &HoldOn) -> Option<Lane> {
    let (provider, bank, _) = queue.parts().filter(|_| is_queue(queue))?;
    let which = match hold {
        HoldOn::Instance(id) => format!("{ASIDE}instance.{id}"),
        HoldOn::Kind(kind) => format!("{ASIDE}kind.{kind}"),
        HoldOn::Provider(_) | HoldOn::Bank(..) => return None,
    };
    Some(Lane::of(provider, bank, &which))
}

/// Whether parked work waits in a lane, in its queue or aside.
pub(crate) fn is_parked(lane: &Lane) -> bool {
    is_queue(lane) || held_aside(lane).is_some()
}

/// The queue that was left and the hold that ends it, of a lane that parked work is put aside in.
pub fn held_aside(lane: &Lane) -> Option<(Lane, HoldOn)> {
    let (provider, bank, operation) = lane.parts()?;
    let (what, which) = operation.strip_prefix(ASIDE)?.split_once('.')?;
    let hold = HoldOn::parse(&format!("{what}/{which}"))?;
    Some((Lane::of(provider, bank, "queue"), hold))
}

/// Whether what cannot be sent in this lane is turned away at once instead of waiting in it: a payment that was never
/// sent is parked, so that its payer is told.
pub(crate) fn turns_away(lane: &Lane) -> bool {
    matches!(Place::of(lane), Some(Place { work: Work::Attempts(Operation::Initiate), .. }))
}

/// The queue whose payments are sent in this lane.
pub(crate) fn queue_before(lane: &Lane) -> Option<Lane> {
    let (provider, bank, _) = lane.parts().filter(|_| turns_away(lane))?;
    Some(Lane::of(provider, bank, "queue"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breaker_covers_its_operation_at_its_bank_and_a_providers_own_everything_of_it() {
        let provider = BreakerId::Provider("neonomics".to_owned());
        let initiate = BreakerId::parse("neonomics/dnb/initiate").expect("written so");
        for (lane, by_provider, by_bank) in [
            ("neonomics/dnb/initiate", true, true),
            ("neonomics/dnb/queue", true, true),
            ("neonomics/dnb/status", true, false),
            ("neonomics/dnb/locate", true, false),
            ("neonomics/dnb/cancel", true, false),
            ("neonomics/nordea/initiate", true, false),
            ("swan/dnb/initiate", false, false),
        ] {
            let lane = Lane::stored(lane.to_owned());
            let place = Place::of(&lane).expect("a lane of a bank");
            assert_eq!((provider.covers(place), initiate.covers(place)), (by_provider, by_bank), "{lane:?}");
        }
        assert_eq!(Place::of(&Lane::timers()), None);
    }

    #[test]
    fn parked_work_is_put_aside_for_holds_on_single_payments_and_kinds() {
        let queue = Lane::of("neonomics", "dnb", "queue");
        for hold in ["kind/qr_payment", "instance/wf_00000000000000000000000007"] {
            let hold = HoldOn::parse(hold).unwrap_or(HoldOn::Instance(workflows::ids::WorkflowId::new(7)));
            let aside = aside_of(&queue, &hold).expect("it has a lane");
            assert_eq!(held_aside(&aside), Some((queue.clone(), hold)), "{aside:?}");
            assert!(is_parked(&aside) && !is_queue(&aside));
            assert_eq!(aside_of(&aside, &HoldOn::Kind("remittance".to_owned())), None);
        }
        for hold in ["provider/neonomics", "bank/neonomics/dnb"] {
            assert_eq!(aside_of(&queue, &HoldOn::parse(hold).expect(hold)), None, "the queue itself is held");
        }
        assert_eq!((held_aside(&queue), is_parked(&queue)), (None, true));
        assert!(!is_parked(&Lane::of("neonomics", "dnb", "initiate")) && !is_parked(&Lane::timers()));
    }

    #[test]
    fn subjects_read_as_they_are_written() {
        for text in [
            "neonomics",
            "neonomics/dnb/initiate",
            "neonomics/sparebank1-ostlandet/aisp",
            "neonomics/RE5C/K+w=/status",
        ] {
            assert_eq!(BreakerId::parse(text).expect(text).to_string(), text);
        }
        for text in ["neonomics/dnb", "neonomics/dnb/pay", "neonomics/dnb/initiate/x"] {
            assert_eq!(BreakerId::parse(text), None, "{text}");
        }
        for text in ["", "neonomics", "neonomics/dnb", "neonomics/RE5C/K+w="] {
            assert_eq!(Scope::parse(text).to_string(), text);
        }
    }
}
