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
        METRICS_BIND = Derived("{BIND}"), "Where GET /metrics is served, when that is not the public address.";
        DRAIN_TIMEOUT = Text("30s"), "How long requests and steps under way may take to end at a shutdown.";
    }
    "Callers" {
        JWT_SECRET = Required, "Secret of the HS256 tokens, at least 32 bytes in live mode.";
        JWT_ISSUER = Nothing, "Required value of the claim iss; not checked when unset.";
        JWT_AUDIENCE = Nothing, "Required value of the claim aud; not checked when unset.";
    }
    "Workers" {
        WORKERS = Text("1024"), "Steps under way at once in this process; 0 makes it a front-end only.";
        LEASE_MS = Text("10000"), "How long a step stays claimed by a worker that fell silent.";
        SCANNER_MS = Text("60000"), "How often a working process looks for what cannot be and mends it.";
    }
    "Payments" {
        PISP_MODE = Text("live"), "live, queue (accept and hold back) or disabled (refuse); where it starts.";
        SCA_TIMEOUT = Text("300s"), "How long a customer has to approve a payment at the bank.";
        QUEUE_AUTO_START = Text("false"), "Whether a queued payment starts by itself once its provider is back.";
        QUEUE_RAMP = Text("1,5,25,125,625"),
            "Queued payments let through in each minute after an outage; then as many as the provider takes.";
        PENDING_PAYMENT_SLA = Text("2h"),
            "Within what a queued payment is promised; after it a payment without an end needs attention.";
        PENDING_PAYMENT_EXPIRY = Text("48h"), "After how long in the queue a payment is no longer sent.";
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
        CONSENT_DAYS = Text("90"), "For how many days a consent is asked for, at most 180; the bank may shorten it.";
        NEONOMICS_BREAKER_FAILURES = Text("3"), "Failures within the window that stop an operation at a bank.";
        NEONOMICS_BREAKER_WINDOW_MS = Text("60000"), "The window they are counted in.";
        NEONOMICS_BREAKER_OPEN_MS = Text("60000"), "How long it stands still before the bank is asked whether it is back.";
        NEONOMICS_MAX_IN_FLIGHT = Text("10"), "Most calls under way at once, over all processes.";
        NEONOMICS_RATE_PER_SECOND = Text("50"), "Most calls in any second, over all processes.";
        NEONOMICS_RETRY_BUDGET = Text("10"), "Most repetitions after a failure, in percent of first attempts.";
        NEONOMICS_POLL_MS = Text("2000"), "First pause before a status is asked for; it doubles.";
        NEONOMICS_POLL_MAX_MS = Text("60000"), "Longest such pause.";
        NEONOMICS_VISIBILITY_LAG_MS = Text("10000"), "How old a \"not found\" must be to count.";
        NEONOMICS_SAFE_REPLAY = Text("true"), "Whether the provider recognises a repeated initiation by its request id.";
        NEONOMICS_REPLAY_WINDOW = Text("24h"),
            "For how long it does. A repetition that could arrive later, by the longest attempt and 30 s, is not sent; the provider is queried.";
        NEONOMICS_WEBHOOK_SECRET = Nothing, "Secret that its pushed notices are signed with; without it none is taken.";
        NEONOMICS_WEBHOOK_SECRET_PREVIOUS = Nothing, "The secret before it, while both are in use.";
    }
    "Operators" {
        APPROVAL_EXPIRY = Text("24h"), "How long a second person has to decide a request.";
        SLUSE_URL = Text("http://127.0.0.1:8080"), "Where the operators' commands find the running service.";
        SLUSE_API_KEY = Nothing, "API key of whoever gives those commands.";
    }
    "Switches at the start" {
        AISP_MODE = Text("live"), "Balances: live, cached (show the last one known) or hidden.";
        AISP_CACHE_TTL = Nothing, "How old a balance may be in every mode; unset 60s live, 300s while limited, 3600s cached.";
        AISP_FALLBACK_MODE = Nothing, "Another name of AISP_MODE.";
        AISP_FALLBACK_CACHE_TTL = Nothing, "Another name of AISP_CACHE_TTL.";
        NEONOMICS_FALLBACK = Text("false"), "true stands for AISP_MODE=cached and PISP_MODE=disabled.";
        SWAN_MODE = Text("live"), "Opening of accounts: live or degraded (queued).";
        FEATURE_ACCOUNTS = Nothing, "Accounts: enabled or disabled. Any other FEATURE_NAME is a switch as well.";
        FEATURE_CARDS = Nothing, "Cards: enabled or disabled.";
    }
    "Measuring" {
        BENCH_WORKFLOW = Text("false"),
            "Whether the workflow that ops/bench measures with is served at /v1/bench; never in live mode.";
    }
    "Log" {
        LOG = Text("info"), "What is logged: a level, or TARGET=LEVEL separated by commas.";
        LOG_FORMAT = Text("text"), "text or json.";
    }
}

/// Whether the value must never be shown.
fn is_secret(setting: &Setting) -> bool {
    [
        JWT_SECRET,
        NEONOMICS_API_KEY,
        NEONOMICS_CLIENT_SECRET,
        NEONOMICS_WEBHOOK_SECRET,
        NEONOMICS_WEBHOOK_SECRET_PREVIOUS,
        SLUSE_API_KEY,
    ]
    .contains(setting)
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
                writeln!(text, "  {:<33} {} [{}]", setting.name, setting.help, fallback_for_people(setting));
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
