//! How the text of a setting is read: durations, numbers, addresses.

use std::time::Duration;

use workflows::money::{Currency, Money};

/// A duration: an integer is seconds, otherwise a number with `ms`, `s`, `m`, `h` or `d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || "a duration is a number of seconds, or a number with ms, s, m, h or d, such as 300s".to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis_per_unit = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(millis_per_unit).map(Duration::from_millis).ok_or_else(|| "is too long".to_owned())
}

/// A duration that is longer than nothing.
pub fn some_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        longer => Ok(longer),
    }
}

/// Milliseconds as a plain integer above 0, for the names that end in `_MS`.
pub fn millis(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("must be a whole number of milliseconds, at least 1".to_owned()),
        Ok(millis) => Ok(Duration::from_millis(millis)),
    }
}

/// A whole number from `least`.
pub fn number<N: std::str::FromStr + PartialOrd + std::fmt::Display>(
    least: N,
) -> impl FnOnce(&str) -> Result<N, String> {
    move |text| match text.parse::<N>() {
        Ok(number) if number >= least => Ok(number),
        _ => Err(format!("must be a whole number, at least {least}")),
    }
}

/// `true` or `false`.
pub fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".to_owned())
}

/// An amount of kroner above nothing, at most two decimals.
pub fn kroner(text: &str) -> Result<Money, String> {
    match Money::parse(text, Currency::NOK) {
        Ok(amount) if amount.is_positive() => Ok(amount),
        _ => {
            Err("must be an amount of kroner above 0 with at most two decimals, such as 100 or 99.50"
                .to_owned())
        }
    }
}

/// An `http` or `https` address without query, fragment, credentials or trailing slash.
pub fn base_url(text: &str) -> Result<String, String> {
    let wrong = || "must be an http:// or https:// address without query or fragment".to_owned();
    let url = reqwest::Url::parse(text).map_err(|_| wrong())?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if plain { Ok(url.as_str().trim_end_matches('/').to_owned()) } else { Err(wrong()) }
}

/// Addresses separated by commas that a browser or app may be sent back to: `https`, `http`, or an app's own scheme.
pub fn return_urls(text: &str) -> Result<Vec<reqwest::Url>, String> {
    let wrong =
        || "must be absolute addresses separated by commas, such as https://app.example/pay".to_owned();
    text.split(',')
        .map(|part| {
            let url = reqwest::Url::parse(part.trim()).map_err(|_| wrong())?;
            // A browser would run these instead of following them.
            if matches!(url.scheme(), "javascript" | "data" | "blob" | "vbscript" | "file") {
                return Err(wrong());
            }
            Ok(url)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_without_unit_is_seconds() {
        for (text, millis) in [
            ("300", 300_000),
            ("0", 0),
            ("250ms", 250),
            ("300s", 300_000),
            ("30m", 1_800_000),
            ("2h", 7_200_000),
            ("90d", 7_776_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "s",
            "-1",
            "1.5s",
            "1 s",
            "1S",
            "1w",
            "ms",
            "1s1",
            "99999999999999999999",
            "99999999999999999d",
        ] {
            assert!(duration(text).is_err(), "{text:?}");
        }
        assert!(some_duration("0s").is_err());
    }

    #[test]
    fn names_in_milliseconds_take_integers_only() {
        assert_eq!(millis("1500"), Ok(Duration::from_millis(1500)));
        for text in ["0", "1s", "1.5", "-1", ""] {
            assert!(millis(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_base_address_has_no_trailing_slash_and_nothing_behind() {
        assert_eq!(base_url("https://pay.example/").unwrap(), "https://pay.example");
        assert_eq!(base_url("http://127.0.0.1:8080/base").unwrap(), "http://127.0.0.1:8080/base");
        for text in [
            "pay.example",
            "ftp://pay.example",
            "https://u:p@pay.example",
            "https://pay.example/?a",
            "https://pay.example/#a",
            "/",
        ] {
            assert!(base_url(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn return_addresses_may_name_an_app_but_never_a_script() {
        assert_eq!(return_urls("https://app.example/pay, drop://auth/callback").unwrap().len(), 2);
        for text in
            ["", "/pay", "javascript:alert(1)", "data:text/html,x", "https://a.example,,https://b.example"]
        {
            assert!(return_urls(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_amount_of_kroner_is_exact_and_above_nothing() {
        assert_eq!(kroner("99.50"), Ok(Money::new(9_950, Currency::NOK)));
        for text in ["0", "-1", "1e3", "1.001", "kr 5"] {
            assert!(kroner(text).is_err(), "{text:?}");
        }
    }
}
