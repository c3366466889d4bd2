//! `bench`: what one process of the product does in a second on this machine, and what that costs.
//!
//! It starts the product as a process of its own on a new database, is its clients itself, and reads what all of it took
//! from outside: `/proc`, PostgreSQL's statistics, SQLite's index of its log. See the README for how to read the figures.

mod claims;
mod database;
mod figures;
mod http;
mod journey;
mod load;
mod machine;
mod people;
mod plot;
mod postgres;
mod report;
mod scenario;
mod sqlite;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::Value;

use crate::database::Kind;
use crate::load::Pace;
use crate::scenario::{Scenario, Setup};
use crate::world::Place;

/// Measure what one process of the product does in a second, and what that costs.
#[derive(Parser)]
#[command(name = "bench")]
struct CommandLine {
    /// Which database.
    #[arg(long, global = true, value_enum, default_value = "sqlite")]
    db: Kind,
    /// The product's program; the `sluse` beside this one when absent.
    #[arg(long, global = true)]
    program: Option<PathBuf>,
    /// Where the files of the run are kept meanwhile; on the disk that is to be measured.
    #[arg(long, global = true, default_value = "/tmp")]
    directory: PathBuf,
    /// A setting of the service, beside those that every run has.
    #[arg(long = "set", global = true, value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// A setting of PostgreSQL, beside those that every server has; told in the report.
    #[arg(long = "server", global = true, value_name = "NAME=VALUE", value_parser = setting)]
    server: Vec<(String, String)>,
    /// Where the report goes.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
    /// Where a picture of it goes.
    #[arg(long, global = true)]
    plot: Option<PathBuf>,
    /// Keep logs and databases.
    #[arg(long, global = true)]
    keep: bool,
    #[command(flatten)]
    pace: Pace,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Measure(Scenario),
    /// Draw several reports into one picture.
    Plot {
        /// Reports that `--json` wrote.
        reports: Vec<PathBuf>,
        /// Where the picture goes.
        #[arg(long)]
        out: PathBuf,
    },
}

// One thread: what the load generator takes is told, and cannot be more than one processor.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let told = CommandLine::parse();
    let done = match &told.command {
        Command::Measure(scenario) => measure(&told, scenario).await,
        Command::Plot { reports, out } => draw(reports, out),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(told: &CommandLine, scenario: &Scenario) -> Result<(), String> {
    let program = match &told.program {
        Some(program) => std::path::absolute(program).map_err(|error| error.to_string())?,
        None => std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("sluse"),
    };
    let directory = told.directory.join(format!("sluse-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let place = Place { program, directory };
    let setup = Setup {
        kind: told.db,
        place: &place,
        pace: told.pace,
        settings: &told.settings,
        server: &told.server,
    };
    let measured = scenario.run(&setup, |point, floor| println!("{}", point.in_words(floor))).await;
    if measured.is_ok() && !told.keep {
        std::fs::remove_dir_all(&place.directory).map_err(|error| error.to_string())?;
    } else {
        eprintln!("logs and databases are in {}", place.directory.display());
    }
    let report = measured?;
    println!("{}", report.in_words());
    if let Some(path) = &told.json {
        write(path, &format!("{:#}\n", report.as_json()))?;
    }
    match &told.plot {
        Some(path) => write(path, &plot::draw(std::slice::from_ref(report.as_json()))?),
        None => Ok(()),
    }
}

fn draw(reports: &[PathBuf], out: &Path) -> Result<(), String> {
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str::<Value>(&text).map_err(|error| format!("{}: {error}", path.display()))
    };
    let reports = reports.iter().map(read).collect::<Result<Vec<_>, String>>()?;
    write(out, &plot::draw(&reports)?)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn setting(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
