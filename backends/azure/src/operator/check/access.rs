//! Credential, subscription, resource group, permissions.

use std::collections::{BTreeMap, BTreeSet};

use slurmburst_core::error::ErrorKind;
use slurmburst_core::kind::Finding;
use slurmburst_core::policy::Group;
use slurmburst_core::provider::{Context, Lifecycle};

use super::super::sizes::made;
use super::{AzureOperator, unseen};
use crate::api::{self, Rights};
use crate::config::{Auth, Match};
use crate::template::Shape;

pub(super) const CREDENTIAL: &str = "credential";

/// What every site needs in its resource group.
const ALWAYS: [&str; 3] = [
    "Microsoft.Compute/virtualMachines/read",
    "Microsoft.Compute/virtualMachines/instanceView/read",
    "Microsoft.Network/networkInterfaces/read",
];
/// What `lifecycle = "create-delete"` needs besides.
const CREATE: [&str; 8] = [
    "Microsoft.Compute/virtualMachines/write",
    "Microsoft.Compute/virtualMachines/delete",
    "Microsoft.Compute/disks/read",
    "Microsoft.Compute/disks/write",
    "Microsoft.Compute/disks/delete",
    "Microsoft.Network/networkInterfaces/write",
    "Microsoft.Network/networkInterfaces/delete",
    "Microsoft.Network/networkInterfaces/join/action",
];
/// What `lifecycle = "start-deallocate"` needs besides.
const START: [&str; 2] = [
    "Microsoft.Compute/virtualMachines/start/action",
    "Microsoft.Compute/virtualMachines/deallocate/action",
];
/// What `slurmburst vm` needs besides.
const PERSON: [&str; 2] = [
    "Microsoft.Compute/virtualMachines/restart/action",
    "Microsoft.Compute/virtualMachines/powerOff/action",
];
/// What writing tags needs.
const ADOPT: &str = "Microsoft.Compute/virtualMachines/write";
/// What `public_ip` needs in the resource group.
const PUBLIC_IP: [&str; 4] = [
    "Microsoft.Network/publicIPAddresses/read",
    "Microsoft.Network/publicIPAddresses/write",
    "Microsoft.Network/publicIPAddresses/delete",
    "Microsoft.Network/publicIPAddresses/join/action",
];
/// What the resources need that a placement names.
const SUBNET: &[&str] = &["Microsoft.Network/virtualNetworks/subnets/join/action"];
const SECURITY_GROUP: &[&str] = &["Microsoft.Network/networkSecurityGroups/join/action"];
const IDENTITY: &[&str] = &["Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"];
const RESERVATION: &[&str] = &[
    "Microsoft.Compute/capacityReservationGroups/read",
    "Microsoft.Compute/capacityReservationGroups/deploy/action",
];
const PROXIMITY: &[&str] = &[
    "Microsoft.Compute/proximityPlacementGroups/read",
    "Microsoft.Compute/proximityPlacementGroups/write",
];

impl AzureOperator {
    /// Whether a token is given and taken, and what for.
    pub(super) async fn access(&self, cx: &Context) -> Vec<Finding> {
        let config = &self.provider.config;
        let (client, addresses) = self.provider.at();
        let url = addresses.subscription();
        let looked = client.get(cx, "look at the subscription", &url, api::subscription);
        let taken = Finding::ok(
            CREDENTIAL,
            format!("{}, taken by {}", who(&config.auth), config.endpoint),
        );
        let id = &config.subscription_id;
        match looked.await {
            Ok(found) => {
                let said = format!("{} ({id}), {}", found.display_name, found.state);
                let subscription = match found.state.to_ascii_lowercase().as_str() {
                    "enabled" | "" => Finding::ok("subscription", said),
                    "warned" | "pastdue" => {
                        Finding::warning("subscription", said, "ask who pays for it")
                    }
                    _ => Finding::error("subscription", said, "ask who owns it to enable it"),
                };
                vec![taken, subscription]
            }
            // Good for the resource group alone, which is enough.
            Err(e) if e.cloud_code() == Some("AuthorizationFailed") => vec![
                taken,
                Finding::ok("subscription", format!("{id}, whose name we may not read")),
            ],
            Err(e) if e.cloud_code() == Some("SubscriptionNotFound") => vec![
                taken,
                Finding::error(
                    "subscription",
                    e.to_string(),
                    "correct subscription_id (`az account show --query id`), or give the identity a role there",
                ),
            ],
            Err(e) => {
                let fix = match e.kind() {
                    ErrorKind::Auth => format!(
                        "check auth and its keys in [provider.{}]; `az login` with the same identity says more",
                        config.name
                    ),
                    _ => format!(
                        "see that {} and {} can be reached from here; set proxy or ca_bundle in [provider.{}] where they are needed",
                        config.endpoint, config.authority_host, config.name
                    ),
                };
                vec![Finding::error(CREDENTIAL, e.to_string(), fix)]
            }
        }
    }

    pub(super) async fn resource_group(&self, cx: &Context) -> Vec<Finding> {
        const WHAT: &str = "resource group";
        let config = &self.provider.config;
        let (name, location) = (&config.resource_group, &config.location);
        let (client, addresses) = self.provider.at();
        let url = addresses.resource_group();
        let finding = match client
            .get(cx, "look at the resource group", &url, api::resource_group)
            .await
        {
            Ok((_, true)) => {
                let found = format!("{name} is being deleted");
                Finding::error(
                    WHAT,
                    found,
                    "wait until it is gone and make it again, or name another",
                )
            }
            Ok((at, false)) => Finding::ok(WHAT, format!("{name}, in {at}")),
            Err(e) if e.cloud_code() == Some("AuthorizationFailed") => {
                Finding::ok(WHAT, format!("{name}, which we may not look at itself"))
            }
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => {
                let fix = format!("az group create --name {name} --location {location}");
                Finding::error(WHAT, e.to_string(), fix)
            }
            Err(e) => unseen(
                WHAT,
                &e,
                "Microsoft.Resources/subscriptions/resourceGroups/read",
            ),
        };
        vec![finding]
    }

    /// The actions that are needed and that no role of ours allows.
    pub(super) async fn permissions(&self, cx: &Context, groups: &[Group]) -> Vec<Finding> {
        const WHAT: &str = "permissions";
        let config = &self.provider.config;
        let has = |lifecycle| groups.iter().any(|g| g.lifecycle == lifecycle);
        let mut needed: BTreeSet<&str> = ALWAYS.into();
        if has(Lifecycle::CreateDelete) {
            needed.extend(CREATE);
        }
        if shapes(groups).any(|shape| shape.public_ip) {
            needed.extend(PUBLIC_IP);
        }
        if has(Lifecycle::StartDeallocate) {
            needed.extend(START);
        }
        let mut useful: BTreeSet<&str> = PERSON.into();
        if has(Lifecycle::StartDeallocate) && config.matching == Match::Tag {
            useful.insert(ADOPT);
        }
        let (_, addresses) = self.provider.at();
        let rights = match self.rights(cx, &addresses.rights()).await {
            Ok(rights) => rights,
            Err(finding) => return vec![finding],
        };
        let missing = |wanted: BTreeSet<&str>, rights: &[Rights]| -> Vec<String> {
            let lacking = |action: &&str| !rights.iter().any(|r| r.allow(action));
            wanted
                .into_iter()
                .filter(lacking)
                .map(str::to_owned)
                .collect()
        };
        let group = &config.resource_group;
        let role = |actions: &[String]| {
            format!(
                "add {} to the identity's role on resource group {group}; backends/azure/README.md has the whole role",
                actions.join(", ")
            )
        };
        let mut findings = Vec::new();
        let lacking = missing(needed, &rights);
        if !lacking.is_empty() {
            let found = format!("on {group} may not: {}", lacking.join(", "));
            findings.push(Finding::error(WHAT, found, role(&lacking)));
        }
        let lacking = missing(useful, &rights);
        if !lacking.is_empty() {
            let found = format!("for `slurmburst vm` may not: {}", lacking.join(", "));
            findings.push(Finding::warning(WHAT, found, role(&lacking)));
        }
        for (id, wanted) in named(groups) {
            match self.rights(cx, &addresses.rights_on(&id)).await {
                Ok(rights) => {
                    let lacking = missing(wanted, &rights).join(", ");
                    if !lacking.is_empty() {
                        let found = format!("on {id} may not: {lacking}");
                        let fix = format!("give the identity {lacking} there");
                        findings.push(Finding::error(WHAT, found, fix));
                    }
                }
                Err(finding) => findings.push(finding),
            }
        }
        if findings.is_empty() {
            findings.push(Finding::ok(WHAT, format!("all that is needed on {group}")));
        }
        findings
    }

    async fn rights(&self, cx: &Context, url: &str) -> Result<Vec<Rights>, Finding> {
        let (client, _) = self.provider.at();
        let all = client
            .all(cx, "look at the permissions", url, api::rights)
            .await;
        all.map_err(|e| match e.kind() {
            // Of something that is not there: another finding says so.
            ErrorKind::NotFound => Finding::warning(
                "permissions",
                format!("not looked at: {e}"),
                "see that the id is right",
            ),
            _ => unseen(
                "permissions",
                &e,
                "Microsoft.Authorization/permissions/read",
            ),
        })
    }
}

fn shapes(groups: &[Group]) -> impl Iterator<Item = Shape> {
    made(groups).filter_map(|(_, placement)| Shape::of(placement))
}

/// The resources that placements name, by id, and what is needed on each.
fn named(groups: &[Group]) -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut all: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for shape in shapes(groups) {
        let identities = shape.identity.into_iter().filter(|id| id.starts_with('/'));
        let one = [
            (shape.subnet_id, SUBNET),
            (shape.network_security_group_id, SECURITY_GROUP),
            (shape.capacity_reservation, RESERVATION),
            (shape.proximity_placement_group, PROXIMITY),
        ];
        let one = one
            .into_iter()
            .filter_map(|(id, actions)| Some((id?, actions)));
        for (id, actions) in one.chain(identities.map(|id| (id, IDENTITY))) {
            all.entry(id).or_default().extend(actions);
        }
    }
    all
}

/// Who we are, in a few words.
fn who(auth: &Auth) -> String {
    match auth {
        Auth::ManagedIdentity { client_id } => match client_id {
            Some(id) => format!("managed identity {id}"),
            None => "managed identity of this machine".to_owned(),
        },
        Auth::WorkloadIdentity { client_id, .. } => format!("workload identity {client_id}"),
        Auth::Secret { client_id, .. } => format!("service principal {client_id}"),
        Auth::Certificate { client_id, .. } => {
            format!("service principal {client_id}, by certificate")
        }
        Auth::AzureCli { .. } => "whoever is logged in to the Azure CLI".to_owned(),
    }
}
