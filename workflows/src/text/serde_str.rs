//! Values that travel as strings: written by `Display`, read and checked by `FromStr`.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// Implements `Serialize` by `Display` and `Deserialize` by `FromStr`.
macro_rules! serde_as_string {
    ($type:ty, $expected:expr) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::text::read_string(deserializer, $expected)
            }
        }
    };
}
pub(crate) use serde_as_string;

/// Reads a string and parses it. The error never repeats what was read: it may be an account number.
pub(crate) fn read_string<'de, D, T>(deserializer: D, expected: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    deserializer.deserialize_any(Text { expected, parsed: PhantomData })
}

struct Text<T> {
    expected: &'static str,
    parsed: PhantomData<T>,
}

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    // The default answers to numbers quote the number, which may be an account number without its quotes.
    fn visit_u64<E: Error>(self, _: u64) -> Result<T, E> {
        Err(self.not_a_number())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<T, E> {
        Err(self.not_a_number())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
        Err(self.not_a_number())
    }
}

impl<T> Text<T> {
    fn not_a_number<E: Error>(&self) -> E {
        E::custom(format_args!("invalid type: number, expected {}", self.expected))
    }
}
