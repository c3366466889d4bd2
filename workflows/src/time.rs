//! Instants. The core never asks what time it is: every function that depends on it is handed an [`At`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An instant: microseconds since the Unix epoch, UTC, within the years 0000–9999 that RFC 3339 can
/// write. Arithmetic stops at the ends of that range.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct At(i64);

/// Why a value is no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TimeError {
    /// Not RFC 3339.
    #[error("a time is written as RFC 3339, such as 2026-02-23T08:00:00.000Z")]
    Malformed,
    /// Outside the years 0000–9999.
    #[error("a time lies within the years 0000 to 9999")]
    OutOfRange,
}

impl At {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// 0000-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_167_219_200_000_000);
    /// 9999-12-31T23:59:59.999999Z: later than any due time.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// The instant `micros` microseconds after the epoch, brought into range.
    pub const fn from_micros(micros: i64) -> Self {
        if micros < Self::MIN.0 {
            Self::MIN
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Self(micros)
        }
    }

    /// The instant `millis` milliseconds after the epoch, brought into range.
    pub const fn from_millis(millis: i64) -> Self {
        Self::from_micros(millis.saturating_mul(1_000))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The instant a duration later, at most [`At::MAX`]. Parts of a microsecond are dropped.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(micros(later)))
    }

    /// The instant a duration earlier, at least [`At::MIN`]. Parts of a microsecond are dropped.
    #[must_use]
    pub fn minus(self, earlier: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(micros(earlier)))
    }

    /// How long ago `earlier` was; nothing if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// Reads RFC 3339 with any offset. Parts of a microsecond are dropped; a leap second is the
    /// second after it.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| TimeError::Malformed)?;
        Self::try_from(time.timestamp_micros())
    }

    /// RFC 3339 in UTC with milliseconds, rounded down: `2026-02-23T08:00:00.000Z`.
    pub fn to_rfc3339_millis(self) -> String {
        self.utc().to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// The instant as the calendar library knows it.
    pub fn utc(self) -> DateTime<Utc> {
        // The library's years go far beyond 9999, so the fallback is never taken.
        DateTime::from_timestamp_micros(self.0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl TryFrom<i64> for At {
    type Error = TimeError;

    /// Microseconds since the epoch, refused when out of range.
    fn try_from(micros: i64) -> Result<Self, TimeError> {
        let at = Self::from_micros(micros);
        if at.0 == micros { Ok(at) } else { Err(TimeError::OutOfRange) }
    }
}

impl From<At> for i64 {
    fn from(at: At) -> Self {
        at.0
    }
}

impl FromStr for At {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        Self::parse(text)
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_rfc3339_millis())
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.utc().to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_is_read_with_any_offset_and_written_in_utc() {
        for (text, written) in [
            ("2026-02-23T08:00:00Z", "2026-02-23T08:00:00.000Z"),
            ("2026-02-23T09:00:00+01:00", "2026-02-23T08:00:00.000Z"),
            ("2026-02-23T08:00:00.123456789Z", "2026-02-23T08:00:00.123Z"),
            ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(At::parse(text).unwrap().to_string(), written, "{text}");
        }
        assert_eq!(At::parse("2026-02-23T08:00:00Z").unwrap().as_micros(), 1_771_833_600_000_000);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "2026-02-23", "2026-02-23T08:00:00", "2026-02-30T08:00:00Z", "1771833600", "now"] {
            assert_eq!(At::parse(text), Err(TimeError::Malformed), "{text:?}");
        }
        assert_eq!(At::parse("0000-01-01T00:00:00+01:00"), Err(TimeError::OutOfRange));
        assert_eq!(At::parse("9999-12-31T23:59:59-01:00"), Err(TimeError::OutOfRange));
    }

    #[test]
    fn the_ends_of_time_are_the_ends_of_rfc_3339() {
        assert_eq!(format!("{:?}", At::MIN), "0000-01-01T00:00:00.000000Z");
        assert_eq!(format!("{:?}", At::MAX), "9999-12-31T23:59:59.999999Z");
        for (at, expected) in [
            (At::MAX.plus(Duration::MAX), At::MAX),
            (At::MIN.minus(Duration::MAX), At::MIN),
            (At::EPOCH.plus(Duration::MAX), At::MAX),
            (At::from_micros(i64::MAX), At::MAX),
            (At::from_millis(i64::MIN), At::MIN),
        ] {
            assert_eq!(at, expected);
        }
    }

    #[test]
    fn adding_and_taking_away_are_each_other_s_inverse() {
        let at = At::parse("2026-02-23T08:00:00Z").unwrap();
        for micros in [0, 1, 999, 1_000_000, 86_400_000_000, 180 * 86_400_000_000] {
            let step = Duration::from_micros(micros);
            assert_eq!(at.plus(step).minus(step), at);
            assert_eq!(at.plus(step).since(at), step);
            assert_eq!(at.since(at.plus(step)), Duration::ZERO);
        }
        assert_eq!(At::MAX.since(At::MIN).as_micros(), 315_569_519_999_999_999);
    }

    #[test]
    fn parts_of_a_second_before_the_epoch_round_down() {
        let at = At::from_micros(-1);
        assert_eq!((at.as_millis(), at.as_secs()), (-1, -1));
        assert_eq!(at.to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn json_holds_microseconds() {
        let at = At::from_micros(1_771_833_600_000_001);
        assert_eq!(serde_json::to_string(&at).unwrap(), "1771833600000001");
        assert_eq!(serde_json::from_str::<At>("1771833600000001").unwrap(), at);
        for bad in ["9223372036854775807", "1.5", "\"2026-02-23T08:00:00Z\"", "null"] {
            assert!(serde_json::from_str::<At>(bad).is_err(), "{bad}");
        }
    }
}
