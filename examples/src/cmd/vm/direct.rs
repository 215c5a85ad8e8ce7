//! Restart, stop, adopt: asked of the cloud at once, for nodes that nothing is
//! under way for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use slurmburst::app::Setup;
use slurmburst::app::log::Log;
use slurmburst::clock::Clock;
use slurmburst::converge::Journal;
use slurmburst::hostlist::{HostSet, NodeName};
use slurmburst::kind::{Action, Operator};
use slurmburst::ledger::Ledger;
use slurmburst::outcome::{Outcome as Became, Outcomes};
use slurmburst::provider::{Context, Lifecycle, Pending};
use tokio::time::{Instant, sleep};

use super::found::{Found, machines};
use super::verdict::{Verdict, Verdicts, Word};
use super::{ActArgs, confirm, doubts, show, standings};
use crate::failure::{Failure, Outcome};
use crate::out::{Out, Progress};
use crate::served::{Served, served};
use crate::site;

/// One request each, of which a cloud may ask to wait.
const ASK_LIMIT: Duration = Duration::from_secs(120);
/// A reboot that takes longer has gone wrong.
const WAIT_LIMIT: Duration = Duration::from_secs(900);

pub(super) fn run(action: Action, args: &ActArgs, config: Option<&Path>) -> Outcome {
    let nodes = site::nodes(&args.hostlist)?;
    let setup = site::load(config)?;
    let served = served(&setup.site, args.common.provider.as_deref())?;
    let runtime = crate::runtime()?;
    let mut verdicts = Verdicts::new(action.as_str());
    let nodes = sort_out(action, &setup, &nodes, &mut verdicts)?;
    let (found, problems) = {
        let _progress = Progress::new("asking the clouds");
        runtime.block_on(machines(&setup.site, &served, Some(&nodes)))
    };
    for problem in problems {
        verdicts.notes.push(format!(
            "provider {}: {}",
            problem.provider, problem.problem
        ));
    }
    let at = placed(&nodes, &found, &mut verdicts);
    if action == Action::Adopt {
        if !args.common.json && !found.is_empty() {
            let mut out = Out::new();
            show::table(&mut out, &found)?;
            out.line("")?;
            out.end()?;
        }
    } else if !at.is_empty() {
        let named: Vec<NodeName> = at.values().flatten().cloned().collect();
        let doubts = doubts(&standings(&setup, &named)?);
        if !doubts.is_empty() {
            let named: HostSet = named.iter().collect();
            let question = match action {
                Action::Stop => format!("Switch the machines of {named} off?"),
                _ => format!("Restart the machines of {named}?"),
            };
            confirm(&question, &doubts, args.yes)?;
        }
    }
    if !at.is_empty() {
        let named: HostSet = at.values().flatten().collect();
        let by =
            std::env::var("SUDO_USER").map_or_else(|_| String::new(), |user| format!(" by {user}"));
        let log = Log::new(&setup.site.log_file, "slurmburst");
        log.note(&format!("vm {} {named}{by}", action.as_str()));
    }
    for (provider, nodes) in at {
        let Some(Ok(operator)) = served
            .iter()
            .find(|s| s.name == provider)
            .map(Served::operator)
        else {
            continue;
        };
        let outcomes = runtime.block_on(act(
            &setup,
            operator.as_ref(),
            action,
            &nodes,
            !args.no_wait,
        ));
        for (node, outcome) in outcomes {
            verdicts.push(verdict(&node, &outcome));
        }
    }
    verdicts.tell(args.common.json, !args.no_wait)
}

/// The nodes that may be touched; the others are refused.
fn sort_out(
    action: Action,
    setup: &Setup,
    nodes: &HostSet,
    verdicts: &mut Verdicts,
) -> Result<HostSet, Failure> {
    let ledger = Ledger::open(&setup.site.state_dir, Clock::system())?;
    let busy: BTreeSet<NodeName> = ledger
        .open_wishes_briefly()?
        .into_iter()
        .map(|(node, ..)| node)
        .collect();
    let mut fit = HostSet::default();
    for node in nodes {
        let why = match setup.site.group_of(&node) {
            None => Some(site::in_no_group(&setup.site)),
            Some(group) if action == Action::Adopt && group.lifecycle == Lifecycle::CreateDelete => Some(
                "its group has lifecycle = \"create-delete\", where machines are made and deleted; \
                 adopted ones need \"start-deallocate\""
                    .to_owned(),
            ),
            Some(_) if busy.contains(&node) => {
                Some("the converger is at work for it; see `slurmburst status`".to_owned())
            }
            Some(_) => None,
        };
        match why {
            Some(why) => verdicts.push(Verdict::refused(&node, why)),
            None => _ = fit.insert(node),
        }
    }
    Ok(fit)
}

/// Each node's one provider; nodes without a machine, or with several, are refused.
fn placed(
    nodes: &HostSet,
    found: &[Found],
    verdicts: &mut Verdicts,
) -> BTreeMap<String, Vec<NodeName>> {
    let mut at: BTreeMap<String, Vec<NodeName>> = BTreeMap::new();
    for node in nodes {
        let its = found
            .iter()
            .filter(|f| f.machine.node.as_ref() == Some(&node));
        let providers: Vec<&str> = its.map(|f| f.provider.as_str()).collect();
        match providers.as_slice() {
            [one] => at.entry((*one).to_owned()).or_default().push(node),
            [] => verdicts.push(Verdict::refused(&node, "there is no machine of this name")),
            several => {
                let why = format!(
                    "there are machines at {}; say --provider",
                    several.join(", ")
                );
                verdicts.push(Verdict::refused(&node, why));
            }
        }
    }
    at
}

/// Begins it, and stays with it until it is over.
async fn act(
    setup: &Setup,
    operator: &dyn Operator,
    action: Action,
    nodes: &[NodeName],
    wait: bool,
) -> Outcomes {
    let cluster = setup.site.cluster_id.as_str();
    let what = format!("vm {}", action.as_str());
    let progress = Progress::of(&what, nodes.len());
    let mut outcomes = operator
        .act(&Context::within(cluster, ASK_LIMIT), action, nodes)
        .await;
    let until = Instant::now() + WAIT_LIMIT;
    loop {
        let pending: Vec<Pending> = outcomes
            .iter()
            .filter_map(|(_, outcome)| match outcome {
                Became::Accepted(pending) => Some(pending.clone()),
                _ => None,
            })
            .collect();
        progress.done(nodes.len() - pending.len());
        let Some(next) = pending.iter().map(|p| p.poll_after).min().filter(|_| wait) else {
            return outcomes;
        };
        if next >= until.saturating_duration_since(Instant::now()) {
            return outcomes;
        }
        sleep(next).await;
        outcomes.merge(
            operator
                .progress(&Context::within(cluster, ASK_LIMIT), &pending)
                .await,
        );
    }
}

fn verdict(node: &NodeName, outcome: &Became) -> Verdict {
    match outcome {
        Became::Done(_) => Verdict::new(node, Word::Done),
        Became::AlreadyDone => Verdict::new(node, Word::AlreadyDone),
        Became::Accepted(_) => Verdict::new(node, Word::UnderWay),
        Became::Waiting { why, .. } | Became::Skipped(why) => Verdict::refused(node, why),
        Became::Superseded => Verdict::new(node, Word::Superseded),
        Became::Failed(error) => Verdict::failed(node, error),
    }
}
