//! Holds: an operator's stop on money, for one payment, a kind, a provider or a bank.
//!
//! A hold stops what creates a payment and what is let out of a queue. Reads, deadlines and cancellations go on.

use std::fmt;

use workflows::ids::WorkflowId;

use super::subject::{Place, Scope};

/// What is held.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoldOn {
    /// One workflow.
    Instance(WorkflowId),
    /// Every workflow of a kind, such as `remittance`.
    Kind(String),
    /// Every payment behind a provider.
    Provider(String),
    /// Every payment at a bank: provider, bank.
    Bank(String, String),
}

impl HoldOn {
    /// Reads what `Display` writes: `instance/wf_…`, `kind/remittance`, `provider/neonomics`, `bank/neonomics/dnb`.
    pub fn parse(subject: &str) -> Option<Self> {
        let (what, which) = subject.split_once('/')?;
        match what {
            "instance" => which.parse().ok().map(HoldOn::Instance),
            "kind" => Some(HoldOn::Kind(which.to_owned())),
            "provider" => Some(HoldOn::Provider(which.to_owned())),
            "bank" => {
                let (provider, bank) = which.split_once('/')?;
                Some(HoldOn::Bank(provider.to_owned(), bank.to_owned()))
            }
            _ => None,
        }
    }

    /// Those that shut a place for new payments; none where no money moves.
    pub(super) fn at(place: Place<'_>) -> Vec<HoldOn> {
        if !place.work.is_money() {
            return vec![];
        }
        let (provider, bank) = (place.provider.to_owned(), place.bank.to_owned());
        vec![HoldOn::Provider(provider.clone()), HoldOn::Bank(provider, bank)]
    }

    /// Those that stop the payments of an instance, wherever they go.
    pub(super) fn about(instance: WorkflowId, kind: &str) -> [HoldOn; 2] {
        [HoldOn::Instance(instance), HoldOn::Kind(kind.to_owned())]
    }

    /// How far it reaches, unless it is about single payments.
    pub(super) fn scope(&self) -> Option<Scope> {
        match self {
            HoldOn::Instance(_) | HoldOn::Kind(_) => None,
            HoldOn::Provider(provider) => Some(Scope::Provider(provider.clone())),
            HoldOn::Bank(provider, bank) => Some(Scope::bank(provider, bank)),
        }
    }
}

impl fmt::Display for HoldOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HoldOn::Instance(id) => write!(f, "instance/{id}"),
            HoldOn::Kind(kind) => write!(f, "kind/{kind}"),
            HoldOn::Provider(provider) => write!(f, "provider/{provider}"),
            HoldOn::Bank(provider, bank) => write!(f, "bank/{provider}/{bank}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use workflows::engine::Lane;

    #[test]
    fn a_hold_on_a_bank_shuts_what_creates_payments_there_and_nothing_else() {
        let bank = HoldOn::parse("bank/neonomics/dnb").expect("written so");
        let provider = HoldOn::parse("provider/neonomics").expect("written so");
        for (lane, by_bank, by_provider) in [
            ("neonomics/dnb/initiate", true, true),
            ("neonomics/dnb/queue", true, true),
            ("neonomics/dnb/status", false, false),
            ("neonomics/dnb/locate", false, false),
            ("neonomics/dnb/cancel", false, false),
            ("neonomics/dnb/aisp", false, false),
            ("neonomics/nordea/initiate", false, true),
            ("other/dnb/initiate", false, false),
        ] {
            let lane = Lane::stored(lane.to_owned());
            let place = Place::of(&lane).expect("a lane of a bank");
            let shutting = HoldOn::at(place);
            let shuts = |hold: &HoldOn| shutting.contains(hold);
            assert_eq!((shuts(&bank), shuts(&provider)), (by_bank, by_provider), "{lane:?}");
        }
    }

    #[test]
    fn subjects_read_as_they_are_written() {
        let instance = HoldOn::Instance(WorkflowId::new(7));
        for hold in [
            instance,
            HoldOn::Kind("remittance".to_owned()),
            HoldOn::Provider("neonomics".to_owned()),
            HoldOn::Bank("neonomics".to_owned(), "dnb".to_owned()),
        ] {
            assert_eq!(HoldOn::parse(&hold.to_string()), Some(hold));
        }
        for text in ["", "kind", "bank/neonomics", "instance/7", "tenant/x"] {
            assert_eq!(HoldOn::parse(text), None, "{text}");
        }
    }
}
