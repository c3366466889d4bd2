//! Where money comes from and goes to: account numbers, bank codes and payment references with check
//! digits. A value of these types has been checked; `Debug` shows only what may stand in a log.

mod bban;
mod bic;
mod check;
mod country;
mod iban;
mod kid;
mod norwegian;

pub use self::bban::{Bban, BbanError};
pub use self::bic::{Bic, BicError};
pub use self::country::{Country, CountryError};
pub use self::iban::{Iban, IbanError};
pub use self::kid::{Kid, KidCheck, KidError};
pub use self::norwegian::{NorwegianAccount, NorwegianAccountError};

/// The last four characters of an account number after three stars, enough for its owner to recognise
/// it; only the stars when four characters would be half of the number or more.
fn masked_tail(number: &str) -> String {
    let tail =
        number.len().checked_sub(4).filter(|hidden| *hidden > 4).and_then(|hidden| number.get(hidden..));
    format!("***{}", tail.unwrap_or_default())
}
