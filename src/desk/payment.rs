//! What the desk has to know of a payment's stored state.

use workers::store::Instance;
use workflows::payment::{Late, Progress, State};

use crate::http::Payment;

/// Where a payment stands; `None` for everything else, and for what this version cannot read.
pub(super) fn progress(instance: &Instance) -> Option<Progress> {
    Payment::of(instance).ok().flatten().map(|payment| payment.progress)
}

/// What must still be so for a decision about this instance to mean what was asked: the same doubt, or the same
/// conflict. A payment that was sent again since is another doubt, because what proved anything about the earlier
/// sending says nothing about the later one. Asking the bank in between changes nothing.
pub(super) fn target(instance: &Instance) -> String {
    let Some(Progress { state, amended }) = progress(instance) else {
        return format!("{} at {}", instance.phase, instance.seq);
    };
    match (state, amended.late) {
        (_, Some(Late::Conflict { status })) => format!("{}, and the bank says {status:?}", instance.phase),
        (State::InDoubt { round, since, .. }, _) => {
            format!("in_doubt since {} in round {round}", since.to_rfc3339_millis())
        }
        (_, Some(Late::Asking { .. }) | None) => format!("{} {}", instance.status, instance.phase),
    }
}
