//! `slurmburst plan`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use slurmburst::app::Setup;
use slurmburst::error::Error;
use slurmburst::hostlist::{HostSet, NodeName};
use slurmburst::ledger::{Ledger, LedgerError};
use slurmburst::policy::{Observed, Place, PowerPolicy, Wanted};
use slurmburst::provider::{DownMode, Generation, Placement};
use slurmburst::site::UnknownNodes;

use crate::failure::{BAD_NEWS, Failure, Outcome};
use crate::out::{Colour, Out, printable};
use crate::table::{Cell, Table};
use crate::{site, time};

const HOUR_MS: i64 = 3_600_000;

const AFTER: &str = "\
For --resume: which node would go to which placement, the requests as they would
be sent (they hold no secrets, only where to find them), and the nodes that would
be refused, and why. What the ledger knows counts: placements that have nothing
for now, nodes that were powered up too often within the hour, a pause. Clouds and
Slurm are not asked.

For --suspend: how each node would go down.

EXAMPLES
    slurmburst plan --resume 'c[1-3]'
    slurmburst plan --suspend c7 --json

EXIT STATUS
    0   nothing would be refused
    1   a node would be refused
    2   wrong usage, or a wrong site file";

/// What would be called for nodes; changes nothing
#[derive(clap::Args)]
#[command(after_long_help = AFTER, group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct Args {
    /// If slurmctld wanted these nodes up
    #[arg(long, value_name = "HOSTLIST", group = "what")]
    resume: Option<String>,
    /// If slurmctld wanted these nodes down
    #[arg(long, value_name = "HOSTLIST", group = "what")]
    suspend: Option<String>,
    /// For programs; see docs/json.md
    #[arg(long)]
    json: bool,
}

/// What would be done.
#[derive(Debug, Default, Serialize)]
struct Plan {
    action: &'static str,
    nodes: u64,
    /// Nothing of `calls` is sent before `slurmburst unpause`.
    paused: bool,
    calls: Vec<PlannedCall>,
    power_downs: Vec<PlannedDown>,
    waiting: Vec<Waiting>,
    refused: Vec<Refused>,
    /// Left alone, because another program may own them.
    ignored: String,
    /// What could not be taken into account.
    notes: Vec<String>,
}

/// One request.
#[derive(Debug, Serialize)]
struct PlannedCall {
    provider: String,
    placement: String,
    nodes: String,
    count: usize,
    request: serde_json::Value,
}

#[derive(Debug, Serialize)]
struct PlannedDown {
    providers: Vec<String>,
    mode: DownMode,
    nodes: String,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Waiting {
    nodes: String,
    until_ms: i64,
}

#[derive(Debug, Serialize)]
struct Refused {
    nodes: String,
    why: String,
}

/// What the ledger knows that counts here.
#[derive(Default)]
struct Known {
    paused: bool,
    seen: Observed,
    power_ups: BTreeMap<NodeName, u32>,
}

pub(crate) fn run(args: &Args, config: Option<&Path>) -> Outcome {
    let (up, text) = match (&args.resume, &args.suspend) {
        (Some(text), _) => (true, text.as_str()),
        (None, text) => (false, text.as_deref().unwrap_or_default()),
    };
    let nodes = site::nodes(text)?;
    let setup = site::read(config)?;
    let mut plan = Plan {
        action: if up { "resume" } else { "suspend" },
        nodes: nodes.len(),
        ..Plan::default()
    };
    let mut refusals = Refusals::default();
    let known = plan.sort_out(&setup, &nodes, up, &mut refusals);
    if up {
        plan.ups(&setup, &known, &mut refusals);
    } else {
        plan.downs(&setup, &known);
    }
    plan.refused = refusals.grouped();
    let mut out = Out::new();
    if args.json {
        out.json(&plan)?;
    } else {
        plan.print(&mut out)?;
    }
    out.end()?;
    Ok(if plan.refused.is_empty() { 0 } else { BAD_NEWS })
}

/// Nodes by why they would be refused, in the order found.
#[derive(Default)]
struct Refusals(Vec<(String, Vec<NodeName>)>);

impl Refusals {
    fn add(&mut self, node: NodeName, why: String) {
        match self.0.iter_mut().find(|(w, _)| *w == why) {
            Some((_, nodes)) => nodes.push(node),
            None => self.0.push((why, vec![node])),
        }
    }

    fn grouped(self) -> Vec<Refused> {
        let group = |(why, nodes): (String, Vec<NodeName>)| Refused {
            nodes: fold(&nodes),
            why,
        };
        self.0.into_iter().map(group).collect()
    }
}

fn fold(nodes: &[NodeName]) -> String {
    nodes.iter().collect::<HostSet>().to_string()
}

impl Plan {
    /// The nodes that are ours, in their order; the others are refused or ignored.
    fn sort_out(
        &mut self,
        setup: &Setup,
        nodes: &HostSet,
        up: bool,
        refusals: &mut Refusals,
    ) -> Vec<NodeName> {
        let site = &setup.site;
        let (known, unknown): (Vec<NodeName>, Vec<NodeName>) =
            nodes.iter().partition(|n| site.group_of(n).is_some());
        match site.unknown_nodes {
            UnknownNodes::Ignore => self.ignored = fold(&unknown),
            UnknownNodes::Refuse => {
                for node in unknown {
                    refusals.add(node, site::in_no_group(site));
                }
            }
        }
        match (&setup.broken, up) {
            (Some(broken), true) => {
                for node in known {
                    refusals.add(node, format!("the site file is broken: {broken}"));
                }
                Vec::new()
            }
            _ => known,
        }
    }

    /// Where each node would go, and the requests.
    fn ups(&mut self, setup: &Setup, nodes: &[NodeName], refusals: &mut Refusals) {
        let site = &setup.site;
        let now = time::now_ms();
        let known = match site::ledger_if_any(setup) {
            Ok(Some(ledger)) => known(&ledger, now),
            Ok(None) => Ok(Known::default()),
            Err(e) => Err(e),
        };
        let mut known = known.unwrap_or_else(|e| {
            self.notes.push(format!(
                "what the ledger knows is not taken into account: {e}"
            ));
            Known::default()
        });
        known.seen.now_ms = now;
        self.paused = known.paused;
        let limit = site.max_power_ups_per_hour;
        let mut wanted = Vec::new();
        for node in nodes {
            let count = known.power_ups.get(node).copied().unwrap_or(0);
            if limit > 0 && count >= limit {
                let why = format!(
                    "powered up {count} times within the hour; max_power_ups_per_hour is {limit}"
                );
                refusals.add(node.clone(), why);
                continue;
            }
            let timeout = setup.conf.resume_timeout(node);
            let limit = timeout.saturating_sub(site.margin(timeout));
            wanted.push(Wanted {
                node: node.clone(),
                generation: Generation(now),
                deadline_ms: now
                    .saturating_add(i64::try_from(limit.as_millis()).unwrap_or(i64::MAX)),
                tried: Vec::new(),
            });
        }
        let mut placed: Vec<(Arc<Placement>, Vec<NodeName>)> = Vec::new();
        let mut waiting: BTreeMap<i64, Vec<NodeName>> = BTreeMap::new();
        for (node, place) in site.policy.place(&wanted, &known.seen) {
            match place {
                Place::At(at) => match placed.iter_mut().find(|(p, _)| p.name == at.name) {
                    Some((_, nodes)) => nodes.push(node),
                    None => placed.push((at, vec![node])),
                },
                Place::WaitUntil(until) => waiting.entry(until).or_default().push(node),
                Place::Refuse(error) => refusals.add(node, error.to_string()),
            }
        }
        let wait = |(until_ms, nodes): (i64, Vec<NodeName>)| Waiting {
            nodes: fold(&nodes),
            until_ms,
        };
        self.waiting = waiting.into_iter().map(wait).collect();
        for (placement, nodes) in placed {
            if let Err(error) = self.render(setup, &placement, &nodes) {
                for node in nodes {
                    refusals.add(node, error.to_string());
                }
            }
        }
    }

    fn render(
        &mut self,
        setup: &Setup,
        placement: &Placement,
        nodes: &[NodeName],
    ) -> Result<(), Error> {
        let Some(provider) = setup.site.provider(&placement.provider) else {
            return Ok(());
        };
        for rendered in provider.provider.render(placement, nodes)? {
            self.calls.push(PlannedCall {
                provider: placement.provider.clone(),
                placement: placement.name.clone(),
                nodes: fold(&rendered.nodes),
                count: rendered.nodes.len(),
                request: rendered.request,
            });
        }
        Ok(())
    }

    /// How each node would go down.
    fn downs(&mut self, setup: &Setup, nodes: &[NodeName]) {
        let seen = Observed {
            now_ms: time::now_ms(),
            ..Observed::default()
        };
        let mut alike: BTreeMap<(Vec<String>, DownMode), Vec<NodeName>> = BTreeMap::new();
        for node in nodes {
            let group = setup.site.group_of(node);
            let mut providers: Vec<String> = group
                .into_iter()
                .flat_map(|g| &g.placements)
                .map(|p| p.provider.clone())
                .collect();
            providers.sort_unstable();
            providers.dedup();
            let mode = setup.site.policy.down_mode(node, &seen);
            alike
                .entry((providers, mode))
                .or_default()
                .push(node.clone());
        }
        let down =
            |((providers, mode), nodes): ((Vec<String>, DownMode), Vec<NodeName>)| PlannedDown {
                providers,
                mode,
                nodes: fold(&nodes),
                count: nodes.len() as u64,
            };
        self.power_downs = alike.into_iter().map(down).collect();
    }

    fn print(&self, out: &mut Out) -> Result<(), Failure> {
        if self.paused && !self.calls.is_empty() {
            out.paint(Colour::Yellow, "paused: ")?;
            out.line("nothing of this is sent before `slurmburst unpause`")?;
        }
        if !self.calls.is_empty() {
            let mut table = Table::new(&["PLACEMENT", "COUNT", "NODES"]);
            for call in &self.calls {
                table.row(vec![
                    (&call.placement).into(),
                    call.count.to_string().into(),
                    (&call.nodes).into(),
                ]);
            }
            table.print(out)?;
        }
        if !self.power_downs.is_empty() {
            let mut table = Table::new(&["HOW", "COUNT", "PROVIDER", "NODES"]);
            for down in &self.power_downs {
                let how = match down.mode {
                    DownMode::Terminate => "terminate",
                    DownMode::Deallocate => "deallocate",
                };
                let count = down.count.to_string();
                table.row(vec![
                    how.into(),
                    count.into(),
                    down.providers.join(",").into(),
                    (&down.nodes).into(),
                ]);
            }
            table.print(out)?;
        }
        let mut rest = Table::new(&["NOT STARTED", "NODES", "WHY"]);
        for r in &self.refused {
            rest.row(vec![
                Cell::new("refused", Colour::Red),
                (&r.nodes).into(),
                (&r.why).into(),
            ]);
        }
        for w in &self.waiting {
            rest.row(vec![
                "waits".into(),
                (&w.nodes).into(),
                format!("until {}", time::date(w.until_ms)).into(),
            ]);
        }
        if !self.ignored.is_empty() {
            let why = "in no [[nodes]] group, and unknown_nodes = \"ignore\"";
            rest.row(vec!["ignored".into(), (&self.ignored).into(), why.into()]);
        }
        if !(self.refused.is_empty() && self.waiting.is_empty() && self.ignored.is_empty()) {
            rest.print(out)?;
        }
        for note in &self.notes {
            out.paint(Colour::Yellow, "note: ")?;
            out.line(&printable(note))?;
        }
        for call in &self.calls {
            out.line("")?;
            out.paint(
                Colour::Bold,
                &printable(&format!("{} {}", call.placement, call.nodes)),
            )?;
            out.line("")?;
            out.json(&call.request)?;
        }
        Ok(())
    }
}

fn known(ledger: &Ledger, now: i64) -> Result<Known, LedgerError> {
    Ok(Known {
        paused: ledger.paused()?,
        seen: Observed {
            now_ms: now,
            dry: ledger.dry(now)?,
        },
        power_ups: ledger.power_ups_since(now.saturating_sub(HOUR_MS))?,
    })
}
