//! `slurmburst status`: what each of the three parties says of each node, side
//! by side. What does not answer is said in its place; the rest is shown.
//!
//! * `gather`: asks the ledger, Slurm and the clouds.
//! * `phase`: a node's part in the ledger, in a word.
//! * `view`: what is shown, as text and as JSON.

mod gather;
mod phase;
mod view;

use std::path::Path;

use crate::failure::Outcome;
use crate::out::{Out, Progress};
use crate::site;

const AFTER: &str = "\
COLUMNS
    NODE        the node
    SLURM       its state as `scontrol show node` says it, without CLOUD; `not shown`
                where Slurm does not show it
    PHASE       what slurmburst is doing about it:
                -               never wished up or down
                queued-up       wished up; nothing sent yet
                sent-up         sent to the cloud, which has not answered
                powering-up     accepted; the cloud is at it
                up              came up as wished
                failed          could not come up; see NOTE
                queued-down, sent-down, powering-down, down, down-failed
                                likewise
    AGE         since that was wished
    CLOUD       what the cloud shows of its instance
    PLACEMENT   where it runs or is tried
    NOTE        an error, a mark in Slurm and until when, a second instance

EXAMPLES
    slurmburst status
    slurmburst status 'gpu[1-8]' --json
    slurmburst status --fold --no-cloud     a large cluster, at a glance

EXIT STATUS
    0   done, also where Slurm or a cloud did not answer
    2   a HOSTLIST that is none, or a wrong site file";

/// What Slurm, the clouds and slurmburst say of each node
#[derive(clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// Only these nodes
    #[arg(value_name = "HOSTLIST")]
    hostlist: Option<String>,
    /// For programs; see docs/json.md
    #[arg(long)]
    json: bool,
    /// Do not ask the clouds
    #[arg(long)]
    no_cloud: bool,
    /// Nodes that are alike in one line
    #[arg(long, short, conflicts_with = "json")]
    fold: bool,
}

pub(crate) fn run(args: &Args, config: Option<&Path>) -> Outcome {
    let only = args.hostlist.as_deref().map(site::nodes).transpose()?;
    let setup = site::read(config)?;
    let runtime = crate::runtime()?;
    let gathered = {
        let _progress = Progress::new("asking Slurm and the clouds");
        runtime.block_on(gather::gather(&setup, only.as_ref(), !args.no_cloud))
    };
    let status = view::Status::new(&setup, gathered, only.as_ref());
    let mut out = Out::new();
    if args.json {
        out.json(&status)?;
    } else {
        status.print(&mut out, args.fold)?;
    }
    out.end()?;
    Ok(0)
}
