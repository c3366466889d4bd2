//! The arrows of the architecture: who may know whom. Read from the manifests and from the sources.

#![expect(clippy::expect_used, reason = "the helpers around the tests are tests too")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The packages of this repository, by the folder that each lives in.
const OURS: [&str; 7] = [
    "sluse",
    "sluse-workflows",
    "sluse-workers",
    "sluse-sandbox",
    "sluse-simulator",
    "sluse-crash",
    "sluse-bench",
];

/// The normal dependencies of each of our packages, as the manifests say.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let told = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let metadata: Value = serde_json::from_slice(&told.stdout).expect("cargo speaks JSON");
    let names = |package: &Value| {
        let all = package["dependencies"].as_array().expect("a list").iter();
        // What only tests use does not reach the product.
        let built = all.filter(|one| one["kind"].is_null());
        built.map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
    };
    let packages = metadata["packages"].as_array().expect("a list").iter();
    packages.map(|package| (package["name"].as_str().expect("a name").to_owned(), names(package))).collect()
}

#[test]
fn packages_depend_in_one_direction_only() {
    let dependencies = dependencies();
    assert_eq!(dependencies.keys().map(String::as_str).collect::<BTreeSet<_>>(), OURS.into());
    for (package, allowed) in [
        ("sluse-workflows", vec![]),
        ("sluse-sandbox", vec![]),
        // It is to find what the product's own code is wrong about.
        ("sluse-crash", vec![]),
        // What it measures it sees as everybody does, from outside.
        ("sluse-bench", vec![]),
        ("sluse-workers", vec!["sluse-workflows"]),
        ("sluse-simulator", vec!["sluse-workers", "sluse-workflows"]),
        ("sluse", vec!["sluse-sandbox", "sluse-simulator", "sluse-workers", "sluse-workflows"]),
    ] {
        let ours: Vec<_> =
            dependencies[package].iter().map(String::as_str).filter(|name| OURS.contains(name)).collect();
        assert_eq!(ours, allowed, "{package}");
    }
}

#[test]
fn no_build_of_the_product_has_planted_mistakes() {
    for place in ["Cargo.toml", "workers/Cargo.toml", "ops/simulator/Cargo.toml"] {
        let text = std::fs::read_to_string(root().join(place)).expect("a manifest");
        let built = text.split("[dev-dependencies]").next().unwrap_or_default();
        // The feature itself, which nothing but those dependencies asks for.
        let asked = built.lines().filter(|line| line.contains("planted") && !line.starts_with(['#', 'p']));
        assert_eq!(asked.count(), 0, "{place}");
    }
}

#[test]
fn workflows_have_no_clock_no_chance_no_network_and_no_database() {
    let banned = [
        "tokio",
        "sqlx",
        "reqwest",
        "uuid",
        "rand",
        "getrandom",
        "fastrand",
        "axum",
        "hyper",
        "http",
        "futures",
        "async-trait",
        "apalis",
        "apalis-core",
        "tracing",
    ];
    let known = &dependencies()["sluse-workflows"];
    let found: Vec<_> = banned.into_iter().filter(|name| known.contains(*name)).collect();
    assert!(found.is_empty(), "workflows depend on {found:?}");
    for_each_line("workflows/src", |place, line| {
        for word in
            ["SystemTime", "Instant", "Utc::now", "std::net::Tcp", "std::fs", "std::thread", "async fn"]
        {
            assert!(!has_word(line, word), "{place}: {word}");
        }
    });
}

#[test]
fn workers_name_no_particular_workflow() {
    for_each_line("workers/src", |place, line| {
        for word in ["remittance", "Remittance", "qr_payment", "QrPayment"] {
            assert!(!has_word(line, word), "{place} names {word}: {line}");
        }
    });
}

#[test]
fn only_providers_hold_connections_and_only_the_store_speaks_sql() {
    for_each_line("workers/src", |place, line| {
        let at = |folder: &str| place.starts_with(folder);
        assert!(at("workers/src/providers") || !has_word(line, "reqwest"), "{place} names reqwest: {line}");
        assert!(at("workers/src/store") || !has_word(line, "sqlx"), "{place} names sqlx: {line}");
        assert!(at("workers/src/store") || !speaks_sql(line), "{place} speaks SQL: {line}");
        // `crate::apalis` is our own module around it.
        let queue =
            has_word(line, "apalis_core") || line.contains("use apalis") || line.contains(" ::apalis");
        assert!(at("workers/src/apalis.rs") || !queue, "{place} names apalis: {line}");
    });
}

#[test]
fn the_front_end_knows_no_database() {
    for_each_line("src", |place, line| {
        assert!(!has_word(line, "sqlx"), "{place} names sqlx: {line}");
        assert!(!speaks_sql(line), "{place} speaks SQL: {line}");
    });
}

#[test]
fn the_detector_knows_sql_when_it_sees_it() {
    for sql in [
        r#""select id from tasks""#,
        r#""insert into users""#,
        r#"let q = "update tasks set x = 1";"#,
        r#"" delete from t""#,
        r#""/* load */ select ""#,
        r#"sql: "/* start */ with {d} \"#,
    ] {
        assert!(speaks_sql(sql), "{sql}");
    }
    for prose in [r#""Update your app""#, "select! { a => b }", r#"the_fn("selected")"#, r#""insert""#] {
        assert!(!speaks_sql(prose), "{prose}");
    }
}

/// Whether a string on this line is a statement.
fn speaks_sql(line: &str) -> bool {
    let strings = line.split('"').skip(1).step_by(2);
    strings.map(str::to_lowercase).any(|text| {
        // A statement of ours begins with its name, and goes on behind it or on the next line.
        if text.trim_start().starts_with("/* ") {
            return true;
        }
        let then = |first: &str, second: &str| {
            let rest = text.trim_start().strip_prefix(first).map(str::trim_start);
            rest.is_some_and(|rest| rest.split_whitespace().any(|word| word == second))
        };
        then("select ", "from")
            || then("insert ", "into")
            || then("update ", "set")
            || then("delete ", "from")
    })
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part =
        |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    line.match_indices(word).any(|(start, _)| {
        !is_part(line[..start].chars().next_back()) && !is_part(line[start + word.len()..].chars().next())
    })
}

/// Every line of code below a folder, without comments and without the tests at the end of a file.
fn for_each_line(folder: &str, mut look: impl FnMut(&str, &str)) {
    let mut files = Vec::new();
    collect(&root().join(folder), &mut files);
    assert!(files.len() > 5, "{folder} holds hardly anything");
    for file in files {
        let name = file.strip_prefix(root()).expect("it is in the repository").display().to_string();
        if name.ends_with("tests.rs") || name.ends_with("testing.rs") || name.contains("/tests/") {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a source file");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let line = if line.trim_start().starts_with("//") { "" } else { line };
            look(&format!("{name}:{}", number + 1), line);
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
