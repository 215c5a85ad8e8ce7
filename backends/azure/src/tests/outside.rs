//! Microsoft's own word: our requests pass its schema, our parser reads its
//! recorded traffic. Both are beside the project; where they are not, the tests
//! say that they skip.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::provider::{Call, CallNode, Generation, Lifecycle, Placement};

use super::V::{S, T};
use super::keys::whole;
use super::{V, table};
use crate::api::{self, Addresses, Operation};
use crate::config::{Auth, AzureConfig};
use crate::names::Part;
use crate::render::{self, Bodies, bodies};
use crate::template;

fn shared(name: &str) -> Option<String> {
    let given = std::env::var_os("SLURMBURST_SHARED").map(PathBuf::from);
    let beside = PathBuf::from("../../../shared");
    let path = given.unwrap_or(beside).join("clouds/azure").join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(e) => {
            println!("SKIPPED: {}: {e}", path.display());
            None
        }
    }
}

fn config() -> AzureConfig {
    let auth = Auth::ManagedIdentity { client_id: None };
    AzureConfig::new(
        "here",
        "00000000-0000-0000-0000-000000000001",
        "rg",
        "westeurope",
        auth,
    )
}

pub(super) fn rendered(keys: Vec<(&'static str, V)>, node: &str) -> Bodies {
    let template =
        template::read(&table("nodes.placement", keys), Lifecycle::CreateDelete).unwrap();
    let placement = Placement {
        name: "here/d4".into(),
        provider: "here".into(),
        lifecycle: Lifecycle::CreateDelete,
        template,
    };
    let config = config();
    let request = serde_json::to_value(render::render(&config, &placement).unwrap()).unwrap();
    let name = NodeName::new(node).unwrap();
    let node = CallNode {
        name,
        generation: Generation(7),
    };
    let call = Call {
        id: "call-1".into(),
        token: "t".into(),
        placement,
        nodes: vec![node.clone()],
        request,
    };
    let request = render::stored(&call).unwrap();
    let data = request
        .custom_data_file
        .as_ref()
        .map(|f| fs::read_to_string(f).unwrap());
    bodies(
        &Addresses::new(&config),
        "hpc1",
        &call,
        &node,
        &request,
        data.as_deref(),
    )
    .unwrap()
}

fn smallest(dir: &tempfile::TempDir) -> Vec<(&'static str, V)> {
    let needed = ["size", "image", "subnet_id", "ssh_public_key_files"];
    whole(dir)
        .into_iter()
        .filter(|(k, _)| needed.contains(k))
        .collect()
}

/// What a key needs beside it, and what it cannot be beside.
fn neighbours(key: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match key {
        "max_price" | "eviction" => (&["market"], &[]),
        "private_ip" => (&[], &["public_ip"]),
        "ephemeral_os_disk" => (&[], &["os_disk_sku"]),
        _ => (&[], &[]),
    }
}

/// Bodies of every kind: with each key alone beside those that are required,
/// with all keys but one, and with the values that are rendered otherwise.
pub(super) fn every_body(dir: &tempfile::TempDir) -> Vec<(String, Bodies)> {
    let other: Vec<(&'static str, V)> = vec![
        ("security_type", S("confidential")),
        ("security_type", S("standard")),
        ("ephemeral_os_disk", V::B(true)),
        ("private_ip", S("10.0.0.16")),
        ("image", S("/CommunityGalleries/a/Images/b/Versions/latest")),
        ("image", S("/SharedGalleries/a/Images/b/Versions/latest")),
        (
            "image",
            S("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/i"),
        ),
        ("eviction", S("delete")),
        ("max_price", V::F(-1.0)),
        ("identity", V::L(vec!["system".into()])),
        ("os_disk_sku", S("StandardSSD_ZRS")),
    ];
    let keys = whole(dir).into_iter().map(|(k, _)| k);
    let required: Vec<&str> = smallest(dir).into_iter().map(|(k, _)| k).collect();
    let mut every = vec![
        ("the smallest".to_owned(), smallest(dir)),
        ("the whole".to_owned(), whole(dir)),
    ];
    for key in keys.filter(|k| !required.contains(k)) {
        let (needs, _) = neighbours(key);
        let alone = whole(dir).into_iter();
        let alone = alone.filter(|(k, _)| *k == key || needs.contains(k) || required.contains(k));
        every.push((format!("{key} alone"), alone.collect()));
        let without = whole(dir).into_iter();
        let without = without.filter(|(k, _)| *k != key && !neighbours(k).0.contains(&key));
        every.push((format!("without {key}"), without.collect()));
    }
    for (n, (key, value)) in other.into_iter().enumerate() {
        let not = neighbours(key).1;
        let mut all = whole(dir);
        all.retain(|(k, _)| *k != key && !not.contains(k));
        all.push((key, value));
        every.push((format!("other {key} ({n})"), all));
    }
    every
        .into_iter()
        .map(|(name, keys)| (name, rendered(keys, "c7")))
        .collect()
}

fn passes(schema: &Value, definition: &str, body: &Value) {
    let mut schema = schema.clone();
    schema["$ref"] = json!(format!("#/definitions/{definition}"));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> = validator
        .iter_errors(body)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{body:#}");
}

#[test]
fn our_requests_pass_microsofts_schema() {
    let Some(text) = shared("request.schema.json") else {
        return;
    };
    let schema: Value = serde_json::from_str(&text).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let every = every_body(&dir);
    for (_, bodies) in &every {
        passes(&schema, "VirtualMachine", &bodies.vm);
        if let Some(nic) = &bodies.nic {
            passes(&schema, "NetworkInterface", nic);
            assert_eq!(
                nic["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"],
                "10.0.0.23"
            );
        }
    }
    passes(
        &schema,
        "VirtualMachineUpdate",
        &json!({ "tags": { "slurmburst-cluster": "hpc1" } }),
    );
    println!("{} bodies pass", every.len());
}

#[test]
fn a_request_says_what_is_to_be_known_later() {
    let dir = tempfile::tempdir().unwrap();
    let vm = rendered(whole(&dir), "c7").vm;
    for (tag, value) in [
        ("Name", "c7"),
        ("slurmburst-cluster", "hpc1"),
        ("slurmburst-node", "c7"),
        ("slurmburst-generation", "7"),
        ("slurmburst-call", "call-1"),
        ("slurmburst-origin", "created"),
        ("slurmburst-max-lifetime", "172800"),
        ("project", "x"),
    ] {
        assert_eq!(vm["tags"][tag], value, "{tag}");
    }
    let properties = &vm["properties"];
    let nic = &properties["networkProfile"]["networkInterfaceConfigurations"][0];
    assert_eq!(nic["name"], json!(Part::Nic.name("c7", "hpc1")));
    assert_eq!(nic["properties"]["deleteOption"], "Delete");
    let disk = &properties["storageProfile"]["osDisk"];
    assert_eq!(disk["name"], json!(Part::OsDisk.name("c7", "hpc1")));
    assert_eq!(disk["deleteOption"], "Delete");
    let data = properties["osProfile"]["customData"].as_str().unwrap();
    let data = String::from_utf8(azure_core::base64::decode(data).unwrap()).unwrap();
    assert_eq!(data, "#cloud-config\nhostname: c7\n# hpc1\n");
    assert_eq!(properties["licenseType"], "RHEL_BYOS");
    assert_eq!(properties["billingProfile"]["maxPrice"], 0.5);
    // No address in the internet unless it is asked for.
    let plain = rendered(smallest(&dir), "c7").vm.to_string();
    assert!(
        !plain.contains("publicIPAddress") && !plain.contains("Spot"),
        "{plain}"
    );
}

#[test]
fn extra_cannot_take_our_tags_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut keys = smallest(&dir);
    let tags = T(vec![("slurmburst-cluster", S("them")), ("a", S("b"))]);
    keys.push(("extra", T(vec![("tags", tags)])));
    let vm = rendered(keys, "c7").vm;
    assert_eq!(
        (&vm["tags"]["slurmburst-cluster"], &vm["tags"]["a"]),
        (&json!("hpc1"), &json!("b"))
    );
}

#[test]
fn a_broken_extra_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    for extra in [("properties", S("none")), ("tags", S("none"))] {
        let mut keys = smallest(&dir);
        keys.push(("extra", T(vec![extra])));
        let template = template::read(&table("p", keys), Lifecycle::CreateDelete).unwrap();
        let placement = Placement {
            name: "p".into(),
            provider: "here".into(),
            lifecycle: Lifecycle::CreateDelete,
            template,
        };
        let request = serde_json::to_value(render::render(&config(), &placement).unwrap()).unwrap();
        let node = CallNode {
            name: NodeName::new("c1").unwrap(),
            generation: Generation(1),
        };
        let call = Call {
            id: "i".into(),
            token: "t".into(),
            placement,
            nodes: vec![node.clone()],
            request,
        };
        let stored = render::stored(&call).unwrap();
        let sent = bodies(
            &Addresses::new(&config()),
            "hpc1",
            &call,
            &node,
            &stored,
            None,
        );
        // Either it is refused, or our tags are in it all the same.
        match sent {
            Err(e) => assert!(e.to_string().contains("cannot be used"), "{e}"),
            Ok(bodies) => assert_eq!(bodies.vm["tags"]["slurmburst-node"], "c1"),
        }
    }
}

/// Recorded by Microsoft: every answer that we may get is read.
#[test]
fn recorded_traffic_is_read() {
    let Some(text) = shared("recorded.jsonl") else {
        return;
    };
    let (mut machines, mut operations, mut views, mut nics, mut refusals, mut other) =
        (0, 0, 0, 0, 0, 0);
    for line in text.lines() {
        let exchange: Value = serde_json::from_str(line).unwrap();
        let path = exchange["url"]
            .as_str()
            .unwrap()
            .split('?')
            .next()
            .unwrap()
            .to_ascii_lowercase();
        let tail: Vec<&str> = path.rsplit('/').take(2).collect();
        let body = &exchange["res"];
        let bytes = body.to_string().into_bytes();
        let operation = exchange["resh"]["azure-asyncoperation"].as_str();
        if let Some(url) = operation {
            // Verbatim: what we send is what we were given.
            let parsed = azure_core::http::Url::parse(url).unwrap();
            assert_eq!(parsed.as_str(), url);
        }
        match (exchange["st"].as_u64().unwrap(), tail.as_slice()) {
            (400.., _) => {
                let fault = api::fault(&bytes);
                assert_eq!(Some(fault.code.as_str()), body["error"]["code"].as_str());
                assert_eq!(
                    Some(fault.message.as_str()),
                    body["error"]["message"].as_str()
                );
                refusals += 1;
            }
            // Not what a `Location` (`monitor=true`) ends in: that is never asked.
            (200, [_, "operations"]) if body["status"].is_string() => {
                let read = api::operation(&bytes).unwrap();
                match (body["status"].as_str().unwrap(), read) {
                    ("Succeeded", Operation::Succeeded) | ("InProgress", Operation::Running) => {}
                    ("Failed", Operation::Failed(fault)) => {
                        assert_eq!(Some(fault.code.as_str()), body["error"]["code"].as_str());
                    }
                    other => panic!("{other:?}"),
                }
                operations += 1;
            }
            (200 | 201, [_, "virtualmachines"])
                if !path.contains("scaleset") && body["properties"].is_object() =>
            {
                let vm = api::vm(&bytes).unwrap();
                assert_eq!(Some(vm.vm_id.as_str()), body["properties"]["vmId"].as_str());
                assert_eq!(Some(vm.name.as_str()), body["name"].as_str());
                assert_ne!(vm.provisioning, api::Provisioning::Other);
                let list = json!({ "value": [body], "nextLink": null }).to_string();
                assert_eq!(api::vms(list.as_bytes()).unwrap(), (vec![vm], None));
                machines += 1;
            }
            (200, ["instanceview", _]) if body["statuses"].is_array() => {
                api::instance_view(&bytes).unwrap();
                views += 1;
            }
            (200 | 201, [_, "networkinterfaces"]) => {
                let list = json!({ "value": [body] }).to_string();
                let (all, _) = api::nics(list.as_bytes()).unwrap();
                assert!(all[0].address.is_some(), "{body}");
                nics += 1;
            }
            _ => other += 1,
        }
    }
    println!(
        "read: {machines} machines, {operations} operations, {views} instance views, {nics} NICs, {refusals} refusals; {other} others"
    );
    assert!(machines >= 7 && operations >= 167 && refusals >= 8 && nics >= 4 && views >= 3);
}

proptest! {
    #[test]
    fn no_answer_makes_us_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = api::vm(&bytes);
        let _ = api::vms(&bytes);
        let _ = api::nics(&bytes);
        let _ = api::disks(&bytes);
        let _ = api::operation(&bytes);
        let _ = api::instance_view(&bytes);
        let _ = api::fault(&bytes);
    }

    #[test]
    fn every_node_has_names_of_its_own(a in "[a-z][a-z0-9]{0,10}", b in "[a-z][a-z0-9]{0,10}") {
        prop_assume!(a != b);
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (rendered(smallest(&dir), &a).vm, rendered(smallest(&dir), &b).vm);
        let nic = "/properties/networkProfile/networkInterfaceConfigurations/0/name";
        for path in [nic, "/properties/storageProfile/osDisk/name", "/properties/osProfile/computerName", "/tags/Name"] {
            prop_assert_ne!(one.pointer(path), two.pointer(path));
        }
        prop_assert_eq!(&rendered(smallest(&dir), &a).vm, &one);
    }
}
