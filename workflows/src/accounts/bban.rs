//! Account numbers as a country writes them, for recipients without an IBAN (RA-03). Norway, Serbia and
//! its neighbours are checked by their own rule; elsewhere only the characters are.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::check::control_97;
use super::{Country, Iban, IbanError, NorwegianAccount, NorwegianAccountError, masked_tail};

/// A national account number in its plain form: capitals and digits without separators. `Display`
/// writes it in full; `Debug` is masked. In JSON `{"country":"RS","number":"265000000123456757"}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Bban {
    country: Country,
    number: String,
}

/// Why a text is no account number of a country.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BbanError {
    /// Not 1–34 letters and digits, apart from spaces and hyphens between them.
    #[error("an account number has 1 to 34 letters and digits")]
    Malformed,
    /// Not the number of digits that the country has.
    #[error("an account number of {country} has {digits} digits")]
    Length {
        /// The country.
        country: Country,
        /// How many digits its account numbers have.
        digits: usize,
    },
    /// The control digits do not follow from the others.
    #[error("the control digits of the account number are wrong for {0}")]
    CheckDigits(Country),
}

/// The longest national number that travels in payment messages (ISO 20022 `Max34Text`).
const MAX: usize = 34;

impl Bban {
    /// Reads an account number of a country; spaces and hyphens are passed over, small letters raised.
    /// Serbia and Montenegro may leave out zeros in the middle part: `265-1234567-57`. Norway may use dots.
    pub fn parse(country: Country, text: &str) -> Result<Self, BbanError> {
        if country == Country::NO {
            let account: NorwegianAccount = text.parse().map_err(|error| match error {
                NorwegianAccountError::Malformed => BbanError::Length { country, digits: 11 },
                NorwegianAccountError::CheckDigit => BbanError::CheckDigits(country),
            })?;
            return Ok(account.into());
        }
        let plain = unabridged(country, text).unwrap_or_else(|| plain(text));
        if !(1..=MAX).contains(&plain.len()) || !plain.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(BbanError::Malformed);
        }
        if let Some(digits) = control_97_digits(country) {
            if plain.len() != digits || !plain.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(BbanError::Length { country, digits });
            }
            if !national_check(country, &plain) {
                return Err(BbanError::CheckDigits(country));
            }
        }
        Ok(Self { country, number: plain })
    }

    /// For numbers that come out of a checked IBAN.
    pub(super) fn checked(country: Country, number: &str) -> Self {
        debug_assert_eq!(
            Self::parse(country, number),
            Ok(Self { country, number: number.to_owned() }),
            "a checked IBAN holds a checked number"
        );
        Self { country, number: number.to_owned() }
    }

    /// The country of the account.
    pub const fn country(&self) -> Country {
        self.country
    }

    /// The number in capitals without separators.
    pub fn as_str(&self) -> &str {
        &self.number
    }

    /// The IBAN of the account, which in Serbia always begins with RS35. Fails for countries without IBAN
    /// and for numbers that are not of the country's form.
    pub fn to_iban(&self) -> Result<Iban, IbanError> {
        let control = control_97(&format!("{}{}", self.number, self.country));
        Iban::parse(&format!("{}{control:02}{}", self.country, self.number))
    }

    /// What may stand in a log: country and last four characters, `RS***6757`.
    pub fn masked(&self) -> String {
        format!("{}{}", self.country, masked_tail(&self.number))
    }
}

/// Whether a plain number of the right form satisfies its country's own rule, if one is known.
pub(super) fn national_check(country: Country, bban: &str) -> bool {
    if country == Country::NO {
        return bban.parse::<NorwegianAccount>().is_ok();
    }
    match control_97_digits(country) {
        None => true,
        Some(digits) => {
            let control = bban.len().checked_sub(2).and_then(|start| bban.split_at_checked(start));
            bban.len() == digits
                && control.is_some_and(|(number, last)| last.parse() == Ok(control_97(number)))
        }
    }
}

/// How many digits account numbers have in the countries that kept the control digits of Yugoslavia:
/// the last two are 98 − (the others ‖ 00) mod 97. Their IBANs therefore always carry the same check
/// digits (BA39, ME25, MK07, RS35, SI56, XK05). Croatia went another way.
fn control_97_digits(country: Country) -> Option<usize> {
    match country {
        Country::RS | Country::ME => Some(18),
        Country::BA | Country::XK => Some(16),
        Country::MK | Country::SI => Some(15),
        _ => None,
    }
}

/// `265-1234567-57` with its middle part filled to 13 digits; `None` when it is not written in three parts.
fn unabridged(country: Country, text: &str) -> Option<String> {
    if !matches!(country, Country::RS | Country::ME) {
        return None;
    }
    let mut parts = text.split('-').map(plain);
    let (bank, account, control) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && bank.len() == 3 && !account.is_empty() && control.len() == 2;
    whole.then(|| format!("{bank}{account:0>13}{control}"))
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, ' ' | '\u{a0}' | '-')).map(|c| c.to_ascii_uppercase()).collect()
}

impl From<NorwegianAccount> for Bban {
    fn from(account: NorwegianAccount) -> Self {
        Self { country: Country::NO, number: account.as_str().to_owned() }
    }
}

impl fmt::Display for Bban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.number)
    }
}

impl fmt::Debug for Bban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// The JSON form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    country: Country,
    number: Number,
}

/// A string that keeps quiet about itself when it turns out to be a number.
struct Number(String);

impl std::str::FromStr for Number {
    type Err = BbanError;

    fn from_str(text: &str) -> Result<Self, BbanError> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

crate::text::serde_as_string!(Number, "an account number as a string");

impl TryFrom<Written> for Bban {
    type Error = BbanError;

    fn try_from(written: Written) -> Result<Self, BbanError> {
        Self::parse(written.country, &written.number.0)
    }
}

impl From<Bban> for Written {
    fn from(bban: Bban) -> Self {
        Self { country: bban.country, number: Number(bban.number) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn country(text: &str) -> Country {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_are_read_in_the_forms_their_country_writes() {
        for (at, text, plain) in [
            ("RS", "265-1234567-57", "265000000123456757"),
            ("RS", "265000000123456757", "265000000123456757"),
            ("RS", "265 0000001234567 57", "265000000123456757"),
            ("RS", "260-0056010016113-79", "260005601001611379"),
            ("ME", "505-123456789-51", "505000012345678951"),
            ("BA", "129-007-94010284-94", "1290079401028494"),
            ("MK", "250120000058984", "250120000058984"),
            ("XK", "1212012345678906", "1212012345678906"),
            ("SI", "19100-0000123438", "191000000123438"),
            ("NO", "8601.11.17947", "86011117947"),
            ("NO", "86011117947", "86011117947"),
            ("US", "000 123-456 789", "000123456789"),
            ("KE", "a1", "A1"),
            ("PH", "1", "1"),
        ] {
            let read = Bban::parse(country(at), text);
            assert_eq!(read.as_ref().map(Bban::as_str), Ok(plain), "{at} {text}");
            let json = serde_json::to_string(&read.clone().unwrap()).unwrap();
            assert_eq!(json, format!(r#"{{"country":"{at}","number":"{plain}"}}"#));
            assert_eq!(serde_json::from_str::<Bban>(&json).ok(), read.ok());
        }
    }

    #[test]
    fn the_error_names_what_is_wrong() {
        for (at, text, error) in [
            // X-42: the number of the sample payment; its control digits must be 57.
            ("RS", "265-1234567-89", BbanError::CheckDigits(Country::RS)),
            ("RS", "265-1234567-5", BbanError::Length { country: Country::RS, digits: 18 }),
            // Two parts are no abridged form: where the zeros are missing would be a guess.
            ("ME", "505-12345678951", BbanError::Length { country: Country::ME, digits: 18 }),
            ("RS", "265-12345678901234-57", BbanError::Length { country: Country::RS, digits: 18 }),
            ("RS", "265--57", BbanError::Length { country: Country::RS, digits: 18 }),
            ("RS", "265-12E4567-57", BbanError::Length { country: Country::RS, digits: 18 }),
            ("RS", "265-+234567-57", BbanError::Malformed),
            ("MK", "250120000058985", BbanError::CheckDigits(Country::MK)),
            ("BA", "129007940102849", BbanError::Length { country: Country::BA, digits: 16 }),
            ("NO", "86011117946", BbanError::CheckDigits(Country::NO)),
            ("NO", "8601111794", BbanError::Length { country: Country::NO, digits: 11 }),
            ("US", "", BbanError::Malformed),
            ("US", " - ", BbanError::Malformed),
            ("US", "12_34", BbanError::Malformed),
            ("US", "12å34", BbanError::Malformed),
            ("US", &"1".repeat(35), BbanError::Malformed),
        ] {
            assert_eq!(Bban::parse(country(at), text), Err(error), "{at} {text:?}");
        }
    }

    #[test]
    fn exactly_one_pair_of_control_digits_is_right() {
        for account in (0..9_000_000_u64).step_by(90_001) {
            let right: Vec<u32> = (0..100)
                .filter(|control| Bban::parse(Country::RS, &format!("265-{account}-{control:02}")).is_ok())
                .collect();
            assert!(matches!(right[..], [2..=98]), "{account}: {right:?}");
        }
    }

    #[test]
    fn the_iban_follows_where_the_country_has_one() {
        let serbian = Bban::parse(Country::RS, "265-1234567-57").unwrap();
        assert_eq!(serbian.to_iban().unwrap().as_str(), "RS35265000000123456757");
        let american = Bban::parse(country("US"), "123456789").unwrap();
        assert_eq!(american.to_iban(), Err(IbanError::UnknownCountry(country("US"))));
        let german = Bban::parse(country("DE"), "1234").unwrap();
        assert_eq!(german.to_iban(), Err(IbanError::Structure(country("DE"))));
    }

    #[test]
    fn logs_see_country_and_last_four_of_long_numbers() {
        for (at, text, masked) in
            [("RS", "265-1234567-57", "RS***6757"), ("US", "12345678", "US***"), ("PH", "1", "PH***")]
        {
            assert_eq!(format!("{:?}", Bban::parse(country(at), text).unwrap()), masked);
        }
    }

    #[test]
    fn json_is_checked_and_its_errors_do_not_repeat_the_number() {
        for json in [
            r#"{"country":"RS","number":"265000000123456789"}"#,
            r#"{"country":"RS","number":265000000123456757}"#,
        ] {
            let error = serde_json::from_str::<Bban>(json).unwrap_err().to_string();
            assert!(!error.contains("1234567"), "{error}");
        }
    }
}
