//! The sandbox bank as a program of its own.

use std::{error::Error, process::ExitCode};

use clap::Parser;

/// A bank to practise on.
#[derive(Parser)]
#[command(name = "sluse-sandbox", version)]
struct CommandLine {
    #[command(flatten)]
    args: sandbox::Args,
}

#[tokio::main]
async fn main() -> ExitCode {
    let CommandLine { args } = CommandLine::parse();
    match sandbox::run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes = std::iter::successors(error.source(), |cause| (*cause).source());
            let causes: Vec<_> = causes.map(|cause| format!(": {cause}")).collect();
            eprintln!("sluse-sandbox: {error}{}", causes.concat());
            ExitCode::FAILURE
        }
    }
}
