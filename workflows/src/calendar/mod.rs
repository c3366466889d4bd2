//! Days as Norway counts them: local dates in Europe/Oslo, ages and bank days. Nothing here knows
//! today; every question carries its date or instant.

mod bank_days;

use chrono::{Datelike, NaiveDateTime};
use chrono_tz::Europe::Oslo;

pub use self::bank_days::{
    BankHoliday, bank_holiday, easter_sunday, is_bank_day, next_bank_day, plus_bank_days,
};
use crate::time::At;

/// A day without a time or a zone.
pub type Date = chrono::NaiveDate;

/// The age at which Norwegian law makes an adult (vergemålsloven § 8) and FE-01 a customer, in years.
pub const ADULT_AGE: u32 = 18;

/// The date in Norway at an instant.
pub fn local_date(at: At) -> Date {
    local(at).date()
}

/// Date and time of day in Norway at an instant. Going back there may be two instants, or none.
pub fn local(at: At) -> NaiveDateTime {
    at.utc().with_timezone(&Oslo).naive_local()
}

/// Completed years of life on a day; `None` before the birth. A year completes on the birthday, for
/// those born on 29 February in other years on 1 March.
pub fn age_on(birth: Date, today: Date) -> Option<u32> {
    let had_birthday = (today.month(), today.day()) >= (birth.month(), birth.day());
    let years = today.year() - birth.year() - i32::from(!had_birthday);
    u32::try_from(years).ok()
}

/// Whether a person is 18 or older in Norway at an instant (FE-01).
pub fn is_adult(birth: Date, at: At) -> bool {
    age_on(birth, local_date(at)).is_some_and(|age| age >= ADULT_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn at(text: &str) -> At {
        At::parse(text).unwrap()
    }

    #[test]
    fn the_day_turns_at_midnight_in_oslo() {
        for (instant, local) in [
            ("2026-01-15T22:59:59.999Z", "2026-01-15"),
            ("2026-01-15T23:00:00Z", "2026-01-16"), // winter: UTC+1
            ("2026-07-15T21:59:59.999Z", "2026-07-15"),
            ("2026-07-15T22:00:00Z", "2026-07-16"), // summer: UTC+2
            ("2026-03-29T00:59:59Z", "2026-03-29"), // before the clocks go forward
            ("2026-03-29T22:00:00Z", "2026-03-30"), // the evening after
            ("2026-10-25T22:59:59Z", "2026-10-25"), // the evening after they went back
        ] {
            assert_eq!(local_date(at(instant)), date(local), "{instant}");
        }
    }

    #[test]
    fn any_instant_has_a_local_date() {
        assert_eq!(local_date(At::MAX).year(), 10_000);
        assert_eq!(local_date(At::MIN).year(), 0);
    }

    #[test]
    fn the_night_of_change_has_no_half_past_two_or_two_of_them() {
        for (instant, time) in [
            ("2026-03-29T00:30:00Z", "2026-03-29T01:30:00"),
            ("2026-03-29T01:30:00Z", "2026-03-29T03:30:00"),
            ("2026-10-25T00:30:00Z", "2026-10-25T02:30:00"),
            ("2026-10-25T01:30:00Z", "2026-10-25T02:30:00"),
        ] {
            assert_eq!(local(at(instant)), time.parse().unwrap(), "{instant}");
        }
    }

    #[test]
    fn a_year_of_life_completes_on_the_birthday() {
        for (birth, today, age) in [
            ("2008-02-23", "2026-02-22", Some(17)),
            ("2008-02-23", "2026-02-23", Some(18)),
            ("2008-02-23", "2026-02-24", Some(18)),
            ("2008-02-29", "2026-02-28", Some(17)),
            ("2008-02-29", "2026-03-01", Some(18)),
            ("2008-02-29", "2028-02-28", Some(19)),
            ("2008-02-29", "2028-02-29", Some(20)),
            ("2008-12-31", "2026-01-01", Some(17)),
            ("2026-02-23", "2026-02-23", Some(0)),
            ("2026-02-24", "2026-02-23", None),
            ("2027-01-01", "2026-12-31", None),
        ] {
            assert_eq!(age_on(date(birth), date(today)), age, "{birth} on {today}");
        }
    }

    #[test]
    fn adulthood_begins_at_midnight_in_oslo() {
        let birth = date("2008-07-16");
        assert!(!is_adult(birth, at("2026-07-15T21:59:59.999999Z")));
        assert!(is_adult(birth, at("2026-07-15T22:00:00Z")));
        assert!(!is_adult(date("2030-01-01"), at("2026-07-15T22:00:00Z")));
    }
}
