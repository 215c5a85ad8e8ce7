//! `slurmburst history`.

use std::path::Path;

use serde::Serialize;
use slurmburst::hostlist::NodeName;
use slurmburst::ledger::Event;

use crate::failure::{Failure, NOT_RECORDED, Outcome};
use crate::out::{Colour, Out};
use crate::table::{Cell, Table};
use crate::{site, time};

const AFTER: &str = "\
What an event says:
    wish-up, wish-down      somebody wished it; who is in the detail
    accepted, running       the cloud is at it; the instance runs
    stopped, gone           the instance is deallocated; is gone
    refused, effect-unknown a call that did nothing; one of which that is not known
    up, down                it ended as wished
    failed, down-failed     it did not, and why
    superseded              a newer wish made it pointless
    power-down-force, marked-down, returned, mark-ended, slurm-refused
                            what Slurm was told of it, and whether it took it
There may be others. The detail ends with the cloud's own request id where there is
one, which is what its support asks for. Events are kept for 30 days.

EXAMPLES
    slurmburst history c3              why did c3 not come up?
    slurmburst history --limit 20      what happened last?

EXIT STATUS
    0   done, also if nothing ever happened
    2   a HOSTLIST that is none, or a wrong site file
    3   the ledger could not be read";

/// What happened to nodes, the newest last
#[derive(clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// Only these nodes
    #[arg(value_name = "HOSTLIST")]
    hostlist: Option<String>,
    /// For programs; see docs/json.md
    #[arg(long)]
    json: bool,
    /// The newest N events
    #[arg(long, value_name = "N", default_value_t = 200)]
    limit: usize,
}

#[derive(Serialize)]
struct History<'a> {
    events: &'a [Event],
}

pub(crate) fn run(args: &Args, config: Option<&Path>) -> Outcome {
    let nodes: Option<Vec<NodeName>> = match &args.hostlist {
        Some(text) => Some(site::nodes(text)?.iter().collect()),
        None => None,
    };
    let setup = site::read(config)?;
    let events = match site::ledger_if_any(&setup).map_err(|e| Failure::new(NOT_RECORDED, e))? {
        Some(ledger) => ledger.events(nodes.as_deref(), args.limit)?,
        None => Vec::new(),
    };
    let mut out = Out::new();
    if args.json {
        out.json(&History { events: &events })?;
    } else if events.is_empty() {
        out.line("nothing has happened")?;
    } else {
        let mut table = Table::new(&["TIME", "NODE", "WHAT", "PLACEMENT", "TOOK", "DETAIL"]);
        for event in &events {
            table.row(row(event));
        }
        table.print(&mut out)?;
    }
    out.end()?;
    Ok(0)
}

fn row(event: &Event) -> Vec<Cell> {
    let colour = match event.what.as_str() {
        "failed" | "down-failed" | "refused" | "slurm-refused" => Colour::Red,
        "up" | "down" => Colour::Green,
        _ => Colour::Plain,
    };
    let mut detail = event.detail.clone().unwrap_or_default();
    if let Some(id) = event
        .request_id
        .as_ref()
        .filter(|id| !detail.contains(id.as_str()))
    {
        let gap = if detail.is_empty() { "" } else { " " };
        detail.push_str(&format!("{gap}[request {id}]"));
    }
    vec![
        time::date(event.at_ms).into(),
        event.node.as_str().into(),
        Cell::new(&event.what, colour),
        event.placement.as_deref().unwrap_or_default().into(),
        event
            .duration_ms
            .map(time::length)
            .unwrap_or_default()
            .into(),
        detail.into(),
    ]
}
