//! What requests do to the books: pure, given the time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use serde_json::json;

use super::books::{Books, Debris, Fresh, Phase, Record, Sent};
use super::options::FakeOptions;
use crate::error::{Effect, Error, ErrorKind};
use crate::hostlist::NodeName;
use crate::outcome::{Machine, Outcome};
use crate::provider::{
    Call, CallNode, Chore, Direction, DownMode, INSTANCE_GONE, InstanceState, Owner, Pending,
    PowerDown,
};

/// Who acts on the books, when, and under which rules.
pub(super) struct Acts<'a> {
    pub(super) books: &'a mut Books,
    pub(super) options: &'a FakeOptions,
    /// The most machines that are up at once.
    pub(super) capacity: Option<u64>,
    pub(super) cluster: &'a str,
    pub(super) now_ms: i64,
    /// What is made now fails in the end, like this.
    pub(super) doom: Option<Error>,
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn gap(from_ms: i64, to_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(to_ms.saturating_sub(from_ms)).unwrap_or(0))
}

pub(super) fn zone_of(call: &Call) -> &str {
    call.placement
        .template
        .zone
        .as_deref()
        .unwrap_or(&call.placement.name)
}

fn fingerprint(call: &Call) -> u64 {
    let mut hasher = DefaultHasher::new();
    call.placement.name.hash(&mut hasher);
    call.request.to_string().hash(&mut hasher);
    for node in call.names() {
        node.as_str().hash(&mut hasher);
    }
    hasher.finish()
}

fn failed(kind: ErrorKind, code: &str, text: String) -> Outcome {
    Outcome::Failed(Error::new(kind, text).effect(Effect::None).code(code))
}

impl Acts<'_> {
    fn ready_after(&self, delay: Duration) -> i64 {
        self.now_ms.saturating_add(millis(delay))
    }

    fn record(&self, id: &str) -> Option<&Record> {
        self.books.machine(id).filter(|m| m.cluster == self.cluster)
    }

    /// Whether this is the request that was first sent under its token.
    pub(super) fn recognise(&mut self, call: &Call) -> Result<(), Error> {
        if !self.options.idempotent {
            return Ok(());
        }
        let fingerprint = fingerprint(call);
        let sent = self
            .books
            .tokens
            .entry(call.token.clone())
            .or_insert_with(|| Sent {
                fingerprint,
                ..Sent::default()
            });
        if sent.fingerprint == fingerprint {
            return Ok(());
        }
        let text = format!("token {} was used for another request", call.token);
        Err(Error::new(ErrorKind::Invalid, text).code("IdempotentParameterMismatch"))
    }

    pub(super) fn create(&mut self, call: &Call, node: &CallNode) -> Outcome {
        let sent = self.books.tokens.get(&call.token);
        if let Some(id) = sent.and_then(|sent| sent.made.get(&node.name)).cloned() {
            return self.going_up(&node.name, &id);
        }
        if self.options.unique_names
            && let Some(other) = self.books.newest(self.cluster, &node.name)
            && other.state(self.now_ms) != InstanceState::Terminated
        {
            return self.in_the_way(other);
        }
        if let Err(full) = self.room(call) {
            return full;
        }
        let fresh = Fresh {
            node: &node.name,
            cluster: self.cluster,
            owner: Owner::Created,
            placement: &call.placement.name,
            zone: zone_of(call),
            visible_ms: self.ready_after(self.options.consistency_window),
        };
        let id = self.books.enter(&fresh, self.now_ms);
        if self.options.idempotent {
            let sent = self.books.tokens.entry(call.token.clone()).or_default();
            sent.made.insert(node.name.clone(), id.clone());
        }
        self.launch(&id, call, node, "created");
        self.going_up(&node.name, &id)
    }

    pub(super) fn start(&mut self, call: &Call, node: &CallNode) -> Outcome {
        let mut ids = self.books.living(self.cluster, &node.name);
        if ids.is_empty() && self.options.premade {
            ids.push(self.make(
                &node.name,
                Owner::Matched,
                &call.placement.name,
                zone_of(call),
            ));
        }
        let Some(record) = ids.first().and_then(|id| self.record(id)) else {
            let text = format!("there is no machine for {} to start", node.name);
            return failed(ErrorKind::NotFound, "ResourceNotFound", text);
        };
        let id = record.id.clone();
        match record.state(self.now_ms) {
            InstanceState::Running if record.call.as_deref() != Some(&call.id) => {
                Outcome::AlreadyDone
            }
            InstanceState::Starting | InstanceState::Running => self.going_up(&node.name, &id),
            InstanceState::Stopped | InstanceState::StoppedBilled => match self.room(call) {
                Err(full) => full,
                Ok(()) => {
                    self.launch(&id, call, node, "started");
                    self.going_up(&node.name, &id)
                }
            },
            _ => self.in_the_way(record),
        }
    }

    /// A machine that a person made, deallocated.
    pub(super) fn make(
        &mut self,
        node: &NodeName,
        owner: Owner,
        placement: &str,
        zone: &str,
    ) -> String {
        let fresh = Fresh {
            node,
            cluster: self.cluster,
            owner,
            placement,
            zone,
            visible_ms: self.now_ms,
        };
        self.books.enter(&fresh, self.now_ms)
    }

    fn in_the_way(&self, record: &Record) -> Outcome {
        let state = record.state(self.now_ms);
        if state.is_dying() {
            return Outcome::Waiting {
                why: format!("{} of {} is still {state}", record.id, record.node),
                retry_after: gap(self.now_ms, record.ready_ms),
            };
        }
        let text = format!(
            "{} has {} already, which is {state}",
            record.node, record.id
        );
        failed(ErrorKind::Conflict, "NameInUse", text)
    }

    fn room(&self, call: &Call) -> Result<(), Outcome> {
        let placement = &call.placement;
        let template = placement
            .template
            .body
            .get("capacity")
            .and_then(serde_json::Value::as_u64);
        let pool = self
            .options
            .pools
            .get(&placement.name)
            .copied()
            .or(template);
        let here = pool.is_some_and(|most| self.books.used(&placement.name) >= most);
        let at_all = self
            .capacity
            .is_some_and(|most| self.books.used_in_all() >= most);
        if here || at_all {
            let text = format!("{} is full", placement.name);
            return Err(failed(ErrorKind::Capacity, "InsufficientCapacity", text));
        }
        Ok(())
    }

    fn launch(&mut self, id: &str, call: &Call, node: &CallNode, what: &str) {
        let ready = self.ready_after(self.options.boot_delay);
        let (now, doom) = (
            self.now_ms,
            self.doom
                .as_ref()
                .map(|e| (e.kind(), e.message().to_owned())),
        );
        self.books.occupy(&call.placement.name);
        if let Some(record) = self.books.machine_mut(id) {
            record.placement.clone_from(&call.placement.name);
            record.enter(Phase::Up, now, ready, what, Some(&call.id));
            record.call = Some(call.id.clone());
            record.generation = Some(node.generation);
            record.doom = doom;
        }
    }

    /// How far a machine is that shall be up.
    fn going_up(&self, node: &NodeName, id: &str) -> Outcome {
        let Some(record) = self.record(id) else {
            let text = format!("{id} of {node} does not exist");
            return failed(ErrorKind::NotFound, "InstanceNotFound", text);
        };
        match record.state(self.now_ms) {
            InstanceState::Running => Outcome::Done(Machine {
                instance: Some(id.to_owned()),
                address: Some(record.address()),
                request_id: None,
            }),
            InstanceState::Starting => self.accepted(record, Direction::Up),
            InstanceState::Failed => {
                let (kind, text) = record
                    .doom
                    .clone()
                    .unwrap_or_else(|| (ErrorKind::Unexpected, format!("{id} failed")));
                failed(kind, "ProvisioningFailed", text)
            }
            state => {
                let text = format!("{id} of {node} is {state}");
                failed(ErrorKind::NotFound, INSTANCE_GONE, text)
            }
        }
    }

    fn accepted(&self, record: &Record, direction: Direction) -> Outcome {
        Outcome::Accepted(Pending {
            node: record.node.clone(),
            direction,
            instance: Some(record.id.clone()),
            handle: json!({ "operation": record.id }),
            poll_after: gap(self.now_ms, record.ready_ms).min(self.options.poll_after),
        })
    }

    pub(super) fn down(&mut self, down: &PowerDown) -> Outcome {
        let ids = match &down.instance {
            Some(id) => self.record(id).map(|m| m.id.clone()).into_iter().collect(),
            None => self.books.living(self.cluster, &down.node),
        };
        let mut outcome = Outcome::AlreadyDone;
        for id in ids {
            let acted = match down.mode {
                DownMode::Terminate => self.terminate(&id),
                DownMode::Deallocate => self.deallocate(&id),
            };
            // Of several machines the one that takes longest speaks for the node.
            if acted != Outcome::AlreadyDone {
                outcome = acted;
            }
        }
        outcome
    }

    fn terminate(&mut self, id: &str) -> Outcome {
        let Some(record) = self.books.machine(id) else {
            return Outcome::AlreadyDone;
        };
        if record.phase != Phase::Gone {
            self.end(id, Phase::Gone, "terminated");
            if let Some(kind) = &self.options.leave_behind
                && let Some(record) = self.books.machine(id)
            {
                let debris = Debris {
                    node: record.node.clone(),
                    kind: kind.clone(),
                    cluster: self.cluster.to_owned(),
                    certain: true,
                };
                self.books.leftovers.insert(format!("{kind}-{id}"), debris);
            }
            return self.going_down(id);
        }
        match self.going_down(id) {
            Outcome::Done(_) => Outcome::AlreadyDone,
            other => other,
        }
    }

    fn deallocate(&mut self, id: &str) -> Outcome {
        let Some(record) = self.books.machine(id) else {
            return Outcome::AlreadyDone;
        };
        if record.phase == Phase::Up {
            self.end(id, Phase::Stopped, "deallocated");
            return self.going_down(id);
        }
        match self.going_down(id) {
            Outcome::Done(_) => Outcome::AlreadyDone,
            other => other,
        }
    }

    fn end(&mut self, id: &str, phase: Phase, what: &str) {
        let (now, ready) = (self.now_ms, self.ready_after(self.options.stop_delay));
        let Some(record) = self.books.machine_mut(id) else {
            return;
        };
        let occupied = (record.phase == Phase::Up).then(|| record.placement.clone());
        record.enter(phase, now, ready, what, None);
        record.doom = None;
        record.forced = None;
        if let Some(placement) = occupied {
            self.books.vacate(&placement);
        }
    }

    /// How far a machine is that shall be deallocated or gone.
    fn going_down(&self, id: &str) -> Outcome {
        let Some(record) = self.record(id) else {
            return Outcome::AlreadyDone;
        };
        match record.state(self.now_ms) {
            InstanceState::Stopped | InstanceState::Terminated => Outcome::Done(Machine {
                instance: (record.phase != Phase::Gone).then(|| id.to_owned()),
                address: None,
                request_id: None,
            }),
            state if state.is_dying() => self.accepted(record, Direction::Down),
            state => {
                let text = format!("{id} of {} is {state} again", record.node);
                failed(ErrorKind::Conflict, "InstanceInUse", text)
            }
        }
    }

    pub(super) fn poll(&self, pending: &Pending) -> Outcome {
        let known = pending.instance.clone();
        let newest = || {
            self.books
                .newest(self.cluster, &pending.node)
                .map(|m| m.id.clone())
        };
        let id = known.or_else(newest);
        match (pending.direction, id) {
            (Direction::Up, Some(id)) => self.going_up(&pending.node, &id),
            (Direction::Up, None) => {
                let text = format!("nothing is being made for {}", pending.node);
                failed(ErrorKind::NotFound, "InstanceNotFound", text)
            }
            (Direction::Down, Some(id)) => self.going_down(&id),
            (Direction::Down, None) => Outcome::AlreadyDone,
        }
    }

    pub(super) fn tidy(&mut self, chore: &Chore) -> Outcome {
        match chore {
            Chore::Delete(leftover) => {
                let ours = self.books.leftovers.get(&leftover.id);
                if ours.is_none_or(|debris| debris.cluster != self.cluster) {
                    return Outcome::AlreadyDone;
                }
                self.books.leftovers.remove(&leftover.id);
                Outcome::Done(Machine::default())
            }
            Chore::Tag { instance, tags, .. } => {
                let cluster = self.cluster;
                match self
                    .books
                    .machine_mut(instance)
                    .filter(|m| m.cluster == cluster)
                {
                    Some(record) => {
                        record.tags.extend(tags.clone());
                        let instance = Some(instance.clone());
                        Outcome::Done(Machine {
                            instance,
                            ..Machine::default()
                        })
                    }
                    None => {
                        let text = format!("{instance} does not exist");
                        failed(ErrorKind::NotFound, "InstanceNotFound", text)
                    }
                }
            }
        }
    }
}
