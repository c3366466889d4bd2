//! One setting: where its text comes from and how a bad one is reported.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

/// A row of the settings table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Name of the environment variable; `NAME_FILE` names a file that holds the value instead.
    pub name: &'static str,
    /// What holds when nothing is set.
    pub fallback: Fallback,
    /// One line for people.
    pub help: &'static str,
}

/// What holds when a setting is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This text.
    Text(&'static str),
    /// Follows from another setting, as described.
    Derived(&'static str),
    /// The feature is off, or the value is not sent.
    Nothing,
    /// There is none: the service refuses to start.
    Required,
}

/// A setting that is missing or does not say what it should. Never carries the value: it may be a secret.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct BadSetting {
    /// Which.
    pub name: &'static str,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl BadSetting {
    /// `name` is wrong because of `reason`.
    pub fn new(name: &'static str, reason: impl Into<String>) -> Self {
        BadSetting { name, reason: reason.into() }
    }
}

/// The environment as it was when the process started.
pub struct Environment {
    variables: BTreeMap<String, SecretString>,
}

impl Environment {
    /// Of this process.
    pub fn of_process() -> Self {
        // What is not UTF-8 becomes a value that no setting accepts, instead of a panic.
        let text = |part: std::ffi::OsString| part.to_string_lossy().into_owned();
        std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
    }

    /// The same, where an absent or empty `name` counts as `value`.
    #[must_use]
    pub fn with_default(mut self, name: &str, value: &str) -> Self {
        if self.variable(name).is_none() {
            self.variables.insert(name.to_owned(), value.into());
        }
        self
    }

    /// With these settings in the place of whatever was given for them, directly or by file.
    #[must_use]
    pub fn with<const N: usize>(mut self, settings: [(&str, String); N]) -> Self {
        for (name, value) in settings {
            self.variables.remove(&format!("{name}_FILE"));
            self.variables.insert(name.to_owned(), value.into());
        }
        self
    }

    /// The text of a setting, or of its default; `None` where there is neither. An empty value counts as absent.
    pub fn text(&self, setting: &Setting) -> Result<Option<SecretString>, BadSetting> {
        let bad = |reason: String| BadSetting { name: setting.name, reason };
        let direct = self.variable(setting.name);
        let file = self.variable(&format!("{}_FILE", setting.name));
        match (direct, file) {
            (Some(_), Some(_)) => Err(bad(format!("set either {0} or {0}_FILE, not both", setting.name))),
            (Some(value), None) => Ok(Some(value.clone())),
            (None, Some(path)) => read_file(Path::new(path.expose_secret())).map(Some).map_err(bad),
            (None, None) => match setting.fallback {
                Fallback::Text(text) => Ok(Some(text.into())),
                Fallback::Derived(_) | Fallback::Nothing => Ok(None),
                Fallback::Required => Err(bad("is required and has no default".to_owned())),
            },
        }
    }

    /// A setting that somebody set, read by `parse`, whatever its default is.
    pub fn given<T, E: fmt::Display>(
        &self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, BadSetting> {
        self.optional(&Setting { fallback: Fallback::Nothing, ..*setting }, parse)
    }

    /// Every variable whose name begins so, and that is not empty, with its text. For switches, which are no secrets.
    pub fn beginning_with<'e>(&'e self, prefix: &'e str) -> impl Iterator<Item = (&'e str, &'e str)> {
        let named = self.variables.iter().filter(move |(name, _)| name.starts_with(prefix));
        named
            .map(|(name, value)| (name.as_str(), value.expose_secret()))
            .filter(|(_, value)| !value.is_empty())
    }

    /// A setting read by `parse`; `None` where it is absent and has no default.
    pub fn optional<T, E: fmt::Display>(
        &self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, BadSetting> {
        let Some(text) = self.text(setting)? else { return Ok(None) };
        let parsed =
            parse(text.expose_secret()).map_err(|why| BadSetting::new(setting.name, why.to_string()))?;
        Ok(Some(parsed))
    }

    /// A setting that has a default or must be given, read by `parse`.
    pub fn read<T, E: fmt::Display>(
        &self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, BadSetting> {
        self.optional(setting, parse)?.ok_or_else(|| BadSetting::new(setting.name, "is required"))
    }

    fn variable(&self, name: &str) -> Option<&SecretString> {
        self.variables.get(name).filter(|value| !value.expose_secret().is_empty())
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Environment { variables: variables.into_iter().map(|(name, value)| (name, value.into())).collect() }
    }
}

/// The content of a secret's file without the line end that editors add.
fn read_file(path: &Path) -> Result<SecretString, String> {
    let content =
        std::fs::read_to_string(path).map_err(|error| format!("its file cannot be read: {error}"))?;
    let value = content.strip_suffix('\n').unwrap_or(&content);
    let value = value.strip_suffix('\r').unwrap_or(value);
    if value.is_empty() { Err("its file is empty".to_owned()) } else { Ok(value.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Setting = Setting { name: "PLAIN", fallback: Fallback::Text("7"), help: "" };
    const NEEDED: Setting = Setting { name: "NEEDED", fallback: Fallback::Required, help: "" };

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_value_comes_from_the_variable_its_file_or_the_default() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, "9\r\n").unwrap();
        let file = file.to_str().unwrap();
        for (variables, expected) in [
            (vec![], 7),
            (vec![("PLAIN", "")], 7),
            (vec![("PLAIN", "8")], 8),
            (vec![("PLAIN_FILE", file)], 9),
            (vec![("PLAIN", ""), ("PLAIN_FILE", file)], 9),
        ] {
            assert_eq!(
                environment(&variables).read(&PLAIN, str::parse::<u8>).unwrap(),
                expected,
                "{variables:?}"
            );
        }
    }

    #[test]
    fn a_bad_value_is_reported_by_name_and_never_shown() {
        let file = ("PLAIN_FILE", "/nonexistent/sluse");
        for (variables, setting) in [
            (vec![("PLAIN", "hunter2")], &PLAIN),
            (vec![("PLAIN", "8"), file], &PLAIN),
            (vec![file], &PLAIN),
            (vec![("NEEDED", "")], &NEEDED),
        ] {
            let error = environment(&variables).read(setting, str::parse::<u8>).unwrap_err().to_string();
            assert!(error.starts_with(setting.name), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
