//! The command line: many small worlds, or the one great outage.

use std::process::ExitCode;

use crate::files::NoRoom;
use crate::{campaign, outage};

/// What is simulated.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    #[command(flatten)]
    campaign: campaign::Args,
    /// The provider away for a whole day, and payments that wait for it, instead of many worlds.
    #[arg(long)]
    outage: bool,
    /// Payments that are to wait in the queue when it comes back.
    #[arg(long, default_value_t = 100_000, requires = "outage")]
    payments: u32,
}

/// Simulates, and tells of it on standard output; 1 at a violation, or when a figure is out of its bound.
///
/// # Errors
/// [`NoRoom`]: nothing is said of what was not simulated.
pub fn tell(args: Args) -> Result<ExitCode, NoRoom> {
    let Args { campaign, outage, payments } = args;
    if outage {
        outage::tell(outage::Args::of_a_day(campaign.seed, payments), campaign.json)
    } else {
        campaign::tell(campaign)
    }
}
