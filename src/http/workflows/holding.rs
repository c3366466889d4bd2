//! When a workflow can be held, and when it can be released.

use workers::controls::HoldOn;
use workers::store::Instance;

use super::super::App;
use super::super::holds::in_force;
use crate::desk::Unable;

/// Whether holding a workflow would do anything.
///
/// # Errors
/// The rule that forbids it.
pub fn hold(app: &App, instance: &Instance) -> Result<(), Unable> {
    if instance.status.is_final() {
        return Err(Unable::Forbidden(format!("it has come to its end: {}", instance.phase)));
    }
    match in_force(app, &HoldOn::Instance(instance.id)) {
        Some(_) => Err(Unable::Forbidden("it is held already".to_owned())),
        None => Ok(()),
    }
}

/// Whether releasing a workflow would do anything.
///
/// # Errors
/// The rule that forbids it.
pub fn release(app: &App, instance: &Instance) -> Result<(), Unable> {
    match in_force(app, &HoldOn::Instance(instance.id)) {
        Some(_) => Ok(()),
        None => Err(Unable::Forbidden("it is not held itself".to_owned())),
    }
}
