//! Creating and starting.

use std::sync::Arc;
use std::time::Duration;

use azure_core::http::Method;
use futures::future::join_all;
use serde_json::json;
use slurmburst_core::error::{Advice, Effect, Error, ErrorKind, Result};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::outcome::{Outcome, Outcomes};
use slurmburst_core::provider::{Call, CallNode, Context, INSTANCE_GONE, Lifecycle, Owner};
use tokio::time::timeout_at;

use crate::api::{self, Fault, Power, Provisioning, Vm};
use crate::client::Ask;
use crate::config::Match;
use crate::error::{NIC_RESERVED, NIC_RESERVED_CODE, failed_up, unreadable};
use crate::names::{self, Whose, tag, whose};
use crate::provider::{AzureProvider, Op};
use crate::render::{self, Request};

/// When to look again at something that is on its way out.
const DYING: Duration = Duration::from_secs(10);

impl AzureProvider {
    /// As `CloudProvider::power_up`.
    pub(crate) async fn up(&self, cx: &Context, calls: &[Call], nodes: Vec<NodeName>) -> Outcomes {
        let each = calls
            .iter()
            .flat_map(|call| call.nodes.iter().map(move |node| (call, node)));
        let done = join_all(each.map(|(call, node)| async move {
            let outcome = match call.placement.lifecycle {
                Lifecycle::CreateDelete => self.create(cx, call, node).await,
                Lifecycle::StartDeallocate => self.start(cx, node).await,
            };
            self.view.touch(&node.name);
            (&node.name, outcome.unwrap_or_else(Outcome::Failed))
        }))
        .await;
        let mut outcomes = Outcomes::new(nodes);
        for (node, outcome) in done {
            outcomes.set(node, outcome);
        }
        outcomes
    }

    async fn create(&self, cx: &Context, call: &Call, node: &CallNode) -> Result<Outcome> {
        names::check_node(&node.name)?;
        let name = node.name.as_str();
        let mut request = render::stored(call)?;
        // What is only read has made nothing.
        let newest = self.look_up_newest(cx, &mut request).await;
        newest.map_err(|e| e.effect(Effect::None))?;
        let custom_data = custom_data(&request)?;
        let bodies = render::bodies(
            &self.addresses,
            cx.cluster_id(),
            call,
            node,
            &request,
            custom_data.as_deref(),
        )?;
        if let Some(nic) = &bodies.nic {
            let url = self
                .addresses
                .nic(&names::Part::Nic.name(name, cx.cluster_id()));
            let what = format!("make the network interface of {name}");
            let ask = Ask {
                body: Some(nic),
                ..Ask::new(&what, Method::Put, &url)
            };
            if let Err(error) = self.client.ask(cx, &ask).await {
                return reserved(&error).ok_or(error);
            }
        }
        let url = self.addresses.vm(name);
        let what = format!("create {name}");
        let ask = Ask {
            body: Some(&bodies.vm),
            // Never onto a machine that is there already, whosever it is.
            if_absent: true,
            ..Ask::new(&what, Method::Put, &url)
        };
        match self.client.ask(cx, &ask).await {
            Ok(reply) => {
                let vm = api::vm(&reply.body).map_err(|e| unreadable(&what, &e))?;
                Ok(self.accepted(&node.name, Op::Create, Some(vm.vm_id), Some(reply)))
            }
            Err(error) => match reserved(&error) {
                Some(waiting) => Ok(waiting),
                None if error.kind() == ErrorKind::Conflict => {
                    self.there_already(cx, call, node, error).await
                }
                None if bodies.nic.is_some() => self.without_its_nic(cx, name, error).await,
                None => Err(error),
            },
        }
    }

    /// Its NIC was made for it, and it cannot be made. The next placement, in
    /// another region perhaps, needs one of the same name.
    async fn without_its_nic(&self, cx: &Context, name: &str, refusal: Error) -> Result<Outcome> {
        let nic = names::Part::Nic.name(name, cx.cluster_id());
        // That of an old machine, which has gone along with it.
        if refusal.cloud_code() == Some("InvalidResourceReference")
            && refusal.message().contains(&nic)
        {
            return Ok(Outcome::Waiting {
                why: "the network interface of the old machine has gone with it".into(),
                retry_after: DYING,
            });
        }
        if matches!(refusal.advice(), Advice::Elsewhere | Advice::Never) {
            let what = format!("delete the network interface made for {name}");
            let url = self.addresses.nic(&nic);
            // Where this fails, reconcile finds it.
            let _ = self
                .client
                .ask(cx, &Ask::new(&what, Method::Delete, &url))
                .await;
        }
        Err(refusal)
    }

    /// There is a machine of this name: the one that this very call made, an
    /// old one on its way out, or one that is nothing of ours.
    async fn there_already(
        &self,
        cx: &Context,
        call: &Call,
        node: &CallNode,
        refusal: Error,
    ) -> Result<Outcome> {
        let name = node.name.as_str();
        let what = format!("look at the {name} that is there");
        let url = self.addresses.vm_with_view(name);
        let vm = match self.client.get(cx, &what, &url, api::vm).await {
            Ok(vm) => vm,
            // It has gone since, or something else was in the way.
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(refusal),
            Err(error) => return Err(error),
        };
        match whose(&vm.tags, cx.cluster_id()) {
            Whose::Ours(Owner::Created) => {}
            Whose::Ours(_) => {
                return Err(taken(
                    name,
                    "was made by hand and adopted: put the node into a group with lifecycle = \"start-deallocate\"",
                ));
            }
            Whose::AnotherClusters => {
                return Err(taken(
                    name,
                    "belongs to another cluster: give this provider a resource group of its own",
                ));
            }
            Whose::Nobodys => {
                return Err(taken(
                    name,
                    "was not made by slurmburst: delete it, or adopt it for a group with lifecycle = \"start-deallocate\"",
                ));
            }
        }
        let mine = tag(&vm.tags, names::CALL) == Some(call.id.as_str());
        let gone = matches!(vm.status.power, Power::Deallocated | Power::Deallocating);
        match (vm.provisioning, mine) {
            (Provisioning::Deleting, false) => Ok(Outcome::Waiting {
                why: format!("the old {name} is still being deleted"),
                retry_after: DYING,
            }),
            (Provisioning::Failed, true) if vm.status.power != Power::Running => {
                Err(why_failed(name, &vm))
            }
            (Provisioning::Failed, false) => Ok(Outcome::Waiting {
                why: format!("what an earlier attempt at {name} left has to be deleted first"),
                retry_after: Duration::from_secs(2),
            }),
            (Provisioning::Deleting, true) => Err(instance_gone(name)),
            (Provisioning::Succeeded, true) if gone => Err(instance_gone(name)),
            // A repetition. The next look says how far it has come.
            (_, true) => Ok(self.accepted(&node.name, Op::Create, Some(vm.vm_id), None)),
            (_, false) => {
                let text = format!(
                    "{name} is there already, made by call {}; power it down first",
                    tag(&vm.tags, names::CALL).unwrap_or("?")
                );
                Err(Error::new(ErrorKind::Conflict, text).code("NameInUse"))
            }
        }
    }

    async fn start(&self, cx: &Context, node: &CallNode) -> Result<Outcome> {
        let name = node.name.as_str();
        let since = self.view.since(std::iter::once(&node.name));
        let vms = self.view.vms(cx, self.at(), since).await;
        let vms = vms.map_err(|e| e.effect(Effect::None))?;
        let Some(vm) = vms.get(&name.to_ascii_lowercase()) else {
            let text = format!(
                "there is no VM {name} in resource group {}: make it, or correct the hostlist",
                self.config.resource_group
            );
            return Err(Error::new(ErrorKind::NotFound, text).code("ResourceNotFound"));
        };
        match whose(&vm.tags, cx.cluster_id()) {
            Whose::Ours(_) => {}
            Whose::Nobodys if self.config.matching == Match::Name => {}
            Whose::Nobodys => {
                return Err(taken(
                    name,
                    &format!(
                        "is not adopted: `slurmburst vm adopt {name}`, or match = \"name\" in the provider where tags may not be written"
                    ),
                ));
            }
            Whose::AnotherClusters => return Err(taken(name, "belongs to another cluster")),
        }
        let id = Some(vm.vm_id.clone());
        if vm.provisioning == Provisioning::Deleting {
            return Err(taken(name, "is being deleted, by somebody else"));
        }
        let statuses = self.view.statuses(cx, self.at(), since).await;
        let statuses = statuses.map_err(|e| e.effect(Effect::None))?;
        let status = statuses
            .as_ref()
            .and_then(|all| all.get(&vm.id.to_ascii_lowercase()));
        match status.map_or(Power::Unknown, |s| s.power) {
            // The next look has its address.
            Power::Running if vm.provisioning != Provisioning::Updating => {
                let handle = crate::provider::Handle {
                    op: Op::Start,
                    url: None,
                };
                Ok(self.pending(&node.name, &handle, id, Duration::ZERO))
            }
            Power::Starting => Ok(self.accepted(&node.name, Op::Start, id, None)),
            Power::Deallocating | Power::Stopping => Ok(Outcome::Waiting {
                why: format!("{name} is still being stopped"),
                retry_after: DYING,
            }),
            // To start what runs does nothing.
            _ => {
                self.view.touch(&node.name);
                let url = self.addresses.vm_action(name, "start");
                let what = format!("start {name}");
                let reply = self
                    .client
                    .ask(cx, &Ask::new(&what, Method::Post, &url))
                    .await?;
                Ok(self.accepted(&node.name, Op::Start, id, Some(reply)))
            }
        }
    }

    /// Puts the newest version in place of `latest`, the same for all machines
    /// of this run. An image that cannot be looked up is left to Azure.
    async fn look_up_newest(&self, cx: &Context, request: &mut Request) -> Result<()> {
        let Some(urn) = &request.newest else {
            return Ok(());
        };
        // Whoever asks may have more time than we do.
        let Ok(mut known) = timeout_at(cx.deadline(), self.newest.lock()).await else {
            let text = "the newest version of the image was not there at the deadline";
            return Err(Error::new(ErrorKind::Timeout, text));
        };
        if !known.contains_key(urn) {
            let [publisher, offer, sku] = urn;
            let location = request.vm.get("location").and_then(|l| l.as_str());
            let location = location.unwrap_or(&self.config.location);
            let url = self
                .addresses
                .newest_image(location, [publisher, offer, sku]);
            let what = format!("look up the newest {publisher}:{offer}:{sku}");
            let read = |bytes: &[u8]| api::read::<Vec<api::Named>>("the list of versions", bytes);
            let version = match self.client.get(cx, &what, &url, read).await {
                Ok(list) => list.into_iter().next().map(|v| v.name),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Auth) => None,
                Err(error) => return Err(error),
            };
            known.insert(urn.clone(), version.unwrap_or_else(|| "latest".to_owned()));
        }
        let path = "/properties/storageProfile/imageReference/version";
        if let (Some(version), Some(slot)) = (known.get(urn), request.vm.pointer_mut(path)) {
            *slot = json!(version);
        }
        Ok(())
    }
}

fn custom_data(request: &Request) -> Result<Option<Arc<str>>> {
    let Some(path) = &request.custom_data_file else {
        return Ok(None);
    };
    std::fs::read_to_string(path)
        .map(|text| Some(Arc::from(text)))
        .map_err(|e| {
            Error::new(
                ErrorKind::Invalid,
                format!("custom_data_file {}: {e}", path.display()),
            )
        })
}

/// A NIC that waits for a VM that never was: nothing can be done but wait too.
fn reserved(error: &Error) -> Option<Outcome> {
    (error.cloud_code() == Some(NIC_RESERVED_CODE)).then(|| Outcome::Waiting {
        why: "Azure keeps the network interface for the machine that could not be created".into(),
        retry_after: error.delay().unwrap_or(NIC_RESERVED),
    })
}

fn taken(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("the VM {name} {why}")).code("NameTaken")
}

pub(crate) fn instance_gone(name: &str) -> Error {
    let text = format!("the {name} that this call made has been deleted or taken away");
    Error::new(ErrorKind::NotFound, text).code(INSTANCE_GONE)
}

/// Why a machine could not be made, from what is left of it.
pub(crate) fn why_failed(name: &str, vm: &Vm) -> Error {
    let (code, message) = vm.status.failed.clone().unwrap_or_else(|| {
        (
            "ProvisioningFailed".to_owned(),
            "Azure does not say why".to_owned(),
        )
    });
    failed_up(
        &format!("create {name}"),
        &Fault {
            code,
            message,
            details: Vec::new(),
        },
    )
}
