//! What became of what was sent, recorded before anything else is done.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Advice, Effect, Error, ErrorKind};
use crate::executor::{Finished, Work};
use crate::hostlist::NodeName;
use crate::ledger::{AttemptKey, AttemptState, AttemptUpdate, Event, LedgerError, Program, Wish};
use crate::outcome::{Machine, Outcome};
use crate::provider::{Call, Direction, Generation, INSTANCE_GONE, Pending, PowerDown};

use super::{Converger, back_off_ms, millis};

/// What a batch of finished work changes.
#[derive(Debug, Default)]
struct Changes {
    updates: Vec<AttemptUpdate>,
    /// Wishes up that are fulfilled.
    up: Vec<Wish>,
    /// Nodes whose machine went down: no power-up up to this wish is live any more.
    gone: Vec<(NodeName, Generation)>,
    /// Whether a new pass may find something to do.
    look_again: bool,
}

/// What one outcome says about one node.
struct Said<'a> {
    node: &'a NodeName,
    wish: Option<&'a Wish>,
    key: AttemptKey,
    placement: Option<&'a str>,
    call: Option<&'a str>,
    took: Duration,
}

/// Whether a wish is fulfilled when an instance of this generation is up. One of
/// an older call may be one that Slurm ignores: the table decides about that.
fn fulfils(generation: Generation, wish: &Wish) -> bool {
    wish.direction == Direction::Up
        && wish.settled.is_none()
        && generation > wish.floor
        && (generation == wish.generation || wish.program != Program::Resume)
}

impl Converger {
    /// Records finished work in one transaction. Answers whether a new pass
    /// may find something to do.
    pub(super) fn record_finished(&mut self, batch: Vec<Finished>) -> Result<bool, LedgerError> {
        let nodes: Vec<NodeName> = batch
            .iter()
            .flat_map(|f| f.outcomes.iter().map(|(n, _)| n.clone()))
            .collect();
        let wishes: BTreeMap<NodeName, Wish> = self
            .ledger
            .wishes(Some(&nodes))?
            .into_iter()
            .map(|w| (w.node.clone(), w))
            .collect();
        let mut changes = Changes::default();
        for finished in batch {
            for (node, _) in finished.outcomes.iter() {
                self.busy.remove(node);
            }
            let (outcomes, took) = (finished.outcomes, finished.took);
            match finished.work {
                Work::Up { call, .. } => {
                    for (node, outcome) in outcomes {
                        self.up_outcome(&call, &node, outcome, took, &wishes, &mut changes)?;
                    }
                }
                Work::Down { batch, .. } => {
                    let of: BTreeMap<&NodeName, &PowerDown> =
                        batch.iter().map(|d| (&d.node, d)).collect();
                    for (node, outcome) in outcomes {
                        let Some(down) = of.get(&node) else { continue };
                        let key = AttemptKey::Instance(down.instance.clone());
                        let said = Said {
                            node: &node,
                            wish: wishes.get(&node),
                            key,
                            placement: None,
                            call: None,
                            took,
                        };
                        self.down_outcome(said, outcome, &mut changes);
                    }
                }
                Work::Poll { name, pending, .. } => {
                    let of: BTreeMap<&NodeName, &Pending> =
                        pending.iter().map(|p| (&p.node, p)).collect();
                    for (node, outcome) in outcomes {
                        let Some(pending) = of.get(&node) else {
                            continue;
                        };
                        self.poll_outcome(
                            &name,
                            pending,
                            &node,
                            outcome,
                            took,
                            &wishes,
                            &mut changes,
                        )?;
                    }
                }
                Work::Tidy { .. } => {
                    for (node, outcome) in outcomes {
                        let detail = match &outcome {
                            Outcome::Failed(e) => Some(e.to_string()),
                            _ => None,
                        };
                        let event = Event {
                            at_ms: self.clock.now_ms(),
                            node,
                            generation: None,
                            what: format!("tidy-{}", outcome.as_str()),
                            placement: None,
                            call: None,
                            request_id: None,
                            duration_ms: Some(millis(took)),
                            detail,
                        };
                        self.write_events(&[event])?;
                    }
                }
            }
        }
        for update in &changes.updates {
            self.emit(&update.event);
        }
        self.ledger.record_outcomes(&changes.updates)?;
        self.ledger.close_ups(&changes.gone)?;
        self.settle(&changes.up)?;
        Ok(changes.look_again)
    }

    fn up_outcome(
        &mut self,
        call: &Call,
        node: &NodeName,
        outcome: Outcome,
        took: Duration,
        wishes: &BTreeMap<NodeName, Wish>,
        changes: &mut Changes,
    ) -> Result<(), LedgerError> {
        let wish = wishes.get(node);
        let key = AttemptKey::Call(call.id.clone());
        let said = Said {
            node,
            wish,
            key,
            placement: Some(&call.placement.name),
            call: Some(&call.id),
            took,
        };
        let generation = call
            .nodes
            .iter()
            .find(|n| n.name == *node)
            .map(|n| n.generation);
        let raised = matches!(
            outcome,
            Outcome::Done(_) | Outcome::Accepted(_) | Outcome::AlreadyDone
        );
        // A call is replayed whole. A node of it that was powered down since is up
        // again now: it is taken down again.
        if raised
            && let (Some(wish), Some(generation)) = (wish, generation)
            && wish.direction == Direction::Down
            && generation <= wish.floor
            && wish.settled.is_some()
        {
            self.ledger.reopen(node, wish.generation)?;
            changes.look_again = true;
        }
        let serves = |w: &&Wish| generation.is_some_and(|g| fulfils(g, w));
        match outcome {
            Outcome::Done(machine) => {
                self.came_up(&said, machine, wish.filter(serves), changes);
            }
            Outcome::AlreadyDone => {
                self.came_up(&said, Machine::default(), wish.filter(serves), changes);
            }
            Outcome::Accepted(pending) => self.accepted(&said, pending, changes),
            Outcome::Waiting { why, retry_after } => {
                self.leave_for(node, millis(retry_after));
                changes.look_again = true;
                changes.updates.push(self.update(
                    &said,
                    AttemptState::Closed,
                    "waiting",
                    Some(why),
                ));
            }
            Outcome::Superseded | Outcome::Skipped(_) => {
                self.leave_for(node, 500);
                changes.look_again = true;
                let what = outcome.as_str();
                let why = match outcome {
                    Outcome::Skipped(why) => Some(why),
                    _ => None,
                };
                changes
                    .updates
                    .push(self.update(&said, AttemptState::Closed, what, why));
            }
            Outcome::Failed(error) if error.cloud_code() == Some(INSTANCE_GONE) => {
                // The replay tells that what the call once made is no more.
                changes.look_again = true;
                let text = Some(error.to_string());
                changes
                    .updates
                    .push(self.update(&said, AttemptState::Closed, "gone", text));
            }
            Outcome::Failed(error) => {
                changes.look_again = true;
                if error.may_have_acted() == Effect::Unknown {
                    self.back_off(node, &error);
                    let text = Some(error.to_string());
                    changes.updates.push(self.update(
                        &said,
                        AttemptState::Unknown,
                        "effect-unknown",
                        text,
                    ));
                } else {
                    self.refused(&said, error, changes)?;
                }
            }
        }
        Ok(())
    }

    fn came_up(
        &mut self,
        said: &Said<'_>,
        machine: Machine,
        wish: Option<&Wish>,
        changes: &mut Changes,
    ) {
        if let Some(address) = machine.address {
            self.note_address(said.node, address);
        }
        let mut update = self.update(said, AttemptState::Done, "running", None);
        update.instance = machine.instance;
        update.event.request_id = machine.request_id;
        changes.updates.push(update);
        self.not_before.remove(said.node);
        match wish {
            Some(wish) => changes.up.push(wish.clone()),
            None => changes.look_again = true,
        }
    }

    fn accepted(&mut self, said: &Said<'_>, pending: Pending, changes: &mut Changes) {
        self.leave_for(said.node, millis(pending.poll_after));
        let instance = pending.instance.clone();
        let mut update = self.update(said, AttemptState::Accepted(pending), "accepted", None);
        update.instance = instance;
        changes.updates.push(update);
        changes.look_again = true;
    }

    /// It certainly did nothing. Whether it is worth another try is the error's to say.
    fn refused(
        &mut self,
        said: &Said<'_>,
        error: Error,
        changes: &mut Changes,
    ) -> Result<(), LedgerError> {
        match error.advice() {
            Advice::Retry(_) => self.back_off(said.node, &error),
            Advice::Elsewhere | Advice::Never => {
                self.not_before.remove(said.node);
                let cool_off = match error.kind() {
                    ErrorKind::Capacity => Some(self.site.cool_off.capacity),
                    ErrorKind::Quota => Some(self.site.cool_off.failure),
                    _ => None,
                };
                if let (Some(cool_off), Some(placement)) = (cool_off, said.placement) {
                    let until = self.clock.now_ms().saturating_add(millis(cool_off));
                    self.ledger.set_dry(placement, &error, until)?;
                }
            }
        }
        let text = Some(error.to_string());
        let mut update = self.update(said, AttemptState::Refused(error.clone()), "refused", text);
        update.event.request_id = error.cloud_request_id().map(str::to_owned);
        changes.updates.push(update);
        Ok(())
    }

    fn down_outcome(&mut self, said: Said<'_>, outcome: Outcome, changes: &mut Changes) {
        changes.look_again = true;
        match outcome {
            Outcome::Done(_) | Outcome::AlreadyDone => self.went_down(&said, changes),
            Outcome::Accepted(pending) => self.accepted(&said, pending, changes),
            Outcome::Waiting { why, retry_after } => {
                self.leave_for(said.node, millis(retry_after));
                changes.updates.push(self.update(
                    &said,
                    AttemptState::Closed,
                    "waiting",
                    Some(why),
                ));
            }
            Outcome::Superseded | Outcome::Skipped(_) => {
                self.leave_for(said.node, 500);
                changes.updates.push(self.update(
                    &said,
                    AttemptState::Closed,
                    outcome.as_str(),
                    None,
                ));
            }
            Outcome::Failed(error) if error.kind() == ErrorKind::NotFound => {
                self.went_down(&said, changes);
            }
            // Whatever the error: what has to go down is tried again, for ever,
            // since it costs money until it is down.
            Outcome::Failed(error) => {
                self.back_off(said.node, &error);
                let text = Some(error.to_string());
                changes.updates.push(self.update(
                    &said,
                    AttemptState::Unknown,
                    "down-failed",
                    text,
                ));
            }
        }
    }

    fn went_down(&mut self, said: &Said<'_>, changes: &mut Changes) {
        self.not_before.remove(said.node);
        let update = self.update(said, AttemptState::Done, "stopped", None);
        changes.updates.push(update);
        if let Some(wish) = said.wish {
            // What was begun for a newer wish than the one this power-down served
            // cannot be live yet: a power-down is waited for.
            changes.gone.push((said.node.clone(), wish.generation));
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn poll_outcome(
        &mut self,
        provider: &str,
        pending: &Pending,
        node: &NodeName,
        outcome: Outcome,
        took: Duration,
        wishes: &BTreeMap<NodeName, Wish>,
        changes: &mut Changes,
    ) -> Result<(), LedgerError> {
        let wish = wishes.get(node);
        let attempts = self.ledger.attempts(node, None)?;
        let attempt = attempts.iter().rev().find(|a| {
            a.direction == pending.direction
                && a.provider == provider
                && matches!(a.state, AttemptState::Accepted(_))
                && (a.direction == Direction::Up || a.instance == pending.instance)
        });
        let Some(attempt) = attempt else {
            return Ok(());
        };
        let key = match pending.direction {
            Direction::Up => AttemptKey::Call(attempt.call.clone()),
            Direction::Down => AttemptKey::Instance(attempt.instance.clone()),
        };
        let placement = (!attempt.placement.is_empty()).then_some(attempt.placement.as_str());
        let call = (!attempt.call.is_empty()).then_some(attempt.call.as_str());
        let said = Said {
            node,
            wish,
            key,
            placement,
            call,
            took,
        };
        match outcome {
            Outcome::Accepted(again) => {
                self.leave_for(node, millis(again.poll_after));
                let instance = again.instance.clone();
                let mut update = self.update(&said, AttemptState::Accepted(again), "polled", None);
                update.instance = instance;
                changes.updates.push(update);
            }
            Outcome::Failed(error) if matches!(error.advice(), Advice::Retry(_)) => {
                // The question failed, not the work.
                self.back_off(node, &error);
                changes.look_again = true;
            }
            Outcome::Waiting { .. } | Outcome::Superseded | Outcome::Skipped(_) => {
                self.leave_for(node, 1_000);
                changes.look_again = true;
            }
            Outcome::Failed(error) if pending.direction == Direction::Up => {
                changes.look_again = true;
                self.refused(&said, error, changes)?;
            }
            outcome if pending.direction == Direction::Down => {
                self.down_outcome(said, outcome, changes);
            }
            Outcome::Done(machine) => {
                let serves = wish.filter(|w| fulfils(attempt.generation, w));
                self.came_up(&said, machine, serves, changes);
            }
            _ => {
                let serves = wish.filter(|w| fulfils(attempt.generation, w));
                self.came_up(&said, Machine::default(), serves, changes);
            }
        }
        Ok(())
    }

    fn update(
        &self,
        said: &Said<'_>,
        state: AttemptState,
        what: &str,
        detail: Option<String>,
    ) -> AttemptUpdate {
        AttemptUpdate {
            node: said.node.clone(),
            key: said.key.clone(),
            state,
            instance: None,
            event: Event {
                at_ms: self.clock.now_ms(),
                node: said.node.clone(),
                generation: said.wish.map(|w| w.generation),
                what: what.to_owned(),
                placement: said.placement.map(str::to_owned),
                call: said.call.map(str::to_owned),
                request_id: None,
                duration_ms: Some(millis(said.took)),
                detail,
            },
        }
    }

    fn leave_for(&mut self, node: &NodeName, after_ms: i64) {
        let at = self.clock.now_ms().saturating_add(after_ms);
        self.not_before.insert(node.clone(), (at, 0));
    }

    fn back_off(&mut self, node: &NodeName, error: &Error) {
        let times = self.not_before.get(node).map_or(0, |(_, t)| *t);
        let said = match error.advice() {
            Advice::Retry(after) => millis(after),
            _ => 0,
        };
        let at = self
            .clock
            .now_ms()
            .saturating_add(said.max(back_off_ms(times)));
        self.not_before.insert(node.clone(), (at, times + 1));
    }
}
