//! One pass: what is due is looked at, decided and handed on.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::error::{Advice, Error};
use crate::hostlist::NodeName;
use crate::ledger::LedgerError;
use crate::ledger::{Attempt, Program, Wish};
use crate::policy::Tried;
use crate::provider::{Direction, Generation, Lifecycle};
use crate::slurm::control::{SlurmNode, Which};

use super::act::Plan;
use super::decide::{Decision, NodeView, decide};
use super::observe::{Clouds, PATIENCE};
use super::{Converger, earliest, millis};

/// The live attempts of a node.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) up: Option<Attempt>,
    pub(super) downs: Vec<Attempt>,
}

/// Live attempts by node.
pub(super) type LiveAttempts = HashMap<NodeName, Live>;

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
        let now = self.clock.now_ms();
        let wishes = self.ledger.open_wishes()?;
        let marks = self.ledger.marks()?;
        let due: Vec<Wish> = wishes.into_iter().filter(|w| self.is_due(&w.node, now)).collect();
        let live = if due.is_empty() { LiveAttempts::new() } else { by_node(self.ledger.live_attempts()?) };

        // Clouds first, Slurm second.
        let concerned = self.providers_to_list(&due, &live);
        let clouds = self.list(&concerned, PATIENCE).await?;
        let mut ask: BTreeSet<NodeName> =
            due.iter().filter(|w| w.program == Program::Suspend).map(|w| w.node.clone()).collect();
        ask.extend(marks.iter().filter(|m| self.mark_is_due(m, now)).map(|m| m.node.clone()));
        let slurm = if ask.is_empty() {
            None
        } else {
            let ask: Vec<NodeName> = ask.into_iter().collect();
            self.ask_slurm(Which::Some(&ask)).await?
        };

        let plan = self.plan(&due, &live, &clouds, slurm.as_ref())?;
        self.carry_out(plan, &live, &clouds).await?;
        self.step_marks(slurm.as_ref()).await?;
        self.next_due()
    }

    fn is_due(&self, node: &NodeName, now: i64) -> bool {
        !self.busy.contains(node) && self.not_before.get(node).is_none_or(|(at, _)| *at <= now)
    }

    /// Which providers have to be listed for these wishes: not where the ledger
    /// knows of accepted work or of a call to replay.
    fn providers_to_list(&self, due: &[Wish], live: &LiveAttempts) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for wish in due {
            let node = live.get(&wish.node);
            let known = node.is_some_and(|l| l.up.is_some());
            if wish.direction == Direction::Up && known {
                continue;
            }
            names.extend(self.providers_of(&wish.node).into_iter().map(str::to_owned));
            if let Some(l) = node {
                names.extend(l.up.iter().chain(&l.downs).map(|a| a.provider.clone()));
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
        slurm: Option<&BTreeMap<NodeName, SlurmNode>>,
    ) -> Result<Plan, LedgerError> {
        let now = self.clock.now_ms();
        let nothing = Live::default();
        let mut plan = Plan::default();
        for wish in due {
            let node = &wish.node;
            let l = live.get(node).unwrap_or(&nothing);
            let downs: Vec<&Attempt> = l.downs.iter().collect();
            let tried = match (wish.direction, &l.up) {
                (Direction::Up, None) => self.tried(node, wish.generation)?,
                _ => Vec::new(),
            };
            let seen = clouds.seen(node);
            let mut providers = self.providers_of(node);
            providers.extend(l.up.iter().chain(&l.downs).map(|a| a.provider.as_str()));
            let view = NodeView {
                now_ms: now,
                wish,
                lifecycle: self.lifecycle_of(node),
                up: l.up.as_ref(),
                downs: &downs,
                tried: &tried,
                seen: &seen,
                listing: self.listing_of(clouds, node, &providers),
                slurm: slurm.and_then(|s| s.get(node)).map(|n| &n.state),
                consistency_ms: self.consistency_ms(&providers),
            };
            match decide(&view) {
                Decision::Wait { until_ms, why } => {
                    let times = self.not_before.get(node).map_or(0, |(_, t)| *t);
                    self.not_before.insert(node.clone(), (until_ms, times));
                    plan.waiting.push((node.clone(), why));
                }
                decision => plan.push(wish.clone(), decision, tried),
            }
        }
        Ok(plan)
    }

    /// What was tried for a wish and says something about the next try. A call
    /// that only came at a bad time does not.
    fn tried(&self, node: &NodeName, generation: Generation) -> Result<Vec<Tried>, LedgerError> {
        let tried = self.ledger.tried(node, generation)?;
        Ok(tried
            .into_iter()
            .filter(|(_, error): &(String, Error)| !matches!(error.advice(), Advice::Retry(_)))
            .map(|(placement, error)| Tried { placement, error })
            .collect())
    }

    pub(super) fn lifecycle_of(&self, node: &NodeName) -> Lifecycle {
        // A node of no group may hold a disk that somebody wants: it is kept.
        self.site.policy.group_of(node).map_or(Lifecycle::StartDeallocate, |g| g.lifecycle)
    }

    pub(super) fn consistency_ms(&self, providers: &[&str]) -> i64 {
        let windows = providers.iter().filter_map(|p| self.providers.get(*p));
        windows.map(|p| millis(p.capabilities().consistency_window)).max().unwrap_or(0)
    }

    /// When the next wish, mark or address is due; nothing when nothing is left
    /// to do but wait for what is under way.
    pub(super) fn next_due(&self) -> Result<Option<i64>, LedgerError> {
        let now = self.clock.now_ms();
        let paused = self.ledger.paused()?;
        let mut due = None;
        for wish in self.ledger.open_wishes()? {
            if self.busy.contains(&wish.node) {
                continue;
            }
            let at = self.not_before.get(&wish.node).map_or(now, |(at, _)| *at);
            // A paused power-up is nobody's business until it is unpaused or late.
            if paused && wish.direction == Direction::Up && !self.not_before.contains_key(&wish.node) {
                continue;
            }
            due = earliest(due, Some(at));
        }
        due = earliest(due, self.next_mark_due(now)?);
        Ok(earliest(due, self.addresses_due()))
    }
}
