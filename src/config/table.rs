//! The table of settings: the one list that start-up, `--help` and `.env.example` are made from.

use std::fmt::Write;

use super::setting::{Fallback, Setting};

macro_rules! settings {
    ($($(#[$group:meta])* $section:literal { $($name:ident = $fallback:expr, $help:literal;)+ })+) => {
        $($(
            #[doc = concat!("`", stringify!($name), "`.")]
            pub const $name: Setting = Setting { name: stringify!($name), fallback: $fallback, help: $help };
        )+)+

        /// Every setting, by section.
        pub const SECTIONS: &[(&str, &[Setting])] = &[$(($section, &[$($name),+])),+];
    };
}

use Fallback::{Derived, Nothing, Required, Text};

settings! {
    "Database" {
        DATABASE_URL = Text("sqlite://data/sluse.db"),
            "Where everything is stored: sqlite://PATH or postgres://USER@HOST/NAME.";
    }
    "Front-end" {
        BIND = Text("127.0.0.1:8080"), "Address and port to listen on; port 0 takes any free one.";
        PUBLIC_BASE_URL = Derived("http://{BIND}"), "How browsers and banks reach this service.";
        APP_RETURN_URLS = Derived("{PUBLIC_BASE_URL}/"),
            "Where a browser may be sent back to, separated by commas; the first is used after a payment.";
        SERVICE_MODE = Text("demo"), "demo or live.";
        DRAIN_TIMEOUT = Text("30s"), "How long requests and steps under way may take to end at a shutdown.";
    }
    "Callers" {
        JWT_SECRET = Required, "Secret of the HS256 tokens, at least 32 bytes in live mode.";
        JWT_ISSUER = Nothing, "Required value of the claim iss; not checked when unset.";
        JWT_AUDIENCE = Nothing, "Required value of the claim aud; not checked when unset.";
    }
    "Workers" {
        WORKERS = Text("256"), "Steps under way at once in this process; 0 makes it a front-end only.";
        LEASE_MS = Text("10000"), "How long a step stays claimed by a worker that fell silent.";
    }
    "Payments" {
        PISP_MODE = Text("live"), "live, queue (accept and hold back) or disabled (refuse).";
        SCA_TIMEOUT = Text("300s"), "How long a customer has to approve a payment at the bank.";
        QUEUE_AUTO_START = Text("false"), "Whether a queued payment starts by itself once its provider is back.";
        PENDING_PAYMENT_SLA = Text("2h"), "After how long a payment without an end is marked as needing attention.";
        REMITTANCE_MIN = Text("100"), "Smallest remittance in kroner.";
        REMITTANCE_MAX = Text("50000"), "Largest remittance in kroner.";
        REMITTANCE_FEE_BP = Text("50"), "Fee of a remittance in basis points; 50 is 0.5 %.";
        QR_MIN = Text("1"), "Smallest QR payment in kroner.";
        QR_MAX = Text("50000"), "Largest QR payment in kroner.";
    }
    "Payments provider" {
        NEONOMICS_BASE_URL = Text("http://127.0.0.1:8090"), "Where the provider is; the default is the sandbox.";
        NEONOMICS_PROFILE = Text("drop-seed"), "Which shape of the interface it speaks: drop-seed.";
        NEONOMICS_API_KEY = Nothing, "Sent as bearer token when no client id is set.";
        NEONOMICS_CLIENT_ID = Nothing, "OAuth client that fetches tokens.";
        NEONOMICS_CLIENT_SECRET = Nothing, "Its secret.";
        NEONOMICS_CONNECT_TIMEOUT_MS = Text("5000"), "Longest wait for a connection.";
        NEONOMICS_READ_TIMEOUT_MS = Text("30000"), "Longest wait for an answer.";
        NEONOMICS_RETRY_BASE_MS = Text("1000"), "First pause before a repetition; it doubles.";
        NEONOMICS_POLL_MS = Text("2000"), "First pause before a status is asked for; it doubles.";
        NEONOMICS_POLL_MAX_MS = Text("60000"), "Longest such pause.";
        NEONOMICS_VISIBILITY_LAG_MS = Text("10000"), "How old a \"not found\" must be to count.";
        NEONOMICS_SAFE_REPLAY = Text("true"), "Whether the provider recognises a repeated initiation by its request id.";
        NEONOMICS_REPLAY_WINDOW = Text("24h"), "For how long it does; after that it is only queried.";
    }
    "Log" {
        LOG = Text("info"), "What is logged: a level, or TARGET=LEVEL separated by commas.";
        LOG_FORMAT = Text("text"), "text or json.";
    }
}

/// Whether the value must never be shown.
fn is_secret(setting: &Setting) -> bool {
    [JWT_SECRET, NEONOMICS_API_KEY, NEONOMICS_CLIENT_SECRET].contains(setting)
}

/// The part of `--help` that lists the settings.
pub fn help() -> String {
    let mut text = String::from(
        "Settings (environment; each also as NAME_FILE, a file that holds the value;\n\
         durations are seconds, or a number with ms, s, m, h, d):\n",
    );
    for (section, settings) in SECTIONS {
        let _ = writeln!(text, "\n{section}");
        for setting in *settings {
            let _ =
                writeln!(text, "  {:<28} {} [{}]", setting.name, setting.help, fallback_for_people(setting));
        }
    }
    text
}

/// The content of `.env.example`.
pub fn env_example() -> String {
    let mut text = String::from(
        "# Every setting with its default. Each may also be given as NAME_FILE, naming a file that holds the value.\n\
         # Durations are seconds, or a number with ms, s, m, h or d; names ending in _MS are whole milliseconds.\n",
    );
    for (section, settings) in SECTIONS {
        let _ = writeln!(text, "\n# {section}");
        for setting in *settings {
            let _ = writeln!(text, "\n# {}", setting.help);
            let _ = match setting.fallback {
                Text(value) => writeln!(text, "#{}={value}", setting.name),
                Derived(from) => writeln!(text, "# Default: {from}\n#{}=", setting.name),
                Nothing if is_secret(setting) => writeln!(text, "# Secret.\n#{}=", setting.name),
                Nothing => writeln!(text, "#{}=", setting.name),
                Required => writeln!(text, "# Required. Secret.\n{}=", setting.name),
            };
        }
    }
    text
}

fn fallback_for_people(setting: &Setting) -> String {
    match setting.fallback {
        Text(value) => value.to_owned(),
        Derived(from) => from.to_owned(),
        Nothing => "unset".to_owned(),
        Required => "required".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_file_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example");
        let stored = std::fs::read_to_string(path).expect("the repository holds .env.example");
        assert_eq!(stored, env_example(), "write it anew: cargo run -- settings > .env.example");
    }

    #[test]
    fn every_setting_has_a_unique_name_and_a_sentence() {
        let mut names = std::collections::BTreeSet::new();
        for setting in SECTIONS.iter().flat_map(|(_, settings)| *settings) {
            assert!(names.insert(setting.name), "{} stands twice", setting.name);
            assert!(setting.help.ends_with('.'), "{}", setting.name);
            assert!(help().contains(setting.name));
        }
    }
}
