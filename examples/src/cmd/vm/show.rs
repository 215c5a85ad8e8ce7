//! `slurmburst vm list` and `slurmburst vm show`.

use std::path::Path;

use serde::Serialize;
use slurmburst::hostlist::HostSet;
use slurmburst::kind::Whose;
use slurmburst::provider::{InstanceState, Market};

use super::found::{Found, machines};
use super::{Common, ListArgs, ShowArgs};
use crate::failure::{BAD_NEWS, Failure, Outcome};
use crate::out::{Colour, Out, Progress, printable};
use crate::served::{Problem, served};
use crate::table::{Cell, Table};
use crate::{site, time};

#[derive(Serialize)]
struct Answer {
    machines: Vec<Found>,
    /// Nodes that were named and have no machine.
    missing: String,
    problems: Vec<Problem>,
}

pub(super) fn list(args: &ListArgs, config: Option<&Path>) -> Outcome {
    let nodes = args.hostlist.as_deref().map(site::nodes).transpose()?;
    let answer = ask(&args.common, nodes.as_ref(), config)?;
    let mut out = Out::new();
    if args.common.json {
        out.json(&answer)?;
    } else {
        table(&mut out, &answer.machines)?;
        for problem in &answer.problems {
            problem.print(&mut out)?;
        }
    }
    out.end()?;
    Ok(if answer.problems.is_empty() {
        0
    } else {
        BAD_NEWS
    })
}

pub(super) fn show(args: &ShowArgs, config: Option<&Path>) -> Outcome {
    let nodes = site::nodes(&args.hostlist)?;
    let answer = ask(&args.common, Some(&nodes), config)?;
    let mut out = Out::new();
    if args.common.json {
        out.json(&answer)?;
    } else {
        for found in &answer.machines {
            details(&mut out, found)?;
        }
        if !answer.missing.is_empty() {
            out.paint(Colour::Yellow, "no machine: ")?;
            out.line(&answer.missing)?;
        }
        for problem in &answer.problems {
            problem.print(&mut out)?;
        }
    }
    out.end()?;
    let whole = answer.problems.is_empty() && answer.missing.is_empty();
    Ok(if whole { 0 } else { BAD_NEWS })
}

fn ask(common: &Common, nodes: Option<&HostSet>, config: Option<&Path>) -> Result<Answer, Failure> {
    let setup = site::read(config)?;
    let served = served(&setup.site, common.provider.as_deref())?;
    let runtime = crate::runtime()?;
    let (found, problems) = {
        let _progress = Progress::new("asking the clouds");
        runtime.block_on(machines(&setup.site, &served, nodes))
    };
    let there: HostSet = found
        .iter()
        .filter_map(|f| f.machine.node.clone())
        .collect();
    let missing = nodes.map_or_else(HostSet::default, |nodes| nodes - &there);
    Ok(Answer {
        machines: found,
        missing: missing.to_string(),
        problems,
    })
}

fn colour(state: InstanceState) -> Colour {
    match state {
        InstanceState::Running => Colour::Green,
        InstanceState::StoppedBilled | InstanceState::Unknown => Colour::Yellow,
        InstanceState::Failed => Colour::Red,
        _ => Colour::Plain,
    }
}

/// A line for each machine.
pub(super) fn table(out: &mut Out, all: &[Found]) -> Result<(), Failure> {
    if all.is_empty() {
        return Ok(out.line("no machines")?);
    }
    let mut table = Table::new(&[
        "NODE",
        "STATE",
        "POWER",
        "PROVISIONING",
        "SIZE",
        "ZONE",
        "OWNER",
        "ADDRESS",
        "CREATED",
        "PROVIDER",
        "NOTE",
    ]);
    for found in all {
        let m = &found.machine;
        let text = |text: &Option<String>| Cell::from(text.as_deref().unwrap_or("-"));
        let owner = match m.owner {
            Whose::AnotherCluster => Cell::new(m.owner.as_str(), Colour::Red),
            owner => owner.as_str().into(),
        };
        table.row(vec![
            m.node
                .as_ref()
                .map_or(m.name.as_str(), |n| n.as_str())
                .into(),
            Cell::new(m.state.as_str(), colour(m.state)),
            text(&m.power),
            text(&m.provisioning),
            text(&m.size),
            text(&m.zone),
            owner,
            m.addresses
                .first()
                .map_or_else(|| "-".to_owned(), ToString::to_string)
                .into(),
            m.created_ms
                .map_or_else(|| "-".to_owned(), time::date)
                .into(),
            (&found.provider).into(),
            note(found).into(),
        ]);
    }
    Ok(table.print(out)?)
}

fn note(found: &Found) -> String {
    let m = &found.machine;
    let mut notes = Vec::new();
    if let (Whose::AnotherCluster, Some(cluster)) = (m.owner, &m.cluster) {
        notes.push(format!("of {cluster}"));
    }
    if m.market == Market::Spot {
        notes.push("spot".to_owned());
    }
    if !found.in_site && m.owner.is_ours() {
        notes.push("not in the site file".to_owned());
    }
    notes.extend(m.problem.clone());
    notes.join("; ")
}

fn details(out: &mut Out, found: &Found) -> Result<(), Failure> {
    let m = &found.machine;
    let name = m.node.as_ref().map_or(m.name.as_str(), |n| n.as_str());
    out.paint(Colour::Bold, &printable(name))?;
    out.line("")?;
    let tags: Vec<String> = m.tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let addresses: Vec<String> = m.addresses.iter().map(ToString::to_string).collect();
    let market = match m.market {
        Market::Spot => "spot",
        Market::OnDemand => "on-demand",
    };
    let owner = match &m.cluster {
        Some(cluster) => format!("{} ({cluster})", m.owner.as_str()),
        None => m.owner.as_str().to_owned(),
    };
    let lines: [(&str, Option<String>); 14] = [
        ("provider", Some(found.provider.clone())),
        ("instance", Some(m.id.clone())),
        ("state", Some(m.state.to_string())),
        ("power", m.power.clone()),
        ("provisioning", m.provisioning.clone()),
        ("problem", m.problem.clone()),
        ("size", m.size.clone()),
        ("region", m.region.clone()),
        ("zone", m.zone.clone()),
        ("market", Some(market.to_owned())),
        ("owner", Some(owner)),
        ("addresses", Some(addresses.join(" "))),
        ("created", m.created_ms.map(time::date)),
        ("tags", Some(tags.join(" "))),
    ];
    for (key, value) in lines {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            out.line(&format!("    {key:<13} {}", printable(&value)))?;
        }
    }
    Ok(())
}
