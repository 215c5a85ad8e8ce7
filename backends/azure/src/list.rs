//! What there is: machines, their states, and what dead ones left behind.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::Ordering;

use slurmburst_core::error::{Error, ErrorKind, Result};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::provider::{Context, Gap, Instance, InstanceState, Leftover, Listing, Owner};
use tokio::time::timeout_at;

use crate::api::{self, Disk, Nic, Power, Provisioning, PublicIp, Status, Vm};
use crate::config::Match;
use crate::names::{self, Part, Whose, tag, whose};
use crate::provider::AzureProvider;
use crate::view::{Since, View, is_known};

impl AzureProvider {
    /// As `CloudProvider::list`.
    pub(crate) async fn listing(&self, cx: &Context) -> Result<Listing> {
        let late = || {
            Error::new(
                ErrorKind::Timeout,
                "the listing was not there at the deadline",
            )
        };
        let now = Since::now();
        let all = async {
            tokio::try_join!(
                // Without these nothing is known.
                self.view.vms(cx, self.at(), now),
                async { Ok(self.view.statuses(cx, self.at(), now).await) },
                async { Ok(self.view.nics(cx, self.at(), now).await) },
                async { Ok(View::disks(cx, self.at()).await) },
                async { Ok(self.public_ips(cx).await) },
            )
        };
        let (vms, statuses, nics, disks, public_ips) =
            timeout_at(cx.deadline(), all).await.map_err(|_| late())??;
        let mut listing = Listing::default();
        let ours: Vec<(&Vm, NodeName, Owner)> =
            vms.values().filter_map(|vm| self.ours(cx, vm)).collect();

        let mut known: HashMap<String, Status> = HashMap::new();
        let listed = statuses.map(|all| all.map_or_else(HashMap::new, |all| HashMap::clone(&all)));
        match listed {
            Ok(all) => {
                // The list leaves out a state now and then, and all of them where we
                // may see the resource group only: ask for those whose state does not
                // follow from what is listed.
                let is_listed = |vm: &Vm| {
                    let status = all.get(&vm.id.to_ascii_lowercase());
                    status.is_some_and(|s| is_known(s.power))
                };
                let asked: Vec<&Vm> = ours
                    .iter()
                    .filter(|(vm, _, owner)| in_question(vm, *owner) && !is_listed(vm))
                    .map(|(vm, ..)| *vm)
                    .collect();
                let asked = self.view.each(cx, self.at(), &asked).await;
                known = all;
                match asked {
                    Ok(each) => known.extend(each),
                    Err(error) => listing.gaps.push(gap("power states", error)),
                }
            }
            Err(error) => listing.gaps.push(gap("power states", error)),
        }

        let mut loose_nics = Vec::new();
        let mut addresses: BTreeMap<String, IpAddr> = BTreeMap::new();
        match nics {
            Ok(all) => {
                for nic in all.iter() {
                    match (&nic.vm, nic.address) {
                        (Some(vm), Some(address)) => {
                            _ = addresses.insert(vm.to_ascii_lowercase(), address)
                        }
                        (None, _) => loose_nics.push(nic.clone()),
                        (Some(_), None) => {}
                    }
                }
            }
            Err(error) => listing
                .gaps
                .extend(unless_refused("network interfaces", error)),
        }
        let disks = disks.unwrap_or_else(|error| {
            listing.gaps.extend(unless_refused("disks", error));
            Vec::new()
        });
        let public_ips = public_ips.unwrap_or_else(|error| {
            listing
                .gaps
                .extend(unless_refused("public addresses", error));
            Vec::new()
        });
        let taken: BTreeSet<String> = vms.keys().cloned().collect();
        listing.leftovers = self.leftovers(cx, &taken, &loose_nics, &disks, &public_ips);

        for (vm, node, owner) in ours {
            let id = vm.id.to_ascii_lowercase();
            let power = known.get(&id).map_or(Power::Unknown, |s| s.power);
            listing.instances.push(Instance {
                node,
                id: vm.vm_id.clone(),
                state: state(vm.provisioning, power, owner),
                owner,
                generation: names::generation(&vm.tags),
                call: tag(&vm.tags, names::CALL).map(str::to_owned),
                address: addresses.get(&id).copied(),
                launched_ms: vm.created_ms,
                expires_ms: vm
                    .created_ms
                    .zip(names::lifetime_ms(&vm.tags))
                    .map(|(from, span)| from.saturating_add(span)),
            });
        }
        listing.instances.sort_by(|a, b| a.node.cmp(&b.node));
        Ok(listing)
    }

    /// The resource group's public addresses, where a placement makes some.
    async fn public_ips(&self, cx: &Context) -> Result<Vec<PublicIp>> {
        if !self.public_ips.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        let (url, what) = (self.addresses.public_ips(), "list the public addresses");
        self.client.all(cx, what, &url, api::public_ips).await
    }

    /// The node that a machine is, and how it is ours; nothing where it is not.
    pub(crate) fn ours<'a>(&self, cx: &Context, vm: &'a Vm) -> Option<(&'a Vm, NodeName, Owner)> {
        let owner = match whose(&vm.tags, cx.cluster_id()) {
            Whose::Ours(owner) => owner,
            Whose::Nobodys if self.config.matching == Match::Name => Owner::Matched,
            Whose::Nobodys | Whose::AnotherClusters => return None,
        };
        // Azure may answer with a name in another case than the node has.
        let name = tag(&vm.tags, names::NODE)
            .filter(|n| n.eq_ignore_ascii_case(&vm.name))
            .unwrap_or(&vm.name);
        Some((vm, NodeName::new(name).ok()?, owner))
    }

    /// What bears a name that only we give, and hangs on nothing.
    fn leftovers(
        &self,
        cx: &Context,
        taken: &BTreeSet<String>,
        nics: &[Nic],
        disks: &[Disk],
        public_ips: &[PublicIp],
    ) -> Vec<Leftover> {
        let nics = nics.iter().map(|n| (Part::Nic, "nic", &n.id, &n.name));
        let disks = disks
            .iter()
            .filter(|d| d.unattached)
            .map(|d| (Part::OsDisk, "disk", &d.id, &d.name));
        let public_ips = public_ips
            .iter()
            .filter(|ip| !ip.is_held)
            .map(|ip| (Part::PublicIp, "public-ip", &ip.id, &ip.name));
        nics.chain(disks)
            .chain(public_ips)
            .filter_map(|(part, kind, id, name)| {
                let (node, certain) = part.node(name, cx.cluster_id())?;
                // A machine is there, or being made: they may be about to be joined.
                if taken.contains(&node.as_str().to_ascii_lowercase()) {
                    return None;
                }
                Some(Leftover {
                    node,
                    id: id.clone(),
                    kind: kind.to_owned(),
                    certain,
                })
            })
            .collect()
    }
}

fn gap(scope: &str, error: Error) -> Gap {
    Gap {
        scope: scope.to_owned(),
        error,
    }
}

/// A role that does not cover NICs or disks costs addresses and leftovers; it
/// does not make the machines unknown.
fn unless_refused(scope: &str, error: Error) -> Option<Gap> {
    (error.cloud_code() != Some("AuthorizationFailed")).then(|| gap(scope, error))
}

/// Whether a machine's state does not follow from what Resource Manager has
/// come to with it.
fn in_question(vm: &Vm, owner: Owner) -> bool {
    match vm.provisioning {
        // Under way, to what its operation will say.
        Provisioning::Creating | Provisioning::Updating | Provisioning::Deleting => false,
        Provisioning::Failed => true,
        // What we create runs until we delete it, unless it may be evicted.
        _ => owner != Owner::Created || vm.may_stop,
    }
}

/// What a machine is doing.
pub(crate) fn state(provisioning: Provisioning, power: Power, owner: Owner) -> InstanceState {
    let created = owner == Owner::Created;
    match (provisioning, power) {
        (Provisioning::Deleting, _) => InstanceState::Terminating,
        (Provisioning::Creating, _) => InstanceState::Starting,
        // A machine that never was has no power state. One that has one is a
        // machine, whatever failed on it later.
        (Provisioning::Failed, Power::Unknown) => InstanceState::Failed,
        (Provisioning::Failed, power) if created && power != Power::Running => {
            InstanceState::Failed
        }
        // What failed is over: it gets no further by itself.
        (Provisioning::Failed, Power::Starting | Power::Stopping | Power::Deallocating) => {
            InstanceState::StoppedBilled
        }
        (_, Power::Starting) => InstanceState::Starting,
        (_, Power::Running) => InstanceState::Running,
        (_, Power::Stopping | Power::Deallocating) => InstanceState::Stopping,
        (_, Power::Stopped) => InstanceState::StoppedBilled,
        // Something is under way, and may be a start.
        (Provisioning::Updating, Power::Deallocated) => InstanceState::Unknown,
        (_, Power::Deallocated) => InstanceState::Stopped,
        (Provisioning::Succeeded | Provisioning::Updating, power)
            if created && !is_known(power) =>
        {
            InstanceState::Running
        }
        _ => InstanceState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_is_doing() {
        use InstanceState as S;
        use Power as P;
        use Provisioning as V;
        for (provisioning, power, owner, want) in [
            (V::Creating, P::Unknown, Owner::Created, S::Starting),
            (V::Succeeded, P::Running, Owner::Created, S::Running),
            (V::Succeeded, P::Unknown, Owner::Created, S::Running),
            (V::Succeeded, P::Unknown, Owner::Adopted, S::Unknown),
            (V::Succeeded, P::Stopped, Owner::Adopted, S::StoppedBilled),
            (V::Succeeded, P::Deallocated, Owner::Matched, S::Stopped),
            (V::Updating, P::Starting, Owner::Adopted, S::Starting),
            (V::Updating, P::Deallocating, Owner::Adopted, S::Stopping),
            (V::Updating, P::Deallocated, Owner::Adopted, S::Unknown),
            (V::Deleting, P::Running, Owner::Created, S::Terminating),
            (V::Failed, P::Unknown, Owner::Created, S::Failed),
            (V::Failed, P::Running, Owner::Created, S::Running),
            (V::Failed, P::Deallocated, Owner::Created, S::Failed),
            (V::Failed, P::Deallocated, Owner::Adopted, S::Stopped),
            (V::Failed, P::Stopping, Owner::Created, S::Failed),
            (V::Failed, P::Deallocating, Owner::Adopted, S::StoppedBilled),
            (V::Other, P::Unknown, Owner::Adopted, S::Unknown),
        ] {
            let got = state(provisioning, power, owner);
            assert_eq!(got, want, "{provisioning:?} {power:?} {owner:?}");
        }
    }
}
