//! Decisions carried out: recorded first, then sent.

use crate::error::Error;
use crate::hostlist::NodeName;
use crate::ledger::{
    AttemptKey, AttemptState, AttemptUpdate, Changes, Event, LedgerError, NewWish, Program, Wish,
};
use crate::policy::Tried;
use crate::provider::{Direction, Generation};

use super::decide::{Decision, Target};
use super::marks::mark_for;
use super::observe::Clouds;
use super::pass::LiveAttempts;
use super::{Converger, millis};

/// What a pass decided, by what has to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    settle: Vec<Wish>,
    place: Vec<(Wish, Vec<Tried>)>,
    replay: Vec<Wish>,
    conclude: Vec<(Wish, Error)>,
    poll: Vec<(Wish, Direction)>,
    down: Vec<(Wish, Vec<Target>)>,
    /// Of these the power-down is worth a word.
    replace: Vec<Wish>,
    fail: Vec<(Wish, Error)>,
    overtaken: Vec<Wish>,
}

impl Plan {
    pub(super) fn push(&mut self, wish: Wish, decision: Decision, tried: Vec<Tried>) {
        match decision {
            Decision::Settle => self.settle.push(wish),
            Decision::Place => self.place.push((wish, tried)),
            Decision::Replay => self.replay.push(wish),
            Decision::Conclude(error) => self.conclude.push((wish, error)),
            Decision::Poll(direction) => self.poll.push((wish, direction)),
            Decision::PowerDown(targets) => self.down.push((wish, targets)),
            Decision::Replace(target) => {
                self.replace.push(wish.clone());
                self.down.push((wish, vec![target]));
            }
            Decision::Fail(error) => self.fail.push((wish, error)),
            Decision::Yield => self.overtaken.push(wish),
            // The agenda's, not the plan's.
            Decision::Wait { .. } | Decision::Unlisted { .. } => {}
        }
    }
}

impl Converger {
    pub(super) fn carry_out(
        &mut self,
        plan: Plan,
        live: &LiveAttempts,
        clouds: &Clouds,
    ) -> Result<(), LedgerError> {
        let mut changes = Changes::default();
        for wish in &plan.settle {
            self.settle(wish, &mut changes);
        }
        self.yield_to_resume(&plan.overtaken, &mut changes);
        self.conclude(&plan.conclude, live, &mut changes);
        self.note_replaced(&plan.replace, &mut changes);
        self.record(&changes)?;
        self.submit_downs(plan.down)?;
        self.submit_polls(&plan.poll, live);
        self.submit_replays(&plan.replay, live)?;
        let mut failed = plan.fail;
        failed.extend(self.place(plan.place)?);
        self.fail(failed, live, clouds)
    }

    /// The wish is as it was wished.
    pub(super) fn settle(&mut self, wish: &Wish, changes: &mut Changes) {
        self.agenda.done(&wish.node);
        let what = match wish.direction {
            Direction::Up => {
                self.report.up += 1;
                "up"
            }
            Direction::Down => {
                self.report.down += 1;
                changes.over.push((wish.node.clone(), wish.generation));
                "down"
            }
        };
        changes
            .settled
            .push((wish.node.clone(), wish.generation, Ok(())));
        changes.events.push(self.about(wish, what, None));
    }

    /// A suspend that Slurm has overtaken: what it shows is a newer wish.
    fn yield_to_resume(&self, wishes: &[Wish], changes: &mut Changes) {
        for wish in wishes {
            let limit = self.conf.resume_timeout(&wish.node);
            let limit = limit.saturating_sub(self.site.margin(limit));
            let up = self.follow_up(&wish.node, Direction::Up, millis(limit));
            changes.wishes.push((up, wish.generation));
            let why = "Slurm shows a newer power-up".to_owned();
            changes
                .events
                .push(self.about(wish, "superseded", Some(why)));
        }
    }

    /// Calls of unknown effect that never did anything.
    fn conclude(
        &mut self,
        concluded: &[(Wish, Error)],
        live: &LiveAttempts,
        changes: &mut Changes,
    ) {
        for (wish, error) in concluded {
            let Some(attempt) = live.get(&wish.node).and_then(|l| l.up.as_ref()) else {
                continue;
            };
            let mut event = self.about(wish, "refused", Some(error.to_string()));
            event.placement = Some(attempt.placement.clone());
            event.call = Some(attempt.call.clone());
            changes.updates.push(AttemptUpdate {
                node: wish.node.clone(),
                key: AttemptKey::Call(attempt.call.clone()),
                state: AttemptState::Refused(error.clone()),
                instance: None,
                event,
            });
        }
    }

    fn note_replaced(&self, wishes: &[Wish], changes: &mut Changes) {
        let why = "Slurm ignores it: it has booted before Slurm asked for it (again)";
        let events = wishes
            .iter()
            .map(|w| self.about(w, "replaced", Some(why.to_owned())));
        changes.events.extend(events);
    }

    /// These nodes will not come up: the wish ends, what there may be of a
    /// machine is wished away, and Slurm is told. All of it at once, so that no
    /// node ends without Slurm being told, whenever this process is killed.
    fn fail(
        &mut self,
        failed: Vec<(Wish, Error)>,
        live: &LiveAttempts,
        clouds: &Clouds,
    ) -> Result<(), LedgerError> {
        let now = self.clock.now_ms();
        let mut changes = Changes::default();
        for (wish, error) in failed {
            let node = &wish.node;
            self.report.failed += 1;
            self.agenda.done(node);
            let placement = self.last_placement(&wish)?;
            changes.marks.push(mark_for(
                &self.site.cool_off,
                node,
                wish.generation,
                &error,
                placement.as_deref(),
                now,
            ));
            let remains = live.get(node).is_some_and(|l| l.all().next().is_some())
                || clouds.of(node).iter().any(|(_, i)| i.state.is_billed());
            if remains {
                let limit = millis(self.conf.suspend_timeout(node));
                let down = self.follow_up(node, Direction::Down, limit);
                changes.wishes.push((down, wish.generation));
            }
            let mut event = self.about(&wish, "failed", Some(error.to_string()));
            event.placement = placement;
            event.request_id = error.cloud_request_id().map(str::to_owned);
            changes.events.push(event);
            changes
                .settled
                .push((wish.node, wish.generation, Err(error)));
        }
        self.record(&changes)
    }

    /// Records, and tells the journal and this converger's own memory of it.
    pub(super) fn record(&mut self, changes: &Changes) -> Result<(), LedgerError> {
        let now = self.clock.now_ms();
        for wish in self.ledger.apply(changes)? {
            self.agenda.add(&wish.node, wish.generation, now);
        }
        for (node, generation) in &changes.reopened {
            self.agenda.add(node, *generation, now);
        }
        for mark in &changes.marks {
            self.marks.put(mark.clone(), now);
        }
        for event in changes
            .updates
            .iter()
            .map(|u| &u.event)
            .chain(&changes.events)
        {
            self.journal.event(event);
        }
        Ok(())
    }

    /// A wish that follows from what was found, in so many milliseconds.
    pub(super) fn follow_up(
        &self,
        node: &NodeName,
        direction: Direction,
        limit_ms: i64,
    ) -> NewWish {
        NewWish {
            node: node.clone(),
            direction,
            deadline_ms: self.clock.now_ms().saturating_add(limit_ms),
            program: Program::Reconcile,
        }
    }

    fn last_placement(&self, wish: &Wish) -> Result<Option<String>, LedgerError> {
        let attempts = self.ledger.attempts(&wish.node, Some(wish.generation))?;
        let last = attempts
            .into_iter()
            .rev()
            .find(|a| a.direction == Direction::Up);
        Ok(last.map(|a| a.placement))
    }

    pub(super) fn about(&self, wish: &Wish, what: &str, detail: Option<String>) -> Event {
        self.event(&wish.node, Some(wish.generation), what, detail)
    }

    pub(super) fn event(
        &self,
        node: &NodeName,
        generation: Option<Generation>,
        what: &str,
        detail: Option<String>,
    ) -> Event {
        Event {
            at_ms: self.clock.now_ms(),
            node: node.clone(),
            generation,
            what: what.to_owned(),
            placement: None,
            call: None,
            request_id: None,
            duration_ms: None,
            detail,
        }
    }
}
