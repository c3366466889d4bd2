//! Currencies by ISO 4217 code. Their number of decimals comes from the standard's list one, never
//! from a guess: an amount in yen has none, in dinars of Kuwait three.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::text::{ascii, serde_as_string};

/// An active ISO 4217 currency.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// The text is not the code of an active currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a currency is an active ISO 4217 code of three capital letters, such as NOK")]
pub struct UnknownCurrency;

macro_rules! currencies {
    ($($(#[$doc:meta])* $group:ident: $($code:ident)+;)+) => {
        impl Currency {
            $($(
                #[doc = concat!("ISO 4217 ", stringify!($code), ".")]
                pub const $code: Self = Self::from_code(stringify!($code));
            )+)+

            /// All active currencies.
            pub const ACTIVE: &[Self] = &[$($(Self::$code,)+)+];

            $($(#[$doc])* const $group: &[Self] = &[$(Self::$code,)+];)+
        }
    };
}

// Metals, bond units, the test code and "no currency" (X codes without minor units) are left out:
// nobody pays in them. ANG gave way to XCG in 2025 and BGN to EUR in 2026.
currencies! {
    /// Currencies without a minor unit.
    WHOLE: BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF;
    /// Currencies of a hundred minor units.
    HUNDREDTHS:
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF
        CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD
        GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL
        MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR
        PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP
        TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG;
    /// Currencies of a thousand minor units.
    THOUSANDTHS: BHD IQD JOD KWD LYD OMR TND;
    /// Units of account of ten thousand minor units.
    TEN_THOUSANDTHS: CLF UYW;
}

impl Currency {
    /// How many decimals an amount has: minor units are 10⁻ᵉ of the major unit.
    pub fn exponent(self) -> u8 {
        // The groups are all there is: a currency is made from one of them or not at all.
        if Self::HUNDREDTHS.contains(&self) {
            2
        } else if Self::WHOLE.contains(&self) {
            0
        } else if Self::THOUSANDTHS.contains(&self) {
            3
        } else {
            debug_assert!(Self::TEN_THOUSANDTHS.contains(&self), "{self} is in no group");
            4
        }
    }

    /// The three-letter code.
    pub fn as_str(&self) -> &str {
        ascii(&self.0)
    }

    const fn from_code(code: &str) -> Self {
        let code = code.as_bytes();
        Self([code[0], code[1], code[2]])
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(code: &str) -> Result<Self, UnknownCurrency> {
        Self::ACTIVE.iter().find(|active| active.as_str() == code).copied().ok_or(UnknownCurrency)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

serde_as_string!(Currency, "an ISO 4217 currency code");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_three_capitals_in_one_group_and_reads_back() {
        let mut seen = BTreeSet::new();
        for currency in Currency::ACTIVE {
            assert!(seen.insert(*currency), "{currency} stands twice");
            assert!(currency.as_str().bytes().all(|byte| byte.is_ascii_uppercase()), "{currency}");
            assert_eq!(currency.to_string().parse(), Ok(*currency));
            let json = serde_json::to_string(currency).unwrap();
            assert_eq!(serde_json::from_str::<Currency>(&json).unwrap(), *currency);
        }
    }

    #[test]
    fn decimals_follow_the_standard() {
        for (exponent, codes) in [
            (0, "JPY KRW ISK CLP VND UGX XOF PYG"),
            (2, "NOK EUR SEK DKK USD GBP RSD BAM PKR TRY HUF MGA MRU"),
            (3, "BHD KWD TND JOD OMR IQD LYD"),
            (4, "CLF UYW"),
        ] {
            for code in codes.split(' ') {
                assert_eq!(code.parse::<Currency>().unwrap().exponent(), exponent, "{code}");
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "NO", "nok", "NOKK", " NOK", "XXX", "XTS", "XAU", "HRK", "BGN", "kr", "ØRE"] {
            assert_eq!(text.parse::<Currency>(), Err(UnknownCurrency), "{text:?}");
        }
    }
}
