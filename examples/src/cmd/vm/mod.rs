//! `slurmburst vm`: the machines behind nodes, by hand.
//!
//! * `found`: the machines, from every provider that may have them.
//! * `show`: list and show.
//! * `wish`: what the programs do too, through the ledger.
//! * `direct`: what only a person does, at the provider.
//! * `verdict`: what became of each node.

mod direct;
mod found;
mod show;
mod verdict;
mod wish;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use clap::Subcommand;
use slurmburst::app::Setup;
use slurmburst::hostlist::{HostSet, NodeName};
use slurmburst::kind::Action;
use slurmburst::slurm::control::{SlurmControl, Which};
use slurmburst::slurm::node_state::{Flag, NodeState};

use crate::failure::{BAD_NEWS, Failure, Outcome, USAGE};
use crate::site;

const AFTER: &str = "\
Slurm normally calls for machines and lets them go: `scontrol update nodename=c1
state=power_up` and `state=power_down` do it by hand, and Slurm knows of it. This
command is for the rest: to see what is there, to adopt machines that were made by
hand, to reboot one, and to act where Slurm cannot.

create, start, deallocate and delete are wishes, as those of slurmctld: they are
recorded in the ledger and the converger carries them out, so that nothing is done
twice and nobody works against it. restart, stop and adopt are asked of the cloud
at once, for nodes that nothing is under way for.

Which provider serves a node is in the site file.

EXIT STATUS
    0   done, or begun with --no-wait
    1   something was refused, failed, or is not there
    2   wrong usage, or a wrong site file
    3   the ledger could not be used";

/// Look at the machines of nodes, and act on them by hand
#[derive(clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

const AFTER_LIST: &str = "\
COLUMNS
    NODE          the node whose name the machine bears
    STATE         what it is doing: starting, running, stopping, stopped,
                  stopped-billed, terminating, failed, unknown
    POWER, PROVISIONING
                  the same in the cloud's own words
    SIZE, ZONE    what it is and where
    OWNER         created (by slurmburst), adopted, matched (by its name alone),
                  another-cluster, nobody
    ADDRESS       in the cluster's network
    CREATED       when
    NOTE          why it failed; that the site file does not have it

EXIT STATUS
    0   done
    1   a provider did not answer, or does not offer this
    2   a HOSTLIST that is none, or a wrong site file";

const AFTER_SHOW: &str = "\
EXIT STATUS
    0   done
    1   a node has no machine, or a provider did not answer
    2   a HOSTLIST that is none, or a wrong site file";

const AFTER_UP: &str = "\
WHAT IT MEANS FOR SLURM
    Slurm is not told to use the node. One that it keeps powered down does not take
    jobs, and what runs for it is an orphan, which reconcile powers down after
    orphan_grace. To use the node, `scontrol update nodename=NODES state=power_up`
    instead, or after this. A node that cannot come up is DOWN in Slurm until the
    failure's cool-off is over, as after a power-up of Slurm's own.

EXIT STATUS
    0   all are up, or wished with --no-wait
    1   a node was refused or failed
    2   wrong usage, or a wrong site file
    3   the ledger could not be used";

const AFTER_DOWN: &str = "\
WHAT IT MEANS FOR SLURM
    Nothing: Slurm is not told. Jobs on the node die with it; Slurm finds it not
    responding, and reconcile then puts it down in order. Where Slurm shows the node
    in use, or does not answer, you are asked; without a terminal say --yes.
    Otherwise `scontrol update nodename=NODES state=power_down_asap` is the way: it
    lets jobs end.

EXIT STATUS
    0   all are down, or wished with --no-wait
    1   a node was refused or failed, or you said no
    2   wrong usage, or a wrong site file
    3   the ledger could not be used";

const AFTER_DIRECT: &str = "\
Nodes that the converger is at work for are refused.

WHAT IT MEANS FOR SLURM
    Nothing: Slurm is not told, and jobs on the node die. Where Slurm shows the node
    in use, or does not answer, you are asked; without a terminal say --yes.

EXIT STATUS
    0   done, or begun with --no-wait
    1   a node was refused or failed, or you said no
    2   wrong usage, or a wrong site file
    3   the ledger could not be used";

const AFTER_ADOPT: &str = "\
Shows what it found, and writes the owner's tags (cluster_id, node, origin) on each
machine; other tags stay. A machine that another cluster has tagged is refused; so
are nodes of a group that is not lifecycle = \"start-deallocate\".

WHAT IT MEANS FOR SLURM
    From now on the machine is started and deallocated as Slurm wants it; it is
    never deleted. One that runs while Slurm keeps its node powered down is
    deallocated by reconcile after orphan_grace.

EXIT STATUS
    0   all are adopted, or were already
    1   a node was refused or failed, or has no machine
    2   wrong usage, or a wrong site file
    3   the ledger could not be used";

#[derive(Subcommand)]
enum What {
    /// The machines, a line each
    ///
    /// Of these nodes; or, without HOSTLIST, all that the providers can see where
    /// nodes live, also those that nobody has adopted.
    #[command(after_long_help = AFTER_LIST)]
    List(ListArgs),
    /// All that is known of nodes' machines
    #[command(after_long_help = AFTER_SHOW)]
    Show(ShowArgs),
    /// Create the machines of nodes (lifecycle = "create-delete")
    #[command(after_long_help = AFTER_UP)]
    Create(ActArgs),
    /// Start the machines of nodes (lifecycle = "start-deallocate")
    #[command(after_long_help = AFTER_UP)]
    Start(ActArgs),
    /// Deallocate the machines of nodes; only their disks cost money then
    #[command(after_long_help = AFTER_DOWN)]
    Deallocate(ActArgs),
    /// Delete the machines of nodes, with all that belongs to them
    ///
    /// Asks first; without a terminal it demands --yes. Only what slurmburst created
    /// is deleted.
    #[command(after_long_help = AFTER_DOWN)]
    Delete(ActArgs),
    /// Boot the machines of nodes again
    #[command(after_long_help = AFTER_DIRECT)]
    Restart(ActArgs),
    /// Switch machines off, though they stay billed
    ///
    /// For a look at a disk or a stuck machine. To save money, `vm deallocate`.
    #[command(after_long_help = AFTER_DIRECT)]
    Stop(StopArgs),
    /// Make machines that were made by hand this cluster's
    #[command(after_long_help = AFTER_ADOPT)]
    Adopt(ActArgs),
}

#[derive(clap::Args)]
struct ListArgs {
    /// Only these nodes
    #[arg(value_name = "HOSTLIST")]
    hostlist: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
struct ShowArgs {
    /// The nodes
    #[arg(value_name = "HOSTLIST")]
    hostlist: String,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
struct ActArgs {
    /// The nodes
    #[arg(value_name = "HOSTLIST")]
    hostlist: String,
    /// Do not wait until it has happened
    #[arg(long)]
    no_wait: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
struct StopArgs {
    #[command(flatten)]
    act: ActArgs,
    /// You know that a machine that is only switched off costs as much as before
    #[arg(long)]
    still_billed: bool,
}

#[derive(clap::Args)]
struct Common {
    /// Only this provider of the site file
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// For programs; see docs/json.md
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, config: Option<&Path>) -> Outcome {
    match &args.what {
        What::List(list) => show::list(list, config),
        What::Show(show) => show::show(show, config),
        What::Create(act) => wish::run(wish::Wished::Create, act, config),
        What::Start(act) => wish::run(wish::Wished::Start, act, config),
        What::Deallocate(act) => wish::run(wish::Wished::Deallocate, act, config),
        What::Delete(act) => wish::run(wish::Wished::Delete, act, config),
        What::Restart(act) => direct::run(Action::Restart, act, config),
        What::Stop(stop) if !stop.still_billed => Err(Failure::new(
            USAGE,
            format!(
                "a machine that is only switched off is billed as before; `slurmburst vm deallocate {0}` \
                 ends that. If it is to stay billed: `slurmburst vm stop {0} --still-billed`",
                stop.act.hostlist
            ),
        )),
        What::Stop(stop) => direct::run(Action::Stop, &stop.act, config),
        What::Adopt(act) => direct::run(Action::Adopt, act, config),
    }
}

/// How a node stands with Slurm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Jobs are on it, or it is about to get some.
    InUse,
    /// Slurm keeps it powered down.
    Off,
    Idle,
    /// Slurm did not say.
    Unknown,
}

/// How these nodes stand with Slurm.
fn standings(setup: &Setup, nodes: &[NodeName]) -> Result<Vec<(NodeName, Standing)>, Failure> {
    let scontrol = site::scontrol(setup);
    let shown = crate::runtime()?.block_on(scontrol.nodes(Which::Some(nodes)));
    let shown = shown.unwrap_or_default();
    let of = |node: &NodeName| {
        shown
            .get(node)
            .map_or(Standing::Unknown, |n| standing(&n.state))
    };
    Ok(nodes.iter().map(|n| (n.clone(), of(n))).collect())
}

fn standing(state: &NodeState) -> Standing {
    if state.is_allocated_or_mixed() || state.has(&Flag::Completing) || state.is_powering_up() {
        Standing::InUse
    } else if state.is_powered_down() || state.is_powering_down() {
        Standing::Off
    } else {
        Standing::Idle
    }
}

/// Those that stand so, as a hostlist.
fn those(all: &[(NodeName, Standing)], wanted: Standing) -> HostSet {
    let some = all.iter().filter(|(_, s)| *s == wanted);
    some.map(|(node, _)| node).collect()
}

/// Why a person should think again before nodes that stand so lose their
/// machines' memory.
fn doubts(all: &[(NodeName, Standing)]) -> Vec<String> {
    let (busy, unknown) = (those(all, Standing::InUse), those(all, Standing::Unknown));
    let mut doubts = Vec::new();
    if !busy.is_empty() {
        doubts.push(format!("Slurm uses {busy}: jobs there will die"));
    }
    if !unknown.is_empty() {
        doubts.push(format!("Slurm does not say whether it uses {unknown}"));
    }
    doubts
}

/// Asks a person; where there is none, they must have said --yes.
fn confirm(question: &str, doubts: &[String], yes: bool) -> Result<(), Failure> {
    let doubts: String = doubts.iter().map(|d| format!("{d}\n")).collect();
    if yes {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        let text = format!("{doubts}{question} Nobody can be asked here; say --yes if so");
        return Err(Failure::new(USAGE, text));
    }
    let mut answer = String::new();
    let asked = write!(io::stderr(), "{doubts}{question} [y/N] ")
        .and_then(|()| io::stderr().flush())
        .and_then(|()| io::stdin().lock().read_line(&mut answer));
    match (asked, answer.trim().to_ascii_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(Failure::new(BAD_NEWS, "nothing was done")),
    }
}
