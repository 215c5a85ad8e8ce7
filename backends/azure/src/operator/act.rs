//! Restart, stop, adopt.

use std::collections::BTreeMap;
use std::time::Duration;

use azure_core::http::Method;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use slurmburst_core::error::{Error, ErrorKind, Result};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::kind::Action;
use slurmburst_core::outcome::{Machine, Outcome, Outcomes};
use slurmburst_core::provider::{Context, Direction, Pending};

use super::{AzureOperator, TOGETHER, patiently};
use crate::api::{self, Operation, Power, Provisioning, Vm};
use crate::client::{Ask, Reply};
use crate::error::failed;
use crate::names::{self, Whose, tag, whose};

/// Azure lets an operation be asked 15 times a minute.
const OPERATION: Duration = Duration::from_secs(4);
/// Never longer than this between two looks, whatever an answer says.
const MOST: Duration = Duration::from_secs(60);

/// What is kept of something that was begun.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    action: Action,
    url: String,
}

impl AzureOperator {
    /// As `Operator::act`.
    pub(super) async fn begin(&self, cx: &Context, action: Action, nodes: &[NodeName]) -> Outcomes {
        let mut outcomes = Outcomes::new(nodes.iter().cloned());
        for some in nodes.chunks(TOGETHER) {
            let done = some.iter().map(|node| async move {
                let outcome = match action {
                    Action::Adopt => self.adopt(cx, node).await,
                    Action::Restart => self.restart(cx, node).await,
                    Action::Stop => self.stop(cx, node).await,
                    other => {
                        let text = format!("this provider cannot {} machines", other.as_str());
                        Err(Error::new(ErrorKind::Unsupported, text))
                    }
                };
                (node, outcome.unwrap_or_else(Outcome::Failed))
            });
            for (node, outcome) in join_all(done).await {
                outcomes.set(node, outcome);
            }
        }
        outcomes
    }

    /// As `Operator::progress`.
    pub(super) async fn look(&self, cx: &Context, pending: &[Pending]) -> Outcomes {
        let mut outcomes = Outcomes::new(pending.iter().map(|p| p.node.clone()));
        for some in pending.chunks(TOGETHER) {
            let looked = some.iter().map(|p| async move {
                let outcome = self.look_at(cx, p).await;
                (&p.node, outcome.unwrap_or_else(Outcome::Failed))
            });
            for (node, outcome) in join_all(looked).await {
                outcomes.set(node, outcome);
            }
        }
        outcomes
    }

    async fn look_at(&self, cx: &Context, pending: &Pending) -> Result<Outcome> {
        let begun: Begun = serde_json::from_value(pending.handle.clone()).map_err(|e| {
            let text = format!("what was kept of {} cannot be used: {e}", pending.node);
            Error::new(ErrorKind::Invalid, text)
        })?;
        let what = format!("{} {}", begun.action.as_str(), pending.node);
        let (client, _) = self.provider.at();
        let asked = || client.get(cx, &what, &begun.url, api::operation);
        match patiently(cx, asked).await? {
            Operation::Running => Ok(Outcome::Accepted(Pending {
                poll_after: OPERATION,
                ..pending.clone()
            })),
            Operation::Succeeded => Ok(Outcome::Done(Machine {
                instance: pending.instance.clone(),
                ..Machine::default()
            })),
            Operation::Failed(fault) => Err(failed(&what, &fault)),
        }
    }

    async fn adopt(&self, cx: &Context, node: &NodeName) -> Result<Outcome> {
        names::check_node(node)?;
        let vm = self.there(cx, node).await?;
        match whose(&vm.tags, cx.cluster_id()) {
            Whose::Ours(_) => return Ok(Outcome::AlreadyDone),
            Whose::AnotherClusters => return Err(anothers(node, &vm)),
            Whose::Nobodys => {}
        }
        if vm.provisioning == Provisioning::Deleting {
            let text = format!("the VM {node} is being deleted");
            return Err(Error::new(ErrorKind::Invalid, text).code("BeingDeleted"));
        }
        let tags = BTreeMap::from(
            [
                (names::CLUSTER, cx.cluster_id()),
                (names::NODE, node.as_str()),
                (names::ORIGIN, "adopted"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        // Looks once more whose it is, and keeps the other tags.
        let write = || self.provider.write_tags(cx, node, &vm.vm_id, &tags);
        patiently(cx, write).await
    }

    async fn restart(&self, cx: &Context, node: &NodeName) -> Result<Outcome> {
        let vm = self.ours(cx, node).await?;
        match vm.status.power {
            Power::Running | Power::Unknown => self.post(cx, Action::Restart, node, &vm).await,
            power => {
                let text = format!(
                    "the VM {node} is {}, and only one that runs can be restarted: `slurmburst vm start {node}`",
                    power.as_str().unwrap_or("not running")
                );
                Err(Error::new(ErrorKind::Invalid, text).code("NotRunning"))
            }
        }
    }

    /// Switches it off. Whoever asks for it knows that it is billed.
    async fn stop(&self, cx: &Context, node: &NodeName) -> Result<Outcome> {
        let vm = self.ours(cx, node).await?;
        match vm.status.power {
            Power::Stopped | Power::Deallocated | Power::Deallocating => Ok(Outcome::AlreadyDone),
            _ => self.post(cx, Action::Stop, node, &vm).await,
        }
    }

    async fn post(
        &self,
        cx: &Context,
        action: Action,
        node: &NodeName,
        vm: &Vm,
    ) -> Result<Outcome> {
        let (client, addresses) = self.provider.at();
        let word = match action {
            Action::Stop => "powerOff",
            _ => "restart",
        };
        let url = addresses.vm_action(node.as_str(), word);
        let what = format!("{} {node}", action.as_str());
        let ask = Ask::new(&what, Method::Post, &url);
        let reply = patiently(cx, || client.ask(cx, &ask)).await;
        self.provider.view.touch(node);
        let reply: Reply = reply?;
        let instance = Some(vm.vm_id.clone());
        let Some(url) = reply.operation else {
            return Ok(Outcome::Done(Machine {
                instance,
                address: None,
                request_id: reply.request_id,
            }));
        };
        let handle = serde_json::to_value(Begun { action, url })
            .map_err(|e| Error::new(ErrorKind::Unexpected, format!("{what}: {e}")))?;
        Ok(Outcome::Accepted(Pending {
            node: node.clone(),
            direction: match action {
                Action::Stop => Direction::Down,
                _ => Direction::Up,
            },
            instance,
            handle,
            poll_after: reply
                .retry_after
                .unwrap_or(OPERATION)
                .clamp(OPERATION, MOST),
        }))
    }

    async fn there(&self, cx: &Context, node: &NodeName) -> Result<Vm> {
        self.vm(cx, node).await?.ok_or_else(|| {
            let group = &self.provider.config.resource_group;
            let text = format!("there is no VM {node} in resource group {group}");
            Error::new(ErrorKind::NotFound, text).code("ResourceNotFound")
        })
    }

    /// A machine that may be touched.
    async fn ours(&self, cx: &Context, node: &NodeName) -> Result<Vm> {
        let vm = self.there(cx, node).await?;
        if self.provider.ours(cx, &vm).is_some() {
            return Ok(vm);
        }
        match whose(&vm.tags, cx.cluster_id()) {
            Whose::AnotherClusters => Err(anothers(node, &vm)),
            _ => {
                let text = format!("the VM {node} is not adopted: `slurmburst vm adopt {node}`");
                Err(Error::new(ErrorKind::Invalid, text).code("NotAdopted"))
            }
        }
    }
}

fn anothers(node: &NodeName, vm: &Vm) -> Error {
    let text = format!(
        "the VM {node} belongs to cluster {}; take its tag {} off first if that cluster is no more",
        tag(&vm.tags, names::CLUSTER).unwrap_or("?"),
        names::CLUSTER
    );
    Error::new(ErrorKind::Invalid, text).code("NameTaken")
}
