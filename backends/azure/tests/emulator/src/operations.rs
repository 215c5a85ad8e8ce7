//! Long-running operations: their addresses, their progress, their end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::faults::{ALLOCATION_FAILED, Debris};
use crate::wire::{Answer, Asked, Handled, encode};
use crate::world::{Due, World};

/// What an operation does when its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    Create,
    Update,
    Start,
    PowerOff,
    Deallocate,
    Restart,
    Delete,
    /// A resource that is not a VM is deleted.
    Remove,
    /// Nothing is left to do: the write was done at once.
    Done,
}

impl Job {
    /// The word in histories and in Azure's messages.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Job::Create => "create",
            Job::Update => "update",
            Job::Start => "start",
            Job::PowerOff => "powerOff",
            Job::Deallocate => "deallocate",
            Job::Restart => "restart",
            Job::Delete | Job::Remove => "delete",
            Job::Done => "write",
        }
    }
}

/// What scripted faults do to the operation of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    pub(crate) fail: Option<(String, String, Debris)>,
    pub(crate) preempt: bool,
    pub(crate) stretch: Duration,
}

#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) job: Job,
    /// The resource's key.
    pub(crate) target: String,
    pub(crate) script: Script,
    pub(crate) status: &'static str,
    pub(crate) error: Option<(String, String)>,
    started: Duration,
    ended: Option<Duration>,
    path: String,
    /// The queries under which it may be asked for, exact to the byte.
    query: String,
    monitor: String,
}

impl World {
    /// Begins an operation that ends after `span`; its id.
    pub(crate) fn begin(
        &mut self,
        asked: &Asked,
        provider: &str,
        job: Job,
        target: &str,
        span: Duration,
        script: &Script,
    ) -> String {
        let id = self.uuid();
        // Resource Manager signs its addresses: time, certificate, signature.
        if self.certificate.is_empty() {
            self.certificate = (0..90).map(|_| self.uuid().replace('-', "")).collect();
        }
        let signature: String = (0..11).map(|_| self.uuid().replace('-', "")).collect();
        let hash = self.uuid().replace('-', "");
        let signed = format!(
            "t={}&c=MII{}&s={signature}&h={hash}",
            639_000_000_000_000_000_u64 + self.clock.unix(self.now),
            self.certificate
        );
        let version = encode(&asked.api_version());
        let subscription = asked.parts.get(1).cloned().unwrap_or_default();
        let path = format!(
            "/subscriptions/{subscription}/providers/{provider}/locations/{}/operations/{id}",
            self.settings.location
        );
        let operation = Operation {
            job,
            target: target.to_string(),
            script: script.clone(),
            status: "InProgress",
            error: None,
            started: self.now,
            ended: None,
            query: format!("p={}&api-version={version}&{signed}", self.settings.tenant),
            monitor: format!(
                "p={}&monitor=true&api-version={version}&{signed}",
                self.settings.tenant
            ),
            path,
        };
        self.operations.insert(id.clone(), operation);
        self.later(span + script.stretch, Due::Finish(id.clone()));
        id
    }

    /// Puts the operation's addresses on an answer.
    pub(crate) fn announce(
        &self,
        asked: &Asked,
        id: &str,
        mut answer: Answer,
        location: bool,
    ) -> Answer {
        let Some(operation) = self.operations.get(id) else {
            return answer;
        };
        let address = |query: &str| format!("{}{}?{query}", asked.base, operation.path);
        answer = answer
            .with("azure-asyncoperation", address(&operation.query))
            .with("azure-asyncnotification", "Enabled");
        if location {
            answer = answer.with("location", address(&operation.monitor));
        }
        match self.settings.retry_after {
            Some(seconds) if asked.method != "DELETE" => {
                answer.with("retry-after", seconds.to_string())
            }
            _ => answer,
        }
    }

    /// The answer to a question for an operation's progress.
    pub(crate) fn operation_get(&self, asked: &Asked, id: &str) -> Handled {
        let Some(operation) = self.operations.get(id) else {
            return Err(Answer::error(
                404,
                "OperationNotFound",
                format!("The operation '{id}' was not found."),
            ));
        };
        let monitor = asked.query == operation.monitor;
        if asked.path != operation.path || (!monitor && asked.query != operation.query) {
            return Err(Answer::error(
                400,
                "InvalidOperationAddress",
                "The signature over this address does not match: use it exactly as it was given.",
            ));
        }
        if monitor {
            let done = operation.status != "InProgress";
            return Ok(match (&operation.error, done) {
                (_, false) => Answer::empty(202).with(
                    "location",
                    format!("{}{}?{}", asked.base, operation.path, operation.monitor),
                ),
                (None, true) => Answer::empty(if operation.job == Job::Delete {
                    204
                } else {
                    200
                }),
                (Some((code, message)), true) => Answer::error(409, code, message),
            });
        }
        if operation.path.contains("Microsoft.Network") {
            return Ok(Answer::json(200, json!({"status": operation.status})));
        }
        let mut body = json!({
            "startTime": self.clock.stamp(operation.started),
            "status": operation.status,
            "name": id,
        });
        if let Some(ended) = operation.ended {
            set(&mut body, "endTime", json!(self.clock.stamp(ended)));
        }
        if let Some((code, message)) = &operation.error {
            set(
                &mut body,
                "error",
                json!({"code": code, "message": message}),
            );
        }
        Ok(Answer::json(200, body))
    }

    /// Ends an operation before its time.
    pub(crate) fn preempt(&mut self, id: &str) {
        let now = self.now;
        if let Some(operation) = self.operations.get_mut(id)
            && operation.status == "InProgress"
        {
            operation.status = "Canceled";
            operation.ended = Some(now);
            operation.error = Some((
                "OperationPreempted".into(),
                "Operation execution has been preempted by a more recent operation.".into(),
            ));
        }
    }

    /// An operation's time has come.
    pub(crate) fn finish(&mut self, id: &str) {
        let Some(operation) = self.operations.get_mut(id) else {
            return;
        };
        if operation.status != "InProgress" {
            return;
        }
        let script = operation.script.clone();
        operation.ended = Some(self.now);
        if script.preempt {
            operation.status = "InProgress";
            self.preempt(id);
        } else if let Some((code, message, _)) = &script.fail {
            operation.status = "Failed";
            operation.error = Some((code.clone(), message.clone()));
        } else {
            operation.status = "Succeeded";
        }
        if let Some(operation) = self.operations.get(id).cloned() {
            self.vm_finish(id, &operation);
        }
    }

    /// Takes capacity away: creates and starts fail until it is back.
    pub(crate) fn capacity(&self, size: &str, zone: Option<&str>, script: &Script) -> Script {
        let gone = self
            .full
            .iter()
            .any(|(s, z)| s == size && (z.is_none() || z.as_deref() == zone));
        if !gone || script.fail.is_some() {
            return script.clone();
        }
        let code = if zone.is_some() {
            "ZonalAllocationFailed"
        } else {
            "AllocationFailed"
        };
        Script {
            fail: Some((code.into(), ALLOCATION_FAILED.into(), Debris::Vm)),
            ..script.clone()
        }
    }
}

/// Sets a member of an object.
pub(crate) fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_string(), value);
    }
}
