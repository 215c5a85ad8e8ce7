//! The machines, as a person wants to see them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use futures::future::join_all;
use slurmburst_core::error::{ErrorKind, Result};
use slurmburst_core::hostlist::{HostSet, NodeName};
use slurmburst_core::kind::{MachineInfo, Whose};
use slurmburst_core::provider::{Context, Market, Owner};

use super::{AzureOperator, TOGETHER, patiently};
use crate::api::{self, Nic, Provisioning, Status, Vm};
use crate::list::state;
use crate::names::{self, tag};
use crate::view::{Since, is_known};

/// So many are asked for one by one; for more the lists are shorter.
const FEW: u64 = 8;

impl AzureOperator {
    /// As `Operator::machines`.
    pub(super) async fn seen(
        &self,
        cx: &Context,
        nodes: Option<&HostSet>,
    ) -> Result<Vec<MachineInfo>> {
        let (vms, nics) = tokio::join!(self.vms(cx, nodes), self.nics(cx));
        let (vms, nics) = (vms?, nics?);
        let mut addresses: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for nic in nics.iter() {
            if let (Some(vm), Some(address)) = (&nic.vm, nic.address) {
                let of = addresses.entry(vm.to_ascii_lowercase()).or_default();
                of.push(address);
            }
        }
        let mut infos: Vec<MachineInfo> = vms
            .into_iter()
            .map(|vm| {
                let addresses = addresses.remove(&vm.id.to_ascii_lowercase());
                self.info(cx, vm, addresses.unwrap_or_default())
            })
            .collect();
        infos.sort_by(|a, b| (&a.node, &a.name).cmp(&(&b.node, &b.name)));
        Ok(infos)
    }

    /// The machine of this node, with its power state, if there is one.
    pub(super) async fn vm(&self, cx: &Context, node: &NodeName) -> Result<Option<Vm>> {
        let (client, addresses) = self.provider.at();
        let (what, url) = (
            format!("look for {node}"),
            addresses.vm_with_view(node.as_str()),
        );
        let asked = || client.get(cx, &what, &url, api::vm);
        match patiently(cx, asked).await {
            Ok(vm) => Ok(Some(vm)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn vms(&self, cx: &Context, nodes: Option<&HostSet>) -> Result<Vec<Vm>> {
        if let Some(nodes) = nodes.filter(|n| n.len() <= FEW) {
            let asked = nodes
                .iter()
                .map(|node| async move { self.vm(cx, &node).await });
            let found: Result<Vec<Option<Vm>>> = join_all(asked).await.into_iter().collect();
            return Ok(found?.into_iter().flatten().collect());
        }
        let (provider, now) = (&self.provider, Since::now());
        let all = patiently(cx, || provider.view.vms(cx, provider.at(), now)).await?;
        let wanted = |name: &str| {
            nodes.is_none_or(|nodes| NodeName::new(name).is_ok_and(|name| nodes.contains(&name)))
        };
        let mut vms: Vec<Vm> = (all.values().filter(|vm| wanted(self.name_of(vm))))
            .cloned()
            .collect();
        let statuses = patiently(cx, || provider.view.statuses(cx, provider.at(), now)).await?;
        let mut known: HashMap<String, Status> =
            statuses.map_or_else(HashMap::new, |all| (*all).clone());
        // The list is not ours to see, or leaves some out: those by themselves.
        let unsaid: Vec<&Vm> = vms.iter().filter(|vm| is_unsaid(vm, &known)).collect();
        for some in unsaid.chunks(TOGETHER) {
            known.extend(patiently(cx, || provider.view.each(cx, provider.at(), some)).await?);
        }
        for vm in &mut vms {
            if let Some(status) = known.get(&vm.id.to_ascii_lowercase()) {
                vm.status = status.clone();
            }
        }
        Ok(vms)
    }

    /// NICs say addresses; a role that does not cover them costs only those.
    async fn nics(&self, cx: &Context) -> Result<Arc<Vec<Nic>>> {
        let provider = &self.provider;
        let asked = || provider.view.nics(cx, provider.at(), Since::now());
        match patiently(cx, asked).await {
            Err(error) if error.cloud_code() == Some("AuthorizationFailed") => Ok(Arc::default()),
            other => other,
        }
    }

    /// The node's name, in the node's own case where the tags have it.
    fn name_of<'a>(&self, vm: &'a Vm) -> &'a str {
        tag(&vm.tags, names::NODE)
            .filter(|n| n.eq_ignore_ascii_case(&vm.name))
            .unwrap_or(&vm.name)
    }

    fn info(&self, cx: &Context, vm: Vm, addresses: Vec<IpAddr>) -> MachineInfo {
        let ours = self.provider.ours(cx, &vm).map(|(_, _, owner)| owner);
        let owner = match (ours, names::whose(&vm.tags, cx.cluster_id())) {
            (Some(Owner::Created), _) => Whose::Created,
            (Some(Owner::Adopted), _) => Whose::Adopted,
            (Some(Owner::Matched), _) => Whose::Matched,
            (None, names::Whose::AnotherClusters) => Whose::AnotherCluster,
            (None, _) => Whose::Nobody,
        };
        // What is not ours may be anything; its states are said as they are.
        let state = state(
            vm.provisioning,
            vm.status.power,
            ours.unwrap_or(Owner::Matched),
        );
        let failed = vm.status.failed.as_ref();
        MachineInfo {
            node: NodeName::new(self.name_of(&vm)).ok(),
            cluster: tag(&vm.tags, names::CLUSTER).map(str::to_owned),
            state,
            power: vm.status.power.as_str().map(str::to_owned),
            provisioning: vm.provisioning.as_str().map(str::to_owned),
            problem: failed.map(|(code, message)| format!("{code}: {message}")),
            market: match vm.spot {
                true => Market::Spot,
                false => Market::OnDemand,
            },
            owner,
            addresses,
            name: vm.name,
            id: vm.vm_id,
            size: vm.size,
            region: vm.location,
            zone: vm.zone,
            tags: vm.tags,
            created_ms: vm.created_ms,
        }
    }
}

/// Whether a machine must have a power state, or a reason why not, that was not
/// said.
fn is_unsaid(vm: &Vm, known: &HashMap<String, Status>) -> bool {
    let status = known.get(&vm.id.to_ascii_lowercase());
    !matches!(
        vm.provisioning,
        Provisioning::Creating | Provisioning::Deleting
    ) && status.is_none_or(|s| !is_known(s.power) && s.failed.is_none())
}
