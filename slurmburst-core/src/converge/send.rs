//! What is sent to the clouds: recorded first, in whole batches.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Advice, Error, ErrorKind};
use crate::executor::Work;
use crate::hostlist::NodeName;
use crate::ledger::{AttemptState, LedgerError, NewCall, NewDown, Wish, call_token, new_call_id};
use crate::policy::{Observed, Place, PowerPolicy, Tried, Wanted};
use crate::provider::{
    Call, CallNode, CloudProvider, Direction, DownMode, Pending, Placement, PowerDown, Rendered,
};

use super::Converger;
use super::decide::Target;
use super::pass::LiveAttempts;

/// A power-down, or a question, is given up, to be looked at again, after this.
const DOWN_LIMIT: Duration = Duration::from_secs(300);
/// A replay has at least this long, so that it can tell what there is.
const REPLAY_LIMIT_MS: i64 = 60_000;
/// How soon to look again after a node whose call's other nodes are busy, or of
/// which the policy said nothing.
const LOOK_AGAIN_MS: i64 = 1_000;
const HOUR_MS: i64 = 3_600_000;

impl Converger {
    pub(super) fn submit_downs(
        &mut self,
        downs: Vec<(Wish, Vec<Target>)>,
    ) -> Result<(), LedgerError> {
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
            let Some(provider) = self.provider(&name, nodes.iter().map(|d| &d.node)) else {
                continue;
            };
            // Two instances of one node go in two batches: one outcome per node and batch.
            for batch in chunks_of_distinct(nodes, provider.capabilities().max_batch, |d| &d.node) {
                self.agenda.begin(batch.iter().map(|d| &d.node));
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

    pub(super) fn submit_polls(&mut self, polls: &[(Wish, Direction)], live: &LiveAttempts) {
        let mut batches: BTreeMap<String, Vec<Pending>> = BTreeMap::new();
        for (wish, direction) in polls {
            let Some(l) = live.get(&wish.node) else {
                continue;
            };
            for attempt in l.all().filter(|a| a.direction == *direction) {
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
            let Some(provider) = self.provider(&name, pending.iter().map(|p| &p.node)) else {
                continue;
            };
            let size = provider.capabilities().max_batch;
            for pending in chunks_of_distinct(pending, size, |p| &p.node) {
                self.agenda.begin(pending.iter().map(|p| &p.node));
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
    pub(super) fn submit_replays(
        &mut self,
        wishes: &[Wish],
        live: &LiveAttempts,
    ) -> Result<(), LedgerError> {
        let mut calls: BTreeMap<&str, (i64, Vec<&NodeName>)> = BTreeMap::new();
        for wish in wishes {
            if let Some(attempt) = live.get(&wish.node).and_then(|l| l.up.as_ref()) {
                let call = calls.entry(&attempt.call).or_insert((i64::MIN, Vec::new()));
                call.0 = call.0.max(wish.deadline_ms);
                call.1.push(&wish.node);
            }
        }
        let now = self.clock.now_ms();
        for (id, (deadline_ms, nodes)) in calls {
            let call = self.ledger.call(id)?;
            let Some(call) = call.filter(|c| !c.names().any(|n| self.agenda.is_busy(n))) else {
                for node in nodes {
                    self.agenda.wait(node, now.saturating_add(LOOK_AGAIN_MS));
                }
                continue;
            };
            let Some(provider) = self.provider(&call.placement.provider, nodes) else {
                continue;
            };
            self.replaying.insert(call.id.clone());
            let least = now.saturating_add(REPLAY_LIMIT_MS);
            self.submit_up(provider, call, deadline_ms.max(least));
        }
        Ok(())
    }

    fn submit_up(&mut self, provider: Arc<dyn CloudProvider>, call: Call, deadline_ms: i64) {
        let left = deadline_ms.saturating_sub(self.clock.now_ms());
        let deadline = Instant::now() + Duration::from_millis(u64::try_from(left).unwrap_or(0));
        self.agenda.begin(call.names());
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

    /// Takes back calls that were not sent yet: those for nodes that are all
    /// wished down by now, and those for placements that have nothing (any more).
    /// A call that is sent again stays: what it did before has to be known.
    pub(super) fn recall(
        &mut self,
        down: &HashSet<NodeName>,
        dry: &BTreeMap<String, (Error, i64)>,
    ) {
        if down.is_empty() && dry.is_empty() {
            return;
        }
        let replaying = &self.replaying;
        self.executor.recall(|work| match work {
            Work::Up { call, .. } => {
                let pointless = dry.contains_key(&call.placement.name)
                    || call.names().all(|node| down.contains(node));
                pointless && !replaying.contains(&call.id)
            }
            _ => false,
        });
    }

    /// The provider of this name. Where the site file has it no more, these
    /// nodes can only be left alone until it has.
    fn provider<'a>(
        &mut self,
        name: &str,
        nodes: impl IntoIterator<Item = &'a NodeName>,
    ) -> Option<Arc<dyn CloudProvider>> {
        let found = self.providers.get(name).cloned();
        if found.is_none() {
            let now = self.clock.now_ms();
            for node in nodes {
                self.agenda.back_off(node, now, 0);
            }
            self.journal.note(&format!(
                "provider {name} is in the ledger and no longer in the site file: put it back until its nodes are gone"
            ));
        }
        found
    }

    /// Asks the policy, renders, records and sends. Answers with what cannot be placed.
    pub(super) fn place(
        &mut self,
        wanted: Vec<(Wish, Vec<Tried>)>,
    ) -> Result<Vec<(Wish, Error)>, LedgerError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        if self.ledger.paused()? {
            for (wish, _) in &wanted {
                self.agenda.park(&wish.node, wish.deadline_ms);
            }
            return Ok(Vec::new());
        }
        let now = self.clock.now_ms();
        let (wanted, mut failed) = self.not_too_often(wanted)?;
        let mut wishes: HashMap<NodeName, Wish> = HashMap::new();
        let mut ask = Vec::new();
        for (wish, tried) in wanted {
            ask.push(Wanted {
                node: wish.node.clone(),
                generation: wish.generation,
                deadline_ms: wish.deadline_ms,
                // A call that only came at a bad time says nothing about the next.
                tried: tried
                    .into_iter()
                    .filter(|t| !is_passing(&t.error))
                    .collect(),
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
                    self.wait_until(&wish, at.max(now.saturating_add(LOOK_AGAIN_MS)));
                }
                Place::Refuse(error) => failed.push((wish, error)),
            }
        }
        for node in wishes.keys() {
            self.agenda.wait(node, now.saturating_add(LOOK_AGAIN_MS));
        }
        for (placement, wishes) in by_placement.into_values() {
            failed.extend(self.send(&placement, wishes)?);
        }
        Ok(failed)
    }

    /// Splits off what was powered up too often within the hour. The rungs of
    /// one wish's ladder are one power-up.
    fn not_too_often(&self, wanted: Vec<(Wish, Vec<Tried>)>) -> Result<Split, LedgerError> {
        let limit = self.site.max_power_ups_per_hour;
        if limit == 0 {
            return Ok((wanted, Vec::new()));
        }
        let since = self.clock.now_ms().saturating_sub(HOUR_MS);
        let counts = self.ledger.power_ups_since(since)?;
        let (mut fine, mut failed) = (Vec::new(), Vec::new());
        for (wish, tried) in wanted {
            let count = counts.get(&wish.node).copied().unwrap_or(0);
            if count < limit || !tried.is_empty() {
                fine.push((wish, tried));
                continue;
            }
            let text = format!(
                "it was powered up {count} times within the hour: max_power_ups_per_hour is {limit}; see `slurmburst history {}`",
                wish.node
            );
            failed.push((
                wish,
                Error::new(ErrorKind::Quota, text).code("TooManyPowerUps"),
            ));
        }
        Ok((fine, failed))
    }

    /// New calls for these nodes at this placement. Answers with what could not be sent.
    fn send(
        &mut self,
        placement: &Placement,
        wishes: Vec<Wish>,
    ) -> Result<Vec<(Wish, Error)>, LedgerError> {
        let all = |wishes: Vec<Wish>, error: Error| {
            Ok(wishes.into_iter().map(|w| (w, error.clone())).collect())
        };
        let Some(provider) = self.providers.get(&placement.provider).cloned() else {
            let text = format!(
                "placement {} names no provider of the site file",
                placement.name
            );
            return all(wishes, Error::new(ErrorKind::Invalid, text));
        };
        let names: Vec<NodeName> = wishes.iter().map(|w| w.node.clone()).collect();
        let rendered = match provider.render(placement, &names) {
            Ok(rendered) => rendered,
            Err(error) => return all(wishes, error),
        };
        let (calls, missing) = self.calls(placement, wishes, rendered);
        let records: Vec<NewCall> = calls
            .iter()
            .map(|(call, _)| NewCall { call: call.clone() })
            .collect();
        self.ledger.begin_calls(&records)?;
        for (call, deadline_ms) in calls {
            self.submit_up(Arc::clone(&provider), call, deadline_ms);
        }
        let text = format!("the provider {provider} rendered no request for it");
        all(missing, Error::new(ErrorKind::Invalid, text))
    }

    /// The calls that these requests are, each with its deadline, and the
    /// wishes that are in none. A node is in one at most.
    fn calls(
        &self,
        placement: &Placement,
        wishes: Vec<Wish>,
        rendered: Vec<Rendered>,
    ) -> (Vec<(Call, i64)>, Vec<Wish>) {
        let mut of: BTreeMap<NodeName, Wish> =
            wishes.into_iter().map(|w| (w.node.clone(), w)).collect();
        let mut calls = Vec::new();
        for request in rendered {
            let served: Vec<Wish> = request.nodes.iter().filter_map(|n| of.remove(n)).collect();
            let Some(deadline_ms) = served.iter().map(|w| w.deadline_ms).min() else {
                continue;
            };
            let id = new_call_id();
            let nodes = served.into_iter();
            let call = Call {
                token: call_token(&self.site.cluster_id, &id),
                id,
                placement: placement.clone(),
                nodes: nodes
                    .map(|w| CallNode {
                        name: w.node,
                        generation: w.generation,
                    })
                    .collect(),
                request: request.request,
            };
            calls.push((call, deadline_ms));
        }
        (calls, of.into_values().collect())
    }
}

/// What may be sent, and what may not and why.
type Split = (Vec<(Wish, Vec<Tried>)>, Vec<(Wish, Error)>);

/// Whether the same may work a moment later.
fn is_passing(error: &Error) -> bool {
    matches!(error.advice(), Advice::Retry(_))
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
