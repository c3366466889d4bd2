//! The command line: one binary, one role per subcommand.

use std::error::Error;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use sluse::config::{self, Config, Environment};
use sluse::{check, dev, keys, log, operator, scan, service};

/// A transition makes and drops some two hundred small things: with the C library's allocator that is a quarter of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A failure on the way out of `main`.
type Failure = Box<dyn Error + Send + Sync>;

/// Durable orchestrator of payments by the payer's own bank.
#[derive(Parser)]
#[command(name = "sluse", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the interface and perform steps, in one process.
    Serve,
    /// See it work: embedded database, sandbox bank, and one remittance told as it happens.
    Dev(dev::Args),
    /// Perform steps only.
    Work,
    /// Bring the database to the version of this program.
    Migrate,
    /// Check the settings, the database and the provider.
    Check,
    /// Look for anything stored that cannot be: work without a way on, tasks without work, broken histories.
    Scan(scan::Args),
    /// Make or revoke API keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Print .env.example: every setting with its default.
    Settings,
    /// Run the sandbox: a bank to practise on.
    Sandbox(sandbox::Args),
    #[command(flatten)]
    Operate(operator::Command),
    /// Run simulated worlds of payments and faults, or a day without the provider; fails at a violation and tells the
    /// shortest run that leads to it.
    Simulate(simulator::command::Args),
}

fn main() -> ExitCode {
    let settings = config::help();
    let matches = CommandLine::command()
        .mut_subcommands(|command| command.after_help(settings.clone()))
        .after_help(settings.clone())
        .get_matches();
    let CommandLine { command } =
        CommandLine::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(command) {
        Ok(code) => code,
        Err(failure) => {
            let causes = std::iter::successors(failure.source(), |cause| (*cause).source());
            let causes: Vec<_> = causes.map(|cause| format!(": {cause}")).collect();
            eprintln!("sluse: {failure}{}", causes.concat());
            ExitCode::FAILURE
        }
    }
}

/// The environment as far as logging goes: the demonstration tells its own story unless somebody wants the log too.
fn log_environment(command: &Command) -> Environment {
    let environment = Environment::of_process();
    // So do the operators' commands: what they print is for whoever gave them.
    if matches!(command, Command::Dev(_) | Command::Operate(_)) {
        environment.with_default("LOG", "warn")
    } else {
        environment
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    if let Command::Settings = command {
        print!("{}", config::env_example());
        return Ok(ExitCode::SUCCESS);
    }
    // Its worlds have runtimes of their own, and no log but the one of a violation.
    if let Command::Simulate(args) = command {
        return Ok(simulator::command::tell(args)?);
    }
    let environment = Environment::of_process();
    let _flush = log::start(&config::log(&log_environment(&command))?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Serve => service::serve(Config::read(&environment)?).await?,
            Command::Dev(args) => dev::run(args).await?,
            Command::Work => service::work(Config::read(&environment)?).await?,
            Command::Migrate => service::migrate(&config::database_url(&environment)?).await?,
            Command::Check => check::run(&Config::read(&environment)?).await?,
            Command::Scan(args) => scan::run(&args, &Config::read(&environment)?).await?,
            Command::Keys(command) => keys::run(command, &config::database_url(&environment)?).await?,
            Command::Sandbox(args) => sandbox::run(args).await?,
            Command::Operate(command) => {
                return Ok(operator::run(command, &config::remote(&environment)?).await);
            }
            Command::Settings | Command::Simulate(_) => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn every_command_line_is_well_formed() {
        super::CommandLine::command().debug_assert();
    }
}
