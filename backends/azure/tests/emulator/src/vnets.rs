//! Virtual networks and their subnets.

use serde_json::{Value, json};

use crate::operations::set;
use crate::routes::{VNET, found, missing, no_route};
use crate::vm_put::Place;
use crate::wire::{Answer, Asked, Handled};
use crate::world::World;

impl World {
    pub(crate) fn vnet(&mut self, asked: &Asked, place: &Place, rest: &[&str]) -> Handled {
        let key = place.key(VNET);
        match (asked.method.as_str(), rest) {
            ("GET", []) => found(asked, self.vnet_view(&key)),
            ("GET", ["subnets", name]) => found(asked, self.subnet_view(&key, name)),
            ("PUT", []) => {
                let group = self.group(&place.subscription, &place.group)?.name.clone();
                let id = Place {
                    group,
                    ..place.clone()
                }
                .id(VNET);
                let mut body = asked.json()?;
                let given = body["properties"]["subnets"].take();
                let subnets = given.as_array().map(|all| {
                    all.iter()
                        .map(|s| {
                            (
                                s["name"].as_str().unwrap_or_default().to_string(),
                                s["properties"].clone(),
                            )
                        })
                        .collect()
                });
                let status = if self.vnets.contains_key(&key) {
                    200
                } else {
                    201
                };
                for (member, value) in [
                    ("id", json!(id)),
                    ("name", json!(place.name)),
                    ("type", json!(VNET)),
                ] {
                    set(&mut body, member, value);
                }
                if let Some(properties) = body.get_mut("properties") {
                    set(properties, "provisioningState", json!("Succeeded"));
                }
                self.vnets
                    .insert(key.clone(), (body, subnets.unwrap_or_default()));
                Ok(Answer::json(
                    status,
                    self.vnet_view(&key).unwrap_or_default(),
                ))
            }
            ("PUT", ["subnets", _]) => {
                let body = asked.json()?;
                let name = asked.parts.last().cloned().unwrap_or_default();
                let (_, subnets) = self.vnets.get_mut(&key).ok_or_else(|| missing(asked))?;
                subnets.insert(name.clone(), body["properties"].clone());
                Ok(Answer::json(
                    201,
                    self.subnet_view(&key, &name).unwrap_or_default(),
                ))
            }
            ("DELETE", []) => {
                let status = if self.vnets.remove(&key).is_some() {
                    200
                } else {
                    204
                };
                Ok(Answer::empty(status))
            }
            _ => Err(no_route(asked)),
        }
    }

    pub(crate) fn subnet_view(&self, vnet: &str, name: &str) -> Option<Value> {
        let (_, subnets) = self.vnets.get(vnet)?;
        let (name, body) = subnets.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        let id = format!("{}/subnets/{name}", self.vnets.get(vnet)?.0["id"].as_str()?);
        let held: Vec<Value> = self
            .nics
            .values()
            .flat_map(|nic| nic.addresses.iter().map(move |address| (nic, address)))
            .filter(|(_, address)| address.subnet.eq_ignore_ascii_case(&id))
            .map(|(nic, address)| json!({"id": format!("{}/ipConfigurations/{}", nic.id, address.name)}))
            .collect();
        let mut properties = body.clone();
        set(&mut properties, "provisioningState", json!("Succeeded"));
        if !held.is_empty() {
            set(&mut properties, "ipConfigurations", json!(held));
        }
        Some(
            json!({"id": id, "name": name, "type": "Microsoft.Network/virtualNetworks/subnets", "properties": properties}),
        )
    }

    pub(crate) fn vnet_view(&self, key: &str) -> Option<Value> {
        let (body, subnets) = self.vnets.get(key)?;
        let mut view = body.clone();
        let subnets: Vec<Value> = subnets
            .keys()
            .filter_map(|name| self.subnet_view(key, name))
            .collect();
        set(view.get_mut("properties")?, "subnets", json!(subnets));
        Some(view)
    }
}
