//! Marks told to Slurm, step by step and in batches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::hostlist::NodeName;
use crate::ledger::{Changes, Event, LedgerError, Mark, MarkStep, Wish};
use crate::slurm::control::{Change, SlurmErrorKind, SlurmNode, Which};

use super::pass::Shown;
use super::slurm_side::{MarkDecision, decide_mark};
use super::{Converger, back_off_ms};

/// How soon to look again while Slurm is on its way, at first and at most.
const SOON_MS: i64 = 300;
const LATE_MS: i64 = 30_000;
/// A mark that only waits for its time is the timer's business, not a reason to
/// stay, unless its time is as near as this.
const NEAR_MS: i64 = 70_000;

/// The marks of the ledger, and when each is to be looked at.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<NodeName, Slot>);

#[derive(Debug)]
struct Slot {
    mark: Mark,
    at_ms: i64,
}

impl Slot {
    fn new(mark: Mark, now_ms: i64) -> Slot {
        let at_ms = if mark.step == MarkStep::Hold {
            mark.until_ms
        } else {
            now_ms
        };
        Slot { mark, at_ms }
    }
}

impl Marks {
    /// Takes over the ledger's marks; those that were known keep their time.
    pub(super) fn sync(&mut self, marks: Vec<Mark>, now_ms: i64) {
        let mut old = std::mem::take(&mut self.0);
        for mark in marks {
            let slot = match old.remove(&mark.node) {
                Some(slot) if slot.mark == mark => slot,
                _ => Slot::new(mark, now_ms),
            };
            self.0.insert(slot.mark.node.clone(), slot);
        }
    }

    /// A new mark.
    pub(super) fn put(&mut self, mark: Mark, now_ms: i64) {
        self.0.insert(mark.node.clone(), Slot::new(mark, now_ms));
    }

    fn remove(&mut self, node: &NodeName) {
        self.0.remove(node);
    }

    fn step(&mut self, node: &NodeName, step: MarkStep, at_ms: i64) {
        if let Some(slot) = self.0.get_mut(node) {
            slot.mark.step = step;
            slot.at_ms = if step == MarkStep::Hold {
                slot.mark.until_ms.max(at_ms)
            } else {
                at_ms
            };
        }
    }

    /// Looks again soon, and less often the longer it lasts.
    fn soon(&mut self, node: &NodeName, now_ms: i64) {
        if let Some(slot) = self.0.get_mut(node) {
            let since = match slot.mark.step {
                MarkStep::Hold => slot.mark.until_ms,
                MarkStep::Force | MarkStep::Await => slot.mark.created_ms,
            };
            let wait = (now_ms.saturating_sub(since) / 8).clamp(SOON_MS, LATE_MS);
            slot.at_ms = now_ms.saturating_add(wait);
        }
    }

    /// The marks that are due, by node.
    pub(super) fn due(&self, now_ms: i64) -> impl Iterator<Item = &Mark> {
        self.0
            .values()
            .filter(move |s| s.at_ms <= now_ms)
            .map(|s| &s.mark)
    }

    /// When the next is due that is worth staying for.
    pub(super) fn next(&self, now_ms: i64) -> Option<i64> {
        let near = now_ms.saturating_add(NEAR_MS);
        let stays = |s: &&Slot| s.mark.step != MarkStep::Hold || s.at_ms <= near;
        self.0.values().filter(stays).map(|s| s.at_ms).min()
    }

    pub(super) fn has(&self, node: &NodeName) -> bool {
        self.0.contains_key(node)
    }
}

/// What is done about marks, by what has to be done.
#[derive(Default)]
struct Steps {
    force: Vec<Mark>,
    down: BTreeMap<String, Vec<Mark>>,
    back: Vec<Mark>,
    /// Told enough to go on.
    to_await: Vec<NodeName>,
    to_hold: Vec<NodeName>,
    forget: Vec<(Mark, String)>,
}

impl Converger {
    /// What Slurm shows of these nodes; nothing where none is asked for.
    pub(super) async fn ask_slurm_for(
        &mut self,
        nodes: BTreeSet<NodeName>,
    ) -> Result<Shown, LedgerError> {
        if nodes.is_empty() {
            return Ok(None);
        }
        let nodes: Vec<NodeName> = nodes.into_iter().collect();
        self.ask_slurm(Which::Some(&nodes)).await
    }

    /// Takes every mark that is due one step further.
    pub(super) async fn step_marks(&mut self, seen: Shown) -> Result<(), LedgerError> {
        let now = self.clock.now_ms();
        let due: Vec<Mark> = self.marks.due(now).cloned().collect();
        if due.is_empty() {
            return Ok(());
        }
        // Marks made in this very pass are not in what was asked before.
        let states = match seen {
            Some(states) if due.iter().all(|m| states.contains_key(&m.node)) => Some(states),
            _ => {
                self.ask_slurm_for(due.iter().map(|m| m.node.clone()).collect())
                    .await?
            }
        };
        let Some(states) = states else { return Ok(()) };
        let nodes: Vec<NodeName> = due.iter().map(|m| m.node.clone()).collect();
        let wishes = self.ledger.wishes(Some(&nodes))?.into_iter();
        let wishes: BTreeMap<NodeName, Wish> = wishes.map(|w| (w.node.clone(), w)).collect();
        let mut steps = Steps::default();
        for mark in due {
            let wish = wishes.get(&mark.node);
            self.sort_mark(mark, wish, &states, &mut steps);
        }
        self.take_steps(steps).await
    }

    fn sort_mark(
        &mut self,
        mark: Mark,
        wish: Option<&Wish>,
        states: &BTreeMap<NodeName, SlurmNode>,
        steps: &mut Steps,
    ) {
        let Some(node) = states.get(&mark.node) else {
            // Slurm does not know the node (any more): there is nobody to tell.
            steps
                .forget
                .push((mark, "Slurm does not show the node".to_owned()));
            return;
        };
        let now = self.clock.now_ms();
        let reason = node.reason.as_ref().map(|r| r.text.as_str());
        match decide_mark(&mark, wish, &node.state, reason, now) {
            MarkDecision::Force => steps.force.push(mark),
            MarkDecision::Step(MarkStep::Hold) => steps.to_hold.push(mark.node),
            MarkDecision::Step(_) => steps.to_await.push(mark.node),
            MarkDecision::Down => steps
                .down
                .entry(mark.reason.clone())
                .or_default()
                .push(mark),
            MarkDecision::Return => steps.back.push(mark),
            MarkDecision::Forget => {
                let why = format!("Slurm shows {}", node.state);
                steps.forget.push((mark, why));
            }
            MarkDecision::Soon => self.marks.soon(&mark.node, now),
            MarkDecision::Later => self.marks.step(&mark.node, MarkStep::Hold, mark.until_ms),
        }
    }

    async fn take_steps(&mut self, steps: Steps) -> Result<(), LedgerError> {
        self.forget_marks(steps.forget)?;
        self.move_marks(&steps.to_await, MarkStep::Await)?;
        self.move_marks(&steps.to_hold, MarkStep::Hold)?;
        let forced = self
            .update_slurm(steps.force, &Change::PowerDownForce, "power-down-force")
            .await?;
        self.move_marks(&forced, MarkStep::Await)?;
        for (reason, marks) in steps.down {
            // Whether it stuck shows when it is looked at next.
            self.update_slurm(marks, &Change::Down { reason }, "marked-down")
                .await?;
        }
        let back = self
            .update_slurm(steps.back, &Change::Resume, "returned")
            .await?;
        self.ledger.clear_marks(&back)?;
        back.iter().for_each(|node| self.marks.remove(node));
        Ok(())
    }

    fn move_marks(&mut self, nodes: &[NodeName], step: MarkStep) -> Result<(), LedgerError> {
        self.ledger.step_marks(nodes, step)?;
        let soon = self.clock.now_ms().saturating_add(SOON_MS);
        nodes
            .iter()
            .for_each(|node| self.marks.step(node, step, soon));
        Ok(())
    }

    fn forget_marks(&mut self, marks: Vec<(Mark, String)>) -> Result<(), LedgerError> {
        let nodes: Vec<NodeName> = marks.iter().map(|(m, _)| m.node.clone()).collect();
        self.ledger.clear_marks(&nodes)?;
        nodes.iter().for_each(|node| self.marks.remove(node));
        let events = marks
            .into_iter()
            .map(|(m, why)| self.mark_event(&m, "mark-ended", why))
            .collect();
        self.record(&Changes {
            events,
            ..Changes::default()
        })
    }

    /// Sends one change for all these nodes; answers with those that Slurm took.
    async fn update_slurm(
        &mut self,
        marks: Vec<Mark>,
        change: &Change,
        what: &str,
    ) -> Result<Vec<NodeName>, LedgerError> {
        if marks.is_empty() {
            return Ok(Vec::new());
        }
        let nodes: Vec<NodeName> = marks.iter().map(|m| m.node.clone()).collect();
        let of: BTreeMap<NodeName, Mark> = marks.into_iter().map(|m| (m.node.clone(), m)).collect();
        let (mut taken, mut events) = (Vec::new(), Vec::new());
        let slurm = Arc::clone(&self.slurm);
        for (batch, result) in self.meanwhile(slurm.update(&nodes, change)).await? {
            self.report.slurm_updates += 1;
            let now = self.clock.now_ms();
            for mark in batch.iter().filter_map(|node| of.get(node)) {
                self.marks.soon(&mark.node, now);
                events.push(match &result {
                    Ok(()) => self.mark_event(mark, what, mark.reason.clone()),
                    Err(error) => self.mark_event(mark, "slurm-refused", error.to_string()),
                });
            }
            match result {
                Ok(()) => taken.extend(batch),
                Err(error) => {
                    self.journal
                        .note(&format!("scontrol update failed: {error}"));
                    // What Slurm said of some nodes is no reason to leave it alone with others.
                    if error.kind() != SlurmErrorKind::NoSuchNode {
                        let at = now.saturating_add(back_off_ms(self.slurm_not_before.1));
                        self.slurm_not_before = (at, self.slurm_not_before.1 + 1);
                    }
                }
            }
        }
        self.record(&Changes {
            events,
            ..Changes::default()
        })?;
        Ok(taken)
    }

    fn mark_event(&self, mark: &Mark, what: &str, detail: String) -> Event {
        self.event(&mark.node, Some(mark.generation), what, Some(detail))
    }
}
