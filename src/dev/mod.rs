//! `sluse dev`: everything in one process, to see it work within a minute.
//!
//! Embedded SQLite, the sandbox bank, a demo user, and one remittance that goes through the public interface over real
//! HTTP, its timeline printed as it happens. Nothing that moves money is a shortcut; the milliseconds of each call to
//! the bank come from the stored history, and the last line is the bank's own.

mod client;
mod story;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::TcpListener;

use crate::config::{Config, Environment};
use crate::service;
use client::{Client, Tokens};

/// Where `dev` keeps its things, below the working directory.
const DIRECTORY: &str = "data";
/// Where the sandbox listens when it can.
const BANK: &str = "127.0.0.1:8090";
/// Where the service listens when it can.
const SERVICE: &str = "127.0.0.1:8080";

/// A failure, with what was being tried in its text.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Arguments of `sluse dev`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// Stop after the first remittance: exit code 0 only if it completed and the bank executed it exactly once.
    #[arg(long)]
    once: bool,
}

/// Runs the demonstration.
///
/// # Errors
/// When something does not start, or the remittance does not end as it should.
pub async fn run(args: Args) -> Result<(), Failure> {
    std::fs::create_dir_all(DIRECTORY)?;
    let directory = Path::new(DIRECTORY);
    let secret = secret(&directory.join("dev.secret"))?;
    let ledger = directory.join("bank.jsonl");
    let bank = sandbox::start(sandbox::Config::new(free(BANK).await?, ledger)).await?;
    let settings = [
        ("DATABASE_URL", format!("sqlite://{}", directory.join("sluse.db").display())),
        ("NEONOMICS_BASE_URL", bank.base_url().to_owned()),
        ("JWT_SECRET", secret.clone()),
        ("BIND", bind().await?),
        ("SERVICE_MODE", "demo".to_owned()),
    ];
    let environment = Environment::of_process().with(settings);
    let signals = service::signals()?;
    let running = service::start(Config::read(&environment)?).await?;

    let base = format!("http://{}", running.address());
    let client =
        Client::new(base.clone(), bank.base_url().to_owned(), Tokens::new(&secret, running.engine().now())?)?;
    println!("service  {base}   (documentation: {base}/docs)");
    println!("bank     {}   (its truth: {}/_control/payments)\n", bank.base_url(), bank.base_url());
    let told = story::tell(&client, running.engine()).await;
    if let Err(failure) = &told {
        eprintln!("\nthe remittance did not end as it should: {failure}");
    }
    if !args.once {
        println!("\n{}", client.curl_lines());
        println!("\nRunning until Ctrl-C.");
        signals.await;
    }
    running.stop().await;
    bank.stop().await;
    told
}

/// The address for the service: the one that was set, else the usual one, else any.
async fn bind() -> Result<String, Failure> {
    match std::env::var("BIND") {
        Ok(set) if !set.is_empty() => Ok(set),
        _ => Ok(free(SERVICE).await?.to_string()),
    }
}

/// An address, or any free port of its host when somebody listens there already.
async fn free(address: &str) -> Result<SocketAddr, Failure> {
    let address: SocketAddr = address.parse()?;
    match TcpListener::bind(address).await {
        Ok(_) => Ok(address),
        Err(taken) if taken.kind() == ErrorKind::AddrInUse => Ok(SocketAddr::new(address.ip(), 0)),
        Err(error) => Err(error.into()),
    }
}

/// The secret that signs the demonstration's tokens, kept so that a pasted `curl` line works after a restart.
fn secret(path: &Path) -> Result<String, Failure> {
    match std::fs::read_to_string(path) {
        Ok(secret) if secret.len() >= 32 => return Ok(secret),
        Ok(_) => {}
        Err(missing) if missing.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let ids = workers::ports::SystemIds;
    let secret: String = [(), ()].map(|()| format!("{:032x}", workers::ports::Ids::random(&ids))).concat();
    private(path, &secret)?;
    Ok(secret)
}

/// Writes a file that only its owner can read.
fn private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
