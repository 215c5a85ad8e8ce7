use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::hostlist::NodeName;
use crate::provider::{CallClass, Cost, Generation, Instance, InstanceState, OpKind, Owner};

/// Everything that a [`FakeCloud`](super::FakeCloud) has and ever had.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Books {
    serial: u64,
    machines: BTreeMap<String, Record>,
    pub(super) tokens: BTreeMap<String, Sent>,
    pub(super) leftovers: BTreeMap<String, Debris>,
    /// Nodes that had two machines at once, each time that it happened.
    duplicates: Vec<NodeName>,
    counts: BTreeMap<String, u64>,
    faults_met: BTreeMap<usize, u64>,
    levels: BTreeMap<String, Level>,
    /// Machines that take up room, by placement.
    used: BTreeMap<String, u64>,
    /// What is left of a cluster's machines, by node. Made from `machines`.
    #[serde(skip)]
    by_node: BTreeMap<NodeName, BTreeSet<String>>,
    /// What is left of them, by id. Made from `machines`.
    #[serde(skip)]
    shown: BTreeSet<String>,
}

/// A machine and its history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// Its node.
    pub node: NodeName,
    /// The cluster whose tag it carries.
    pub cluster: String,
    /// Whether that cluster created it.
    pub owner: Owner,
    /// The call that created or last started it.
    pub call: Option<String>,
    /// The wish in its tags.
    pub generation: Option<Generation>,
    /// The placement where it is.
    pub placement: String,
    /// Its zone, or the placement's name where that has none.
    pub zone: String,
    /// Tags written by chores.
    pub tags: BTreeMap<String, String>,
    /// What happened to it, oldest first.
    pub history: Vec<Happened>,
    pub(super) phase: Phase,
    pub(super) since_ms: i64,
    pub(super) ready_ms: i64,
    pub(super) visible_ms: i64,
    pub(super) doom: Option<(ErrorKind, String)>,
    pub(super) forced: Option<InstanceState>,
    forgotten: bool,
    serial: u64,
}

/// An entry of a machine's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// `created`, `started`, `deallocated` or `terminated`.
    pub what: String,
    /// By which call, where one did it.
    pub call: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    Up,
    Stopped,
    Gone,
}

/// What was asked under a token, and what came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Sent {
    pub(super) fingerprint: u64,
    pub(super) made: BTreeMap<NodeName, String>,
}

/// A leftover and whose it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Debris {
    pub(super) node: NodeName,
    pub(super) kind: String,
    pub(super) cluster: String,
    pub(super) certain: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Level {
    tokens: f64,
    at_ms: i64,
}

impl Record {
    /// What it is doing at that time.
    pub fn state(&self, now_ms: i64) -> InstanceState {
        if let Some(state) = self.forced {
            return state;
        }
        let under_way = now_ms < self.ready_ms;
        match (self.phase, under_way) {
            (Phase::Up, true) => InstanceState::Starting,
            (Phase::Up, false) if self.doom.is_some() => InstanceState::Failed,
            (Phase::Up, false) => InstanceState::Running,
            (Phase::Stopped, true) => InstanceState::Stopping,
            (Phase::Stopped, false) => InstanceState::Stopped,
            (Phase::Gone, true) => InstanceState::Terminating,
            (Phase::Gone, false) => InstanceState::Terminated,
        }
    }

    /// Its address.
    pub fn address(&self) -> IpAddr {
        let [.., b, c, d] = self.serial.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(10, b, c, d))
    }

    /// How often it was made or started.
    pub fn launches(&self) -> usize {
        self.history
            .iter()
            .filter(|h| h.what == "created" || h.what == "started")
            .count()
    }

    pub(super) fn instance(&self, now_ms: i64, lifetime_ms: Option<i64>) -> Instance {
        let state = self.state(now_ms);
        let launched = self.history.iter().rev().find(|h| h.what != "deallocated");
        let launched_ms = launched.map(|h| h.at_ms);
        Instance {
            node: self.node.clone(),
            id: self.id.clone(),
            state,
            owner: self.owner,
            generation: self.generation,
            call: self.call.clone(),
            address: state.is_up().then(|| self.address()),
            launched_ms,
            expires_ms: launched_ms
                .zip(lifetime_ms)
                .map(|(from, span)| from.saturating_add(span)),
        }
    }

    pub(super) fn enter(
        &mut self,
        phase: Phase,
        now_ms: i64,
        ready_ms: i64,
        what: &str,
        call: Option<&str>,
    ) {
        self.phase = phase;
        self.since_ms = now_ms;
        self.ready_ms = ready_ms;
        self.history.push(Happened {
            at_ms: now_ms,
            what: what.to_owned(),
            call: call.map(str::to_owned),
        });
    }
}

/// A machine to be entered.
pub(super) struct Fresh<'a> {
    pub(super) node: &'a NodeName,
    pub(super) cluster: &'a str,
    pub(super) owner: Owner,
    pub(super) placement: &'a str,
    pub(super) zone: &'a str,
    pub(super) visible_ms: i64,
}

impl Books {
    /// How many requests of this kind there were, refused and throttled ones included.
    pub fn count(&self, op: OpKind) -> u64 {
        self.counts.get(word(op)).copied().unwrap_or(0)
    }

    /// How many pages were listed.
    pub fn pages(&self) -> u64 {
        self.counts.get(PAGES).copied().unwrap_or(0)
    }

    /// How many requests there were of any kind.
    pub fn requests(&self) -> u64 {
        self.counts
            .iter()
            .filter(|(op, _)| *op != PAGES)
            .map(|(_, n)| n)
            .sum()
    }

    /// Every machine there ever was, by id.
    pub fn machines(&self) -> impl Iterator<Item = &Record> {
        self.machines.values()
    }

    /// The machine of this id.
    pub fn machine(&self, id: &str) -> Option<&Record> {
        self.machines.get(id)
    }

    /// Every machine that a node ever had, oldest first.
    pub fn machines_of<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = &'a Record> {
        self.machines.values().filter(move |m| m.node == *node)
    }

    /// Those of a cluster that cost money for compute.
    pub fn billed<'a>(&'a self, cluster: &'a str, now_ms: i64) -> impl Iterator<Item = &'a Record> {
        self.left(cluster)
            .filter(move |m| m.state(now_ms).is_billed())
    }

    /// The nodes that had two machines of one cluster at once, each time that it happened.
    pub fn duplicates(&self) -> &[NodeName] {
        &self.duplicates
    }

    /// How many things that dead nodes left behind are still there.
    pub fn leftovers(&self) -> usize {
        self.leftovers.len()
    }

    /// The machines of a cluster that are not yet forgotten.
    fn left<'a>(&'a self, cluster: &'a str) -> impl Iterator<Item = &'a Record> {
        self.shown
            .iter()
            .filter_map(|id| self.machines.get(id))
            .filter(move |m| m.cluster == cluster)
    }

    /// The machines of a node that are not gone.
    pub(super) fn living(&self, cluster: &str, node: &NodeName) -> Vec<String> {
        let ids = self.by_node.get(node).into_iter().flatten();
        let living = ids.filter(|id| {
            self.machines
                .get(*id)
                .is_some_and(|m| m.cluster == cluster && m.phase != Phase::Gone)
        });
        living.cloned().collect()
    }

    /// The node's newest machine that is not forgotten.
    pub(super) fn newest(&self, cluster: &str, node: &NodeName) -> Option<&Record> {
        let ids = self.by_node.get(node)?;
        ids.iter()
            .rev()
            .filter_map(|id| self.machines.get(id))
            .find(|m| m.cluster == cluster)
    }

    pub(super) fn machine_mut(&mut self, id: &str) -> Option<&mut Record> {
        self.machines.get_mut(id)
    }

    /// At most `size` ids after `after`.
    pub(super) fn page(&self, after: Option<&str>, size: usize) -> Vec<String> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.shown
            .range::<str, _>((from, Unbounded))
            .take(size)
            .cloned()
            .collect()
    }

    /// What is gone is no longer looked at. Its record stays.
    pub(super) fn forget(&mut self, id: &str) {
        self.shown.remove(id);
        let Some(record) = self.machines.get_mut(id) else {
            return;
        };
        record.forgotten = true;
        if let Some(ids) = self.by_node.get_mut(&record.node) {
            ids.remove(id);
        }
    }

    /// Enters a machine, deallocated as yet, and answers its id.
    pub(super) fn enter(&mut self, fresh: &Fresh<'_>, now_ms: i64) -> String {
        self.serial += 1;
        let id = format!("i-{:08}", self.serial);
        if !self.living(fresh.cluster, fresh.node).is_empty() {
            self.duplicates.push(fresh.node.clone());
        }
        let record = Record {
            id: id.clone(),
            node: fresh.node.clone(),
            cluster: fresh.cluster.to_owned(),
            owner: fresh.owner,
            call: None,
            generation: None,
            placement: fresh.placement.to_owned(),
            zone: fresh.zone.to_owned(),
            tags: BTreeMap::new(),
            history: Vec::new(),
            phase: Phase::Stopped,
            since_ms: now_ms,
            ready_ms: now_ms,
            visible_ms: fresh.visible_ms,
            doom: None,
            forced: None,
            forgotten: false,
            serial: self.serial,
        };
        self.index(&record);
        self.machines.insert(id.clone(), record);
        id
    }

    fn index(&mut self, record: &Record) {
        self.shown.insert(record.id.clone());
        self.by_node
            .entry(record.node.clone())
            .or_default()
            .insert(record.id.clone());
    }

    /// Makes what is not stored; after reading the books from a file.
    pub(super) fn reindex(&mut self) {
        let machines = std::mem::take(&mut self.machines);
        for record in machines.values().filter(|m| !m.forgotten) {
            self.index(record);
        }
        self.machines = machines;
    }

    pub(super) fn count_up(&mut self, op: OpKind) -> u64 {
        let count = self.counts.entry(word(op).to_owned()).or_default();
        *count += 1;
        *count
    }

    pub(super) fn count_page(&mut self) {
        *self.counts.entry(PAGES.to_owned()).or_default() += 1;
    }

    /// How often the fault at this place of the script was met, this time included.
    pub(super) fn meet(&mut self, place: usize) -> u64 {
        let met = self.faults_met.entry(place).or_default();
        *met += 1;
        *met
    }

    pub(super) fn used(&self, placement: &str) -> u64 {
        self.used.get(placement).copied().unwrap_or(0)
    }

    pub(super) fn used_in_all(&self) -> u64 {
        self.used.values().sum()
    }

    pub(super) fn occupy(&mut self, placement: &str) {
        *self.used.entry(placement.to_owned()).or_default() += 1;
    }

    pub(super) fn vacate(&mut self, placement: &str) {
        if let Some(used) = self.used.get_mut(placement) {
            *used = used.saturating_sub(1);
        }
    }

    /// Takes the tokens that a request costs, or says how long it would have to
    /// wait for them.
    ///
    /// # Errors
    /// Throttled, with that time.
    #[allow(
        clippy::cast_precision_loss,
        reason = "milliseconds and nodes are far below 2^53"
    )]
    pub(super) fn charge(
        &mut self,
        classes: &[CallClass],
        op: OpKind,
        nodes: usize,
        now_ms: i64,
    ) -> Result<(), Error> {
        for class in classes.iter().filter(|class| class.ops.contains(&op)) {
            let price = match class.cost {
                Cost::PerCall => 1.0,
                Cost::PerNode => nodes as f64,
            };
            // More than a full bucket can never be there; it empties the bucket.
            let price = price.min(class.burst);
            let level = self.levels.entry(class.name.clone()).or_insert(Level {
                tokens: class.burst,
                at_ms: now_ms,
            });
            let passed = (now_ms - level.at_ms).max(0) as f64 / 1000.0;
            level.tokens = (level.tokens + passed * class.per_second).min(class.burst);
            level.at_ms = level.at_ms.max(now_ms);
            // Clocks of a millisecond's grain: whoever keeps to the limit exactly is not blamed.
            let grain = class.per_second * 0.005;
            if level.tokens + grain < price {
                let wait = (price - level.tokens) / class.per_second;
                let wait = std::time::Duration::try_from_secs_f64(wait).unwrap_or_default();
                let text = format!("the fake cloud's limit on {} is used up", class.name);
                return Err(Error::new(ErrorKind::Throttled, text)
                    .code("TooManyRequests")
                    .retry_after(wait));
            }
            level.tokens -= price;
        }
        Ok(())
    }
}

const PAGES: &str = "list-page";

/// The word for an operation in the books.
pub(super) fn word(op: OpKind) -> &'static str {
    match op {
        OpKind::List => "list",
        OpKind::Create => "create",
        OpKind::Start => "start",
        OpKind::Deallocate => "deallocate",
        OpKind::Terminate => "terminate",
        OpKind::Poll => "poll",
        OpKind::Tidy => "tidy",
    }
}
