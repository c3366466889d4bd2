//! What the operators' resources of controls share: who, why and until when, and names in addresses.

use ::workflows::time::At;
use workers::controls::Cause;

use super::App;
use super::auth::Operator;
use super::error::{Code, Problem};
use super::validation::{Faults, Given};
use crate::provider::NAME;

/// The longest name of a bank, in bytes.
pub const LONGEST_NAME: usize = 64;

/// Who changes a control, why, and until when, as far as the body says so.
pub fn cause(
    faults: &mut Faults,
    operator: &Operator,
    (reason, expires_at): (Given<String>, Given<String>),
    now: At,
) -> Option<Cause> {
    let expires_at = faults.optional("expiresAt", expires_at);
    let given = expires_at.is_some();
    let expires_at = faults.read("expiresAt", expires_at, |text| match At::parse(&text) {
        Ok(at) if at > now => Ok(at),
        Ok(_) => Err("must lie in the future".to_owned()),
        Err(error) => Err(error.to_string()),
    });
    let reason = faults.reason(reason)?;
    let cause = Cause { actor: operator.person().name.to_owned(), reason, expires_at };
    (given == cause.expires_at.is_some()).then_some(cause)
}

/// Keeps who asked for what and why, before it is done.
///
/// # Errors
/// `database_unavailable`.
pub async fn record(
    app: &App,
    operator: &Operator,
    verb: &str,
    subject: &str,
    cause: &Cause,
) -> Result<(), Problem> {
    Ok(app.desk.record(operator.person(), verb, subject, (&cause.reason, cause.expires_at)).await?)
}

/// A provider of payments by its name.
///
/// # Errors
/// `not_found`.
pub fn provider(name: &str) -> Result<&'static str, Problem> {
    if name == NAME { Ok(NAME) } else { Err(Code::NotFound.into()) }
}

/// A bank's name, which is the provider's. See [`is_bank`].
///
/// # Errors
/// `not_found`: no bank can be called so.
pub fn bank(name: &str) -> Result<&str, Problem> {
    if is_bank(name) { Ok(name) } else { Err(Code::NotFound.into()) }
}

/// Whether a bank can be called so: words as well as base64, which is what the aggregator's ids are. A name becomes
/// part of lanes, of the names of controls and of addresses, so it has nothing else in it.
pub fn is_bank(name: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'=' | b'+' | b'/');
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(plain)
}

#[cfg(test)]
mod tests;
