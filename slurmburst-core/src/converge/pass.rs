//! One pass: what is due is looked at, decided and handed on.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::error::Error;
use crate::hostlist::NodeName;
use crate::ledger::{Attempt, AttemptState, LedgerError, Program, Wish};
use crate::policy::Tried;
use crate::provider::{Direction, Generation, Lifecycle};
use crate::slurm::control::SlurmNode;

use super::act::Plan;
use super::decide::{Decision, NodeView, decide, is_older};
use super::observe::{Clouds, PATIENCE};
use super::{Converger, earliest, millis};

/// The live attempts of a node.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) up: Option<Attempt>,
    pub(super) downs: Vec<Attempt>,
}

impl Live {
    pub(super) fn all(&self) -> impl Iterator<Item = &Attempt> {
        self.up.iter().chain(&self.downs)
    }

    /// Whether the cloud is bringing it down, and nothing else is in question.
    fn is_going_down(&self) -> bool {
        self.downs
            .iter()
            .any(|d| matches!(d.state, AttemptState::Accepted(_)))
            && self
                .up
                .as_ref()
                .is_none_or(|a| a.state != AttemptState::Unknown)
    }
}

/// Live attempts by node.
pub(super) type LiveAttempts = HashMap<NodeName, Live>;

/// What Slurm shows, where it was asked and has answered.
pub(super) type Shown = Option<BTreeMap<NodeName, SlurmNode>>;

pub(super) fn by_node(attempts: Vec<Attempt>) -> LiveAttempts {
    let mut live = LiveAttempts::new();
    for attempt in attempts {
        let slot = live.entry(attempt.node.clone()).or_default();
        match attempt.direction {
            Direction::Up => slot.up = Some(attempt),
            Direction::Down => slot.downs.push(attempt),
        }
    }
    live
}

impl Converger {
    /// Looks at everything that is due. Answers when something is due next.
    pub(super) async fn pass(&mut self) -> Result<Option<i64>, LedgerError> {
        self.report.passes += 1;
        self.tell_addresses_if_due().await?;
        self.sync()?;
        let now = self.clock.now_ms();
        let due = self.open_wishes_of(&self.agenda.due(now))?;
        let nodes: Vec<NodeName> = due.iter().map(|w| w.node.clone()).collect();
        let live = by_node(self.ledger.live_attempts_of(&nodes)?);

        // Clouds first, Slurm second.
        let concerned = self.providers_to_list(&due, &live);
        let clouds = self.list(&concerned, PATIENCE).await?;
        let mut ask: BTreeSet<NodeName> = due
            .iter()
            .filter(|w| asks_slurm(w, &live, now))
            .map(|w| w.node.clone())
            .collect();
        ask.extend(self.marks.due(now).map(|m| m.node.clone()));
        let slurm = self.ask_slurm_for(ask).await?;

        let due = self.still_newest(due)?;
        let plan = self.plan(&due, &live, &clouds, &slurm)?;
        self.carry_out(plan, &live, &clouds)?;
        self.step_marks(slurm).await?;
        Ok(self.next_due())
    }

    /// The wishes of these nodes; of one whose wish has ended nothing is due.
    fn open_wishes_of(&mut self, nodes: &[NodeName]) -> Result<Vec<Wish>, LedgerError> {
        let mut wishes = self.ledger.wishes(Some(nodes))?;
        for wish in wishes.iter().filter(|w| w.settled.is_some()) {
            self.agenda.done(&wish.node);
        }
        wishes.retain(|w| w.settled.is_none());
        Ok(wishes)
    }

    /// Without those that were overtaken while clouds and Slurm were asked.
    fn still_newest(&self, due: Vec<Wish>) -> Result<Vec<Wish>, LedgerError> {
        if Some(self.ledger.wake_counter()?) == self.synced {
            return Ok(due);
        }
        let nodes: Vec<NodeName> = due.iter().map(|w| w.node.clone()).collect();
        let newest = self.ledger.wishes(Some(&nodes))?;
        let pairs = due.into_iter().zip(newest);
        Ok(pairs
            .filter(|(a, b)| a.generation == b.generation)
            .map(|(a, _)| a)
            .collect())
    }

    /// Which providers have to be listed for these wishes: not where the ledger
    /// knows of accepted work to ask after, or of a call to replay.
    fn providers_to_list(&self, due: &[Wish], live: &LiveAttempts) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for wish in due {
            let node = live.get(&wish.node);
            let is_known = match wish.direction {
                Direction::Up => node.and_then(|l| l.up.as_ref()).is_some_and(|a| {
                    a.state != AttemptState::Unknown || !self.refused_replays.contains_key(&a.call)
                }),
                Direction::Down => node.is_some_and(Live::is_going_down),
            };
            if is_known {
                continue;
            }
            names.extend(self.providers_of(&wish.node).into_iter().map(str::to_owned));
            if let Some(l) = node {
                names.extend(l.all().map(|a| a.provider.clone()));
            }
        }
        names
    }

    /// Decides about each.
    fn plan(
        &mut self,
        due: &[Wish],
        live: &LiveAttempts,
        clouds: &Clouds,
        slurm: &Shown,
    ) -> Result<Plan, LedgerError> {
        let nothing = Live::default();
        let mut plan = Plan::default();
        for wish in due {
            let l = live.get(&wish.node).unwrap_or(&nothing);
            let tried = match (wish.direction, &l.up) {
                (Direction::Up, None) => self.tried(&wish.node, wish.generation)?,
                _ => Vec::new(),
            };
            match self.decide_one(wish, l, &tried, clouds, slurm) {
                Decision::Wait { until_ms, .. } => self.wait_until(wish, until_ms),
                Decision::Unlisted { .. } => {
                    let at = self.agenda.back_off(&wish.node, self.clock.now_ms(), 0);
                    self.wait_until(wish, at);
                }
                decision => plan.push(wish.clone(), decision, tried),
            }
        }
        Ok(plan)
    }

    fn decide_one(
        &self,
        wish: &Wish,
        live: &Live,
        tried: &[Tried],
        clouds: &Clouds,
        slurm: &Shown,
    ) -> Decision {
        let node = &wish.node;
        let now_ms = self.clock.now_ms();
        let downs: Vec<&Attempt> = live.downs.iter().collect();
        let mut providers = self.providers_of(node);
        providers.extend(live.all().map(|a| a.provider.as_str()));
        decide(&NodeView {
            now_ms,
            wish,
            lifecycle: self.lifecycle_of(node),
            up: live.up.as_ref(),
            replay_refused: live
                .up
                .as_ref()
                .and_then(|a| self.refused_replays.get(&a.call)),
            downs: &downs,
            tried,
            seen: &clouds.seen(node),
            listing: self.listing_of(clouds, node, &providers),
            slurm: slurm.as_ref().and_then(|s| s.get(node)).map(|n| &n.state),
            slurm_answered: slurm.is_some() && asks_slurm_late(wish, now_ms),
            consistency_ms: self.consistency_ms(&providers),
        })
    }

    /// Looks again then; at a power-up's deadline in any case.
    pub(super) fn wait_until(&mut self, wish: &Wish, until_ms: i64) {
        let now = self.clock.now_ms();
        let at = match wish.direction {
            Direction::Up if wish.deadline_ms > now => until_ms.min(wish.deadline_ms),
            _ => until_ms,
        };
        self.agenda.wait(&wish.node, at);
    }

    /// What was tried for a wish and refused, oldest first.
    fn tried(&self, node: &NodeName, generation: Generation) -> Result<Vec<Tried>, LedgerError> {
        let tried = self.ledger.tried(node, generation)?.into_iter();
        Ok(tried
            .map(|(placement, error): (String, Error)| Tried { placement, error })
            .collect())
    }

    pub(super) fn lifecycle_of(&self, node: &NodeName) -> Lifecycle {
        // A node of no group may hold a disk that somebody wants: it is kept.
        self.site
            .policy
            .group_of(node)
            .map_or(Lifecycle::StartDeallocate, |g| g.lifecycle)
    }

    pub(super) fn consistency_ms(&self, providers: &[&str]) -> i64 {
        let windows = providers.iter().filter_map(|p| self.providers.get(*p));
        windows
            .map(|p| millis(p.capabilities().consistency_window))
            .max()
            .unwrap_or(0)
    }

    /// When the next wish, mark or address is due; nothing when nothing is left
    /// to do but wait for what is under way.
    pub(super) fn next_due(&self) -> Option<i64> {
        let now = self.clock.now_ms();
        let marks = self
            .marks
            .next(now)
            .map(|at| at.max(self.slurm_not_before.0));
        let addresses = self.addresses.due(self.is_idle());
        earliest(earliest(self.agenda.next(), marks), addresses)
    }

    /// Whether nothing more is to be expected soon.
    pub(super) fn is_idle(&self) -> bool {
        self.executor.in_flight() == 0 && self.agenda.next().is_none()
    }
}

/// Whether Slurm has a say in what is done for this wish.
fn asks_slurm(wish: &Wish, live: &LiveAttempts, now: i64) -> bool {
    let up = live.get(&wish.node).and_then(|l| l.up.as_ref());
    wish.program == Program::Suspend
        || asks_slurm_late(wish, now)
        || up.is_some_and(|a| a.state == AttemptState::Done && is_older(a, wish))
}

/// A power-up whose deadline has passed: Slurm may have taken the node all the same.
fn asks_slurm_late(wish: &Wish, now: i64) -> bool {
    wish.direction == Direction::Up && wish.deadline_ms <= now
}
