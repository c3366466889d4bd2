//! Reading a body field by field, so that one answer names every field at fault.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer,
};
use serde_json::value::RawValue;
use workflows::accounts::{Iban, IbanError};

use super::error::{Code, Detail, Problem};

/// The longest reason, in characters.
const LONGEST_REASON: usize = 1_000;

/// A field of a body: what the caller gave, judged when somebody asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Given<T> {
    /// The body does not have it.
    #[default]
    Absent,
    /// It is `null`.
    Null,
    /// It can be read.
    Value(T),
    /// It cannot, for this reason.
    Wrong(String),
}

/// The faults found so far.
#[derive(Debug, Default)]
pub struct Faults(Vec<(Code, Detail)>);

impl Faults {
    /// Remembers a fault.
    pub fn add(&mut self, field: &str, reason: impl fmt::Display) {
        self.push(Code::ValidationFailed, field, reason);
    }

    /// A field that must be there.
    pub fn required<T>(&mut self, field: &str, given: Given<T>) -> Option<T> {
        match given {
            Given::Value(value) => Some(value),
            Given::Absent | Given::Null => {
                self.add(field, "is required");
                None
            }
            Given::Wrong(reason) => {
                self.add(field, reason);
                None
            }
        }
    }

    /// A field that may be absent or `null`.
    pub fn optional<T>(&mut self, field: &str, given: Given<T>) -> Option<T> {
        match given {
            Given::Absent | Given::Null => None,
            present @ (Given::Value(_) | Given::Wrong(_)) => self.required(field, present),
        }
    }

    /// What `read` makes of a value that is there.
    pub fn read<T, U, E: fmt::Display>(
        &mut self,
        field: &str,
        value: Option<T>,
        read: impl FnOnce(T) -> Result<U, E>,
    ) -> Option<U> {
        match read(value?) {
            Ok(read) => Some(read),
            Err(reason) => {
                self.add(field, reason);
                None
            }
        }
    }

    /// An IBAN, whose faults have a code of their own (rest-api §2).
    pub fn iban(&mut self, field: &str, text: Option<String>) -> Option<Iban> {
        Iban::parse(&text?).map_err(|error: IbanError| self.push(Code::InvalidIban, field, error)).ok()
    }

    /// Why an operator does something: `reason_required` when nothing is said (rest-api §6).
    pub fn reason(&mut self, given: Given<String>) -> Option<String> {
        let text = match given {
            Given::Value(text) if !text.trim().is_empty() => text,
            Given::Absent | Given::Null | Given::Value(_) => {
                self.push(Code::ReasonRequired, "reason", "is required");
                return None;
            }
            Given::Wrong(reason) => {
                self.add("reason", reason);
                return None;
            }
        };
        self.read("reason", Some(text), prose(LONGEST_REASON))
    }

    /// The faults of one element of a list, under its path.
    pub fn within(&mut self, path: &str, inner: Faults) {
        let nested = inner.0.into_iter().map(|(code, detail)| {
            (code, Detail { field: format!("{path}.{}", detail.field), reason: detail.reason })
        });
        self.0.extend(nested);
    }

    /// Stops with everything that was found, if anything was.
    ///
    /// # Errors
    /// The code that all faults share, such as `invalid_iban` when nothing but IBANs are wrong, else
    /// `validation_failed`.
    pub fn finish(self) -> Result<(), Problem> {
        if self.0.is_empty() {
            return Ok(());
        }
        let shared = |code: &Code| self.0.iter().all(|(other, _)| other == code);
        let code = self.0.first().map(|(code, _)| *code).filter(shared).unwrap_or(Code::ValidationFailed);
        Err(Problem::from(code).about(self.0.into_iter().map(|(_, detail)| detail).collect()))
    }

    /// Remembers a fault that has a code of its own.
    pub fn push(&mut self, code: Code, field: &str, reason: impl fmt::Display) {
        self.0.push((code, Detail { field: field.to_owned(), reason: reason.to_string() }));
    }
}

/// A check that passed: [`Faults::finish`] was asked before these values are used.
///
/// # Errors
/// A bug: a fault was found and not reported.
pub fn sure<T>(value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::internal("read a checked field", "it is absent without a reported fault"))
}

/// Text of 1 to `most` characters without line breaks or other control characters; surrounding space is dropped.
pub fn line(most: usize) -> impl Fn(String) -> Result<String, String> {
    move |text| {
        let text = text.trim();
        let length = text.chars().count();
        if length == 0 || length > most || text.chars().any(char::is_control) {
            return Err(format!("must have 1 to {most} characters without line breaks"));
        }
        Ok(text.to_owned())
    }
}

/// Text of 1 to `most` characters in as many lines as it takes; surrounding space is dropped.
pub fn prose(most: usize) -> impl Fn(String) -> Result<String, String> {
    move |text| {
        let text = text.trim();
        let length = text.chars().count();
        let odd = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t');
        if length == 0 || length > most || text.chars().any(odd) {
            return Err(format!("must have 1 to {most} characters"));
        }
        Ok(text.to_owned())
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if raw.get() == "null" {
            return Ok(Given::Null);
        }
        let mut json = serde_json::Deserializer::from_str(raw.get());
        Ok(match serde_path_to_error::deserialize(&mut json) {
            Ok(value) => Given::Value(value),
            Err(error) => Given::Wrong(reason(&error)),
        })
    }
}

/// A JSON object; the derived reading of structs would take an array as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Members(std::marker::PhantomData))
    }
}

/// What is wrong and where, without the position in a text that the caller never saw as such.
fn reason(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = error.path().to_string();
    let text = without_position(error.inner());
    if path == "." { text } else { format!("{path}: {text}") }
}

/// The message of a JSON error without `at line 1 column 7`.
pub fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.to_owned())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as Derive;

    use super::*;

    #[derive(Derive)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        name: Given<String>,
        count: Given<u8>,
    }

    impl Default for Sample {
        fn default() -> Self {
            Sample { name: Given::Absent, count: Given::Absent }
        }
    }

    #[test]
    fn one_answer_names_every_field_at_fault() {
        let sample: Sample = serde_json::from_str(r#"{"count":"seven"}"#).unwrap();
        let mut faults = Faults::default();
        faults.required("name", sample.name);
        faults.required("count", sample.count);
        let problem = faults.finish().unwrap_err();
        assert_eq!(problem.code(), Code::ValidationFailed);
        let shown = format!("{problem:?}");
        assert!(shown.contains("name") && shown.contains("count"), "{shown}");
        assert!(!shown.contains("line 1"), "{shown}");
    }

    #[test]
    fn absent_null_and_wrong_are_three_things() {
        for (body, expected) in [
            ("{}", Given::Absent),
            (r#"{"name":null}"#, Given::Null),
            (r#"{"name":"x"}"#, Given::Value("x".to_owned())),
        ] {
            assert_eq!(serde_json::from_str::<Sample>(body).unwrap().name, expected);
        }
        let wrong = serde_json::from_str::<Sample>(r#"{"name":7}"#).unwrap().name;
        assert!(matches!(wrong, Given::Wrong(_)), "{wrong:?}");
    }

    #[test]
    fn a_wrong_iban_alone_has_its_own_code() {
        let mut faults = Faults::default();
        assert!(faults.iban("iban", Some("NO9386011117948".to_owned())).is_none());
        assert_eq!(faults.finish().unwrap_err().code(), Code::InvalidIban);
        let mut faults = Faults::default();
        faults.iban("iban", Some("NO9386011117948".to_owned()));
        faults.add("name", "is required");
        assert_eq!(faults.finish().unwrap_err().code(), Code::ValidationFailed);
    }

    #[test]
    fn a_reason_has_a_code_of_its_own_while_nothing_else_is_wrong() {
        let code = |given: Given<String>, also: bool| {
            let mut faults = Faults::default();
            faults.reason(given);
            if also {
                faults.add("mode", "is required");
            }
            faults.finish().err().map(|problem| problem.code())
        };
        let text = |text: &str| Given::Value(text.to_owned());
        for (given, also, expected) in [
            (Given::Absent, false, Some(Code::ReasonRequired)),
            (Given::Null, false, Some(Code::ReasonRequired)),
            (text(" \n"), false, Some(Code::ReasonRequired)),
            (Given::Absent, true, Some(Code::ValidationFailed)),
            (text(&"a".repeat(1_001)), false, Some(Code::ValidationFailed)),
            (text("a\u{7}"), false, Some(Code::ValidationFailed)),
            (text("Neonomics is down.\nSee the ticket."), false, None),
        ] {
            assert_eq!(code(given.clone(), also), expected, "{given:?}");
        }
    }

    #[test]
    fn an_array_is_no_object() {
        assert!(serde_json::from_str::<Object<Sample>>(r#"{"name":"x"}"#).is_ok());
        assert!(serde_json::from_str::<Object<Sample>>(r#"["x",1]"#).is_err());
    }

    #[test]
    fn a_line_is_trimmed_and_has_no_control_characters() {
        assert_eq!(line(3)(" abc ".to_owned()), Ok("abc".to_owned()));
        for text in ["", "  ", "abcd", "a\nb", "a\u{0}"] {
            assert!(line(3)(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
