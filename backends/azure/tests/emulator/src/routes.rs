//! Which handler answers which path, and which rate limit it falls under.

use serde_json::{Value, json};

use crate::buckets::Policy;
use crate::lists::scope;
use crate::network::{IP, NIC};
use crate::operations::Script;
use crate::vm_put::Place;
use crate::wire::{Answer, Asked, Handled};
use crate::world::{World, listed};

pub(crate) const DISK: &str = "Microsoft.Compute/disks";
pub(crate) const VNET: &str = "Microsoft.Network/virtualNetworks";

/// The rate limit of a resource provider that a call falls under, and the
/// resource that it counts for.
pub(crate) fn policy(method: &str, low: &[&str]) -> Option<(Policy, String)> {
    let provider = low.iter().position(|part| *part == "providers")?;
    let rest = low.get(provider + 1..)?;
    let resource = low.join("/");
    let read = matches!(method, "GET" | "HEAD");
    Some(match (rest, read) {
        (
            [
                "microsoft.compute" | "microsoft.network",
                "locations",
                _,
                "operations",
                id,
            ],
            true,
        ) => (Policy::GetOperation, (*id).to_string()),
        (["microsoft.network", ..], true) => (Policy::NetworkRead, resource),
        (["microsoft.network", ..], false) => (Policy::NetworkWrite, resource),
        (
            ["microsoft.compute", "virtualmachines"]
            | ["microsoft.compute", "locations", _, "virtualmachines"],
            true,
        ) => (Policy::HighCostGet, resource),
        (["microsoft.compute", "virtualmachines", name, ..], _) => {
            let policy = match (method, rest.get(3)) {
                ("GET" | "HEAD", _) => Policy::LowCostGet,
                ("PUT", _) => Policy::PutVm,
                ("DELETE", _) | ("POST", Some(&"deallocate" | &"simulateeviction")) => {
                    Policy::DeleteVm
                }
                _ => Policy::UpdateVm,
            };
            let end = low.iter().position(|part| part == name).unwrap_or(0);
            (policy, low.get(..=end).unwrap_or(low).join("/"))
        }
        _ => return None,
    })
}

/// The call's kind in the books.
pub(crate) fn kind(method: &str, asked: &Asked, low: &[&str]) -> String {
    let word = match low {
        ["subscriptions"] | ["tenants"] => "subscriptions",
        [_, _, "resourcegroups", ..] if low.len() <= 4 => "resourceGroups",
        [.., "oauth2", "v2.0", "token"] => "token",
        [.., "operations", _] => "operations",
        [.., "virtualmachines"] if low.len() < 7 => {
            if asked.parameter("statusOnly").is_some() {
                "virtualMachines?statusOnly"
            } else {
                "virtualMachines?all"
            }
        }
        [.., "virtualmachines"] => "virtualMachines?list",
        [.., "virtualmachines", _] => "virtualMachines",
        [.., "virtualmachines", _, action] => return format!("{method} virtualMachines/{action}"),
        [.., "networkinterfaces"] => "networkInterfaces?list",
        [.., "networkinterfaces", _] => "networkInterfaces",
        [.., "disks"] => "disks?list",
        [.., "disks", _] => "disks",
        _ => low.last().copied().unwrap_or("/"),
    };
    format!("{method} {word}")
}

impl World {
    /// Answers a call to Resource Manager that was admitted.
    pub(crate) fn route(&mut self, asked: &Asked, low: &[&str], script: &Script) -> Handled {
        let part = |n: usize| asked.parts.get(n).cloned().unwrap_or_default();
        let method = asked.method.as_str();
        let place = |name: usize| Place {
            subscription: part(1),
            group: part(3),
            name: part(name),
        };
        match (method, low) {
            ("GET", ["subscriptions"]) => listed(
                self.settings
                    .subscriptions
                    .iter()
                    .map(|s| self.subscription_view(s))
                    .collect(),
                None,
            ),
            ("GET", ["tenants"]) => listed(
                vec![
                    json!({"id": format!("/tenants/{}", self.settings.tenant), "tenantId": self.settings.tenant, "displayName": "Emulated", "tenantCategory": "Home"}),
                ],
                None,
            ),
            (_, ["subscriptions", _, ..]) if !self.settings.subscriptions.contains(&part(1)) => {
                Err(Answer::error(
                    404,
                    "SubscriptionNotFound",
                    format!("The subscription '{}' could not be found.", part(1)),
                ))
            }
            ("GET", [_, _]) => Ok(Answer::json(200, self.subscription_view(&part(1)))),
            ("GET", [_, _, "locations"]) => {
                let location = &self.settings.location;
                listed(
                    vec![
                        json!({"id": format!("/subscriptions/{}/locations/{location}", part(1)), "name": location, "displayName": location}),
                    ],
                    None,
                )
            }
            (_, [_, _, "resourcegroups", ..]) if low.len() <= 4 => self.groups_route(asked, low),
            ("GET", [.., "microsoft.authorization", "permissions"]) => {
                // Those that are refused over the subscription alone say nothing here.
                let barred = self.forbidden.iter().filter(|(_, only)| !only);
                let barred: Vec<String> = barred.map(|(action, _)| format!("{action}*")).collect();
                listed(
                    vec![
                        json!({"actions": ["*"], "notActions": barred, "dataActions": [], "notDataActions": []}),
                    ],
                    None,
                )
            }
            ("GET", [_, _, "providers", "microsoft.compute", "skus"]) => self.skus(),
            (
                "GET",
                [
                    _,
                    _,
                    "providers",
                    "microsoft.compute",
                    "locations",
                    _,
                    "usages",
                ],
            ) => self.usages(),
            (
                "GET",
                [
                    _,
                    _,
                    "providers",
                    "microsoft.compute",
                    "locations",
                    _,
                    "vmsizes",
                ],
            ) => self.vm_sizes(),
            (
                "GET",
                [
                    _,
                    _,
                    "providers",
                    "microsoft.compute",
                    "locations",
                    _,
                    "publishers",
                    rest @ ..,
                ],
            ) => self.images(asked, rest),
            (
                "GET",
                [
                    _,
                    _,
                    "providers",
                    "microsoft.compute" | "microsoft.network",
                    "locations",
                    _,
                    "operations",
                    id,
                ],
            ) => self.operation_get(asked, id),
            ("GET", [_, _, "providers", "microsoft.compute", "virtualmachines"])
            | (
                "GET",
                [
                    _,
                    _,
                    "providers",
                    "microsoft.compute",
                    "locations",
                    _,
                    "virtualmachines",
                ],
            ) => self.vm_list(asked, &format!("/subscriptions/{}/", part(1)), true),
            (
                "GET",
                [
                    _,
                    _,
                    _,
                    rg,
                    "providers",
                    "microsoft.compute",
                    "virtualmachines",
                ],
            ) => {
                self.group(&part(1), rg)?;
                self.vm_list(
                    asked,
                    &format!("/subscriptions/{}/resourcegroups/{rg}/", part(1)),
                    false,
                )
            }
            (
                _,
                [
                    _,
                    _,
                    _,
                    _,
                    "providers",
                    "microsoft.compute",
                    "virtualmachines",
                    _,
                    rest @ ..,
                ],
            ) => {
                let place = place(7);
                match (method, rest) {
                    ("PUT", []) => self.vm_put(asked, &place, script),
                    ("PATCH", []) => self.vm_patch(asked, &place, script),
                    ("DELETE", []) => self.vm_delete(asked, &place, script),
                    ("GET", []) => {
                        let key = self.vm_key(&place)?;
                        let expand = asked
                            .parameter("$expand")
                            .is_some_and(|e| e.eq_ignore_ascii_case("instanceView"));
                        let etag = self.vms.get(&key).map_or(0, |vm| vm.etag);
                        Ok(Answer::json(200, self.vm_view(&key, expand))
                            .with("etag", format!("\"{etag}\"")))
                    }
                    ("GET", ["instanceview"]) => {
                        let key = self.vm_key(&place)?;
                        Ok(Answer::json(200, self.instance_view(&key, true)))
                    }
                    ("POST", [action]) => self.vm_action(asked, &place, action, script),
                    _ => Err(no_route(asked)),
                }
            }
            (_, [.., "microsoft.compute", "disks"] | [.., "microsoft.compute", "disks", _]) => {
                self.thing(asked, low, &place(7), DISK, script)
            }
            (
                _,
                [.., "microsoft.network", "publicipaddresses"]
                | [.., "microsoft.network", "publicipaddresses", _],
            ) => self.thing(asked, low, &place(7), IP, script),
            ("GET", [.., "providers", "microsoft.network", "networkinterfaces"]) => {
                let scope = scope(asked, low);
                let (items, next) = self.page(
                    asked,
                    self.nics.iter().filter(|(key, _)| key.starts_with(&scope)),
                );
                listed(
                    items
                        .iter()
                        .map(|nic| self.nic_view(&nic.id.to_lowercase()))
                        .collect(),
                    next,
                )
            }
            (
                _,
                [
                    _,
                    _,
                    _,
                    _,
                    "providers",
                    "microsoft.network",
                    "networkinterfaces",
                    _,
                ],
            ) => {
                let place = place(7);
                match method {
                    "PUT" => self.nic_put(asked, &place, script),
                    "DELETE" => self.nic_delete(asked, &place, script),
                    "GET" => found(asked, Some(self.nic_view(&place.key(NIC)))),
                    _ => Err(no_route(asked)),
                }
            }
            ("GET", [.., "providers", "microsoft.network", "virtualnetworks"]) => {
                let scope = scope(asked, low);
                let (items, next) = self.page(
                    asked,
                    self.vnets.iter().filter(|(key, _)| key.starts_with(&scope)),
                );
                let keys = items
                    .iter()
                    .filter_map(|(body, _)| body["id"].as_str())
                    .map(str::to_lowercase);
                listed(keys.filter_map(|key| self.vnet_view(&key)).collect(), next)
            }
            (
                _,
                [
                    _,
                    _,
                    _,
                    _,
                    "providers",
                    "microsoft.network",
                    "virtualnetworks",
                    _,
                    rest @ ..,
                ],
            ) => {
                let place = place(7);
                self.vnet(asked, &place, rest)
            }
            ("GET", _) => {
                let known = self.others.get(&asked.path.to_lowercase()).cloned();
                found(asked, known)
            }
            _ => Err(no_route(asked)),
        }
    }
}

pub(crate) fn missing(asked: &Asked) -> Answer {
    let (kind, name) = (
        asked
            .parts
            .iter()
            .skip(5)
            .cloned()
            .collect::<Vec<_>>()
            .join("/"),
        asked.parts.get(3),
    );
    Answer::error(
        404,
        "ResourceNotFound",
        format!(
            "The Resource '{kind}' under resource group '{}' was not found.",
            name.map_or("", String::as_str)
        ),
    )
}

pub(crate) fn found(asked: &Asked, view: Option<Value>) -> Handled {
    view.filter(|view| !view.is_null())
        .map(|view| Answer::json(200, view))
        .ok_or_else(|| missing(asked))
}

pub(crate) fn no_route(asked: &Asked) -> Answer {
    Answer::error(
        404,
        "InvalidResourceType",
        format!("The emulator has no {} {}.", asked.method, asked.path),
    )
}
