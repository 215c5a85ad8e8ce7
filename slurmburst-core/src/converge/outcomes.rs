//! What became of what was sent, recorded before anything else is done.

use std::collections::HashSet;
use std::time::Duration;

use crate::error::{Advice, Effect, Error, ErrorKind};
use crate::executor::{Finished, Work};
use crate::hostlist::NodeName;
use crate::ledger::{AttemptKey, AttemptState, AttemptUpdate, Changes, LedgerError, Wish};
use crate::outcome::{Machine, Outcome, Outcomes};
use crate::provider::{Call, Direction, DownMode, INSTANCE_GONE, Pending, PowerDown};

use super::decide::{Target, serves};
use super::known::{Known, Part};
use super::{Converger, millis};

/// How soon to ask again where a poll was not answered.
const POLL_AGAIN_MS: i64 = 1_000;
/// How soon to look for what a refused replay has left.
const LOOK_AGAIN_MS: i64 = 2_000;

/// What follows from a batch of finished work.
#[derive(Default)]
struct Found {
    changes: Changes,
    /// Machines that nobody wants and that no listing may show yet.
    strays: Vec<(Wish, Target)>,
}

/// Whether a repetition that came to this says nothing of what was done before.
fn says_nothing(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Failed(error) => error.cloud_code() != Some(INSTANCE_GONE),
        Outcome::Waiting { .. } | Outcome::Superseded | Outcome::Skipped(_) => true,
        Outcome::Done(_) | Outcome::Accepted(_) | Outcome::AlreadyDone => false,
    }
}

impl Converger {
    /// Records finished work in one transaction.
    pub(super) fn record_finished(&mut self, batch: Vec<Finished>) -> Result<(), LedgerError> {
        let mut nodes: Vec<NodeName> = batch.iter().flat_map(|f| f.work.nodes()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let known = Known::of(&self.ledger, &nodes)?;
        let mut found = Found::default();
        for Finished {
            work,
            outcomes,
            took,
        } in batch
        {
            if !matches!(work, Work::Tidy { .. }) {
                outcomes.iter().for_each(|(node, _)| self.agenda.end(node));
            }
            match work {
                Work::Up { call, .. } => self.call_ended(&call, outcomes, took, &known, &mut found),
                Work::Down { batch, .. } => {
                    self.downs_ended(&batch, outcomes, took, &known, &mut found);
                }
                Work::Poll { pending, .. } => {
                    self.polls_ended(&pending, outcomes, took, &known, &mut found);
                }
                Work::Tidy { .. } => self.tidied(outcomes, took, &mut found),
            }
        }
        self.record(&found.changes)?;
        self.recall(&HashSet::new(), &found.changes.dry);
        self.submit_downs(
            found
                .strays
                .into_iter()
                .map(|(w, t)| (w, vec![t]))
                .collect(),
        )
    }

    fn call_ended(
        &mut self,
        call: &Call,
        outcomes: Outcomes,
        took: Duration,
        known: &Known,
        found: &mut Found,
    ) {
        let replay = self.replaying.remove(&call.id);
        for (node, outcome) in outcomes {
            let part = known.of_call(call, &node, took);
            self.look_now(&part);
            if part.attempt.is_none() {
                self.raised_again(&part, call, &outcome, known, found);
            }
            if !(replay && part.is_resolved() && says_nothing(&outcome)) {
                self.up_outcome(&part, outcome, replay, found);
            }
            // Who is to go down does not wait for the others of the call.
            if part.wish.is_some_and(|w| w.direction == Direction::Down) {
                self.agenda.leave(part.node, self.clock.now_ms());
            }
        }
    }

    /// A call is replayed whole. What it raises of a node that was brought down
    /// since is up again, and is brought down again.
    fn raised_again(
        &mut self,
        part: &Part<'_>,
        call: &Call,
        outcome: &Outcome,
        known: &Known,
        found: &mut Found,
    ) {
        let instance = match outcome {
            Outcome::Done(machine) => machine.instance.as_deref(),
            Outcome::Accepted(pending) => pending.instance.as_deref(),
            Outcome::AlreadyDone => None,
            _ => return,
        };
        let Some(wish) = part.wish else { return };
        if wish.direction == Direction::Down && wish.settled.is_some() {
            found
                .changes
                .reopened
                .push((wish.node.clone(), wish.generation));
        }
        // Where names are unique it may be what a newer call has made.
        let other = known.up(part.node);
        let theirs =
            other.is_some_and(|a| a.instance.is_none() || a.instance.as_deref() == instance);
        if let Some(id) = instance.filter(|_| !theirs) {
            let mode = call.placement.lifecycle.down_mode();
            self.stray(wish, &call.placement.provider, id, mode, found);
        }
    }

    fn stray(
        &mut self,
        wish: &Wish,
        provider: &str,
        instance: &str,
        mode: DownMode,
        found: &mut Found,
    ) {
        let target = Target {
            provider: provider.to_owned(),
            instance: Some(instance.to_owned()),
            mode,
        };
        found.strays.push((wish.clone(), target));
    }

    fn up_outcome(&mut self, part: &Part<'_>, outcome: Outcome, replay: bool, found: &mut Found) {
        match outcome {
            Outcome::Done(machine) => self.came_up(part, machine, found),
            Outcome::AlreadyDone => self.came_up(part, Machine::default(), found),
            Outcome::Accepted(pending) => self.accepted(part, pending, found),
            Outcome::Waiting { why, retry_after } => {
                let error = Error::new(ErrorKind::Conflict, why).retry_after(retry_after);
                self.not_sent(part, error, replay, found);
            }
            // Due again at once: it was taken back, not refused.
            Outcome::Superseded => {
                let error = Error::new(ErrorKind::Throttled, "taken back before it was sent");
                self.note(
                    part,
                    AttemptState::Refused(error.clone()),
                    "superseded",
                    &error,
                    found,
                );
            }
            Outcome::Skipped(why) => {
                self.not_sent(part, Error::new(ErrorKind::Throttled, why), replay, found);
            }
            Outcome::Failed(error) if error.cloud_code() == Some(INSTANCE_GONE) => {
                self.gone(part, &error, found);
            }
            Outcome::Failed(error) if error.may_have_acted() == Effect::Unknown => {
                self.back_off(part.node, &error);
                self.note(part, AttemptState::Unknown, "effect-unknown", &error, found);
            }
            // "No room" for the very same token says that there is nothing under it.
            Outcome::Failed(error)
                if replay && !matches!(error.kind(), ErrorKind::Capacity | ErrorKind::Quota) =>
            {
                self.replay_refused(part, error, found);
            }
            Outcome::Failed(error) => self.refused(part, error, found),
        }
    }

    /// Nothing was sent this time. Of a call that was sent before, nothing new is known.
    fn not_sent(&mut self, part: &Part<'_>, error: Error, replay: bool, found: &mut Found) {
        if replay {
            self.back_off(part.node, &error);
            self.note(part, AttemptState::Unknown, "not-replayed", &error, found);
        } else {
            self.refused(part, error, found);
        }
    }

    /// This replay certainly did nothing; the call may have, when it was first sent.
    fn replay_refused(&mut self, part: &Part<'_>, error: Error, found: &mut Found) {
        self.note(part, AttemptState::Unknown, "replay-refused", &error, found);
        match error.advice() {
            Advice::Retry(_) => self.back_off(part.node, &error),
            Advice::Elsewhere | Advice::Never => {
                self.leave(part, LOOK_AGAIN_MS);
                if let Some(call) = part.call {
                    self.refused_replays.insert(call.to_owned(), error);
                }
            }
        }
    }

    fn came_up(&mut self, part: &Part<'_>, machine: Machine, found: &mut Found) {
        let wanted = part.wish.is_some_and(|w| w.direction == Direction::Up);
        if let Some(address) = machine.address.filter(|_| wanted) {
            self.note_address(part.node, address);
        }
        let mut update = self.update(part, AttemptState::Done, "running", None);
        update.instance = machine.instance;
        update.event.request_id = machine.request_id;
        found.changes.updates.push(update);
        // Otherwise it is due again, and the table decides about it.
        if let Some(wish) = part.fulfilled() {
            self.settle(wish, &mut found.changes);
        }
    }

    fn accepted(&mut self, part: &Part<'_>, pending: Pending, found: &mut Found) {
        let old = part.wish.is_some_and(|w| {
            pending.direction == Direction::Up && !serves(Some(part.generation), w.floor)
        });
        if !old {
            self.leave(part, millis(pending.poll_after));
        }
        let instance = pending.instance.clone();
        let mut update = self.update(part, AttemptState::Accepted(pending), "accepted", None);
        update.instance = instance;
        found.changes.updates.push(update);
    }

    /// What the attempt once made is no more.
    fn gone(&mut self, part: &Part<'_>, error: &Error, found: &mut Found) {
        self.note(part, AttemptState::Closed, "gone", error, found);
    }

    /// It certainly did nothing. Whether it is worth another try is the error's to say.
    fn refused(&mut self, part: &Part<'_>, error: Error, found: &mut Found) {
        if let Advice::Retry(_) = error.advice() {
            self.back_off(part.node, &error);
        }
        let cool_off = match error.kind() {
            ErrorKind::Capacity | ErrorKind::Quota => self.site.cool_off.after(error.kind()),
            _ => None,
        };
        if let (Some(cool_off), Some(placement)) = (cool_off, part.placement) {
            let until = self.clock.now_ms().saturating_add(millis(cool_off));
            found
                .changes
                .dry
                .insert(placement.to_owned(), (error.clone(), until));
        }
        self.note(
            part,
            AttemptState::Refused(error.clone()),
            "refused",
            &error,
            found,
        );
    }

    fn downs_ended(
        &mut self,
        batch: &[PowerDown],
        outcomes: Outcomes,
        took: Duration,
        known: &Known,
        found: &mut Found,
    ) {
        for down in batch {
            let Some(outcome) = outcomes.get(&down.node) else {
                continue;
            };
            let part = known.of_down(down, took);
            self.look_now(&part);
            self.down_outcome(&part, outcome.clone(), known, found);
        }
    }

    fn down_outcome(
        &mut self,
        part: &Part<'_>,
        outcome: Outcome,
        known: &Known,
        found: &mut Found,
    ) {
        match outcome {
            Outcome::Done(_) | Outcome::AlreadyDone => self.went_down(part, known, found),
            Outcome::Accepted(pending) => self.accepted(part, pending, found),
            Outcome::Failed(error) if error.kind() == ErrorKind::NotFound => {
                self.went_down(part, known, found);
            }
            // Whatever the error: what has to go down is tried again, for ever,
            // since it costs money until it is down.
            Outcome::Failed(error) => {
                self.back_off(part.node, &error);
                self.note(part, AttemptState::Unknown, "down-failed", &error, found);
            }
            Outcome::Waiting { why, retry_after } => {
                self.leave(part, millis(retry_after));
                let update = self.update(part, AttemptState::Closed, "waiting", Some(why));
                found.changes.updates.push(update);
            }
            Outcome::Superseded | Outcome::Skipped(_) => {
                self.agenda.back_off(part.node, self.clock.now_ms(), 0);
                let what = outcome.as_str();
                found
                    .changes
                    .updates
                    .push(self.update(part, AttemptState::Closed, what, None));
            }
        }
    }

    /// One machine of the node is down: what raised this one is over, and only that.
    fn went_down(&mut self, part: &Part<'_>, known: &Known, found: &mut Found) {
        self.addresses.forget(part.node);
        found
            .changes
            .updates
            .push(self.update(part, AttemptState::Done, "stopped", None));
        let AttemptKey::Instance(instance) = &part.key else {
            return;
        };
        if let Some(up) = known.up(part.node)
            && (instance.is_none() || up.instance.is_none() || up.instance == *instance)
        {
            found
                .changes
                .gone
                .push((part.node.clone(), up.call.clone()));
        }
    }

    fn polls_ended(
        &mut self,
        pending: &[Pending],
        outcomes: Outcomes,
        took: Duration,
        known: &Known,
        found: &mut Found,
    ) {
        for asked in pending {
            let Some(outcome) = outcomes.get(&asked.node).cloned() else {
                continue;
            };
            if let Some(part) = known.of_poll(asked, took) {
                self.look_now(&part);
                self.poll_outcome(&part, asked, outcome, known, found);
            }
        }
    }

    fn poll_outcome(
        &mut self,
        part: &Part<'_>,
        asked: &Pending,
        outcome: Outcome,
        known: &Known,
        found: &mut Found,
    ) {
        match outcome {
            // Nothing new: the history is not filled with that.
            Outcome::Accepted(again)
                if again.handle == asked.handle && again.instance == asked.instance =>
            {
                self.leave(part, millis(again.poll_after));
            }
            Outcome::Accepted(again) => self.accepted(part, again, found),
            // The question failed, not the work.
            Outcome::Failed(error) if matches!(error.advice(), Advice::Retry(_)) => {
                self.back_off(part.node, &error);
            }
            Outcome::Waiting { .. } | Outcome::Superseded | Outcome::Skipped(_) => {
                self.leave(part, POLL_AGAIN_MS);
            }
            outcome if asked.direction == Direction::Down => {
                self.down_outcome(part, outcome, known, found);
            }
            Outcome::Failed(error) if error.cloud_code() == Some(INSTANCE_GONE) => {
                self.gone(part, &error, found);
            }
            Outcome::Failed(error) => {
                // Its debris goes first, whether or not a listing shows it yet.
                if let (Some(wish), Some(up), Some(id)) = (part.wish, part.attempt, &asked.instance)
                {
                    self.stray(wish, &up.provider, id, up.lifecycle.down_mode(), found);
                }
                self.refused(part, error, found);
            }
            Outcome::Done(machine) => self.came_up(part, machine, found),
            Outcome::AlreadyDone => self.came_up(part, Machine::default(), found),
        }
    }

    fn tidied(&mut self, outcomes: Outcomes, took: Duration, found: &mut Found) {
        for (node, outcome) in outcomes {
            let detail = match &outcome {
                Outcome::Failed(e) => Some(e.to_string()),
                _ => None,
            };
            let mut event = self.event(&node, None, &format!("tidy-{}", outcome.as_str()), detail);
            event.duration_ms = Some(millis(took));
            found.changes.events.push(event);
        }
    }

    fn note(
        &self,
        part: &Part<'_>,
        state: AttemptState,
        what: &str,
        error: &Error,
        found: &mut Found,
    ) {
        let mut update = self.update(part, state, what, Some(error.to_string()));
        update.event.request_id = error.cloud_request_id().map(str::to_owned);
        found.changes.updates.push(update);
    }

    fn update(
        &self,
        part: &Part<'_>,
        state: AttemptState,
        what: &str,
        detail: Option<String>,
    ) -> AttemptUpdate {
        let mut event = self.event(part.node, part.wish.map(|w| w.generation), what, detail);
        event.placement = part.placement.map(str::to_owned);
        event.call = part.call.map(str::to_owned);
        event.duration_ms = Some(millis(part.took));
        AttemptUpdate {
            node: part.node.clone(),
            key: part.key.clone(),
            state,
            instance: None,
            event,
        }
    }

    /// The node is due, unless what follows knows a better time.
    fn look_now(&mut self, part: &Part<'_>) {
        if part.wish.is_some_and(|w| w.settled.is_none()) && !self.agenda.has(part.node) {
            self.agenda.wait(part.node, self.clock.now_ms());
        }
    }

    fn leave(&mut self, part: &Part<'_>, after_ms: i64) {
        let now = self.clock.now_ms();
        self.agenda.leave(part.node, now);
        if let Some(wish) = part.wish {
            self.wait_until(wish, now.saturating_add(after_ms));
        }
    }

    fn back_off(&mut self, node: &NodeName, error: &Error) {
        let floor = match error.advice() {
            Advice::Retry(after) => millis(after),
            Advice::Elsewhere | Advice::Never => 0,
        };
        self.agenda.back_off(node, self.clock.now_ms(), floor);
    }
}
