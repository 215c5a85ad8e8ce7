//! How far things have come. From listings, for all nodes at once; a single
//! operation is asked only where the listing does not say how it ended.

use std::time::Duration;

use futures::future::join_all;
use slurmburst_core::error::{Effect, Error, ErrorKind, Result};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::outcome::{Machine, Outcome, Outcomes};
use slurmburst_core::provider::{Context, Direction, Pending};
use tokio::time::timeout_at;

use crate::api::{self, Fault, Operation, Power, Provisioning, Status, Vm};
use crate::error::{OPERATION_LOST, failed, failed_up};
use crate::provider::{AzureProvider, Handle, Op};
use crate::up::{instance_gone, why_failed};
use crate::view::{self, Since};

/// Azure lets an operation be asked 15 times a minute.
const OPERATION: Duration = Duration::from_secs(4);

/// What the listings say of one piece of work.
enum Seen<'a> {
    /// It is done; this machine is there.
    Done(Option<&'a Vm>),
    Going,
    /// It has ended otherwise, or not begun: its operation knows.
    Ask(Option<&'a Vm>),
    Over(Error),
}

impl AzureProvider {
    /// As `CloudProvider::poll`.
    pub(crate) async fn progress(
        &self,
        cx: &Context,
        pending: &[Pending],
        nodes: Vec<NodeName>,
    ) -> Outcomes {
        match timeout_at(cx.deadline(), self.look(cx, pending, nodes.clone())).await {
            Ok(Ok(outcomes)) => outcomes,
            Ok(Err(error)) => Outcomes::failed(nodes, &error.effect(Effect::None)),
            Err(_) => {
                let error = Error::new(ErrorKind::Timeout, "no answer at the deadline");
                Outcomes::failed(nodes, &error.effect(Effect::None))
            }
        }
    }

    async fn look(
        &self,
        cx: &Context,
        pending: &[Pending],
        nodes: Vec<NodeName>,
    ) -> Result<Outcomes> {
        let since = self.view.since(pending.iter().map(|p| &p.node));
        let vms = self.view.vms(cx, self.at(), since).await?;
        let handles: Vec<Option<Handle>> = pending
            .iter()
            .map(|p| serde_json::from_value(p.handle.clone()).ok())
            .collect();
        let power_counts = handles
            .iter()
            .flatten()
            .any(|h| matches!(h.op, Op::Start | Op::Deallocate));
        let statuses = match power_counts {
            true => self.view.statuses(cx, self.at(), since).await?,
            false => None,
        };
        let each = pending.iter().zip(&handles).map(|(pending, handle)| {
            let vm = vms.get(&pending.node.as_str().to_ascii_lowercase());
            let all = statuses.as_ref();
            let status = vm
                .and_then(|v| all?.get(&v.id.to_ascii_lowercase()))
                .cloned();
            self.one(cx, pending, handle.as_ref(), vm, status, since)
        });
        let mut outcomes = Outcomes::new(nodes);
        for (node, outcome) in join_all(each).await {
            outcomes.set(node, outcome.unwrap_or_else(Outcome::Failed));
        }
        Ok(outcomes)
    }

    async fn one<'a>(
        &self,
        cx: &Context,
        pending: &'a Pending,
        handle: Option<&Handle>,
        vm: Option<&Vm>,
        status: Option<Status>,
        since: Since,
    ) -> (&'a NodeName, Result<Outcome>) {
        let Some(handle) = handle else {
            let text = format!(
                "what was kept of the work on {} cannot be used",
                pending.node
            );
            return (&pending.node, Err(Error::new(ErrorKind::Invalid, text)));
        };
        (
            &pending.node,
            self.outcome(cx, pending, handle, vm, status, since).await,
        )
    }

    async fn outcome(
        &self,
        cx: &Context,
        pending: &Pending,
        handle: &Handle,
        vm: Option<&Vm>,
        mut status: Option<Status>,
        since: Since,
    ) -> Result<Outcome> {
        let name = pending.node.as_str();
        // Another machine of the same name is another machine.
        let vm = vm.filter(|v| pending.instance.as_ref().is_none_or(|i| *i == v.vm_id));
        // The list of all power states is not ours to see, or leaves this one
        // out: one question, once nothing is under way any more.
        let power_counts = matches!(handle.op, Op::Start | Op::Deallocate);
        let unknown = status.as_ref().is_none_or(|s| !view::is_known(s.power));
        if let Some(vm) = vm
            && power_counts
            && unknown
            && matches!(
                vm.provisioning,
                Provisioning::Succeeded | Provisioning::Failed
            )
        {
            let goal = match handle.op {
                Op::Start => Power::Running,
                _ => Power::Deallocated,
            };
            let there = self.view.believed(vm).filter(|s| s.power == goal);
            status = Some(match there {
                Some(status) => status,
                None => self.view.ask(cx, self.at(), vm).await?,
            });
        }
        let power = status.as_ref().map_or(Power::Unknown, |s| s.power);
        let again =
            |after| Ok(self.pending(&pending.node, handle, pending.instance.clone(), after));
        match seen(handle.op, name, vm, power) {
            Seen::Done(vm) => Ok(Outcome::Done(Machine {
                instance: vm.map(|v| v.vm_id.clone()),
                address: self.address(cx, handle.op, vm, since).await,
                request_id: None,
            })),
            Seen::Going => again(self.config.poll_interval),
            Seen::Over(error) => Err(error),
            Seen::Ask(vm) => {
                let Some(url) = &handle.url else {
                    return Err(self.unexplained(cx, handle.op, name, vm).await);
                };
                let what = format!("ask how {name} is coming on");
                match self.client.get(cx, &what, url, api::operation).await {
                    Ok(Operation::Failed(fault)) => Err(ended(handle.op, name, &fault)),
                    Ok(Operation::Running) => again(self.config.poll_interval.max(OPERATION)),
                    // The listing lags, or somebody has undone it since.
                    Ok(Operation::Succeeded) => {
                        let Some(vm) = vm else {
                            return Err(instance_gone(name));
                        };
                        let is_undone = match handle.op {
                            Op::Create => vm.provisioning == Provisioning::Failed,
                            Op::Delete => false,
                            // The machine itself knows; where it says what it
                            // should, the next listing will.
                            Op::Start | Op::Deallocate => {
                                let power = self.view.ask(cx, self.at(), vm).await?.power;
                                view::is_known(power)
                                    && matches!(
                                        seen(handle.op, name, Some(vm), power),
                                        Seen::Ask(_)
                                    )
                            }
                        };
                        match is_undone {
                            true => Err(self.unexplained(cx, handle.op, name, Some(vm)).await),
                            false => again(self.config.poll_interval.max(OPERATION)),
                        }
                    }
                    // Azure forgets operations after some days, and they belong
                    // to the subscription, which may not be ours to read.
                    Err(error)
                        if error.kind() == ErrorKind::NotFound
                            || error.cloud_code() == Some("AuthorizationFailed") =>
                    {
                        Err(self.unexplained(cx, handle.op, name, vm).await)
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// It is not as it should be, and there is no operation to ask.
    async fn unexplained(&self, cx: &Context, op: Op, name: &str, vm: Option<&Vm>) -> Error {
        let Some(vm) = vm else {
            return instance_gone(name);
        };
        if op == Op::Create {
            let mut vm = vm.clone();
            if let Ok(status) = view::status(cx, self.at(), name).await {
                vm.status = status;
            }
            return why_failed(name, &vm);
        }
        let fault = Fault {
            code: OPERATION_LOST.to_owned(),
            message: "it was accepted and did not happen".to_owned(),
            details: Vec::new(),
        };
        ended(op, name, &fault)
    }

    /// A machine's address, if it can be had: a node is up without it.
    async fn address(
        &self,
        cx: &Context,
        op: Op,
        vm: Option<&Vm>,
        since: Since,
    ) -> Option<std::net::IpAddr> {
        let vm = vm.filter(|_| matches!(op, Op::Create | Op::Start))?;
        let nics = self.view.nics(cx, self.at(), since).await.ok()?;
        let on_it = |id: &String| id.eq_ignore_ascii_case(&vm.id);
        nics.iter()
            .find(|n| n.vm.as_ref().is_some_and(on_it) && n.address.is_some())?
            .address
    }
}

/// Why an operation has failed.
fn ended(op: Op, name: &str, fault: &Fault) -> Error {
    match op.direction() {
        Direction::Up => failed_up(&doing(op, name), fault),
        Direction::Down => failed(&doing(op, name), fault),
    }
}

fn doing(op: Op, name: &str) -> String {
    let word = match op {
        Op::Create => "create",
        Op::Start => "start",
        Op::Deallocate => "deallocate",
        Op::Delete => "delete",
    };
    format!("{word} {name}")
}

fn seen<'a>(op: Op, name: &str, vm: Option<&'a Vm>, power: Power) -> Seen<'a> {
    use Provisioning::{Deleting, Failed, Succeeded};
    let Some(vm) = vm else {
        return match op {
            Op::Create => Seen::Ask(None),
            Op::Start => Seen::Over(instance_gone(name)),
            Op::Deallocate | Op::Delete => Seen::Done(None),
        };
    };
    match (op, vm.provisioning, power) {
        (Op::Delete, Deleting, _) => Seen::Going,
        (Op::Delete, _, _) => Seen::Ask(Some(vm)),
        (Op::Deallocate, Deleting, _) => Seen::Going,
        (Op::Deallocate, _, Power::Deallocated) => Seen::Done(Some(vm)),
        (_, Deleting, _) => Seen::Over(instance_gone(name)),
        (Op::Create, Succeeded, _) | (Op::Start, Succeeded, Power::Running) => Seen::Done(Some(vm)),
        // Nothing is under way any more, whatever the power state looks like.
        (_, Failed, _) => Seen::Ask(Some(vm)),
        (Op::Start, _, Power::Starting) => Seen::Going,
        (Op::Deallocate, _, Power::Deallocating | Power::Stopping) => Seen::Going,
        (_, Succeeded, _) => Seen::Ask(Some(vm)),
        _ => Seen::Going,
    }
}
