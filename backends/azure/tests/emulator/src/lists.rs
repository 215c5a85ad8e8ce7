//! Lists: VMs with and without their state, disks, public addresses.

use serde_json::{Value, json};

use crate::operations::{Script, set};
use crate::routes::{DISK, found, no_route};
use crate::vm_put::{Place, VM};
use crate::wire::{Answer, Asked, Handled};
use crate::world::{Thing, World, listed};

impl World {
    pub(crate) fn vm_list(
        &mut self,
        asked: &Asked,
        scope: &str,
        over_subscription: bool,
    ) -> Handled {
        let filter = asked.parameter("$filter").unwrap_or_default();
        let by_set = filter.to_lowercase().contains("virtualmachinescaleset/id");
        let expand = asked
            .parameter("$expand")
            .is_some_and(|e| e.eq_ignore_ascii_case("instanceView"));
        if expand && !by_set {
            return Err(Answer::json(
                400,
                json!({"error": {"code": "InvalidParameter", "target": "$expand",
                "message": "Expand 'instanceView' on a list of virtual machines is only supported together with the filter 'virtualMachineScaleSet/id'."}}),
            ));
        }
        let set_id = filter
            .rsplit('\'')
            .nth(1)
            .unwrap_or_default()
            .to_lowercase();
        let only_status = asked
            .parameter("statusOnly")
            .is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let scope = scope.to_lowercase();
        let of_set = |vm: &crate::world::Vm| {
            vm.text("/properties/virtualMachineScaleSet/id")
                .to_lowercase()
                == set_id
        };
        let all = self
            .vms
            .iter()
            .filter(|(key, vm)| key.starts_with(&scope) && (!by_set || of_set(vm)));
        let (items, next) = self.page(asked, all);
        let keys: Vec<String> = items.iter().map(|vm| vm.id.to_lowercase()).collect();
        let mut views = Vec::new();
        for key in keys {
            let mut view = self.vm_view(&key, expand);
            if only_status {
                self.status_items += 1;
                let every = self.settings.missing_power_every;
                let missing = every > 0 && self.status_items.is_multiple_of(every);
                let instance = self.instance_view(&key, !missing);
                let properties = json!({"vmId": view["properties"]["vmId"], "provisioningState": view["properties"]["provisioningState"], "instanceView": instance});
                view = json!({"id": view["id"], "name": view["name"], "type": VM, "location": view["location"], "properties": properties});
            }
            if over_subscription && self.settings.loud_lists {
                let loud = view["id"].as_str().map(loud).unwrap_or_default();
                set(&mut view, "id", json!(loud));
            }
            views.push(view);
        }
        listed(views, next)
    }

    /// Disks and public addresses.
    pub(crate) fn thing(
        &mut self,
        asked: &Asked,
        low: &[&str],
        place: &Place,
        kind: &str,
        script: &Script,
    ) -> Handled {
        let is_disk = kind == DISK;
        let named = low.len() > 7;
        let things = if is_disk { &self.disks } else { &self.ips };
        let key = place.key(kind);
        match (asked.method.as_str(), named) {
            ("GET", false) => {
                let scope = scope(asked, low);
                let (items, next) = self.page(
                    asked,
                    things.iter().filter(|(key, _)| key.starts_with(&scope)),
                );
                listed(
                    items
                        .into_iter()
                        .map(|thing| thing_view(thing, is_disk))
                        .collect(),
                    next,
                )
            }
            ("GET", true) => found(
                asked,
                things.get(&key).map(|thing| thing_view(thing, is_disk)),
            ),
            ("DELETE", true) => match things.get(&key).map(|thing| thing.holder.clone()) {
                None => Ok(Answer::empty(204)),
                Some(Some(holder)) if is_disk => Err(Answer::error(
                    409,
                    "OperationNotAllowed",
                    format!("Disk {} is attached to VM {holder}.", place.name),
                )),
                Some(Some(holder)) => Err(Answer::error(
                    400,
                    "PublicIPAddressCannotBeDeleted",
                    format!(
                        "Public IP address {} can not be deleted since it is still allocated to resource {holder}.",
                        place.name
                    ),
                )),
                Some(None) => {
                    let provider = if is_disk {
                        "Microsoft.Compute"
                    } else {
                        "Microsoft.Network"
                    };
                    self.remove_later(asked, provider, &key, script)
                }
            },
            _ => Err(no_route(asked)),
        }
    }
}

/// The prefix of the keys that a list is about.
pub(crate) fn scope(asked: &Asked, low: &[&str]) -> String {
    let depth = if low.get(2) == Some(&"resourcegroups") {
        4
    } else {
        2
    };
    format!(
        "/{}/",
        asked.parts.get(..depth).unwrap_or_default().join("/")
    )
    .to_lowercase()
}

fn thing_view(thing: &Thing, is_disk: bool) -> Value {
    let mut view = thing.body.clone();
    if is_disk {
        let state = if thing.holder.is_some() {
            "Attached"
        } else {
            "Unattached"
        };
        if let Some(properties) = view.get_mut("properties") {
            set(properties, "diskState", json!(state));
        }
        if let Some(holder) = &thing.holder {
            set(&mut view, "managedBy", json!(holder));
        }
    } else if let Some(nic) = &thing.holder
        && let Some(properties) = view.get_mut("properties")
    {
        let id = format!("{nic}/ipConfigurations/primary");
        set(properties, "ipConfiguration", json!({ "id": id }));
    }
    view
}

/// The resource group in capitals, as Azure writes it in lists over a
/// subscription.
fn loud(id: &str) -> String {
    let parts = id.split('/').enumerate();
    let parts: Vec<String> = parts
        .map(|(n, part)| {
            if n == 4 {
                part.to_uppercase()
            } else {
                part.to_string()
            }
        })
        .collect();
    parts.join("/")
}
