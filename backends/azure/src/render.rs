//! From a template to the body of a PUT. Pure.
//!
//! The part that is the same for every node of a placement is rendered first
//! and kept in the ledger; what is a node's own is put in when it is sent, from
//! the call, so that a repetition says the same.

use std::net::Ipv4Addr;

use azure_core::base64;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use slurmburst_core::error::{Error, ErrorKind, Result};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::provider::{Call, CallNode, Market, Placement};

use crate::api::Addresses;
use crate::config::AzureConfig;
use crate::names::{self, Part};
use crate::private_ip::PrivateIp;
use crate::template::Shape;

/// What a call keeps in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The body of the PUT, without what is a node's own.
    pub(crate) vm: Value,
    /// The marketplace image whose newest version is still to be looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) newest: Option<[String; 3]>,
    /// Where the custom data is: it may hold a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) custom_data_file: Option<std::path::PathBuf>,
    /// The addresses that nodes get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) private_ip: Option<PrivateIp>,
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::Invalid, text)
}

/// The request for any node at this placement.
pub(crate) fn render(config: &AzureConfig, placement: &Placement) -> Result<Request> {
    let template = &placement.template;
    let shape: Shape = serde_json::from_value(template.body.clone()).map_err(|e| {
        invalid(format!(
            "placement {} is of another version: {e}",
            placement.name
        ))
    })?;
    let need = |what: &str| {
        invalid(format!(
            "placement {} has no {what}; add it",
            placement.name
        ))
    };
    let size = template.size.as_deref().ok_or_else(|| need("size"))?;
    let image = shape.image.as_ref().ok_or_else(|| need("image"))?;
    let subnet = shape
        .subnet_id
        .as_deref()
        .ok_or_else(|| need("subnet_id"))?;
    if shape.ssh_public_keys.is_empty() {
        return Err(need("ssh_public_key_files"));
    }
    let mut properties = json!({
        "hardwareProfile": { "vmSize": size },
        "storageProfile": { "imageReference": image.reference(), "osDisk": os_disk(&shape) },
        "osProfile": os_profile(&shape),
        "networkProfile": {
            "networkApiVersion": "2020-11-01",
            "networkInterfaceConfigurations": [{ "name": "", "properties": nic(&shape, subnet) }],
        },
    });
    let mut set = |key: &str, value: Value| properties[key] = value;
    if template.market == Market::Spot {
        set("priority", json!("Spot"));
        set("evictionPolicy", json!(shape.eviction));
        // -1: whatever the list price is.
        set(
            "billingProfile",
            json!({ "maxPrice": shape.max_price.unwrap_or(-1.0) }),
        );
    }
    if let Some(id) = &shape.capacity_reservation {
        set(
            "capacityReservation",
            json!({ "capacityReservationGroup": { "id": id } }),
        );
    }
    if let Some(id) = &shape.proximity_placement_group {
        set("proximityPlacementGroup", json!({ "id": id }));
    }
    if let Some(kind) = &shape.security_type {
        let uefi = json!({ "secureBootEnabled": true, "vTpmEnabled": true });
        set(
            "securityProfile",
            json!({ "securityType": kind, "uefiSettings": uefi }),
        );
    }
    let region = template.region.as_deref().unwrap_or(&config.location);
    let mut vm = json!({ "location": region, "properties": properties });
    if let Some(zone) = &template.zone {
        vm["zones"] = json!([zone]);
    }
    if let Some(plan) = &shape.plan {
        vm["plan"] = json!(plan);
    }
    if !shape.identity.is_empty() {
        vm["identity"] = identity(&shape.identity);
    }
    let mut tags: Map<String, Value> = shape
        .tags
        .iter()
        .map(|(k, v)| (k.clone(), json!(v)))
        .collect();
    if let Some(seconds) = shape.max_lifetime_s {
        tags.insert(names::LIFETIME.to_owned(), json!(seconds.to_string()));
    }
    vm["tags"] = Value::Object(tags);
    merge(&mut vm, &Value::Object(shape.extra.clone()));
    let newest = match image {
        crate::image::Image::Urn([p, o, s, version]) if version.eq_ignore_ascii_case("latest") => {
            Some([p.clone(), o.clone(), s.clone()])
        }
        _ => None,
    };
    Ok(Request {
        vm,
        newest,
        custom_data_file: shape.custom_data_file,
        private_ip: shape.private_ip,
    })
}

fn os_disk(shape: &Shape) -> Value {
    let mut disk = json!({
        "createOption": "FromImage",
        "deleteOption": "Delete",
        "caching": "ReadWrite",
    });
    let mut managed = Map::new();
    if shape.ephemeral_os_disk {
        disk["caching"] = json!("ReadOnly");
        disk["diffDiskSettings"] = json!({ "option": "Local" });
    } else if let Some(sku) = &shape.os_disk_sku {
        managed.insert("storageAccountType".into(), json!(sku));
    }
    if shape.security_type.as_deref() == Some("ConfidentialVM") {
        let only = json!({ "securityEncryptionType": "VMGuestStateOnly" });
        managed.insert("securityProfile".into(), only);
    }
    if !managed.is_empty() {
        disk["managedDisk"] = Value::Object(managed);
    }
    if let Some(size) = shape.os_disk_size_gb {
        disk["diskSizeGB"] = json!(size);
    }
    disk
}

fn os_profile(shape: &Shape) -> Value {
    let path = format!("/home/{}/.ssh/authorized_keys", shape.admin_username);
    let keys = shape.ssh_public_keys.iter();
    let keys: Value = keys
        .map(|k| json!({ "path": path, "keyData": k }))
        .collect();
    json!({
        "adminUsername": shape.admin_username,
        "linuxConfiguration": {
            "disablePasswordAuthentication": true,
            "ssh": { "publicKeys": keys },
        },
    })
}

fn nic(shape: &Shape, subnet: &str) -> Value {
    let mut ip = json!({ "subnet": { "id": subnet }, "primary": true });
    if shape.public_ip {
        ip["publicIPAddressConfiguration"] = json!({
            "name": "public",
            "properties": { "deleteOption": "Delete" },
            "sku": { "name": "Standard" },
        });
    }
    let mut nic = json!({
        "primary": true,
        "deleteOption": "Delete",
        "ipConfigurations": [{ "name": "primary", "properties": ip }],
    });
    if shape.accelerated_networking {
        nic["enableAcceleratedNetworking"] = json!(true);
    }
    if let Some(id) = &shape.network_security_group_id {
        nic["networkSecurityGroup"] = json!({ "id": id });
    }
    nic
}

fn identity(all: &[String]) -> Value {
    let users: Map<String, Value> = all
        .iter()
        .filter(|i| *i != "system")
        .map(|i| (i.clone(), json!({})))
        .collect();
    let system = users.len() < all.len();
    let kind = match (system, users.is_empty()) {
        (true, true) => "SystemAssigned",
        (true, false) => "SystemAssigned, UserAssigned",
        (false, _) => "UserAssigned",
    };
    let mut identity = json!({ "type": kind });
    if !users.is_empty() {
        identity["userAssignedIdentities"] = Value::Object(users);
    }
    identity
}

/// `over` on top of `base`: tables are merged, anything else is replaced.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// What is sent for one node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bodies {
    /// The NIC, where it has to be made first: an inline one can have no fixed address.
    pub(crate) nic: Option<Value>,
    /// The machine.
    pub(crate) vm: Value,
}

/// The bodies for one node of a call.
pub(crate) fn bodies(
    addresses: &Addresses,
    cluster: &str,
    call: &Call,
    node: &CallNode,
    request: &Request,
    custom_data: Option<&str>,
) -> Result<Bodies> {
    let name = node.name.as_str();
    let mut vm = request.vm.clone();
    // A body without these is not one that `render` made.
    let broken = || {
        invalid(format!(
            "the stored request of call {} cannot be used",
            call.id
        ))
    };
    let mut tags = vm
        .get("tags")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    for (key, value) in [
        (names::NAME, name.to_owned()),
        (names::CLUSTER, cluster.to_owned()),
        (names::NODE, name.to_owned()),
        (names::GENERATION, node.generation.to_string()),
        (names::CALL, call.id.clone()),
        (names::ORIGIN, "created".to_owned()),
    ] {
        tags.insert(key.to_owned(), Value::String(value));
    }
    let tags = Value::Object(tags);
    *vm.get_mut("tags").ok_or_else(broken)? = tags.clone();
    let location = vm.get("location").cloned().ok_or_else(broken)?;
    let properties = vm
        .get_mut("properties")
        .and_then(Value::as_object_mut)
        .ok_or_else(broken)?;
    let nested = |properties: &mut Map<String, Value>, path: &[&str], value: Value| {
        let mut at = properties.get_mut(*path.first()?)?.as_object_mut()?;
        let (last, middle) = path.get(1..)?.split_last()?;
        for key in middle {
            at = at.get_mut(*key)?.as_object_mut()?;
        }
        at.insert((*last).to_owned(), value);
        Some(())
    };
    let disk = Part::OsDisk.name(name, cluster);
    nested(
        properties,
        &["storageProfile", "osDisk", "name"],
        json!(disk),
    )
    .ok_or_else(broken)?;
    nested(properties, &["osProfile", "computerName"], json!(name)).ok_or_else(broken)?;
    if let Some(text) = custom_data {
        let text = text.replace("{node}", name).replace("{cluster}", cluster);
        nested(
            properties,
            &["osProfile", "customData"],
            json!(base64::encode(text)),
        )
        .ok_or_else(broken)?;
    }
    let nic_name = Part::Nic.name(name, cluster);
    let network = properties.get_mut("networkProfile").ok_or_else(broken)?;
    let inline = network
        .pointer_mut("/networkInterfaceConfigurations/0")
        .and_then(Value::as_object_mut)
        .ok_or_else(broken)?;
    // One name for one address in the whole resource group.
    for public in inline
        .get_mut("properties")
        .and_then(|p| p.get_mut("ipConfigurations"))
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(|ip| ip.pointer_mut("/properties/publicIPAddressConfiguration/name"))
    {
        *public = json!(Part::PublicIp.name(name, cluster));
    }
    let Some(fixed) = &request.private_ip else {
        inline.insert("name".to_owned(), json!(nic_name));
        return Ok(Bodies { nic: None, vm });
    };
    let address = fixed.of(&node.name).map_err(invalid)?;
    let inner = inline.get("properties").cloned().unwrap_or_default();
    let nic = fixed_nic(&inner, &location, &tags, address).ok_or_else(broken)?;
    let primary = json!({ "primary": true, "deleteOption": "Delete" });
    *network = json!({
        "networkInterfaces": [{ "id": addresses.nic_id(&nic_name), "properties": primary }],
    });
    Ok(Bodies { nic: Some(nic), vm })
}

/// The same NIC as a resource of its own, which can have a fixed address and tags.
fn fixed_nic(inline: &Value, location: &Value, tags: &Value, address: Ipv4Addr) -> Option<Value> {
    let subnet = inline.pointer("/ipConfigurations/0/properties/subnet")?;
    let mut properties = json!({
        "ipConfigurations": [{
            "name": "primary",
            "properties": {
                "subnet": subnet,
                "primary": true,
                "privateIPAllocationMethod": "Static",
                "privateIPAddress": address.to_string(),
            },
        }],
    });
    for key in ["enableAcceleratedNetworking", "networkSecurityGroup"] {
        if let Some(value) = inline.get(key) {
            properties[key] = value.clone();
        }
    }
    Some(json!({ "location": location, "tags": tags, "properties": properties }))
}

/// The request as it was kept.
pub(crate) fn stored(call: &Call) -> Result<Request> {
    Request::deserialize(&call.request).map_err(|e| {
        invalid(format!(
            "the stored request of call {} cannot be used: {e}",
            call.id
        ))
    })
}

/// Refuses names that Azure would, and two nodes that it would take for one.
pub(crate) fn check_nodes(nodes: &[NodeName]) -> Result<()> {
    let mut met = std::collections::BTreeMap::new();
    for node in nodes {
        names::check_node(node)?;
        if let Some(other) = met.insert(node.as_str().to_ascii_lowercase(), node)
            && other != node
        {
            let text = format!(
                "{other} and {node} are one name to Azure, which takes no notice of case; rename one"
            );
            return Err(invalid(text).code("NodeName"));
        }
    }
    Ok(())
}
