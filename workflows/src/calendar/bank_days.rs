//! Days on which Norwegian banks settle: Monday to Friday without public holidays and Christmas Eve.
//! New Year's Eve is open. Settlement expectations count in these days.

use chrono::{Datelike, Days, Weekday};

use super::Date;

/// A day on which Norwegian banks are closed for another reason than the weekend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BankHoliday {
    /// 1 January.
    NewYear,
    /// The Thursday before Easter.
    MaundyThursday,
    /// The Friday before Easter.
    GoodFriday,
    /// The day after Easter Sunday.
    EasterMonday,
    /// 1 May.
    LabourDay,
    /// 17 May.
    ConstitutionDay,
    /// The fortieth day of Easter, a Thursday.
    Ascension,
    /// The fifty-first day of Easter.
    WhitMonday,
    /// 24 December.
    ChristmasEve,
    /// 25 December.
    ChristmasDay,
    /// 26 December.
    BoxingDay,
}

/// The holiday that closes banks on a day, if there is one. When two fall together, the fixed one.
pub fn bank_holiday(day: Date) -> Option<BankHoliday> {
    match (day.month(), day.day()) {
        (1, 1) => Some(BankHoliday::NewYear),
        (5, 1) => Some(BankHoliday::LabourDay),
        (5, 17) => Some(BankHoliday::ConstitutionDay),
        (12, 24) => Some(BankHoliday::ChristmasEve),
        (12, 25) => Some(BankHoliday::ChristmasDay),
        (12, 26) => Some(BankHoliday::BoxingDay),
        _ => match day.signed_duration_since(easter_sunday(day.year())?).num_days() {
            -3 => Some(BankHoliday::MaundyThursday),
            -2 => Some(BankHoliday::GoodFriday),
            1 => Some(BankHoliday::EasterMonday),
            39 => Some(BankHoliday::Ascension),
            50 => Some(BankHoliday::WhitMonday),
            _ => None,
        },
    }
}

/// Whether Norwegian banks settle on a day.
pub fn is_bank_day(day: Date) -> bool {
    !matches!(day.weekday(), Weekday::Sat | Weekday::Sun) && bank_holiday(day).is_none()
}

/// The day itself if it is a bank day, else the next one; `None` at the end of the calendar.
pub fn next_bank_day(day: Date) -> Option<Date> {
    let mut candidate = day;
    while !is_bank_day(candidate) {
        candidate = candidate.checked_add_days(Days::new(1))?;
    }
    Some(candidate)
}

/// The `count`th bank day after a day, as in "settled within two bank days"; for zero
/// [`next_bank_day`]. `None` at the end of the calendar.
pub fn plus_bank_days(day: Date, count: u16) -> Option<Date> {
    let mut reached = next_bank_day(day)?;
    // A count starts from the day itself: from a Saturday, the first bank day after it is Monday.
    let still = if reached == day { count } else { count.saturating_sub(1) };
    for _ in 0..still {
        reached = next_bank_day(reached.checked_add_days(Days::new(1))?)?;
    }
    Some(reached)
}

/// Easter Sunday of a Gregorian year (the algorithm of Meeus, Jones and Butcher); `None` for a year
/// that the calendar cannot represent.
pub fn easter_sunday(year: i32) -> Option<Date> {
    let golden = year.rem_euclid(19);
    let (century, of_century) = (year.div_euclid(100), year.rem_euclid(100));
    let (leap_centuries, rest_of_century) = (century.div_euclid(4), century.rem_euclid(4));
    let lunar_correction = (century - (century + 8).div_euclid(25) + 1).div_euclid(3);
    let epact = (19 * golden + century - leap_centuries - lunar_correction + 15).rem_euclid(30);
    let weekday = (32 + 2 * rest_of_century + 2 * (of_century / 4) - epact - of_century % 4).rem_euclid(7);
    let late = (golden + 11 * epact + 22 * weekday) / 451;
    let from_march = u32::try_from(epact + weekday - 7 * late + 114).ok()?;
    Date::from_ymd_opt(year, from_march / 31, from_march % 31 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn easter_falls_where_the_church_says() {
        for day in [
            "1961-04-02",
            "1981-04-19",
            "2000-04-23",
            "2008-03-23",
            "2011-04-24",
            "2024-03-31",
            "2025-04-20",
            "2026-04-05",
            "2027-03-28",
            "2028-04-16",
            "2038-04-25",
            "2049-04-18",
            "2285-03-22",
        ] {
            assert_eq!(easter_sunday(date(day).year()), Some(date(day)));
        }
        for year in 1583..=9999 {
            let easter = easter_sunday(year).unwrap();
            assert_eq!(easter.weekday(), Weekday::Sun, "{year}");
            let (first, last) = (Date::from_ymd_opt(year, 3, 22), Date::from_ymd_opt(year, 4, 25));
            assert!(first.unwrap() <= easter && easter <= last.unwrap(), "{easter}");
        }
    }

    #[test]
    fn banks_close_on_these_weekdays_and_no_others() {
        let closed = [
            "2026-01-01",
            "2026-04-02",
            "2026-04-03",
            "2026-04-06",
            "2026-05-01",
            "2026-05-14",
            "2026-05-25",
            "2026-12-24",
            "2026-12-25",
            "2027-01-01",
            "2027-03-25",
            "2027-03-26",
            "2027-03-29",
            "2027-05-06",
            "2027-05-17",
            "2027-12-24",
            "2028-04-13",
            "2028-04-14",
            "2028-04-17",
            "2028-05-01",
            "2028-05-17",
            "2028-05-25",
            "2028-06-05",
            "2028-12-25",
            "2028-12-26",
        ]
        .map(date);
        for day in date("2026-01-01").iter_days().take_while(|day| day.year() < 2029) {
            let weekend = matches!(day.weekday(), Weekday::Sat | Weekday::Sun);
            assert_eq!(is_bank_day(day), !weekend && !closed.contains(&day), "{day}");
        }
        assert!(is_bank_day(date("2026-12-31")));
        assert_eq!(bank_holiday(date("2027-05-17")), Some(BankHoliday::ConstitutionDay));
        assert_eq!(bank_holiday(date("2026-05-14")), Some(BankHoliday::Ascension));
    }

    #[test]
    fn bank_days_are_counted_past_what_is_closed() {
        for (day, count, reached) in [
            ("2026-02-23", 0, "2026-02-23"),
            ("2026-02-23", 1, "2026-02-24"),
            ("2026-02-20", 1, "2026-02-23"),
            ("2026-02-21", 0, "2026-02-23"),
            ("2026-02-21", 1, "2026-02-23"),
            ("2026-02-21", 2, "2026-02-24"),
            ("2026-04-01", 1, "2026-04-07"), // past Easter
            ("2026-12-23", 2, "2026-12-29"), // past Christmas
            ("2026-12-31", 1, "2027-01-04"),
        ] {
            assert_eq!(plus_bank_days(date(day), count), Some(date(reached)), "{count} after {day}");
        }
        assert_eq!(plus_bank_days(Date::MAX, 3), None);
    }
}
