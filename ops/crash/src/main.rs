//! The crash test: the product runs as processes beside a bank with its own ledger, eight clients and a payer; every few
//! milliseconds something is killed or stands still; and when it is over, what the clients wrote down and what the bank
//! wrote down must agree with what the product says: nothing lost, nothing done twice, nothing shown that is not so,
//! nothing without an end (goals M4 and M5 of the reliability design).
//!
//! It shares no code with the product: it starts its program and speaks HTTP.

mod cast;
mod chance;
mod client;
mod journal;
mod judge;
mod ledger;
mod order;
mod payer;
mod people;
mod postgres;
mod process;
mod pulse;
mod storm;
mod tally;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::cast::Kind;

/// Kills the product's processes again and again, and judges by what its clients and its bank wrote down.
#[derive(Parser)]
#[command(name = "sluse-crash", version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(flatten)]
    trial: Option<Args>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// One client, as a trial starts it.
    #[command(hide = true)]
    Client(client::Args),
}

/// What a trial is told.
#[derive(clap::Args)]
struct Args {
    /// Which database to try.
    #[arg(long)]
    db: Kind,
    /// How many processes of the product and of its database are killed. Whoever stands still, and the bank's deaths, come
    /// on top.
    #[arg(long)]
    kills: u64,
    /// Repeats the choice of victims and moments of an earlier trial.
    #[arg(long)]
    seed: Option<u64>,
    /// How many clients.
    #[arg(long, default_value_t = 8)]
    clients: u64,
    /// How many orders each client has under way at once.
    #[arg(long, default_value_t = 8)]
    at_once: u64,
    /// Strikes as an operator would: the next blow comes when everything is back that the last one hit, and so many
    /// milliseconds later. Every return is measured then.
    #[arg(long)]
    by_hand: Option<u64>,
    /// The bank does not recognise a repeated order; only asking it leads out of a doubt.
    #[arg(long)]
    keyless: bool,
    /// Keep the logs and the database of a trial that found nothing too.
    #[arg(long)]
    keep: bool,
    /// The program; beside this one when not given.
    #[arg(long)]
    program: Option<PathBuf>,
}

/// One thread: the kernel's "your parent died" is about the thread that started a process, and this one stays.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match CommandLine::parse() {
        CommandLine { role: Some(Role::Client(args)), .. } => client::run(args).await.map(|()| true),
        CommandLine { trial: Some(args), .. } => trial::run(args).await,
        CommandLine { .. } => Err("nothing to do, see --help".to_owned()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("sluse-crash: {why}");
            ExitCode::FAILURE
        }
    }
}
