//! The emulator's answers against Microsoft's own description of them.
#![allow(clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::path::PathBuf;

use common::{Client, Got};
use serde_json::{Value, json};
use slurmburst_azure_emulator::{Act, Fault, Settings};

/// The published schemas, where this machine has them.
fn schemas() -> Option<Value> {
    let near = "../../../../../shared";
    let shared =
        std::env::var_os("SLURMBURST_SHARED").map_or_else(|| PathBuf::from(near), PathBuf::from);
    let file = shared.join("clouds/azure/response.schema.json");
    match std::fs::read(&file) {
        Ok(text) => Some(serde_json::from_slice(&text).unwrap()),
        Err(error) => {
            eprintln!(
                "SKIPPED: no schema of Azure's answers: {}: {error}",
                file.display()
            );
            None
        }
    }
}

struct Judge {
    azure: Client,
    schemas: Value,
    judged: BTreeSet<String>,
}

impl Judge {
    /// Makes a call and holds its answer against the schema of `operation`.
    async fn call(&mut self, operation: &str, method: &str, path: &str, body: Value) -> Got {
        let got = self.azure.call(method, path, body).await;
        self.judge(operation, &got);
        got
    }

    fn judge(&mut self, operation: &str, got: &Got) {
        let described = &self.schemas["x-operations"][operation]["responses"];
        assert!(described.is_object(), "no such operation: {operation}");
        let status = got.status.to_string();
        let schema = if got.status < 400 {
            &described[&status]
        } else {
            &described["default"]
        };
        let named = if got.status < 400 {
            described.get(&status)
        } else {
            described.get("default")
        };
        assert!(
            named.is_some(),
            "{operation} does not answer {status}: {}",
            got.body
        );
        let schema = schema.clone();
        if schema.is_null() || (schema.is_object() && schema.as_object().unwrap().is_empty()) {
            assert!(
                got.body.is_null(),
                "{operation} {status} has no body, not {}",
                got.body
            );
        } else {
            let whole = json!({"$schema": self.schemas["$schema"], "definitions": self.schemas["definitions"], "allOf": [schema]});
            let validator = jsonschema::validator_for(&whole).unwrap();
            let wrong: Vec<String> = validator
                .iter_errors(&got.body)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(
                wrong.is_empty(),
                "{operation} {status}: {wrong:#?}\n{:#}",
                got.body
            );
        }
        self.judged.insert(format!("{operation} {status}"));
    }
}

#[tokio::test]
async fn answers_pass_the_published_schemas() {
    let Some(schemas) = schemas() else {
        return;
    };
    // The schemas are strict: one unknown member is too many.
    let lax =
        json!({"definitions": schemas["definitions"], "$ref": "#/definitions/VirtualMachine"});
    let judge = jsonschema::validator_for(&lax).unwrap();
    assert!(judge.is_valid(&json!({"location": "eastus"})));
    assert!(!judge.is_valid(&json!({"location": "eastus", "properties": {"unknown": 1}})));
    let azure = Client::new(Settings::default()).await;
    let sub = format!("/subscriptions/{}", azure.settings.subscription());
    let compute = format!("{sub}/providers/Microsoft.Compute");
    let (vm, nic, list) = (
        azure.vm("n1"),
        azure.nic("n1-nic"),
        azure.group("Microsoft.Compute/virtualMachines"),
    );
    let mut model = azure.model("n1");
    model["zones"] = json!(["1"]);
    model["identity"] = json!({"type": "SystemAssigned"});
    model["properties"]["priority"] = json!("Spot");
    model["properties"]["billingProfile"] = json!({"maxPrice": -1});
    model["properties"]["networkProfile"]["networkInterfaceConfigurations"][0]["properties"]["ipConfigurations"]
        [0]["properties"]["publicIPAddressConfiguration"] = json!({"name": "n1-ip", "sku": {"name": "Standard"}, "properties": {"deleteOption": "Delete"}});
    let mut judge = Judge {
        azure,
        schemas,
        judged: BTreeSet::new(),
    };

    let missing = Value::Null;
    judge
        .call("VirtualMachines_Get", "GET", &vm, missing.clone())
        .await;
    let mut bad = model.clone();
    bad["properties"]["hardwareProfile"]["vmSize"] = json!("Standard_Nothing");
    judge
        .call("VirtualMachines_CreateOrUpdate", "PUT", &vm, bad)
        .await;
    let put = judge
        .call("VirtualMachines_CreateOrUpdate", "PUT", &vm, model.clone())
        .await;
    assert_eq!(put.status, 201, "{}", put.body);
    judge
        .call(
            "VirtualMachines_InstanceView",
            "GET",
            &format!("{vm}/instanceView"),
            Value::Null,
        )
        .await;
    judge
        .call(
            "VirtualMachines_Start",
            "POST",
            &format!("{vm}/start"),
            Value::Null,
        )
        .await;
    judge.azure.pass(88);
    for path in [vm.clone(), format!("{vm}?$expand=instanceView")] {
        judge
            .call("VirtualMachines_Get", "GET", &path, Value::Null)
            .await;
    }
    judge
        .call(
            "VirtualMachines_InstanceView",
            "GET",
            &format!("{vm}/instanceView"),
            Value::Null,
        )
        .await;
    judge
        .call(
            "VirtualMachines_Update",
            "PATCH",
            &vm,
            json!({"tags": {"a": "b"}}),
        )
        .await;
    judge.azure.pass(5);
    judge
        .call("VirtualMachines_CreateOrUpdate", "PUT", &vm, model)
        .await;
    judge.azure.pass(5);
    for (operation, action) in [
        ("PowerOff", "powerOff"),
        ("Start", "start"),
        ("Restart", "restart"),
        ("Deallocate", "deallocate"),
    ] {
        judge
            .call(
                &format!("VirtualMachines_{operation}"),
                "POST",
                &format!("{vm}/{action}"),
                Value::Null,
            )
            .await;
        judge.azure.pass(60);
    }
    judge
        .call(
            "VirtualMachines_SimulateEviction",
            "POST",
            &format!("{vm}/simulateEviction"),
            Value::Null,
        )
        .await;
    judge
        .azure
        .cloud
        .fault(Fault::allocation_failed().on("PUT", "virtualMachines/n2"));
    judge.azure.create("n2").await;
    judge.azure.pass(88);
    judge
        .call(
            "VirtualMachines_InstanceView",
            "GET",
            &format!("{}/instanceView", judge.azure.vm("n2")),
            Value::Null,
        )
        .await;
    judge
        .call("VirtualMachines_List", "GET", &list, Value::Null)
        .await;
    judge
        .call(
            "VirtualMachines_List",
            "GET",
            &format!("{list}?$expand=instanceView"),
            Value::Null,
        )
        .await;
    for query in ["", "?statusOnly=true"] {
        judge
            .call(
                "VirtualMachines_ListAll",
                "GET",
                &format!("{compute}/virtualMachines{query}"),
                Value::Null,
            )
            .await;
    }
    judge
        .call(
            "VirtualMachines_ListByLocation",
            "GET",
            &format!("{compute}/locations/eastus/virtualMachines"),
            Value::Null,
        )
        .await;
    judge
        .call(
            "ResourceSkus_List",
            "GET",
            &format!("{compute}/skus"),
            Value::Null,
        )
        .await;
    judge
        .call(
            "Usage_List",
            "GET",
            &format!("{compute}/locations/eastus/usages"),
            Value::Null,
        )
        .await;
    judge
        .call(
            "VirtualMachineSizes_List",
            "GET",
            &format!("{compute}/locations/eastus/vmSizes"),
            Value::Null,
        )
        .await;

    judge
        .call("NetworkInterfaces_Get", "GET", &nic, Value::Null)
        .await;
    let nics = judge.azure.group("Microsoft.Network/networkInterfaces");
    judge
        .call("NetworkInterfaces_List", "GET", &nics, Value::Null)
        .await;
    judge
        .call(
            "NetworkInterfaces_ListAll",
            "GET",
            &format!("{sub}/providers/Microsoft.Network/networkInterfaces"),
            Value::Null,
        )
        .await;
    judge
        .call("NetworkInterfaces_Delete", "DELETE", &nic, Value::Null)
        .await;
    let ip =
        json!([{"name": "ip", "properties": {"subnet": {"id": judge.azure.settings.subnet_id()}}}]);
    let body =
        json!({"location": "eastus", "tags": {"a": "b"}, "properties": {"ipConfigurations": ip}});
    let own = judge.azure.nic("own");
    for _ in 0..2 {
        judge
            .call(
                "NetworkInterfaces_CreateOrUpdate",
                "PUT",
                &own,
                body.clone(),
            )
            .await;
    }
    judge
        .call("NetworkInterfaces_Delete", "DELETE", &own, Value::Null)
        .await;
    judge.azure.pass(5);
    judge
        .call("NetworkInterfaces_Delete", "DELETE", &own, Value::Null)
        .await;
    let ips = judge.azure.group("Microsoft.Network/publicIPAddresses");
    judge
        .call("PublicIPAddresses_List", "GET", &ips, Value::Null)
        .await;
    judge
        .call(
            "PublicIPAddresses_Get",
            "GET",
            &format!("{ips}/n1-ip"),
            Value::Null,
        )
        .await;

    let group = format!("{sub}/resourceGroups/other");
    judge
        .call(
            "ResourceGroups_CreateOrUpdate",
            "PUT",
            &group,
            json!({"location": "eastus", "tags": {"a": "b"}}),
        )
        .await;
    judge
        .call("ResourceGroups_Get", "GET", &group, Value::Null)
        .await;
    judge
        .call("ResourceGroups_CheckExistence", "HEAD", &group, Value::Null)
        .await;
    judge
        .call(
            "ResourceGroups_List",
            "GET",
            &format!("{sub}/resourcegroups"),
            Value::Null,
        )
        .await;
    judge
        .call("ResourceGroups_Delete", "DELETE", &group, Value::Null)
        .await;
    judge
        .call(
            "ResourceGroups_Get",
            "GET",
            &format!("{sub}/resourceGroups/none"),
            Value::Null,
        )
        .await;

    judge.azure.pass(60);
    for fault in [
        Fault::new(Act::ComputeThrottle(3)),
        Fault::new(Act::ArmThrottle(3)),
        Fault::answer(500, "InternalServerError", "oops"),
    ] {
        judge.azure.cloud.fault(fault.times(1));
        judge
            .call("VirtualMachines_Get", "GET", &vm, Value::Null)
            .await;
    }
    judge
        .call(
            "VirtualMachines_Delete",
            "DELETE",
            &format!("{vm}?forceDeletion=true"),
            Value::Null,
        )
        .await;
    judge.azure.pass(330);
    judge
        .call("VirtualMachines_Delete", "DELETE", &vm, Value::Null)
        .await;
    eprintln!(
        "answers that passed Microsoft's schemas: {}\n  {}",
        judge.judged.len(),
        judge
            .judged
            .iter()
            .cloned()
            .collect::<Vec<_>>()
            .join("\n  ")
    );
}
