//! Deallocating and deleting.

use azure_core::http::Method;
use futures::future::join_all;
use slurmburst_core::error::{Effect, Error, ErrorKind, Result};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::outcome::{Outcome, Outcomes};
use slurmburst_core::provider::{Context, DownMode, Owner, PowerDown};
use tokio::time::timeout_at;

use crate::api::{self, Power, Provisioning, Vm};
use crate::client::Ask;
use crate::provider::{AzureProvider, Op};
use crate::view::Vms;

impl AzureProvider {
    /// As `CloudProvider::power_down`.
    pub(crate) async fn down(
        &self,
        cx: &Context,
        batch: &[PowerDown],
        nodes: Vec<NodeName>,
    ) -> Outcomes {
        let since = self.view.since(nodes.iter());
        let deallocates = batch.iter().any(|d| d.mode == DownMode::Deallocate);
        let both = async {
            let statuses = async {
                if deallocates {
                    // Shared; whoever needs it sees what became of it.
                    let _ = self.view.statuses(cx, self.at(), since).await;
                }
            };
            tokio::join!(self.view.vms(cx, self.at(), since), statuses).0
        };
        let listed = timeout_at(cx.deadline(), both).await;
        let vms = match listed {
            Ok(Ok(vms)) => vms,
            // Nothing was sent that changes anything.
            Ok(Err(error)) => return Outcomes::failed(nodes, &error.effect(Effect::None)),
            Err(_) => {
                let error = Error::new(ErrorKind::Timeout, "the machines were not listed in time");
                return Outcomes::failed(nodes, &error.effect(Effect::None));
            }
        };
        let vms: &Vms = &vms;
        let done = join_all(batch.iter().map(|down| async move {
            let outcome = self.one_down(cx, down, vms).await;
            (&down.node, outcome.unwrap_or_else(Outcome::Failed))
        }))
        .await;
        let mut outcomes = Outcomes::new(nodes);
        for (node, outcome) in done {
            outcomes.set(node, outcome);
        }
        outcomes
    }

    async fn one_down(&self, cx: &Context, down: &PowerDown, vms: &Vms) -> Result<Outcome> {
        let name = down.node.as_str();
        let looked;
        let vm = match vms.get(&name.to_ascii_lowercase()) {
            Some(vm) => vm,
            // That a machine costs nothing because it is not there is worth a
            // question of its own.
            None => {
                let what = format!("look for {name}");
                match self
                    .client
                    .get(cx, &what, &self.addresses.vm(name), api::vm)
                    .await
                {
                    Ok(vm) => {
                        looked = vm;
                        &looked
                    }
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        return Ok(Outcome::AlreadyDone);
                    }
                    Err(error) => return Err(error.effect(Effect::None)),
                }
            }
        };
        // Another machine of the same name is not the one that was meant.
        if down.instance.as_ref().is_some_and(|id| *id != vm.vm_id) {
            return Ok(Outcome::AlreadyDone);
        }
        let Some((_, _, owner)) = self.ours(cx, vm) else {
            // Somebody else's: we have none of this name.
            return Ok(Outcome::AlreadyDone);
        };
        let id = Some(vm.vm_id.clone());
        if vm.provisioning == Provisioning::Deleting {
            return Ok(self.accepted(&down.node, Op::Delete, id, None));
        }
        match (down.mode, owner) {
            (DownMode::Terminate, Owner::Created) => self.delete(cx, &down.node, id).await,
            (DownMode::Terminate, _) => {
                let text = format!(
                    "{name} was not created by slurmburst, so it is never deleted; put it into a group with lifecycle = \"start-deallocate\""
                );
                Err(Error::new(ErrorKind::Unsupported, text).code("NotCreatedByUs"))
            }
            (DownMode::Deallocate, _) => self.deallocate(cx, &down.node, vm, id).await,
        }
    }

    async fn delete(&self, cx: &Context, node: &NodeName, id: Option<String>) -> Result<Outcome> {
        self.view.touch(node);
        let url = self.addresses.vm_delete(node.as_str());
        let what = format!("delete {node}");
        let answer = self
            .client
            .ask(cx, &Ask::new(&what, Method::Delete, &url))
            .await;
        self.view.touch(node);
        match answer {
            Ok(reply) if reply.status == 204 => Ok(Outcome::AlreadyDone),
            Ok(reply) => Ok(self.accepted(node, Op::Delete, id, Some(reply))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Outcome::AlreadyDone),
            Err(error) => Err(error),
        }
    }

    async fn deallocate(
        &self,
        cx: &Context,
        node: &NodeName,
        vm: &Vm,
        id: Option<String>,
    ) -> Result<Outcome> {
        let since = self.view.since(std::iter::once(node));
        // Without the list it is sent to every machine, which does no harm.
        let statuses = self.view.statuses(cx, self.at(), since).await;
        let statuses = statuses.map_err(|e| e.effect(Effect::None))?;
        let status = statuses
            .as_ref()
            .and_then(|all| all.get(&vm.id.to_ascii_lowercase()));
        match status.map_or(Power::Unknown, |s| s.power) {
            // The list lags behind a start that was accepted just now. Once more
            // does no harm.
            Power::Deallocated
                if matches!(
                    vm.provisioning,
                    Provisioning::Succeeded | Provisioning::Failed
                ) && !self
                    .view
                    .is_touched_within(node, self.config.consistency_window) =>
            {
                return Ok(Outcome::AlreadyDone);
            }
            Power::Deallocating => return Ok(self.accepted(node, Op::Deallocate, id, None)),
            _ => {}
        }
        self.view.touch(node);
        // Not powerOff: a machine that is only switched off is still billed.
        let url = self.addresses.vm_action(node.as_str(), "deallocate");
        let what = format!("deallocate {node}");
        let answer = self
            .client
            .ask(cx, &Ask::new(&what, Method::Post, &url))
            .await;
        self.view.touch(node);
        match answer {
            Ok(reply) => Ok(self.accepted(node, Op::Deallocate, id, Some(reply))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Outcome::AlreadyDone),
            Err(error) => Err(error),
        }
    }
}
