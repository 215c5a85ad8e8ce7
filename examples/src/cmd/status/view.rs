//! What is shown of a status, as text and as JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use slurmburst::app::Setup;
use slurmburst::hostlist::{HostSet, NodeName};
use slurmburst::ledger::{Attempt, Holder, Mark, MarkStep, StoredError};
use slurmburst::provider::{Direction, Instance};
use slurmburst::slurm::control::SlurmNode;

use super::gather::{Books, Cloud, Gathered};
use super::phase::{self, phase};
use crate::out::{Colour, Out, plural, printable};
use crate::table::{Cell, Table};
use crate::time;

/// Everything that is shown.
#[derive(Serialize)]
pub(super) struct Status {
    cluster: String,
    cluster_id: String,
    site_file: String,
    /// What is wrong with the site file, where the last good copy is in use.
    site_broken: Option<String>,
    at_ms: i64,
    paused: bool,
    converger: ConvergerView,
    ledger: Answer,
    slurm: Answer,
    providers: Vec<Cloud>,
    nodes: Vec<NodeView>,
    totals: Totals,
}

#[derive(Serialize)]
struct ConvergerView {
    working: bool,
    /// Who worked last.
    holder: Option<Holder>,
}

#[derive(Serialize)]
struct Answer {
    answered: bool,
    problem: Option<String>,
}

#[derive(Serialize)]
struct NodeView {
    node: String,
    slurm: Option<String>,
    reason: Option<String>,
    phase: &'static str,
    program: Option<&'static str>,
    since_ms: Option<i64>,
    deadline_ms: Option<i64>,
    placement: Option<String>,
    instances: Vec<InstanceView>,
    error: Option<StoredError>,
    mark: Option<MarkView>,
    /// Whether a `[[nodes]]` group has it.
    in_site: bool,
}

#[derive(Serialize)]
struct InstanceView {
    provider: String,
    #[serde(flatten)]
    instance: Instance,
}

#[derive(Serialize)]
struct MarkView {
    step: MarkStep,
    reason: String,
    since_ms: i64,
    /// When it returns to service; none where nothing is waited for.
    until_ms: Option<i64>,
}

#[derive(Serialize)]
struct Totals {
    nodes: usize,
    phases: BTreeMap<&'static str, usize>,
    instances: usize,
    billed: usize,
    instance_states: BTreeMap<&'static str, usize>,
    marks: usize,
}

impl Status {
    pub(super) fn new(setup: &Setup, gathered: Gathered, only: Option<&HostSet>) -> Status {
        let Gathered {
            ledger,
            working,
            slurm,
            clouds,
            mut instances,
        } = gathered;
        let site = &setup.site;
        let ours = site.nodes();
        let names: BTreeSet<NodeName> = match only {
            Some(only) => only.iter().collect(),
            None => ours.iter().chain(instances.keys().cloned()).collect(),
        };
        let answer = |problem: Option<&String>| Answer {
            answered: problem.is_none(),
            problem: problem.cloned(),
        };
        let (ledger_answer, slurm_answer) =
            (answer(ledger.as_ref().err()), answer(slurm.as_ref().err()));
        let books = ledger.unwrap_or_default();
        let slurm = slurm.unwrap_or_default();
        let nodes: Vec<NodeView> = names
            .iter()
            .map(|name| {
                let found = instances.remove(name).unwrap_or_default();
                NodeView::new(name, &books, slurm.get(name), found, ours.contains(name))
            })
            .collect();
        Status {
            cluster: site.cluster.clone(),
            cluster_id: site.cluster_id.clone(),
            site_file: site.file.display().to_string(),
            site_broken: setup.broken.as_ref().map(ToString::to_string),
            at_ms: time::now_ms(),
            paused: books.paused,
            converger: ConvergerView {
                working,
                holder: books.holder,
            },
            ledger: ledger_answer,
            slurm: slurm_answer,
            providers: clouds,
            totals: Totals::of(&nodes),
            nodes,
        }
    }
}

impl NodeView {
    fn new(
        name: &NodeName,
        books: &Books,
        slurm: Option<&SlurmNode>,
        instances: Vec<(String, Instance)>,
        in_site: bool,
    ) -> NodeView {
        let wish = books.wishes.get(name);
        let attempts = books.attempts.get(name).map_or(&[][..], Vec::as_slice);
        let placed = |a: &&Attempt| a.direction == Direction::Up;
        let error = wish.and_then(|w| w.settled.as_ref()?.result.as_ref().err());
        let slurm_state = slurm.map(|n| n.state.to_string());
        let view = |(provider, instance)| InstanceView { provider, instance };
        NodeView {
            node: name.to_string(),
            slurm: slurm_state,
            reason: slurm
                .and_then(|n| n.reason.as_ref())
                .map(|r| r.text.clone()),
            phase: phase(wish, attempts),
            program: wish.map(|w| w.program.as_str()),
            since_ms: wish.map(|w| w.created_ms),
            deadline_ms: wish.filter(|w| w.settled.is_none()).map(|w| w.deadline_ms),
            placement: attempts.iter().rfind(placed).map(|a| a.placement.clone()),
            instances: instances.into_iter().map(view).collect(),
            error: error.map(StoredError::from),
            mark: books.marks.get(name).map(MarkView::new),
            in_site,
        }
    }

    /// One word about its instances.
    fn cloud(&self) -> Cell {
        let colour = |i: &Instance| match i.state {
            s if s.is_up() => Colour::Green,
            s if s.is_dying() || !s.is_billed() => Colour::Plain,
            _ => Colour::Yellow,
        };
        match self.instances.as_slice() {
            [] => Cell::default(),
            [one] => Cell::new(one.instance.state.as_str(), colour(&one.instance)),
            [first, more @ ..] => {
                let text = format!("{} +{}", first.instance.state, more.len());
                Cell::new(text, Colour::Yellow)
            }
        }
    }

    fn place(&self) -> String {
        let listed = || self.instances.first().map(|i| i.provider.clone());
        self.placement.clone().or_else(listed).unwrap_or_default()
    }

    fn note(&self) -> String {
        let mut notes = Vec::new();
        if !self.in_site {
            notes.push("in no [[nodes]] group".to_owned());
        }
        match (&self.mark, &self.error, &self.reason) {
            (Some(mark), error, _) => {
                notes.push(mark.words());
                notes.extend(error.as_ref().map(|e| e.message.clone()));
            }
            (None, Some(error), _) => notes.push(format!("{}: {}", error.kind, error.message)),
            (None, None, Some(reason)) => notes.push(format!("Slurm: {reason}")),
            _ => {}
        }
        if self.instances.len() > 1 {
            let ids: Vec<&str> = self
                .instances
                .iter()
                .map(|i| i.instance.id.as_str())
                .collect();
            notes.push(format!("{} instances: {}", ids.len(), ids.join(", ")));
        }
        notes.join("; ")
    }

    fn colour(&self) -> Colour {
        match self.phase {
            "up" => Colour::Green,
            "failed" | "down-failed" => Colour::Red,
            "-" | "down" => Colour::Plain,
            _ => Colour::Yellow,
        }
    }

    /// All that is shown of it but its name and age.
    fn cells(&self, slurm_answered: bool) -> Vec<Cell> {
        let slurm = match &self.slurm {
            Some(state) => state.replace("+CLOUD", ""),
            None if slurm_answered => "not shown".to_owned(),
            None => "?".to_owned(),
        };
        let down = slurm.starts_with("DOWN");
        vec![
            Cell::new(slurm, if down { Colour::Red } else { Colour::Plain }),
            Cell::new(self.phase, self.colour()),
            self.cloud(),
            self.place().into(),
            self.note().into(),
        ]
    }
}

impl MarkView {
    fn new(mark: &Mark) -> MarkView {
        MarkView {
            step: mark.step,
            reason: mark.reason.clone(),
            since_ms: mark.created_ms,
            until_ms: (mark.until_ms > 0).then_some(mark.until_ms),
        }
    }

    fn words(&self) -> String {
        match (self.step, self.until_ms) {
            (MarkStep::Hold, Some(until)) => format!("out of service until {}", time::date(until)),
            (MarkStep::Hold, None) => "returns to service".to_owned(),
            _ => "Slurm is being told that it failed".to_owned(),
        }
    }
}

impl Totals {
    fn of(nodes: &[NodeView]) -> Totals {
        let mut totals = Totals {
            nodes: nodes.len(),
            phases: BTreeMap::new(),
            instances: 0,
            billed: 0,
            instance_states: BTreeMap::new(),
            marks: 0,
        };
        for node in nodes {
            *totals.phases.entry(node.phase).or_default() += 1;
            totals.marks += usize::from(node.mark.is_some());
            for i in &node.instances {
                totals.instances += 1;
                totals.billed += usize::from(i.instance.state.is_billed());
                *totals
                    .instance_states
                    .entry(i.instance.state.as_str())
                    .or_default() += 1;
            }
        }
        totals
    }

    fn words(&self, clouds_asked: bool) -> String {
        let phases: Vec<String> = phase::ALL
            .iter()
            .filter_map(|p| Some((p, self.phases.get(p)?)))
            .map(|(p, n)| match *p {
                "-" => format!("{n} never wished"),
                p => format!("{n} {p}"),
            })
            .collect();
        let mut text = plural(self.nodes, "node");
        if !phases.is_empty() {
            text.push_str(&format!(": {}", phases.join(", ")));
        }
        if self.marks > 0 {
            text.push_str(&format!("; {} marked", self.marks));
        }
        if clouds_asked {
            let instances = plural(self.instances, "instance");
            text.push_str(&format!("; {instances}, {} billed", self.billed));
        }
        text
    }
}

impl Status {
    pub(super) fn print(&self, out: &mut Out, fold: bool) -> std::io::Result<()> {
        let head = [
            "NODE",
            "SLURM",
            "PHASE",
            "AGE",
            "CLOUD",
            "PLACEMENT",
            "NOTE",
        ];
        let mut table = Table::new(&head);
        let mut groups: Vec<(Vec<Cell>, Vec<NodeName>)> = Vec::new();
        for node in &self.nodes {
            let mut cells = node.cells(self.slurm.answered);
            if !fold {
                let age = node
                    .since_ms
                    .map(|since| time::length(self.at_ms.saturating_sub(since)));
                cells.insert(2, age.unwrap_or_default().into());
                cells.insert(0, (&node.node).into());
                table.row(cells);
                continue;
            }
            let Ok(name) = NodeName::new(&node.node) else {
                continue;
            };
            match groups.iter_mut().find(|(c, _)| *c == cells) {
                Some((_, names)) => names.push(name),
                None => groups.push((cells, vec![name])),
            }
        }
        for (mut cells, names) in groups {
            // Their ages differ.
            cells.insert(2, Cell::default());
            cells.insert(0, names.iter().collect::<HostSet>().to_string().into());
            table.row(cells);
        }
        table.print(out)?;
        let asked = self.providers.iter().any(|p| p.asked);
        out.line(&self.totals.words(asked))?;
        self.print_parties(out)
    }

    /// Who worked last, and who did not answer.
    fn print_parties(&self, out: &mut Out) -> std::io::Result<()> {
        let holder = self.converger.holder.as_ref();
        let ago = |ms: i64| time::length(self.at_ms.saturating_sub(ms));
        out.line(&match (self.converger.working, holder) {
            (true, Some(h)) => {
                format!("converger: at work, pid {}, for {}", h.pid, ago(h.since_ms))
            }
            (true, None) => "converger: at work".to_owned(),
            (false, Some(h)) => format!(
                "converger: not needed now, was at work {} ago",
                ago(h.heartbeat_ms)
            ),
            (false, None) => "converger: has never been at work".to_owned(),
        })?;
        if self.paused {
            warn(
                out,
                "paused",
                "nothing new is started until `slurmburst unpause`",
            )?;
        }
        if let Some(broken) = &self.site_broken {
            warn(
                out,
                "site file",
                &format!("the last good copy is in use: {broken}"),
            )?;
        }
        if let Some(problem) = &self.ledger.problem {
            warn(out, "ledger", problem)?;
        }
        if let Some(problem) = &self.slurm.problem {
            warn(out, "Slurm does not answer", problem)?;
        }
        for cloud in &self.providers {
            for problem in &cloud.problems {
                warn(out, &format!("provider {}", cloud.name), problem)?;
            }
        }
        Ok(())
    }
}

fn warn(out: &mut Out, what: &str, text: &str) -> std::io::Result<()> {
    out.paint(Colour::Yellow, what)?;
    out.line(&format!(": {}", printable(text)))
}
