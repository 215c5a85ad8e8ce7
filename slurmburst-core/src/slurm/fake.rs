//! [`FakeSlurm`]: a Slurm in memory that changes nodes as a real one does.
//!
//! What it knows was seen with real slurmctlds: `power_down_force` on a node
//! that powers up shows as POWERING_DOWN only after a moment; a DOWN set before
//! that is lost, one set after it stays; `state=resume` on a node that powers
//! up makes it look usable and calls nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::control::{
    Acting, Change, Reason, SlurmControl, SlurmError, SlurmErrorKind, SlurmNode, SlurmVersion,
    Updates, Which,
};
use super::node_state::{Base, Flag, NodeState};
use crate::hostlist::NodeName;

/// How a [`FakeSlurm`] behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Until a wanted power-down shows as POWERING_DOWN.
    pub notice: Duration,
    /// From POWERING_DOWN to POWERED_DOWN.
    pub suspend_timeout: Duration,
    /// From POWERING_UP to DOWN, "ResumeTimeout reached".
    pub resume_timeout: Duration,
    /// Whether DOWN and DRAIN are lost when POWERING_DOWN shows, even if set
    /// before the power-down was wanted.
    pub idle_on_node_suspend: bool,
    /// Nodes in one call of update, for counting.
    pub batch: usize,
}

impl Default for Settings {
    /// 1 s, 5 s and 60 s, `idle_on_node_suspend` set, batches of 100.
    fn default() -> Settings {
        Settings {
            notice: Duration::from_secs(1),
            suspend_timeout: Duration::from_secs(5),
            resume_timeout: Duration::from_secs(60),
            idle_on_node_suspend: true,
            batch: 100,
        }
    }
}

/// A program that Slurm would have called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// ResumeProgram.
    Resume(NodeName),
    /// SuspendProgram.
    Suspend(NodeName),
    /// ResumeFailProgram.
    ResumeFail(NodeName),
}

/// A Slurm in memory. Clones are the same Slurm. Its time is tokio's, so it
/// stands still when that is paused.
///
/// It calls no program; [`FakeSlurm::calls`] says what it would have called.
#[derive(Debug, Clone, Default)]
pub struct FakeSlurm(Arc<Mutex<World>>);

#[derive(Debug, Default)]
struct World {
    settings: Settings,
    nodes: BTreeMap<NodeName, Node>,
    calls: Vec<Called>,
    log: Vec<(Vec<NodeName>, Change)>,
    updates: usize,
    shows: usize,
    show_failures: VecDeque<SlurmErrorKind>,
    update_failures: VecDeque<SlurmErrorKind>,
    silent: Option<SlurmErrorKind>,
    elsewhere: bool,
}

#[derive(Debug)]
struct Node {
    seen: SlurmNode,
    /// When the next thing happens by itself.
    due: Option<Instant>,
    /// DOWN was set after the power-down was wanted and before it showed.
    marked_early: bool,
}

impl FakeSlurm {
    /// An empty cluster.
    #[must_use]
    pub fn new(settings: Settings) -> FakeSlurm {
        FakeSlurm(Arc::new(Mutex::new(World {
            settings,
            ..World::default()
        })))
    }

    /// Adds nodes that are powered down.
    pub fn add<'a>(&self, nodes: impl IntoIterator<Item = &'a NodeName>) {
        for name in nodes {
            self.set(name, "IDLE+CLOUD+POWERED_DOWN");
        }
    }

    /// Puts a node into this state, and adds it if it is new. Nothing happens
    /// by itself in a state that is set so.
    pub fn set(&self, name: &NodeName, state: &str) {
        let mut seen = SlurmNode::new(NodeState::parse(state));
        seen.addr = Some(name.to_string());
        seen.hostname = Some(name.to_string());
        let node = Node {
            seen,
            due: None,
            marked_early: false,
        };
        self.world().nodes.insert(name.clone(), node);
    }

    /// A job wants these nodes: those powered down begin to power up, and
    /// ResumeProgram is called.
    pub fn power_up<'a>(&self, nodes: impl IntoIterator<Item = &'a NodeName>) {
        let mut world = self.world();
        for name in nodes {
            if world.power_up(name)
                && let Some(node) = world.nodes.get_mut(name)
            {
                node.seen.state.set_base(Base::Mixed);
            }
        }
    }

    /// Their slurmds register.
    pub fn up<'a>(&self, nodes: impl IntoIterator<Item = &'a NodeName>) {
        let mut world = self.world();
        for name in nodes {
            let Some(node) = world.nodes.get_mut(name) else {
                continue;
            };
            node.seen.reason = None;
            node.seen.state = NodeState::parse("IDLE+CLOUD");
            node.due = None;
        }
    }

    /// slurmctld suspends them, as after SuspendTime.
    pub fn suspend<'a>(&self, nodes: impl IntoIterator<Item = &'a NodeName>) {
        let mut world = self.world();
        for name in nodes {
            world.want_down(name);
        }
    }

    /// An administrator sets them down.
    pub fn down<'a>(&self, nodes: impl IntoIterator<Item = &'a NodeName>, reason: &str) {
        let mut world = self.world();
        for name in nodes {
            world.set_down(name, reason, "admin");
        }
    }

    /// They stop to answer.
    pub fn not_responding<'a>(&self, nodes: impl IntoIterator<Item = &'a NodeName>) {
        let mut world = self.world();
        for name in nodes {
            if let Some(node) = world.nodes.get_mut(name) {
                node.seen.state.insert(Flag::NotResponding);
            }
        }
    }

    /// Takes a node out of the cluster; Slurm shows it no more.
    pub fn forget(&self, name: &NodeName) {
        self.world().nodes.remove(name);
    }

    /// What a node is now.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<SlurmNode> {
        self.world().nodes.get(name).map(|n| n.seen.clone())
    }

    /// A node's state now, in Slurm's words; empty for a node that is not there.
    #[must_use]
    pub fn state(&self, name: &NodeName) -> String {
        self.node(name)
            .map(|n| n.state.to_string())
            .unwrap_or_default()
    }

    /// What was called since the last time this was asked.
    #[must_use]
    pub fn calls(&self) -> Vec<Called> {
        std::mem::take(&mut self.world().calls)
    }

    /// How many questions for nodes there were.
    #[must_use]
    pub fn shows(&self) -> usize {
        self.world().shows
    }

    /// How many calls of `scontrol update` it would have been.
    #[must_use]
    pub fn updates(&self) -> usize {
        self.world().updates
    }

    /// The changes asked for, in order.
    #[must_use]
    pub fn log(&self) -> Vec<(Vec<NodeName>, Change)> {
        self.world().log.clone()
    }

    /// The next question for nodes fails so. May be said several times.
    pub fn fail_next_show(&self, kind: SlurmErrorKind) {
        self.world().show_failures.push_back(kind);
    }

    /// The next update fails so, and changes nothing. May be said several times.
    pub fn fail_next_update(&self, kind: SlurmErrorKind) {
        self.world().update_failures.push_back(kind);
    }

    /// Everything fails so until told otherwise: `Some(Timeout)` is no answer,
    /// `Some(Empty)` is "No nodes in the system".
    pub fn silence(&self, kind: Option<SlurmErrorKind>) {
        self.world().silent = kind;
    }

    /// Whether another host's controller acts.
    pub fn acts_elsewhere(&self, elsewhere: bool) {
        self.world().elsewhere = elsewhere;
    }

    /// The world as of now.
    fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        world.catch_up(Instant::now());
        world
    }
}

impl World {
    /// Lets happen what was due by `now`.
    fn catch_up(&mut self, now: Instant) {
        let World {
            settings,
            nodes,
            calls,
            ..
        } = self;
        for (name, node) in nodes.iter_mut() {
            while let Some(due) = node.due.filter(|due| *due <= now) {
                node.due = node.step(name, due, settings, calls);
            }
        }
    }

    fn power_up(&mut self, name: &NodeName) -> bool {
        let timeout = self.settings.resume_timeout;
        let Some(node) = self.nodes.get_mut(name) else {
            return false;
        };
        let state = &mut node.seen.state;
        // During POWERING_DOWN it is lost without a word.
        if !state.is_powered_down() {
            return false;
        }
        state.remove(&Flag::PoweredDown);
        state.insert(Flag::NotResponding);
        state.insert(Flag::PoweringUp);
        node.due = Some(Instant::now() + timeout);
        self.calls.push(Called::Resume(name.clone()));
        true
    }

    fn want_down(&mut self, name: &NodeName) {
        let notice = self.settings.notice;
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        let state = &mut node.seen.state;
        if state.is_powering_down() || state.is_power_down_requested() {
            return;
        }
        state.remove(&Flag::PoweringUp);
        state.remove(&Flag::PoweredDown);
        state.insert(Flag::PowerDown);
        // Its jobs are requeued.
        if state.is_allocated_or_mixed() {
            state.set_base(Base::Idle);
        }
        node.marked_early = false;
        node.due = Some(Instant::now() + notice);
    }

    fn set_down(&mut self, name: &NodeName, reason: &str, by: &str) {
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        node.marked_early = node.seen.state.is_power_down_requested();
        node.seen.state.set_base(Base::Down);
        let (text, by) = (reason.to_owned(), Some(by.to_owned()));
        node.seen.reason = Some(Reason {
            text,
            by,
            at_ms: None,
        });
    }

    /// `state=resume`; false where Slurm says "Invalid node state specified".
    fn resume(&mut self, name: &NodeName) -> bool {
        let Some(node) = self.nodes.get_mut(name) else {
            return false;
        };
        let state = &mut node.seen.state;
        if !(state.is_down() || state.is_drain() || state.is_fail()) {
            return false;
        }
        if state.is_down() {
            state.set_base(Base::Idle);
            state.insert(Flag::NotResponding);
        }
        state.remove(&Flag::Drain);
        state.remove(&Flag::Fail);
        node.seen.reason = None;
        true
    }

    fn apply(&mut self, at: usize, name: &NodeName, change: &Change) -> bool {
        match change {
            Change::PowerDownForce => self.want_down(name),
            Change::Down { reason } => self.set_down(name, reason, "slurm"),
            Change::Resume => return self.resume(name),
            Change::PowerUp => {
                self.power_up(name);
            }
            Change::Addresses(all) => {
                if let Some(node) = self.nodes.get_mut(name) {
                    node.seen.addr = all.get(at).cloned();
                }
            }
        }
        true
    }
}

impl Node {
    /// What happens by itself at `due`, and when the next thing will.
    fn step(
        &mut self,
        name: &NodeName,
        due: Instant,
        settings: &Settings,
        calls: &mut Vec<Called>,
    ) -> Option<Instant> {
        let state = &mut self.seen.state;
        if state.is_power_down_requested() {
            state.remove(&Flag::PowerDown);
            state.remove(&Flag::NotResponding);
            state.insert(Flag::PoweringDown);
            if settings.idle_on_node_suspend {
                state.remove(&Flag::Drain);
            }
            // The reason stays, the state does not.
            if settings.idle_on_node_suspend || self.marked_early {
                state.set_base(Base::Idle);
            }
            calls.push(Called::Suspend(name.clone()));
            return Some(due + settings.suspend_timeout);
        }
        if state.is_powering_down() {
            state.remove(&Flag::PoweringDown);
            state.insert(Flag::PoweredDown);
            self.seen.addr = Some(name.to_string());
            return None;
        }
        if state.is_powering_up() {
            state.remove(&Flag::PoweringUp);
            state.insert(Flag::PoweredDown);
            state.set_base(Base::Down);
            let text = "ResumeTimeout reached".to_owned();
            self.seen.reason = Some(Reason {
                text,
                by: Some("slurm".to_owned()),
                at_ms: None,
            });
            calls.push(Called::ResumeFail(name.clone()));
        }
        None
    }
}

fn failure(kind: SlurmErrorKind) -> SlurmError {
    SlurmError::new(kind, format!("the fake Slurm was told to fail ({kind})"))
}

#[async_trait]
impl SlurmControl for FakeSlurm {
    async fn nodes(&self, which: Which<'_>) -> Result<BTreeMap<NodeName, SlurmNode>, SlurmError> {
        let mut world = self.world();
        world.shows += 1;
        if let Some(kind) = world.silent.or_else(|| world.show_failures.pop_front()) {
            return Err(failure(kind));
        }
        let seen = |name: &NodeName| Some((name.clone(), world.nodes.get(name)?.seen.clone()));
        let shown: BTreeMap<_, _> = match which {
            Which::All => world.nodes.keys().filter_map(seen).collect(),
            Which::Some(names) => return Ok(names.iter().filter_map(seen).collect()),
        };
        if shown.is_empty() {
            Err(failure(SlurmErrorKind::Empty))
        } else {
            Ok(shown)
        }
    }

    async fn update(&self, nodes: &[NodeName], change: &Change) -> Updates {
        let mut world = self.world();
        world.log.push((nodes.to_vec(), change.clone()));
        let size = world.settings.batch.max(1);
        let mut results = Updates::new();
        for (number, batch) in nodes.chunks(size).enumerate() {
            world.updates += 1;
            if let Some(kind) = world.silent.or_else(|| world.update_failures.pop_front()) {
                results.push((batch.to_vec(), Err(failure(kind))));
                continue;
            }
            let (mut known, mut unknown, mut all) = (Vec::new(), Vec::new(), true);
            for (at, name) in batch.iter().enumerate() {
                if world.nodes.contains_key(name) {
                    all &= world.apply(number * size + at, name, change);
                    known.push(name.clone());
                } else {
                    unknown.push(name.clone());
                }
            }
            if !known.is_empty() {
                // One answer for all, though those that could be were changed.
                let message = "Invalid node state specified";
                let refused = SlurmError::new(SlurmErrorKind::Refused, message);
                results.push((known, if all { Ok(()) } else { Err(refused) }));
            }
            if !unknown.is_empty() {
                let message = "Invalid node name specified";
                let error = SlurmError::new(SlurmErrorKind::NoSuchNode, message);
                results.push((unknown, Err(error)));
            }
        }
        results
    }

    async fn ping(&self) -> Result<Acting, SlurmError> {
        let world = self.world();
        if let Some(kind) = world.silent.filter(|kind| *kind != SlurmErrorKind::Empty) {
            return Err(failure(kind));
        }
        let role = if world.elsewhere { "backup" } else { "primary" };
        let host = if world.elsewhere { "other" } else { "here" };
        Ok(Acting {
            role: role.into(),
            host: host.into(),
            is_this_host: !world.elsewhere,
        })
    }

    async fn version(&self) -> Result<SlurmVersion, SlurmError> {
        Ok(SlurmVersion {
            major: 24,
            minor: 11,
            patch: 5,
        })
    }
}

#[cfg(test)]
#[path = "fake_tests.rs"]
mod tests;
