//! Subscriptions and resource groups.

use serde_json::{Value, json};

use crate::operations::set;
use crate::routes::no_route;
use crate::wire::{Answer, Asked, Handled};
use crate::world::{Due, Group, World, listed};

impl World {
    pub(crate) fn subscription_view(&self, id: &str) -> Value {
        json!({"id": format!("/subscriptions/{id}"), "subscriptionId": id, "tenantId": self.settings.tenant,
            "displayName": "Emulated subscription", "state": "Enabled", "authorizationSource": "RoleBased",
            "subscriptionPolicies": {"spendingLimit": "Off"}})
    }

    pub(crate) fn groups_route(&mut self, asked: &Asked, low: &[&str]) -> Handled {
        let subscription = asked.parts.get(1).cloned().unwrap_or_default();
        let view = |group: &Group| {
            let state = if group.deleting {
                "Deleting"
            } else {
                "Succeeded"
            };
            let mut view = json!({"id": format!("/subscriptions/{subscription}/resourceGroups/{}", group.name), "name": group.name,
                "type": "Microsoft.Resources/resourceGroups", "location": group.location, "properties": {"provisioningState": state}});
            if let Some(tags) = &group.tags {
                set(&mut view, "tags", tags.clone());
            }
            view
        };
        let Some(name) = asked.parts.get(3) else {
            let prefix = format!("/subscriptions/{subscription}/").to_lowercase();
            let (items, next) = self.page(
                asked,
                self.groups
                    .iter()
                    .filter(|(key, _)| key.starts_with(&prefix)),
            );
            return listed(items.into_iter().map(view).collect(), next);
        };
        let key = low.join("/");
        let key = format!("/{key}");
        match asked.method.as_str() {
            "GET" => Ok(Answer::json(200, view(self.group(&subscription, name)?))),
            "HEAD" => Ok(Answer::empty(if self.groups.contains_key(&key) {
                204
            } else {
                404
            })),
            "PUT" => {
                let body = asked.json()?;
                let status = if self.groups.contains_key(&key) {
                    200
                } else {
                    201
                };
                let group = Group {
                    name: name.clone(),
                    location: body["location"]
                        .as_str()
                        .unwrap_or(&self.settings.location)
                        .to_string(),
                    tags: body.get("tags").cloned(),
                    deleting: false,
                };
                let answer = Answer::json(status, view(&group));
                self.groups.insert(key, group);
                Ok(answer)
            }
            "DELETE" => {
                self.group(&subscription, name)?;
                if let Some(group) = self.groups.get_mut(&key) {
                    group.deleting = true;
                }
                let span = self.settings.timings.small_delete;
                self.later(span, Due::GroupGone(key.clone()));
                Ok(Answer::empty(202)
                    .with(
                        "location",
                        format!("{}{}?{}", asked.base, asked.path, asked.query),
                    )
                    .with("retry-after", "5"))
            }
            _ => Err(no_route(asked)),
        }
    }

    /// A resource group goes with all that is in it.
    pub(crate) fn group_gone(&mut self, key: &str) {
        let inside = format!("{key}/");
        let vms: Vec<String> = self
            .vms
            .keys()
            .filter(|k| k.starts_with(&inside))
            .cloned()
            .collect();
        vms.iter().for_each(|vm| self.vm_gone(vm));
        self.nics.retain(|k, _| !k.starts_with(&inside));
        self.disks.retain(|k, _| !k.starts_with(&inside));
        self.ips.retain(|k, _| !k.starts_with(&inside));
        self.vnets.retain(|k, _| !k.starts_with(&inside));
        self.groups.remove(key);
    }
}
