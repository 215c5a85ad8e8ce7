//! What a person does in the portal.

use std::time::Duration;

use serde_json::{Value, json};
use slurmburst_azure_emulator::Cloud;
use slurmburst_core::hostlist::NodeName;

/// Makes these machines, and waits until they run.
pub(super) async fn make(cloud: &Cloud, nodes: &[NodeName], tags: &Value) {
    for node in nodes {
        let body = machine(cloud, node.as_str(), tags);
        assert_eq!(ask(cloud, "PUT", node, "", &body).await, 201);
    }
    tokio::time::sleep(Duration::from_secs(120)).await;
}

/// Deallocates them, and waits until they are.
pub(super) async fn deallocate(cloud: &Cloud, nodes: &[NodeName]) {
    for node in nodes {
        let answer = ask(cloud, "POST", node, "/deallocate", &Value::Null).await;
        assert_eq!(answer, 202);
    }
    tokio::time::sleep(Duration::from_secs(120)).await;
}

/// Starts one.
pub(super) async fn start(cloud: &Cloud, node: &NodeName) {
    assert_eq!(ask(cloud, "POST", node, "/start", &Value::Null).await, 202);
}

/// A request that no bucket counts, since nobody's program makes it.
async fn ask(cloud: &Cloud, method: &str, vm: &NodeName, action: &str, body: &Value) -> u16 {
    let id = cloud
        .settings()
        .id("Microsoft.Compute/virtualMachines", vm.as_str());
    let request = http::Request::builder()
        .method(method)
        .uri(format!("{id}{action}?api-version=2024-07-01"))
        .header("host", "management.azure.com")
        .header("authorization", format!("Bearer {}", cloud.token()))
        .body(body.to_string().into_bytes());
    let limits = cloud.settings().limits;
    cloud.change(|s| s.limits = false);
    let answer = cloud.respond(request.unwrap()).await.unwrap();
    cloud.change(|s| s.limits = limits);
    answer.status().as_u16()
}

fn machine(cloud: &Cloud, node: &str, tags: &Value) -> Value {
    let settings = cloud.settings();
    let key = json!({ "path": "/home/me/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA me" });
    let subnet = json!({ "subnet": { "id": settings.subnet_id() } });
    json!({
        "location": settings.location, "tags": tags,
        "properties": {
            "hardwareProfile": { "vmSize": "Standard_D2s_v5" },
            "storageProfile": {
                "imageReference": { "publisher": "almalinux", "offer": "almalinux-hpc", "sku": "9-hpc-gen2", "version": "latest" },
                "osDisk": { "createOption": "FromImage" },
            },
            "osProfile": {
                "computerName": node, "adminUsername": "me",
                "linuxConfiguration": { "ssh": { "publicKeys": [key] } },
            },
            "networkProfile": {
                "networkApiVersion": "2020-11-01",
                "networkInterfaceConfigurations": [{ "name": format!("{node}-by-hand"), "properties": {
                    "ipConfigurations": [{ "name": "ip", "properties": subnet }],
                } }],
            },
        },
    })
}
