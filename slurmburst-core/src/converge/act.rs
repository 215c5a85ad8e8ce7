//! Decisions carried out: recorded first, then sent.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::executor::Work;
use crate::hostlist::NodeName;
use crate::ledger::{AttemptState, Event, NewCall, NewDown, NewWish, Program, Wish};
use crate::ledger::{LedgerError, call_token, new_call_id};
use crate::policy::{Observed, Place, PowerPolicy, Tried, Wanted};
use crate::provider::{Call, CallNode, Direction, DownMode, Pending, Placement, PowerDown};

use super::decide::{Decision, Target};
use super::marks::mark_for;
use super::observe::Clouds;
use super::pass::LiveAttempts;
use super::{Converger, millis};

/// A power-down is given up, to be looked at again, after this.
const DOWN_LIMIT: Duration = Duration::from_secs(300);
const HOUR_MS: i64 = 3_600_000;

/// What a pass decided, by what has to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    settle: Vec<Wish>,
    place: Vec<(Wish, Vec<Tried>)>,
    replay: Vec<Wish>,
    poll: Vec<(Wish, Direction)>,
    down: Vec<(Wish, Vec<Target>)>,
    /// Of these the power-down is worth a word.
    replace: Vec<Wish>,
    fail: Vec<(Wish, Error)>,
    overtaken: Vec<Wish>,
    pub(super) waiting: Vec<(NodeName, String)>,
}

impl Plan {
    pub(super) fn push(&mut self, wish: Wish, decision: Decision, tried: Vec<Tried>) {
        match decision {
            Decision::Settle => self.settle.push(wish),
            Decision::Place => self.place.push((wish, tried)),
            Decision::Replay => self.replay.push(wish),
            Decision::Poll(direction) => self.poll.push((wish, direction)),
            Decision::PowerDown(targets) => self.down.push((wish, targets)),
            Decision::Replace(target) => {
                self.replace.push(wish.clone());
                self.down.push((wish, vec![target]));
            }
            Decision::Fail(error) => self.fail.push((wish, error)),
            Decision::Yield => self.overtaken.push(wish),
            Decision::Wait { why, .. } => self.waiting.push((wish.node, why)),
        }
    }
}

impl Converger {
    pub(super) async fn carry_out(
        &mut self,
        plan: Plan,
        live: &LiveAttempts,
        clouds: &Clouds,
    ) -> Result<(), LedgerError> {
        self.settle(&plan.settle)?;
        self.yield_to_resume(&plan.overtaken)?;
        self.note_replaced(&plan.replace)?;
        self.submit_downs(plan.down)?;
        self.submit_polls(&plan.poll, live);
        let mut failed = plan.fail;
        self.submit_replays(&plan.replay, live)?;
        failed.extend(self.place(plan.place)?);
        self.fail(failed, live, clouds)
    }

    /// The wishes are as they were wished.
    pub(super) fn settle(&mut self, wishes: &[Wish]) -> Result<(), LedgerError> {
        if wishes.is_empty() {
            return Ok(());
        }
        let done: Vec<_> = wishes
            .iter()
            .map(|w| (w.node.clone(), w.generation, Ok(())))
            .collect();
        self.ledger.settle(&done)?;
        let (mut events, mut over) = (Vec::new(), Vec::new());
        for wish in wishes {
            self.not_before.remove(&wish.node);
            let what = match wish.direction {
                Direction::Up => {
                    self.report.up += 1;
                    "up"
                }
                Direction::Down => {
                    self.report.down += 1;
                    over.push((wish.node.clone(), wish.generation));
                    "down"
                }
            };
            events.push(self.about(wish, what, None));
        }
        self.ledger.close_all(&over)?;
        self.write_events(&events)
    }

    /// A suspend that Slurm has overtaken: what it shows is a newer wish.
    fn yield_to_resume(&mut self, wishes: &[Wish]) -> Result<(), LedgerError> {
        let now = self.clock.now_ms();
        let ups: Vec<NewWish> = wishes
            .iter()
            .map(|w| NewWish {
                node: w.node.clone(),
                direction: Direction::Up,
                deadline_ms: now.saturating_add(millis(self.conf.resume_timeout(&w.node))),
                program: Program::Reconcile,
            })
            .collect();
        if ups.is_empty() {
            return Ok(());
        }
        self.ledger.record(&ups)?;
        let events: Vec<Event> = wishes
            .iter()
            .map(|w| {
                self.about(
                    w,
                    "superseded",
                    Some("Slurm shows a newer power-up".to_owned()),
                )
            })
            .collect();
        self.write_events(&events)
    }

    fn note_replaced(&mut self, wishes: &[Wish]) -> Result<(), LedgerError> {
        let why = "Slurm ignores it: it has booted before Slurm asked for it (again)";
        let events: Vec<Event> = wishes
            .iter()
            .map(|w| self.about(w, "replaced", Some(why.to_owned())))
            .collect();
        self.write_events(&events)
    }

    fn submit_downs(&mut self, downs: Vec<(Wish, Vec<Target>)>) -> Result<(), LedgerError> {
        let mut records = Vec::new();
        let mut batches: BTreeMap<(String, DownMode), Vec<PowerDown>> = BTreeMap::new();
        for (wish, targets) in downs {
            for target in targets {
                records.push(NewDown {
                    node: wish.node.clone(),
                    generation: wish.generation,
                    provider: target.provider.clone(),
                    instance: target.instance.clone(),
                    mode: target.mode,
                });
                batches
                    .entry((target.provider, target.mode))
                    .or_default()
                    .push(PowerDown {
                        node: wish.node.clone(),
                        generation: wish.generation,
                        instance: target.instance,
                        mode: target.mode,
                    });
            }
        }
        self.ledger.begin_downs(&records)?;
        let deadline = Instant::now() + DOWN_LIMIT;
        for ((name, _), nodes) in batches {
            let Some(provider) = self.providers.get(&name).cloned() else {
                continue;
            };
            // Two instances of one node go in two batches: one outcome per node and batch.
            for batch in chunks_of_distinct(nodes, provider.capabilities().max_batch, |d| &d.node) {
                self.busy.extend(batch.iter().map(|d| d.node.clone()));
                let work = Work::Down {
                    provider: Arc::clone(&provider),
                    name: name.clone(),
                    batch,
                };
                self.executor.submit(work, deadline);
            }
        }
        Ok(())
    }

    fn submit_polls(&mut self, polls: &[(Wish, Direction)], live: &LiveAttempts) {
        let mut batches: BTreeMap<String, Vec<Pending>> = BTreeMap::new();
        for (wish, direction) in polls {
            let Some(l) = live.get(&wish.node) else {
                continue;
            };
            let attempts =
                l.up.iter()
                    .chain(&l.downs)
                    .filter(|a| a.direction == *direction);
            for attempt in attempts {
                if let AttemptState::Accepted(pending) = &attempt.state {
                    batches
                        .entry(attempt.provider.clone())
                        .or_default()
                        .push(pending.clone());
                }
            }
        }
        let deadline = Instant::now() + DOWN_LIMIT;
        for (name, pending) in batches {
            let Some(provider) = self.providers.get(&name).cloned() else {
                continue;
            };
            for pending in
                chunks_of_distinct(pending, provider.capabilities().max_batch, |p| &p.node)
            {
                self.busy.extend(pending.iter().map(|p| p.node.clone()));
                let work = Work::Poll {
                    provider: Arc::clone(&provider),
                    name: name.clone(),
                    pending,
                };
                self.executor.submit(work, deadline);
            }
        }
    }

    /// Sends stored calls again, whole and under their tokens.
    fn submit_replays(&mut self, wishes: &[Wish], live: &LiveAttempts) -> Result<(), LedgerError> {
        let mut ids: BTreeMap<String, i64> = BTreeMap::new();
        for wish in wishes {
            if let Some(attempt) = live.get(&wish.node).and_then(|l| l.up.as_ref()) {
                let latest = ids.entry(attempt.call.clone()).or_insert(i64::MIN);
                *latest = (*latest).max(wish.deadline_ms);
            }
        }
        for (id, deadline_ms) in ids {
            let Some(call) = self.ledger.call(&id)? else {
                continue;
            };
            if call.names().any(|n| self.busy.contains(n)) {
                continue;
            }
            let Some(provider) = self.providers.get(&call.placement.provider).cloned() else {
                continue;
            };
            self.submit_up(
                provider,
                call,
                deadline_ms.max(self.clock.now_ms() + 60_000),
            );
        }
        Ok(())
    }

    fn submit_up(
        &mut self,
        provider: Arc<dyn crate::provider::CloudProvider>,
        call: Call,
        deadline_ms: i64,
    ) {
        let left = deadline_ms.saturating_sub(self.clock.now_ms());
        let deadline = Instant::now() + Duration::from_millis(u64::try_from(left).unwrap_or(0));
        self.busy.extend(call.names().cloned());
        self.report.power_up_calls += 1;
        let name = call.placement.provider.clone();
        self.executor.submit(
            Work::Up {
                provider,
                name,
                call,
            },
            deadline,
        );
    }

    /// Asks the policy, renders, records and sends. Answers with what cannot be placed.
    fn place(
        &mut self,
        wanted: Vec<(Wish, Vec<Tried>)>,
    ) -> Result<Vec<(Wish, Error)>, LedgerError> {
        let mut failed = Vec::new();
        if wanted.is_empty() || self.ledger.paused()? {
            return Ok(failed);
        }
        let now = self.clock.now_ms();
        let limit = self.site.max_power_ups_per_hour;
        let counts = match limit {
            0 => BTreeMap::new(),
            _ => self.ledger.power_ups_since(now.saturating_sub(HOUR_MS))?,
        };
        let mut wishes: BTreeMap<NodeName, Wish> = BTreeMap::new();
        let mut ask = Vec::new();
        for (wish, tried) in wanted {
            let count = counts.get(&wish.node).copied().unwrap_or(0);
            // The rungs of one wish's ladder are one power-up.
            if limit > 0 && tried.is_empty() && count >= limit {
                let text = format!(
                    "it was powered up {count} times within the hour: max_power_ups_per_hour is {limit}; see `slurmburst history {}`",
                    wish.node
                );
                failed.push((
                    wish,
                    Error::new(ErrorKind::Quota, text).code("TooManyPowerUps"),
                ));
                continue;
            }
            ask.push(Wanted {
                node: wish.node.clone(),
                generation: wish.generation,
                deadline_ms: wish.deadline_ms,
                tried,
            });
            wishes.insert(wish.node.clone(), wish);
        }
        let seen = Observed {
            now_ms: now,
            dry: self.ledger.dry(now)?,
        };
        let mut by_placement: BTreeMap<String, (Arc<Placement>, Vec<Wish>)> = BTreeMap::new();
        for (node, place) in self.site.policy.place(&ask, &seen) {
            let Some(wish) = wishes.remove(&node) else {
                continue;
            };
            match place {
                Place::At(placement) => by_placement
                    .entry(placement.name.clone())
                    .or_insert_with(|| (placement, Vec::new()))
                    .1
                    .push(wish),
                Place::WaitUntil(at) => {
                    self.not_before.insert(node, (at.max(now), 0));
                }
                Place::Refuse(error) => failed.push((wish, error)),
            }
        }
        for (placement, wishes) in by_placement.into_values() {
            failed.extend(self.send(&placement, wishes)?);
        }
        Ok(failed)
    }

    /// New calls for these nodes at this placement.
    fn send(
        &mut self,
        placement: &Placement,
        wishes: Vec<Wish>,
    ) -> Result<Vec<(Wish, Error)>, LedgerError> {
        let Some(provider) = self.providers.get(&placement.provider).cloned() else {
            let text = format!(
                "placement {} names no provider of the site file",
                placement.name
            );
            let error = Error::new(ErrorKind::Invalid, text);
            return Ok(wishes.into_iter().map(|w| (w, error.clone())).collect());
        };
        let names: Vec<NodeName> = wishes.iter().map(|w| w.node.clone()).collect();
        let rendered = match provider.render(placement, &names) {
            Ok(rendered) => rendered,
            Err(error) => return Ok(wishes.into_iter().map(|w| (w, error.clone())).collect()),
        };
        let of: BTreeMap<&NodeName, &Wish> = wishes.iter().map(|w| (&w.node, w)).collect();
        let mut calls = Vec::new();
        for request in rendered {
            let id = new_call_id();
            let nodes: Vec<CallNode> = request
                .nodes
                .iter()
                .filter_map(|n| of.get(n))
                .map(|w| CallNode {
                    name: w.node.clone(),
                    generation: w.generation,
                })
                .collect();
            let deadline = request
                .nodes
                .iter()
                .filter_map(|n| of.get(n))
                .map(|w| w.deadline_ms)
                .min();
            let call = Call {
                token: call_token(&self.site.cluster_id, &id),
                id,
                placement: placement.clone(),
                nodes,
                request: request.request,
            };
            calls.push((call, deadline.unwrap_or(0)));
        }
        let records: Vec<NewCall> = calls
            .iter()
            .map(|(call, _)| NewCall { call: call.clone() })
            .collect();
        self.ledger.begin_calls(&records)?;
        for (call, deadline_ms) in calls {
            self.submit_up(Arc::clone(&provider), call, deadline_ms);
        }
        Ok(Vec::new())
    }

    /// These nodes will not come up: the wish ends, what there may be of a
    /// machine is wished away, and Slurm is told.
    pub(super) fn fail(
        &mut self,
        failed: Vec<(Wish, Error)>,
        live: &LiveAttempts,
        clouds: &Clouds,
    ) -> Result<(), LedgerError> {
        if failed.is_empty() {
            return Ok(());
        }
        let now = self.clock.now_ms();
        let mut settled = Vec::new();
        let mut marks = Vec::new();
        let mut downs = Vec::new();
        let mut events = Vec::new();
        for (wish, error) in failed {
            self.report.failed += 1;
            self.not_before.remove(&wish.node);
            let placement = self.last_placement(&wish)?;
            marks.push(mark_for(
                &self.site.cool_off,
                &wish.node,
                wish.generation,
                &error,
                placement.as_deref(),
                now,
            ));
            let remains = live.get(&wish.node).is_some_and(|l| l.up.is_some())
                || clouds
                    .of(&wish.node)
                    .iter()
                    .any(|(_, i)| !i.state.is_gone());
            if remains {
                downs.push(NewWish {
                    node: wish.node.clone(),
                    direction: Direction::Down,
                    deadline_ms: now.saturating_add(millis(self.conf.suspend_timeout(&wish.node))),
                    program: Program::Reconcile,
                });
            }
            let mut event = self.about(&wish, "failed", Some(error.to_string()));
            event.placement = placement;
            event.request_id = error.cloud_request_id().map(str::to_owned);
            events.push(event);
            settled.push((wish.node, wish.generation, Err(error)));
        }
        self.ledger.settle(&settled)?;
        self.ledger.set_marks(&marks)?;
        self.ledger.record(&downs)?;
        self.write_events(&events)
    }

    fn last_placement(&self, wish: &Wish) -> Result<Option<String>, LedgerError> {
        let attempts = self.ledger.attempts(&wish.node, Some(wish.generation))?;
        Ok(attempts
            .into_iter()
            .rev()
            .find(|a| a.direction == Direction::Up)
            .map(|a| a.placement))
    }

    pub(super) fn about(&self, wish: &Wish, what: &str, detail: Option<String>) -> Event {
        Event {
            at_ms: self.clock.now_ms(),
            node: wish.node.clone(),
            generation: Some(wish.generation),
            what: what.to_owned(),
            placement: None,
            call: None,
            request_id: None,
            duration_ms: None,
            detail,
        }
    }

    pub(super) fn write_events(&mut self, events: &[Event]) -> Result<(), LedgerError> {
        self.ledger.add_events(events)?;
        for event in events {
            self.emit(event);
        }
        Ok(())
    }
}

/// Chunks of at most `size` in which no node comes twice.
fn chunks_of_distinct<T>(
    items: Vec<T>,
    size: usize,
    node: impl Fn(&T) -> &NodeName,
) -> Vec<Vec<T>> {
    let mut met: HashMap<NodeName, usize> = HashMap::new();
    let mut layers: Vec<Vec<T>> = Vec::new();
    for item in items {
        let times = met.entry(node(&item).clone()).or_insert(0);
        if layers.len() <= *times {
            layers.push(Vec::new());
        }
        if let Some(layer) = layers.get_mut(*times) {
            layer.push(item);
        }
        *times += 1;
    }
    let mut chunks = Vec::new();
    for layer in layers {
        let mut layer = layer.into_iter().peekable();
        while layer.peek().is_some() {
            chunks.push(layer.by_ref().take(size.max(1)).collect());
        }
    }
    chunks
}
